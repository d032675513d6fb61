//! Pictures that are drawn for the tests.

use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use pictures::Format;
use rxing::{BarcodeFormat, MultiFormatWriter, Writer};
use std::io::Cursor;

/// A barcode, black on white.
pub fn barcode(text: &str, kind: BarcodeFormat, width: u32, height: u32) -> GrayImage {
    let side = |pixels: u32| i32::try_from(pixels).unwrap();
    let bits = MultiFormatWriter.encode(text, &kind, side(width), side(height)).unwrap();
    GrayImage::from_fn(bits.width(), bits.height(), |x, y| Luma([if bits.get(x, y) { 0 } else { 255 }]))
}

/// A gifticon as people send them: something colourful, and the barcode on a white strip below.
pub fn gifticon(text: &str, kind: BarcodeFormat) -> DynamicImage {
    let bars = barcode(text, kind, 480, 160);
    let colourful = |x: u32, y: u32| [x, y, x ^ y].map(|part| u8::try_from(part % 251).unwrap());
    let mut picture = RgbImage::from_fn(600, 800, |x, y| image::Rgb(colourful(x, y)));
    for (x, y, _) in picture.clone().enumerate_pixels().filter(|(_, y, _)| *y >= 560) {
        picture.put_pixel(x, y, image::Rgb([255; 3]));
    }
    image::imageops::overlay(&mut picture, &DynamicImage::from(bars).into_rgb8(), 60, 600);
    picture.into()
}

pub fn encoded(picture: &DynamicImage, format: Format) -> Vec<u8> {
    let (picture, format) = match format {
        Format::Png => (picture.clone(), ImageFormat::Png),
        Format::Jpeg => (DynamicImage::from(picture.to_rgb8()), ImageFormat::Jpeg),
        Format::WebP => (DynamicImage::from(picture.to_rgb8()), ImageFormat::WebP),
    };
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
