//! Barcodes are read from whatever people send, and the same voucher says the same.

use crate::drawn::{barcode, encoded, gifticon};
use image::{DynamicImage, GrayImage, Luma, Rgba, RgbaImage, imageops};
use pictures::{Format, Limits, Pixels, barcode::read};
use proptest::prelude::*;
use rxing::BarcodeFormat;

const LIMITS: Limits = Limits { max_pixels: 40_000_000 };
const TEXT: &str = "9876543210123456";

fn read_from(picture: &DynamicImage, format: Format) -> Option<String> {
    let bytes = encoded(picture, format);
    read(Pixels::decode(format, &bytes, LIMITS).unwrap())
}

#[test]
fn the_usual_kinds_are_read_in_every_format() {
    for kind in [BarcodeFormat::CODE_128, BarcodeFormat::QR_CODE, BarcodeFormat::PDF_417] {
        for format in Format::ALL {
            assert_eq!(read_from(&gifticon(TEXT, kind), format).as_deref(), Some(TEXT), "{kind:?} {format:?}");
        }
    }
}

#[test]
fn gaps_between_digits_and_the_kind_of_code_make_no_other_voucher() {
    for (text, kind) in
        [("9876 5432 1012 3456", BarcodeFormat::CODE_128), ("9876-5432-1012-3456", BarcodeFormat::QR_CODE)]
    {
        assert_eq!(read_from(&gifticon(text, kind), Format::Png).as_deref(), Some(TEXT));
    }
}

#[test]
fn turned_large_and_transparent_pictures_are_read() {
    let upright = gifticon(TEXT, BarcodeFormat::CODE_128);
    assert_eq!(read_from(&upright.rotate90(), Format::Png).as_deref(), Some(TEXT));
    let large = upright.resize_exact(3_600, 4_800, imageops::FilterType::Triangle);
    assert_eq!(read_from(&large, Format::Jpeg).as_deref(), Some(TEXT));
    let bars = barcode(TEXT, BarcodeFormat::CODE_128, 480, 160);
    let black_on_nothing = RgbaImage::from_fn(bars.width(), bars.height(), |x, y| {
        Rgba([0, 0, 0, if bars.get_pixel(x, y).0[0] == 0 { 255 } else { 0 }])
    });
    assert_eq!(read_from(&black_on_nothing.into(), Format::Png).as_deref(), Some(TEXT));
}

#[test]
fn what_has_no_barcode_says_nothing() {
    let noise = GrayImage::from_fn(500, 500, |x, y| Luma([u8::try_from((x * 7_919 + y * 104_729) % 256).unwrap()]));
    assert_eq!(read_from(&noise.into(), Format::Png), None);
    assert_eq!(read_from(&DynamicImage::new_luma8(1, 1), Format::Png), None);
    assert_eq!(read_from(&DynamicImage::new_luma8(20_000, 1), Format::Png), None);
    // Of the product, and so of every other voucher of it.
    assert_eq!(read_from(&gifticon("8801234567893", BarcodeFormat::EAN_13), Format::Png), None);
    // Too short to be a voucher's.
    assert_eq!(read_from(&gifticon("1234", BarcodeFormat::CODE_128), Format::Png), None);
}

/// Fewer than usual, unless somebody asks for more: each draws, encodes and reads two pictures.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_number_is_read_as_it_is(text in "[0-9]{8,20}|[A-Z0-9]{8,16}") {
        for kind in [BarcodeFormat::CODE_128, BarcodeFormat::QR_CODE] {
            let picture = gifticon(&text, kind);
            prop_assert_eq!(read_from(&picture, Format::Jpeg), Some(text.clone()), "{:?}", kind);
        }
    }
}
