//! PNG: a signature, then chunks of length, kind, data and check sum.

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Length, kind and check sum.
const FRAME_BYTES: usize = 12;
/// Size, palette, pixels, transparency, and how bright the numbers are meant.
const KEPT: [&[u8; 4]; 8] = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB"];

pub(super) fn stripped(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend(SIGNATURE);
    loop {
        let (length, _) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (chunk, after) = rest.split_at_checked(length.checked_add(FRAME_BYTES)?)?;
        let kind = chunk.get(4..8)?;
        if KEPT.iter().any(|known| known.as_slice() == kind) {
            kept.extend(chunk);
        }
        if kind == b"IEND" {
            // An end with something in it is where texts are hidden.
            return (length == 0).then_some(kept);
        }
        rest = after;
    }
}
