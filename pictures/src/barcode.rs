//! The barcode in a picture.
//!
//! Promises: the same text for the same voucher, whether it is drawn in lines or squares, with or without gaps between
//! its digits. Doesn't: say that there is none; a blurred one is not read either.

use crate::pixels::Pixels;
use rxing::{BarcodeFormat, DecodeHints, helpers::detect_in_luma_slice_with_hints};
use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A larger picture is made smaller first: it bounds a scan's time. Telephones' screens are not larger.
const MAX_PIXELS: u64 = 5_000_000;
/// Vouchers have longer numbers; shorter ones are read out of noise.
const MIN_CHARS: usize = 6;
/// First what Korean gifticons use. Then codes with error correction. Codes without (EAN, ITF) are left out: they name
/// the product, which other vouchers of it do too, or are read out of noise.
const LOOKED_FOR: [&[BarcodeFormat]; 2] = [
    &[BarcodeFormat::CODE_128],
    &[BarcodeFormat::QR_CODE, BarcodeFormat::DATA_MATRIX, BarcodeFormat::PDF_417, BarcodeFormat::AZTEC],
];

/// What the barcode in the picture says, without spaces and dashes.
pub fn read(picture: Pixels) -> Option<String> {
    let (width, height, brightness) = picture.brightness(MAX_PIXELS);
    LOOKED_FOR.into_iter().find_map(|formats| {
        // A picture that trips the reader is one that it cannot read.
        let found = catch_unwind(AssertUnwindSafe(|| look_for(formats, width, height, &brightness)));
        found.ok().flatten()
    })
}

fn look_for(formats: &[BarcodeFormat], width: u32, height: u32, brightness: &[u8]) -> Option<String> {
    let mut hints =
        DecodeHints { PossibleFormats: Some(formats.iter().copied().collect::<HashSet<_>>()), ..Default::default() };
    let found = detect_in_luma_slice_with_hints(brightness, width, height, None, &mut hints).ok()?;
    let text: String = found.getText().chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    (text.chars().count() >= MIN_CHARS).then_some(text)
}
