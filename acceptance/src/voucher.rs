//! Gifticons as people send them: real pictures with a real barcode.

use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Luma};
use rxing::{BarcodeFormat, MultiFormatWriter, Writer};
use std::io::Cursor;

/// Something that a picture says beside its pixels, and that must not be kept.
pub const SECRET: &[u8] = b"37.5665N 126.9780E, taken by Anna";

/// How a telephone's pictures are turned, as EXIF numbers it.
pub const TURNED: u8 = 6;

/// A PNG with this barcode.
pub fn png(text: &str) -> Vec<u8> {
    encoded(&drawn(text, BarcodeFormat::CODE_128), ImageFormat::Png)
}

/// A JPEG with the same barcode drawn in squares, and with metadata as a telephone writes it.
pub fn jpeg(text: &str) -> Vec<u8> {
    let jpeg = encoded(&drawn(text, BarcodeFormat::QR_CODE), ImageFormat::Jpeg);
    let data = [&b"Exif\0\0"[..], &exif()].concat();
    let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    let (start, rest) = jpeg.split_at(2);
    [start, &[0xff, 0xe1], &length, &data, rest].concat()
}

/// That the picture is turned, and, as its description, what must not be kept.
fn exif() -> Vec<u8> {
    const BEHIND_THE_ENTRIES: u32 = 8 + 2 + 2 * 12 + 4;
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let description = entry(0x010e, 2, u32::try_from(SECRET.len()).unwrap(), BEHIND_THE_ENTRIES);
    let orientation = entry(0x0112, 3, 1, TURNED.into());
    [b"II*\0\x08\0\0\0\x02\0", &description[..], &orientation, &[0; 4], SECRET].concat()
}

/// How the JPEG is turned.
pub fn turned(jpeg: &[u8]) -> u8 {
    let mut decoder = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg).into_decoder().unwrap();
    decoder.orientation().unwrap().to_exif()
}

/// A WebP with the same barcode drawn in lines.
pub fn webp(text: &str) -> Vec<u8> {
    encoded(&drawn(text, BarcodeFormat::CODE_128).into_rgb8().into(), ImageFormat::WebP)
}

/// A PNG of some kilobytes that says nothing, and that no compression makes smaller.
pub fn noise() -> Vec<u8> {
    let grain = |x: u32, y: u32| {
        let mixed = (x * 64 + y + 1).wrapping_mul(2_654_435_761);
        (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519).to_be_bytes()[0]
    };
    encoded(&GrayImage::from_fn(64, 64, |x, y| Luma([grain(x, y)])).into(), ImageFormat::Png)
}

/// The PNG with the right check sum in every chunk that can be told apart: what is wrong in it is believed.
pub fn believable(mut png: Vec<u8>) -> Vec<u8> {
    let mut rest = png.get_mut(8..).unwrap_or_default();
    while let Some(&length) = rest.first_chunk() {
        let end = u32::from_be_bytes(length) as usize + 8;
        let Some((chunk, after)) = rest.split_at_mut_checked(end) else { break };
        let Some((sum, next)) = after.split_first_chunk_mut() else { break };
        *sum = crc32(&chunk[4..]).to_be_bytes();
        rest = next;
    }
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Whether [`SECRET`] is somewhere in it.
pub fn has_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

fn drawn(text: &str, kind: BarcodeFormat) -> DynamicImage {
    let bits = MultiFormatWriter.encode(text, &kind, 400, 200).unwrap();
    GrayImage::from_fn(bits.width(), bits.height(), |x, y| Luma([if bits.get(x, y) { 0 } else { 255 }])).into()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
