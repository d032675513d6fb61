//! Pictures: looked into, stored without metadata under fresh keys, served by address.
//!
//! A product's picture is public. A gifticon's is bearer money: see [`reveal`].

mod intake;
mod reveal;

pub(crate) use intake::{CheckedPicture, Intake, LookFor};
pub(crate) use reveal::{__path_gifticon, gifticon};

use crate::{
    context::{Api, Shared},
    envelope::Failure,
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use contracts::{CommandId, Fingerprint, Picture, ResultCode};
use pictures::Format;
use platform::pictures::{gifticon_key, product_key};
use uuid::Uuid;

/// Public pictures never change under their name.
const PUBLIC_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=86400, immutable");

impl Api {
    /// Stores the picture of the gifticon that `command` is about.
    pub(crate) async fn store_gifticon(&self, picture: CheckedPicture, command: CommandId) -> Result<Picture, Failure> {
        let key = gifticon_key(command, rand::random(), picture.format.extension());
        self.store(&key, picture.bytes).await?;
        Ok(Picture {
            key,
            sha256: Fingerprint(picture.sha256).to_string(),
            barcode: picture.barcode.map(|text| self.barcodes.hash(&text)),
            expires_at: None,
        })
    }

    /// Stores a product's picture; gives the name under which it is served.
    pub(crate) async fn store_product_picture(&self, picture: CheckedPicture) -> Result<String, Failure> {
        let name = format!("{}.{}", Uuid::from_u128(rand::random()).simple(), picture.format.extension());
        self.store(&product_key(&name), picture.bytes).await?;
        Ok(name)
    }

    async fn store(&self, key: &str, bytes: Bytes) -> Result<(), Failure> {
        self.pictures.put(key, bytes).await.map_err(|error| {
            tracing::error!(%error, "a picture could not be stored");
            ResultCode::UploadFailed.into()
        })
    }

    /// An answer that reads the picture as the client does, so that those who do not read hold little.
    async fn show(&self, key: &str, missing: ResultCode, cache: HeaderValue) -> Result<Response, Failure> {
        let found = self.pictures.open_picture(key).await.map_err(|error| {
            tracing::error!(%error, "a picture could not be read");
            Failure::away()
        })?;
        let (length, contents) = found.ok_or(missing)?;
        // Named by ourselves when its content was checked.
        let format = Format::ALL.into_iter().find(|format| key.ends_with(&format!(".{}", format.extension())));
        let media_type = format.map_or("application/octet-stream", Format::media_type);
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (header::CONTENT_LENGTH, length.into()),
            (header::CACHE_CONTROL, cache),
        ];
        Ok((headers, Body::from_stream(contents)).into_response())
    }
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
    api.show(&product_key(&name), ResultCode::PathNotFound, PUBLIC_CACHE).await
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
