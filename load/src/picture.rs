//! Small PNG pictures, each unlike any other: what sellers upload as their gifticon.
//!
//! The compressor is the trivial one (stored blocks): eight rows of grey are not worth a dependency.

const SIDE: u32 = 8;
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// A picture of 8 × 8 grey pixels that show `number`, bit by bit.
pub fn png(number: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(13);
    header.extend(SIDE.to_be_bytes());
    header.extend(SIDE.to_be_bytes());
    // Eight bits of grey; the only compression and filter methods there are; not interlaced.
    header.extend([8, 0, 0, 0, 0]);
    let mut png = SIGNATURE.to_vec();
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"IDAT", &stored(&rows(number)));
    chunk(&mut png, *b"IEND", &[]);
    png
}

/// Each row begins with its filter (none).
fn rows(number: u64) -> Vec<u8> {
    number
        .to_be_bytes()
        .into_iter()
        .flat_map(|byte| {
            std::iter::once(0).chain((0..8).map(move |bit| if byte >> (7 - bit) & 1 == 1 { 0 } else { 255 }))
        })
        .collect()
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    // Chunks here are shorter than a hundred bytes.
    png.extend(u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc32(&png[start..]);
    png.extend(sum.to_be_bytes());
}

/// A zlib stream of one stored block.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(0);
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend(length.to_le_bytes());
    stream.extend((!length).to_le_bytes());
    stream.extend(data);
    stream.extend(adler32(data).to_be_bytes());
    stream
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sums_are_the_known_ones() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_picture_is_a_whole_png_and_unlike_the_next() {
        let png = png(0x0123_4567_89ab_cdef);
        assert_eq!(png[..8], SIGNATURE);
        assert_eq!(&png[12..16], b"IHDR");
        // The end chunk is the same in every PNG.
        assert_eq!(png[png.len() - 12..], [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]);
        assert_ne!(png, super::png(0x0123_4567_89ab_cdee));
        assert!(png.len() < 200);
    }
}
