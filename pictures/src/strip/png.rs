//! PNG: a signature, then chunks of length, kind, data and check sum.

use super::orientation;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Length, kind and check sum.
const FRAME_BYTES: usize = 12;
/// Size, palette, pixels, transparency, and how bright the numbers are meant.
const KEPT: [&[u8; 4]; 8] = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB"];
const EXIF: &[u8] = b"eXIf";

pub(super) fn stripped(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend(SIGNATURE);
    let mut has_exif = false;
    loop {
        let (length, _) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (chunk, after) = rest.split_at_checked(length.checked_add(FRAME_BYTES)?)?;
        let kind = chunk.get(4..8)?;
        if KEPT.iter().any(|known| known.as_slice() == kind) {
            kept.extend(chunk);
        } else if kind == EXIF && !std::mem::replace(&mut has_exif, true) {
            // The first one counts.
            let exif = chunk.get(8..8 + length)?;
            kept.extend(orientation::alone(exif).into_iter().flat_map(exif_chunk));
        }
        if kind == b"IEND" {
            // An end with something in it is where texts are hidden.
            return (length == 0).then_some(kept);
        }
        rest = after;
    }
}

fn exif_chunk(exif: orientation::Exif) -> Vec<u8> {
    let checked = [EXIF, &exif].concat();
    let sum = check_sum(&checked).to_be_bytes();
    [&[0, 0, 0, orientation::BYTES], checked.as_slice(), &sum].concat()
}

/// CRC-32, bit by bit: only of what is written here.
fn check_sum(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 })
    })
}
