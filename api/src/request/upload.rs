//! A multipart body: a few short texts and one file.
//!
//! Promises: no part outgrows its limit in memory, and only so many uploads are in memory at once, of one user fewer.

use super::{Fields, places::Place};
use crate::{context::Shared, envelope::Failure};
use axum::{
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use contracts::{ResultCode, UserId};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, time::Duration};

/// The part that carries the file.
pub(crate) const FILE: &str = "file";
/// Parts of one body.
const MAX_PARTS: usize = 16;
/// Bytes of one part that is text.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// What a body may hold beside its file.
pub(crate) const MAX_BYTES_BESIDE_FILE: usize = 64 * 1024;
/// Uploads in memory at once: with `pictures.max_bytes` this bounds the memory they take.
pub(crate) const MAX_UPLOADS: usize = 32;
/// Of one user's: more at once are told 429.
pub(crate) const MAX_UPLOADS_OF_A_USER: usize = 8;
/// What that user should wait before the next.
const AFTER_THEIR_OTHERS: Duration = Duration::from_secs(1);
/// How long an upload waits for its turn before it is told 503.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// The file of an upload. Holds its place among the uploads in memory.
pub(crate) struct File {
    pub(crate) bytes: Bytes,
    pub(crate) sha256: [u8; 32],
    _turn: Place,
}

/// A multipart body.
pub(crate) struct Upload {
    pub(crate) fields: Fields,
    pub(crate) file: Option<File>,
}

impl FromRequest<Shared> for Upload {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Shared) -> Result<Self, Failure> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(|text| text.to_ascii_lowercase().starts_with("multipart/form-data")) {
            return Err(ResultCode::UnsupportedMediaType.into());
        }
        // Whoever is known by now; nobody else uploads.
        let user = request.extensions().get::<UserId>().copied().ok_or(ResultCode::LoginRequired)?;
        let turn = tokio::time::timeout(TURN_LIMIT, api.uploads.take(user)).await.map_err(|_| Failure::away())?;
        let turn = turn.ok_or_else(|| Failure::too_many(AFTER_THEIR_OTHERS))?;
        let parts = Multipart::from_request(request, api).await.map_err(|_| unreadable())?;
        read(parts, api.config.pictures.max_bytes, turn).await
    }
}

async fn read(mut parts: Multipart, max_file_bytes: usize, turn: Place) -> Result<Upload, Failure> {
    let mut texts = HashMap::new();
    let mut file = None;
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(|error| refusal(&error))? {
        let Some(name) = part.name().map(ToOwned::to_owned) else { return Err(unreadable()) };
        count += 1;
        if count > MAX_PARTS || texts.contains_key(&name) || (name == FILE && file.is_some()) {
            return Err(Failure::invalid("body", "같은 이름의 항목이 반복되거나 항목이 너무 많습니다."));
        }
        if name == FILE {
            file = Some(read_part(part, max_file_bytes).await?.ok_or(ResultCode::BodyTooLarge)?);
        } else {
            let bytes = read_part(part, MAX_TEXT_BYTES).await?.map(|(bytes, _)| bytes);
            let text = bytes.and_then(|bytes| String::from_utf8(bytes.into()).ok());
            let text = text.ok_or_else(|| Failure::invalid(&name, "너무 길거나 UTF-8 문자열이 아닙니다."))?;
            texts.insert(name, text);
        }
    }
    let file = file.map(|(bytes, sha256)| File { bytes, sha256, _turn: turn });
    Ok(Upload { fields: Fields::text_form(texts), file })
}

/// The part with its hash, made as it comes in; `None` past `limit`.
async fn read_part(mut part: Field<'_>, limit: usize) -> Result<Option<(Bytes, [u8; 32])>, Failure> {
    let (mut bytes, mut hash) = (BytesMut::new(), Sha256::new());
    while let Some(chunk) = part.chunk().await.map_err(|error| refusal(&error))? {
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        hash.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some((bytes.freeze(), hash.finalize().into())))
}

/// A body that breaks off is the client's doing, never a 5xx.
fn refusal(error: &MultipartError) -> Failure {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE { ResultCode::BodyTooLarge.into() } else { unreadable() }
}

fn unreadable() -> Failure {
    Failure::invalid("body", "multipart 본문을 읽을 수 없습니다.")
}
