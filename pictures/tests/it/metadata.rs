//! Metadata goes, and no pixel with it.

use crate::drawn::{encoded, gifticon};
use pictures::{Damaged, Format, stripped};
use rxing::BarcodeFormat;

const SECRET: &[u8] = b"37.5665N 126.9780E, taken by Anna";

fn has_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

fn picture(format: Format) -> Vec<u8> {
    encoded(&gifticon("1234567890", BarcodeFormat::CODE_128), format)
}

fn pixels(bytes: &[u8]) -> Vec<u8> {
    image::load_from_memory(bytes).unwrap().into_rgba8().into_raw()
}

/// Stripped, the picture is as it was without what was put in, shows the same, and stays as it is.
fn loses_its_secret(format: Format, plain: &[u8], with_secret: &[u8]) {
    assert!(has_secret(with_secret), "{format:?}");
    let clean = stripped(format, with_secret).unwrap();
    assert!(!has_secret(&clean), "{format:?}");
    assert_eq!(clean, stripped(format, plain).unwrap(), "{format:?}");
    assert_eq!(pixels(&clean), pixels(plain), "{format:?}");
    assert_eq!(stripped(format, &clean).unwrap(), clean, "{format:?}");
}

fn png_chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    // The check sum of what is dropped is nobody's business.
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &kind, data, &[0; 4]].concat()
}

#[test]
fn a_png_loses_texts_times_profiles_and_what_follows_its_end() {
    let plain = picture(Format::Png);
    // Behind the signature and the header.
    let (head, rest) = plain.split_at(8 + 25);
    for kind in [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"tIME", b"acTL", b"xyZz"] {
        loses_its_secret(Format::Png, &plain, &[head, &png_chunk(*kind, SECRET), rest].concat());
    }
    loses_its_secret(Format::Png, &plain, &[&plain, SECRET].concat());
    let (body, _) = plain.split_at(plain.len() - 12);
    assert_eq!(stripped(Format::Png, &[body, &png_chunk(*b"IEND", SECRET)].concat()), Err(Damaged));
}

fn jpeg_segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &u16::try_from(data.len() + 2).unwrap().to_be_bytes(), data].concat()
}

#[test]
fn a_jpeg_loses_every_application_segment_comments_and_what_follows_its_end() {
    let plain = picture(Format::Jpeg);
    let (start, rest) = plain.split_at(2);
    for marker in (0xe0..=0xef).chain([0xfe, 0xf0]) {
        let data = [b"Exif\0\0", SECRET].concat();
        loses_its_secret(Format::Jpeg, &plain, &[start, &jpeg_segment(marker, &data), rest].concat());
    }
    loses_its_secret(Format::Jpeg, &plain, &[&plain, SECRET].concat());
    // Behind the scan, where tools that stop at its start do not look.
    let (scanned, end) = plain.split_at(plain.len() - 2);
    loses_its_secret(Format::Jpeg, &plain, &[scanned, &jpeg_segment(0xe1, SECRET), end].concat());
}

fn webp_chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let padding = vec![0; data.len() % 2];
    [&kind[..], &u32::try_from(data.len()).unwrap().to_le_bytes()[..], data, &padding].concat()
}

fn riff(chunks: &[&[u8]]) -> Vec<u8> {
    let chunks = chunks.concat();
    [b"RIFF", &u32::try_from(chunks.len() + 4).unwrap().to_le_bytes()[..], b"WEBP", &chunks].concat()
}

#[test]
fn a_webp_loses_exif_xmp_profiles_and_what_follows_its_end() {
    let plain = picture(Format::WebP);
    let chunks = &plain[12..];
    for kind in [b"EXIF", b"XMP ", b"ICCP", b"xyZz", b"VP8L"] {
        loses_its_secret(Format::WebP, &plain, &riff(&[chunks, &webp_chunk(*kind, SECRET)]));
    }
    loses_its_secret(Format::WebP, &plain, &[&plain, SECRET].concat());
    // 600 × 800 less one, with flags for a profile, EXIF, XMP and an animation.
    let canvas = |flags: u8| webp_chunk(*b"VP8X", &[flags, 0, 0, 0, 0x57, 2, 0, 0x1f, 3, 0]);
    let extended = riff(&[&canvas(0), chunks]);
    loses_its_secret(Format::WebP, &extended, &riff(&[&canvas(0b10_1110), chunks, &webp_chunk(*b"EXIF", SECRET)]));
}

#[test]
fn what_is_cut_short_is_damaged() {
    for format in Format::ALL {
        let whole = picture(format);
        for bytes in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &whole[..12], &whole[..3], &[]] {
            assert_eq!(stripped(format, bytes), Err(Damaged), "{format:?} {}", bytes.len());
        }
    }
}
