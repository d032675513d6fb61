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

/// The reader of QR codes looks at every third row, too.
const CORNER_ROWS: usize = 3;
/// In them a code has a dozen or two at each corner, and a photograph some hundreds that are none.
const MAX_CORNERS: usize = 3_000;

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
        // with the cube of what looks like a code's corner. This one's grows with the square.
        BarcodeFormat::QR_CODE if has_few_corners(image) => QrReader.decode_with_hints(image, &hints),
        BarcodeFormat::QR_CODE => return None,
        _ => MultiFormatReader::default().decode_with_hints(image, &hints),
    };
    found.ok()
}

/// Whether so few of the rows' runs look like the corners of a QR code that it does not take long to pair them up.
fn has_few_corners(image: &Image<'_>) -> bool {
    let matrix = image.get_black_matrix();
    let mut corners = 0;
    for y in (0..matrix.height()).step_by(CORNER_ROWS) {
        // Light and dark in turns, the first one light.
        let (mut runs, mut dark) = ([0_u32; 5], false);
        for x in 0..matrix.width() {
            if matrix.get(x, y) != dark {
                corners += usize::from(dark && is_corner(&runs));
                runs.rotate_left(1);
                runs[4] = 0;
                dark = !dark;
            }
            runs[4] += 1;
        }
    }
    corners <= MAX_CORNERS
}

/// Dark, light, dark, light, dark like 1 : 1 : 3 : 1 : 1, more or less: rather too often than too rarely.
fn is_corner(runs: &[u32; 5]) -> bool {
    let [first, second, middle, fourth, fifth] = *runs;
    let module = runs.iter().sum::<u32>() / 7;
    let is_one = |run: u32| run > 0 && run <= 2 * module + 1;
    [first, second, fourth, fifth].into_iter().all(is_one) && (2 * module..=4 * module + 1).contains(&middle)
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
