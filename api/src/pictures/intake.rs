//! Looking into an uploaded picture, off the async threads.
//!
//! Promises: only `pictures.max_decoding` are looked into at once; the others wait for at most [`TURN_LIMIT`] and are then
//! told 503. No more than `MAX_UPLOADS` can wait: each holds its place among the uploads in memory. Whatever the bytes are,
//! they are the client's doing, never a 5xx.

use crate::{envelope::Failure, request::File};
use bytes::Bytes;
use contracts::ResultCode;
use pictures::{Format, Limits, NotDecodable, Pixels, barcode, stripped};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// How long a picture waits for its turn before the client is told 503.
const TURN_LIMIT: Duration = Duration::from_secs(10);
const PIXELS_PER_MEGAPIXEL: u64 = 1_000_000;

/// What is wanted of a picture beside its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookFor {
    /// A product's picture.
    Nothing,
    /// A gifticon's: its barcode, which must be readable if the configuration says so.
    Barcode,
}

/// A picture that can be decoded.
pub(crate) struct CheckedPicture {
    /// Without metadata.
    pub(super) bytes: Bytes,
    pub(super) format: Format,
    /// Of the file as it was sent.
    pub(super) sha256: [u8; 32],
    /// What its barcode says.
    pub(super) barcode: Option<String>,
    /// Its place among the uploads in memory.
    _file: File,
}

/// Looks into pictures.
pub(crate) struct Intake {
    turns: Arc<Semaphore>,
    limits: Limits,
    barcode_required: bool,
}

impl Intake {
    pub(crate) fn new(config: &platform::config::PicturesConfig) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(config.max_decoding.clamp(1, Semaphore::MAX_PERMITS))),
            limits: Limits { max_pixels: u64::from(config.max_megapixels) * PIXELS_PER_MEGAPIXEL },
            barcode_required: config.barcode_required,
        }
    }

    /// 4003 for what is no picture, 4007 for one that is too large, 4006 for one whose barcode must be read and cannot.
    pub(crate) async fn look(&self, file: File, look_for: LookFor) -> Result<CheckedPicture, Failure> {
        let turn = tokio::time::timeout(TURN_LIMIT, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            metrics::counter!("gream_pictures_refused_total", "reason" => "busy").increment(1);
            return Err(Failure::away());
        };
        platform::halt::point("api.picture_turn").await;
        let limits = self.limits;
        let began = Instant::now();
        // The turn moves along: when the client leaves, the work still runs, and still counts.
        let looked = tokio::task::spawn_blocking(move || {
            let looked = look(file, limits, look_for);
            drop(turn);
            looked
        });
        let picture = looked.await.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "a picture broke its decoder: report it to the crate `image`");
            Err(ResultCode::PictureNotRecognised)
        })?;
        metrics::histogram!("gream_picture_look_seconds").record(began.elapsed());
        if look_for == LookFor::Barcode {
            let read = if picture.barcode.is_some() { "yes" } else { "no" };
            metrics::counter!("gream_gifticon_pictures_total", "barcode_read" => read).increment(1);
            if self.barcode_required && picture.barcode.is_none() {
                return Err(ResultCode::BarcodeNotReadable.into());
            }
        }
        Ok(picture)
    }
}

fn look(file: File, limits: Limits, look_for: LookFor) -> Result<CheckedPicture, ResultCode> {
    let format = Format::of(&file.bytes).ok_or(ResultCode::PictureNotRecognised)?;
    let bytes = stripped(format, &file.bytes).map_err(|_| ResultCode::PictureNotRecognised)?;
    let pixels = Pixels::decode(format, &bytes, limits).map_err(|error| match error {
        NotDecodable::TooLarge { .. } => ResultCode::PictureTooLarge,
        NotDecodable::Broken(_) => ResultCode::PictureNotRecognised,
    })?;
    let barcode = match look_for {
        LookFor::Nothing => None,
        LookFor::Barcode => barcode::read(pixels),
    };
    Ok(CheckedPicture { bytes: bytes.into(), format, sha256: file.sha256, barcode, _file: file })
}
