//! Bytes that somebody made to break us: nothing panics, and memory stays bounded.

use crate::drawn::{encoded, gifticon};
use pictures::{Format, Limits, NotDecodable, Pixels, barcode, stripped};
use proptest::{prelude::*, sample::Index};
use rxing::BarcodeFormat;
use std::sync::LazyLock;

const LIMITS: Limits = Limits { max_pixels: 1_000_000 };
/// Decoded pixels, their brightness and the reader's copies, of some at once, with room for the test itself.
const MOST_KIB: u64 = 600 * 1024;

static SOUND: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let small = gifticon("1234567890", BarcodeFormat::CODE_128).thumbnail(120, 160);
    Format::ALL.iter().map(|format| encoded(&small, *format)).collect()
});

/// All the way that an upload goes; what came of it is all the same.
fn go_the_way(bytes: &[u8]) {
    let Some(format) = Format::of(bytes) else { return };
    let Ok(clean) = stripped(format, bytes) else { return };
    assert!(clean.len() <= bytes.len());
    assert_eq!(stripped(format, &clean).as_ref(), Ok(&clean));
    if let Ok(pixels) = Pixels::decode(format, &clean, LIMITS) {
        barcode::read(pixels);
    }
    // The decoders must bear what was not stripped, too.
    drop(Pixels::decode(format, bytes, LIMITS));
    assert!(most_memory_kib() < MOST_KIB, "{} KiB", most_memory_kib());
}

/// The most that this process ever had, as Linux counts it.
fn most_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[derive(Clone, Debug)]
enum Harm {
    Cut(Index),
    Set(Index, u8),
    Numbers(Index, [u8; 4]),
    Repeat(Index, Index),
    Remove(Index, Index),
    Append(Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    let place = any::<Index>;
    prop_oneof![
        1 => place().prop_map(Harm::Cut),
        6 => (place(), any::<u8>()).prop_map(|(at, byte)| Harm::Set(at, byte)),
        3 => (place(), prop_oneof![Just([0; 4]), Just([0xff; 4]), Just([0x7f, 0xff, 0xff, 0xff]), any::<[u8; 4]>()])
            .prop_map(|(at, bytes)| Harm::Numbers(at, bytes)),
        1 => (place(), place()).prop_map(|(from, to)| Harm::Repeat(from, to)),
        1 => (place(), place()).prop_map(|(from, to)| Harm::Remove(from, to)),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Harm::Append),
    ]
}

fn harmed(mut bytes: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        if bytes.is_empty() {
            break;
        }
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            from.min(to)..from.max(to)
        };
        match harm {
            Harm::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Harm::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Harm::Numbers(at, numbers) => {
                let at = at.index(bytes.len());
                bytes.iter_mut().skip(at).zip(numbers).for_each(|(byte, number)| *byte = *number);
            }
            Harm::Repeat(from, to) => bytes.extend_from_within(range(from, to)),
            Harm::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Harm::Append(more) => bytes.extend(more),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_harmed_picture_breaks_nothing(which in 0..3_usize, harms in prop::collection::vec(harm(), 1..6)) {
        go_the_way(&harmed(SOUND[which].clone(), &harms));
    }

    #[test]
    fn any_bytes_behind_the_first_ones_break_nothing(
        which in 0..3_usize, kept in 3..80_usize, bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let start = &SOUND[which][..kept.min(SOUND[which].len())];
        go_the_way(&[start, &bytes].concat());
    }

    #[test]
    fn any_pixels_at_all_break_no_barcode_reader(
        width in 1..60_u32, height in 1..60_u32, pixels in prop::collection::vec(prop_oneof![Just(0), Just(255), any::<u8>()], 3_600),
    ) {
        let picture = image::GrayImage::from_fn(width, height, |x, y| image::Luma([pixels[(y * 60 + x) as usize]]));
        go_the_way(&encoded(&picture.into(), Format::Png));
    }
}

#[test]
fn a_picture_that_says_it_is_huge_is_refused_before_memory_is_taken() {
    let mut png = SOUND[0].clone();
    for (side, place) in [(60_000_u32, 16), (60_000, 20)] {
        png[place..place + 4].copy_from_slice(&side.to_be_bytes());
    }
    // The header's check sum, so that it is believed.
    let sum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let refused = Pixels::decode(Format::Png, &png, LIMITS).unwrap_err();
    assert!(matches!(refused, NotDecodable::TooLarge { width: 60_000, height: 60_000 }), "{refused}");
    assert!(most_memory_kib() < MOST_KIB);
}

#[test]
fn a_small_file_of_many_pixels_is_bounded_by_its_pixels() {
    let bomb = encoded(&image::DynamicImage::new_luma8(6_000, 6_000), Format::Png);
    assert!(bomb.len() < 200_000);
    assert!(matches!(Pixels::decode(Format::Png, &bomb, LIMITS), Err(NotDecodable::TooLarge { .. })));
    let allowed = Limits { max_pixels: 40_000_000 };
    assert_eq!(barcode::read(Pixels::decode(Format::Png, &bomb, allowed).unwrap()), None);
    assert!(most_memory_kib() < MOST_KIB);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// The corners of a QR code, and nothing else: what readers pair up with each other, in two sizes, so that none of them fit.
#[test]
fn a_picture_full_of_corners_does_not_hold_the_reader_up() {
    const SIDE: u32 = 2_200;
    let is_dark = |x: u32, y: u32, module: u32| {
        let (column, row) = (x / module % 8, y / module % 8);
        let ring = column.min(6 - column.min(6)).min(row).min(6 - row.min(6));
        column < 7 && row < 7 && ring != 1
    };
    let tiled = image::GrayImage::from_fn(SIDE, SIDE, |x, y| {
        let module = if y < SIDE / 2 { 2 } else { 3 };
        image::Luma([if is_dark(x, y, module) { 0 } else { 255 }])
    });
    let file = encoded(&image::DynamicImage::ImageLuma8(tiled), Format::Png);
    let pixels = Pixels::decode(Format::Png, &file, Limits { max_pixels: 5_000_000 }).unwrap();
    let began = std::time::Instant::now();
    barcode::read(pixels);
    // Far more than it takes, and far less than the half minute, on two cores, for which rxing alone pairs corners up.
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "{:?}", began.elapsed());
}
