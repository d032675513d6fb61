//! Metadata goes, and no pixel with it; how the picture is turned stays.

use crate::drawn::{encoded, gifticon};
use image::{ImageDecoder, ImageReader, metadata::Orientation};
use pictures::{Damaged, Format, Limits, Pixels, barcode, stripped};
use proptest::prelude::*;
use rxing::BarcodeFormat;
use std::{io::Cursor, sync::LazyLock};

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
    // With flags for a profile, EXIF, XMP and an animation.
    let extended = riff(&[&canvas(0), chunks]);
    loses_its_secret(Format::WebP, &extended, &riff(&[&canvas(0b10_1110), chunks, &webp_chunk(*b"EXIF", SECRET)]));
}

/// 600 × 800, less one.
fn canvas(flags: u8) -> Vec<u8> {
    webp_chunk(*b"VP8X", &[flags, 0, 0, 0, 0x57, 2, 0, 0x1f, 3, 0])
}

static PLAIN: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| Format::ALL.map(picture));

/// The `which`-th format's picture with this EXIF, right where a camera puts it.
fn with_exif(which: usize, exif: &[u8]) -> Vec<u8> {
    let plain = &PLAIN[which];
    match Format::ALL[which] {
        Format::Png => {
            let (head, rest) = plain.split_at(8 + 25);
            let mut chunk = png_chunk(*b"eXIf", exif);
            let sum = chunk.len() - 4;
            let right = crc32(&chunk[4..sum]).to_be_bytes();
            chunk[sum..].copy_from_slice(&right);
            [head, &chunk, rest].concat()
        }
        Format::Jpeg => {
            let (start, rest) = plain.split_at(2);
            [start, &jpeg_segment(0xe1, &[b"Exif\0\0", exif].concat()), rest].concat()
        }
        Format::WebP => riff(&[&canvas(0b1000), &plain[12..], &webp_chunk(*b"EXIF", exif)]),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// As another reader of EXIF sees it.
fn turned(format: Format, bytes: &[u8]) -> u8 {
    let format = match format {
        Format::Png => image::ImageFormat::Png,
        Format::Jpeg => image::ImageFormat::Jpeg,
        Format::WebP => image::ImageFormat::WebP,
    };
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().unwrap();
    decoder.orientation().unwrap().to_exif()
}

/// An entry of EXIF's directory: tag, type, count, value.
type Entry = (u16, u16, u32, [u8; 4]);

/// EXIF as cameras write it: this orientation among other entries, and what they point at behind them.
fn exif(is_big_end_first: bool, [before, after]: [&[Entry]; 2], orientation: u16, behind: &[u8]) -> Vec<u8> {
    let short = |n: u16| if is_big_end_first { n.to_be_bytes() } else { n.to_le_bytes() };
    let long = |n: u32| if is_big_end_first { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut exif = if is_big_end_first { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    exif.extend(long(8));
    let [value, padding] = [short(orientation), [0; 2]];
    let it = (0x0112, 3, 1, [value, padding].concat().try_into().unwrap());
    let entries = [before, &[it], after].concat();
    exif.extend(short(u16::try_from(entries.len()).unwrap()));
    for (tag, kind, count, value) in entries {
        exif.extend([&short(tag)[..], &short(kind), &long(count), &value].concat());
    }
    exif.extend(long(0));
    exif.extend(behind);
    exif
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let another = any::<u16>().prop_filter("the orientation", |tag| *tag != 0x0112);
    prop::collection::vec((another, any::<u16>(), any::<u32>(), any::<[u8; 4]>()), 0..6)
}

/// Every picture that may come of the `which`-th one, whatever its EXIF says.
fn all_that_may_be_kept(which: usize) -> Vec<Vec<u8>> {
    (1..=8).map(|orientation| kept(which, &exif(true, [&[], &[]], orientation, b""))).collect()
}

fn kept(which: usize, exif: &[u8]) -> Vec<u8> {
    stripped(Format::ALL[which], &with_exif(which, exif)).unwrap()
}

/// Fewer than usual, unless somebody asks for more: each decodes a picture.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_exif_only_stays_how_the_picture_is_turned(
        which in 0..3_usize, big in any::<bool>(), before in entries(), after in entries(), orientation in 0..=9_u16,
    ) {
        let format = Format::ALL[which];
        let exif = exif(big, [&before, &after], orientation, SECRET);
        prop_assert!(has_secret(&exif));
        let clean = kept(which, &exif);
        let expected = if (1..=8).contains(&orientation) { u8::try_from(orientation).unwrap() } else { 1 };
        prop_assert_eq!(turned(format, &with_exif(which, &exif)), expected, "both readers agree");
        prop_assert_eq!(turned(format, &clean), expected);
        // The same bytes, whatever else was there and however it was written.
        prop_assert!(clean == all_that_may_be_kept(which)[usize::from(expected) - 1]);
        prop_assert_eq!(pixels(&clean), pixels(&PLAIN[which]));
        prop_assert!(stripped(format, &clean).unwrap() == clean);
    }

    #[test]
    fn of_any_exif_at_all_nothing_else_stays(
        which in 0..3_usize, sound in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..80),
        harms in prop::collection::vec((0..60_usize, any::<u8>()), 0..4),
    ) {
        let mut exif = if sound { exif(true, [&[], &[]], 6, &bytes) } else { bytes };
        for (at, byte) in harms {
            exif.iter_mut().skip(at).take(1).for_each(|harmed| *harmed = byte);
        }
        let clean = kept(which, &exif);
        prop_assert!(all_that_may_be_kept(which).contains(&clean));
        prop_assert!(clean.len() <= with_exif(which, &exif).len());
        prop_assert!(stripped(Format::ALL[which], &clean).unwrap() == clean);
    }
}

#[test]
fn of_two_exifs_the_first_one_counts() {
    let [six, three, none] = [6, 3, 0].map(|orientation| exif(true, [&[], &[]], orientation, b""));
    for (which, format) in Format::ALL.into_iter().enumerate() {
        for (first, second, expected) in [(&six, &three, 6), (&none, &six, 1)] {
            let (once, twice) = (with_exif(which, first), with_exif(which, second));
            let both = match format {
                Format::Png => [&once[..8 + 25 + 12 + 26], &twice[8 + 25..]].concat(),
                Format::Jpeg => [&once[..2 + 4 + 6 + 26], &twice[2..]].concat(),
                Format::WebP => riff(&[&once[12..], &webp_chunk(*b"EXIF", second)]),
            };
            assert_eq!(turned(format, &stripped(format, &both).unwrap()), expected, "{format:?}");
        }
    }
}

#[test]
fn a_turned_picture_s_barcode_is_read_like_an_upright_one_s() {
    const TEXT: &str = "9876543210123456";
    let limits = Limits { max_pixels: 1_000_000 };
    for kind in [BarcodeFormat::CODE_128, BarcodeFormat::QR_CODE] {
        for orientation in 1..=8 {
            let mut picture = gifticon(TEXT, kind);
            picture.apply_orientation(Orientation::from_exif(orientation).unwrap());
            let jpeg = encoded(&picture, Format::Jpeg);
            let exif =
                jpeg_segment(0xe1, &[b"Exif\0\0", &exif(true, [&[], &[]], orientation.into(), b"")[..]].concat());
            let clean = stripped(Format::Jpeg, &[&jpeg[..2], &exif, &jpeg[2..]].concat()).unwrap();
            assert_eq!(turned(Format::Jpeg, &clean), orientation);
            let read = barcode::read(Pixels::decode(Format::Jpeg, &clean, limits).unwrap());
            assert_eq!(read.as_deref(), Some(TEXT), "{kind:?} {orientation}");
        }
    }
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
