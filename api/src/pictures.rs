//! Pictures: recognised by their first bytes, stored under fresh keys, served by address.
//!
//! A product's picture is public. A gifticon's is bearer money: it is served only to a signed address that ends soon,
//! and such an address is only given to its owner (see `history`).

use crate::{
    context::{Api, Shared},
    envelope::Failure,
    request::{File, PathId, Query},
    signature::Signer,
};
use axum::{
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use contracts::{Fingerprint, Picture, ResultCode, UnixMs};
use uuid::Uuid;

const GIFTICON_PURPOSE: &str = "gream gifticon picture v1";
/// How long the address of a gifticon's picture works.
const GIFTICON_ADDRESS_VALID_MS: i64 = 15 * 60 * 1_000;
/// Public pictures never change under their name.
const PUBLIC_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=86400, immutable");

/// A format that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
    WebP,
}

impl Format {
    const ALL: [Format; 3] = [Format::Png, Format::Jpeg, Format::WebP];

    /// The format that begins with these bytes.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Format::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
            _ => None,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpg",
            Format::WebP => "webp",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Format::Png => "image/png",
            Format::Jpeg => "image/jpeg",
            Format::WebP => "image/webp",
        }
    }
}

/// A file that begins like a picture.
pub(crate) struct PictureFile {
    file: File,
    format: Format,
}

impl PictureFile {
    /// 4003 for what is no picture.
    pub(crate) fn recognise(file: File) -> Result<Self, Failure> {
        let format = Format::of(&file.bytes).ok_or(ResultCode::PictureNotRecognised)?;
        Ok(Self { file, format })
    }
}

impl Api {
    /// Stores a gifticon's picture.
    pub(crate) async fn store_gifticon(&self, picture: &PictureFile) -> Result<Picture, Failure> {
        let name = Uuid::from_u128(rand::random()).simple().to_string();
        // One folder for each first byte: thousands of files in one folder are slow to list.
        let key = format!("gifticons/{}/{name}.{}", &name[..2], picture.format.extension());
        self.store(&key, picture.file.bytes.clone()).await?;
        Ok(Picture { key, sha256: Fingerprint(picture.file.sha256).to_string() })
    }

    /// Stores a product's picture; gives the name under which it is served.
    pub(crate) async fn store_product_picture(&self, picture: &PictureFile) -> Result<String, Failure> {
        let name = format!("{}.{}", Uuid::from_u128(rand::random()).simple(), picture.format.extension());
        self.store(&product_key(&name), picture.file.bytes.clone()).await?;
        Ok(name)
    }

    async fn store(&self, key: &str, bytes: Bytes) -> Result<(), Failure> {
        self.pictures.put(key, bytes).await.map_err(|error| {
            tracing::error!(%error, "a picture could not be stored");
            ResultCode::UploadFailed.into()
        })
    }

    /// Where the picture of a gifticon can be seen until soon. Give it only to whom the gifticon belongs.
    pub(crate) fn gifticon_address(&self, gifticon: i64) -> String {
        let until = self.clock.now().plus_ms(GIFTICON_ADDRESS_VALID_MS).0.to_string();
        let signature = self.signer.sign(GIFTICON_PURPOSE, &[&gifticon.to_string(), &until]);
        let base = self.config.http.public_url.trim_end_matches('/');
        format!("{base}/api/gifticons/{gifticon}/picture?until={until}&s={signature}")
    }

    async fn serve(&self, key: &str, missing: ResultCode, cache: HeaderValue) -> Result<Response, Failure> {
        let found = self.pictures.get(key).await.map_err(|error| {
            tracing::error!(%error, "a picture could not be read");
            Failure::away()
        })?;
        let bytes = found.ok_or(missing)?;
        let media_type = Format::of(&bytes).map_or("application/octet-stream", Format::media_type);
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(media_type)), (header::CACHE_CONTROL, cache)];
        Ok((headers, bytes).into_response())
    }
}

fn product_key(name: &str) -> String {
    format!("products/{name}")
}

/// The address of a product's picture, from what its row holds: a name of ours, or an address as it is.
pub(crate) fn product_picture_address(public_url: &str, stored: &str) -> String {
    if is_name(stored) {
        format!("{}/api/pictures/{stored}", public_url.trim_end_matches('/'))
    } else {
        stored.to_owned()
    }
}

/// 32 hexadecimal digits and a known extension: nothing that could lead out of the folder.
fn is_name(text: &str) -> bool {
    text.split_once('.').is_some_and(|(name, extension)| {
        let known = Format::ALL.iter().any(|format| format.extension() == extension);
        known && name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// A product's picture.
#[utoipa::path(
    get,
    path = "/api/pictures/{name}",
    operation_id = "product_picture",
    tag = "pictures",
    params(("name" = String, Path, description = "As in the product's `imageUrl`", pattern = "^[0-9a-f]{32}[.](png|jpg|webp)$")),
    responses((status = 200, description = "The picture", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp")))),
)]
pub(crate) async fn product(State(api): State<Shared>, Path(name): Path<String>) -> Result<Response, Failure> {
    if !is_name(&name) {
        return Err(ResultCode::PathNotFound.into());
    }
    api.serve(&product_key(&name), ResultCode::PathNotFound, PUBLIC_CACHE).await
}

/// A gifticon's picture, by its signed address, which ends soon.
#[utoipa::path(
    get,
    path = "/api/gifticons/{id}/picture",
    operation_id = "gifticon_picture",
    tag = "pictures",
    params(("id" = u64, Path), ("until" = Option<String>, Query, max_length = 64), ("s" = Option<String>, Query, max_length = 64)),
    responses((status = 200, description = "The picture", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp")))),
)]
pub(crate) async fn gifticon(
    State(api): State<Shared>,
    id: PathId,
    Query(mut query): Query,
) -> Result<Response, Failure> {
    let id = id.known().ok_or(ResultCode::GifticonNotFound)?;
    if !is_genuine(&api.signer, id, &mut query, api.clock.now()) {
        return Err(ResultCode::Forbidden.into());
    }
    let read = sqlx::query_scalar!("SELECT picture_key FROM gifticons WHERE gifticon_id = ?", id);
    let key = api.within(read.fetch_optional(&api.database)).await?.ok_or(ResultCode::GifticonNotFound)?;
    api.serve(&key, ResultCode::GifticonNotFound, HeaderValue::from_static("private, no-store")).await
}

fn is_genuine(signer: &Signer, id: u64, query: &mut crate::request::Fields, now: UnixMs) -> bool {
    const MAX_CHARS: usize = 64;
    let [until, signature] = ["until", "s"].map(|name| query.optional_text(name, MAX_CHARS).unwrap_or_default());
    let in_time = until.parse().is_ok_and(|until| now.0 < until);
    in_time && signer.verify(GIFTICON_PURPOSE, &[&id.to_string(), &until], &signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        assert_eq!(Format::of(b"\x89PNG\r\n\x1a\n....IHDR"), Some(Format::Png));
        assert_eq!(Format::of(b"\xff\xd8\xff\xe0"), Some(Format::Jpeg));
        assert_eq!(Format::of(b"RIFF\0\0\0\0WEBPVP8 "), Some(Format::WebP));
        for other in [&b""[..], b"GIF89a", b"<svg", b"RIFF\0\0\0\0WAVE", b"\x89PNG", b"%PDF-1.7"] {
            assert_eq!(Format::of(other), None);
        }
    }

    #[test]
    fn only_names_of_ours_are_served() {
        let name = format!("{}.png", Uuid::from_u128(7).simple());
        assert!(is_name(&name));
        assert_eq!(product_picture_address("http://a/", &name), format!("http://a/api/pictures/{name}"));
        for other in ["", "../x.png", "a.png", &format!("{name}.png"), &name.replace("png", "svg"), &format!("/{name}")]
        {
            assert!(!is_name(other), "{other}");
        }
        assert_eq!(product_picture_address("http://a", "https://cdn/x.png"), "https://cdn/x.png");
    }

    #[test]
    fn the_address_of_a_gifticon_ends() {
        let signer = Signer::new(&platform::Secret::new("fedcba9876543210fedcba9876543210")).unwrap();
        let query = |until: &str, s: &str| {
            let pairs = [("until", until), ("s", s)].map(|(k, v)| (k.to_owned(), v.to_owned()));
            crate::request::Fields::text_form(pairs.into())
        };
        let signature = signer.sign(GIFTICON_PURPOSE, &["5", "1000"]);
        assert!(is_genuine(&signer, 5, &mut query("1000", &signature), UnixMs(999)));
        assert!(!is_genuine(&signer, 5, &mut query("1000", &signature), UnixMs(1000)));
        assert!(!is_genuine(&signer, 6, &mut query("1000", &signature), UnixMs(0)));
        assert!(!is_genuine(&signer, 5, &mut query("2000", &signature), UnixMs(0)));
    }
}
