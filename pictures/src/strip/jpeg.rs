//! JPEG: segments of a marker, a length and data; behind each start of a scan the scan itself, up to the next marker.

use super::orientation;

const START: [u8; 2] = [0xff, 0xd8];
const END: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
/// Adobe's segment says how colours are meant; without it, pictures in four colours are decoded wrongly.
const ADOBE: u8 = 0xee;
const ADOBE_DATA: &[u8] = b"Adobe";
const ADOBE_DATA_BYTES: usize = 12;
/// The segment of EXIF, and what its data begins with.
const APPLICATION_1: u8 = 0xe1;
const EXIF_DATA: &[u8] = b"Exif\0\0";
const EXIF_DATA_BYTES: u8 = 6;

pub(super) fn stripped(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(&START)?;
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend(START);
    let mut has_exif = false;
    loop {
        let (marker, after) = next_marker(rest)?;
        if marker == END {
            kept.extend([0xff, END]);
            return Some(kept);
        }
        let (length, _) = after.split_first_chunk()?;
        // The length counts itself.
        let length = usize::from(u16::from_be_bytes(*length));
        let (segment, after) = after.split_at_checked(length)?;
        let data = segment.get(2..)?;
        if makes_pixels(marker, data) {
            kept.extend([0xff, marker]);
            kept.extend(segment);
        } else if let Some(exif) = exif_in(marker, data) {
            // The first one counts.
            if !std::mem::replace(&mut has_exif, true) {
                kept.extend(orientation::alone(exif).into_iter().flat_map(exif_segment));
            }
        }
        rest = after;
        if marker == START_OF_SCAN {
            let (scan, after) = rest.split_at_checked(scan_bytes(rest)?)?;
            kept.extend(scan);
            rest = after;
        }
    }
}

/// Any number of 0xff may stand before a marker.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let fill = bytes.iter().take_while(|byte| **byte == 0xff).count();
    let (marker, after) = bytes.get(fill..)?.split_first()?;
    (fill > 0 && is_marker(*marker)).then_some((*marker, after))
}

/// A marker that may stand between segments: the end, or one that is followed by a length.
fn is_marker(byte: u8) -> bool {
    matches!(byte, END | 0xc0..=0xcf | 0xda..=0xfe)
}

/// Frames, tables of Huffman and arithmetic codes, quantisation, restarts, lines, scans, and what Adobe says of colours.
fn makes_pixels(marker: u8, data: &[u8]) -> bool {
    match marker {
        0xc8 => false,
        0xc0..=0xcf | 0xda..=0xdd => true,
        ADOBE => data.starts_with(ADOBE_DATA) && data.len() == ADOBE_DATA_BYTES,
        _ => false,
    }
}

fn exif_in(marker: u8, data: &[u8]) -> Option<&[u8]> {
    if marker == APPLICATION_1 { data.strip_prefix(EXIF_DATA) } else { None }
}

fn exif_segment(exif: orientation::Exif) -> Vec<u8> {
    const LENGTH: u8 = 2 + EXIF_DATA_BYTES + orientation::BYTES;
    [&[0xff, APPLICATION_1, 0, LENGTH], EXIF_DATA, &exif].concat()
}

/// Up to the first marker that is neither a stuffed zero nor a restart.
fn scan_bytes(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff))
}
