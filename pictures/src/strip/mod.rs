//! The same picture without metadata, and without re-encoding: only the parts that make pixels are copied. Beside them
//! stands how it is turned, where EXIF said so: written anew, as nothing but a number.
//!
//! By lists of what is kept, written here: the crate that could do it (`img-parts`) keeps whatever follows the first scan
//! of a JPEG, trailers and later segments included, and may panic on what is cut short. What is dropped: EXIF (with places
//! and thumbnails), XMP, IPTC, comments, texts, times, colour profiles, animations, everything behind the picture's end.
//! Doesn't: turn the pixels themselves, or check that they are sound (decoding does).

mod jpeg;
mod orientation;
mod png;
mod webp;

use crate::format::Format;

/// The file is cut short, or its parts do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the picture's parts do not fit together")]
pub struct Damaged;

/// `bytes` without metadata, to be shown as before. Never longer than `bytes`, and the same again when stripped again.
///
/// # Errors
/// When the parts cannot be told apart.
pub fn stripped(format: Format, bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
    match format {
        Format::Png => png::stripped(bytes),
        Format::Jpeg => jpeg::stripped(bytes),
        Format::WebP => webp::stripped(bytes),
    }
    .ok_or(Damaged)
}
