//! The barcode in a picture.
//!
//! Promises: the same text for the same voucher, whether it is drawn in lines or squares, with or without gaps between
//! its digits. Doesn't: say that there is none; a blurred one is not read either.

use crate::pixels::Pixels;
use rxing::{
    BarcodeFormat, BinaryBitmap, DecodeHints, Luma8Source, MultiFormatReader, RXingResult, Reader,
    common::HybridBinarizer, qrcode::cpp_port::QrReader,
};
use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A larger picture is made smaller first: it bounds a scan's time. Telephones' screens are not larger.
const MAX_PIXELS: u64 = 5_000_000;
/// Vouchers have longer numbers; shorter ones are read out of noise.
const MIN_CHARS: usize = 6;
/// First what Korean gifticons use. Then codes with error correction. Codes without (EAN, ITF) are left out: they name
/// the product, which other vouchers of it do too, or are read out of noise. One by one, so that the first is always the
/// same: rxing walks several in an order of chance.
const LOOKED_FOR: [BarcodeFormat; 5] = [
    BarcodeFormat::CODE_128,
    BarcodeFormat::QR_CODE,
    BarcodeFormat::DATA_MATRIX,
    BarcodeFormat::PDF_417,
    BarcodeFormat::AZTEC,
];

type Image<'a> = BinaryBitmap<HybridBinarizer<Luma8Source<'a>>>;

/// What the barcode in the picture says, without spaces and dashes.
pub fn read(picture: Pixels) -> Option<String> {
    let (width, height, brightness) = picture.brightness(MAX_PIXELS);
    let source = Luma8Source::new_with_slice(&brightness, width, height).ok()?;
    let mut image = BinaryBitmap::new(HybridBinarizer::new(source));
    LOOKED_FOR.into_iter().find_map(|format| {
        // A picture that trips the reader is one that it cannot read.
        let found = catch_unwind(AssertUnwindSafe(|| look_for(format, &mut image)));
        found.ok().flatten().and_then(|found| number(found.getText()))
    })
}

fn look_for(format: BarcodeFormat, image: &mut Image<'_>) -> Option<RXingResult> {
    let formats = Some(HashSet::from([format]));
    let hints = DecodeHints { PossibleFormats: formats, TryHarder: Some(true), ..DecodeHints::default() };
    let found = match format {
        // Not by way of rxing's choice of readers: when this one finds nothing it tries an older one, whose time grows
        // with the cube of what looks like a code's corner, and a small picture can have thousands.
        BarcodeFormat::QR_CODE => QrReader.decode_with_hints(image, &hints),
        _ => MultiFormatReader::default().decode_with_hints(image, &hints),
    };
    found.ok()
}

/// A voucher's number, as text; an advertisement's address, say, is none, and other vouchers have it too.
fn number(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let is_number = text.len() >= MIN_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_number.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_letters_and_digits_and_long_enough() {
        assert_eq!(number(" 1234-5678 90ab\n").as_deref(), Some("1234567890ab"));
        for no_number in ["", "12345", "1-2-3-4-5", "https://example.com/event", "쿠폰123456"] {
            assert_eq!(number(no_number), None, "{no_number}");
        }
    }
}
