//! Decoding, within limits that are checked before memory is taken.

use crate::format::Format;
use image::{DynamicImage, ImageReader};
use std::io::Cursor;

/// Decoded, a pixel takes this much, and so does a limit of pixels: 16 bits a channel halve it.
const BYTES_A_PIXEL: u64 = 4;
/// What a decoder may take beside the pixels.
const DECODER_BYTES: u64 = 16 * 1024 * 1024;
/// No side is longer, however narrow the picture is.
const LONGEST_SIDE: u32 = 32_768;

/// What is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Width times height.
    pub max_pixels: u64,
}

/// Why there are no pixels.
#[derive(Debug, thiserror::Error)]
pub enum NotDecodable {
    /// More than the limits allow; nothing was decoded.
    #[error("{width} × {height} pixels are more than are allowed")]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// It begins like a picture and is none.
    #[error("the picture cannot be decoded: {0}")]
    Broken(#[from] image::ImageError),
}

/// A decoded picture.
#[derive(Debug)]
pub struct Pixels(DynamicImage);

impl Pixels {
    /// Decodes all of it.
    ///
    /// # Errors
    /// When it is too large, cut short or damaged.
    pub fn decode(format: Format, bytes: &[u8], limits: Limits) -> Result<Self, NotDecodable> {
        let (width, height) = reader(format, bytes).into_dimensions()?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > limits.max_pixels || width.max(height) > LONGEST_SIDE {
            return Err(NotDecodable::TooLarge { width, height });
        }
        let mut reader = reader(format, bytes);
        let mut allowed = image::Limits::default();
        allowed.max_alloc = Some(limits.max_pixels.saturating_mul(BYTES_A_PIXEL).saturating_add(DECODER_BYTES));
        reader.limits(allowed);
        Ok(Self(reader.decode()?))
    }

    /// How bright each pixel is on white paper, of at most about `max_pixels`: width, height, and the rows.
    pub(crate) fn brightness(self, max_pixels: u64) -> (u32, u32, Vec<u8>) {
        let (width, height) = (self.0.width(), self.0.height());
        let pixels = u64::from(width) * u64::from(height);
        let small = if pixels > max_pixels {
            // Whole divisors, so that every bar of a barcode shrinks alike.
            let divisor = u32::try_from(pixels.div_ceil(max_pixels).isqrt() + 1).unwrap_or(u32::MAX);
            self.0.thumbnail((width / divisor).max(1), (height / divisor).max(1))
        } else {
            self.0
        };
        let grey = small.into_luma_alpha8();
        let rows = grey.pixels().map(|pixel| on_white(pixel.0)).collect();
        (grey.width(), grey.height(), rows)
    }
}

fn reader(format: Format, bytes: &[u8]) -> ImageReader<Cursor<&[u8]>> {
    let format = match format {
        Format::Png => image::ImageFormat::Png,
        Format::Jpeg => image::ImageFormat::Jpeg,
        Format::WebP => image::ImageFormat::WebP,
    };
    ImageReader::with_format(Cursor::new(bytes), format)
}

/// A transparent background is shown on white, whatever colour it would have.
fn on_white([brightness, opacity]: [u8; 2]) -> u8 {
    let (brightness, opacity) = (u32::from(brightness), u32::from(opacity));
    u8::try_from((brightness * opacity + 255 * (255 - opacity)) / 255).unwrap_or(u8::MAX)
}
