//! WebP: a RIFF of chunks, each a kind, a length and data that is padded to an even length.

use super::orientation;

const HEAD_BYTES: usize = 12;
const FRAME_BYTES: usize = 8;
/// The canvas, the pixels (lossy or lossless), and the transparency of lossy ones.
const KEPT: [&[u8; 4]; 4] = [b"VP8X", b"VP8 ", b"VP8L", b"ALPH"];
const CANVAS: &[u8] = b"VP8X";
/// The first byte of the canvas says what else is there; of that stay transparency, and EXIF that is kept.
const TRANSPARENCY: u8 = 0b1_0000;
const HAS_EXIF: u8 = 0b1000;
const EXIF: &[u8] = b"EXIF";
/// Some write it as in a JPEG.
const EXIF_DATA: &[u8] = b"Exif\0\0";
const CANVAS_BYTES: usize = 10;

pub(super) fn stripped(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let length = u32::from_le_bytes(*head.get(4..8)?.first_chunk()?);
    // What the RIFF does not count is behind the picture's end. "WEBP" is counted.
    let mut rest = rest.get(..usize::try_from(length).ok()?.checked_sub(4)?)?;
    let (mut kept, mut seen) = (head.to_vec(), Vec::new());
    // Where the canvas said that EXIF is to come.
    let mut exif_announced = None;
    while !rest.is_empty() {
        let kind = rest.get(..4)?;
        let length = usize::try_from(u32::from_le_bytes(*rest.get(4..8)?.first_chunk()?)).ok()?;
        let padded = length.checked_add(length % 2)?.checked_add(FRAME_BYTES)?;
        let (chunk, after) = rest.split_at_checked(padded)?;
        // One of each: a second one shows nothing, and may say anything.
        if KEPT.iter().any(|known| known.as_slice() == kind) && !seen.contains(&kind) {
            seen.push(kind);
            if kind == CANVAS && chunk.get(FRAME_BYTES)? & HAS_EXIF != 0 {
                exif_announced = Some(kept.len() + FRAME_BYTES);
            }
            keep(&mut kept, chunk, length)?;
        } else if kind == EXIF
            && let Some(flags) = exif_announced.take()
        {
            // The first one counts.
            if let Some(exif) = orientation::alone(without_prefix(chunk.get(FRAME_BYTES..FRAME_BYTES + length)?)) {
                kept.extend(exif_chunk(exif));
                *kept.get_mut(flags)? |= HAS_EXIF;
            }
        }
        rest = after;
    }
    let length = u32::try_from(kept.len() - FRAME_BYTES).ok()?;
    kept.get_mut(4..8)?.copy_from_slice(&length.to_le_bytes());
    Some(kept)
}

fn keep(kept: &mut Vec<u8>, chunk: &[u8], length: usize) -> Option<()> {
    let start = kept.len();
    kept.extend(chunk);
    if length % 2 == 1 {
        *kept.last_mut()? = 0;
    }
    if chunk.starts_with(CANVAS) {
        let canvas = kept.get_mut(start + FRAME_BYTES..)?;
        if canvas.len() != CANVAS_BYTES {
            return None;
        }
        canvas[0] &= TRANSPARENCY;
        canvas[1..4].fill(0);
    }
    Some(())
}

fn without_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(EXIF_DATA).unwrap_or(exif)
}

fn exif_chunk(exif: orientation::Exif) -> Vec<u8> {
    [EXIF, &[orientation::BYTES, 0, 0, 0], &exif].concat()
}
