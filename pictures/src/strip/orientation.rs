//! How a picture is to be turned before it is shown: all that is kept of EXIF, for without it the picture looks different.
//!
//! EXIF is a TIFF: which end of numbers comes first, then a directory of entries, each a tag, a type, a count and a value.
//! Promises: the orientation is read as a number, and what is kept is written anew from that number; not one byte of the
//! picture's own EXIF is copied. Doesn't: look beyond the first directory, where nothing but thumbnails is turned.

const BIG_END_FIRST: &[u8; 4] = b"MM\0*";
const LITTLE_END_FIRST: &[u8; 4] = b"II*\0";
/// The byte order, and where the first directory is.
const HEAD_BYTES: u32 = 8;
/// The directory begins with how many entries it has.
const COUNT_BYTES: usize = 2;
const ENTRY_BYTES: usize = 12;
/// An entry's tag, type, count and value.
const TAG: u16 = 0x0112;
const SHORT: u16 = 3;
const ONE: u32 = 1;
const UPRIGHT: u16 = 1;
const LAST: u16 = 8;

/// A TIFF with one entry: its head, the directory, and that no other follows.
pub(super) const BYTES: u8 = 26;
pub(super) type Exif = [u8; BYTES as usize];

/// The EXIF that says how the picture is turned, and nothing else; `None` when `exif` does not say it, or says upright.
pub(super) fn alone(exif: &[u8]) -> Option<Exif> {
    // What comes out is never longer than what went in.
    if exif.len() < size_of::<Exif>() {
        return None;
    }
    let turned = Tiff::of(exif)?.orientation()?;
    (turned > UPRIGHT && turned <= LAST).then(|| saying(turned))
}

fn saying(orientation: u16) -> Exif {
    let mut exif = Exif::default();
    let parts: [&[u8]; 7] = [
        BIG_END_FIRST,
        &HEAD_BYTES.to_be_bytes(),
        &1_u16.to_be_bytes(),
        &TAG.to_be_bytes(),
        &SHORT.to_be_bytes(),
        &ONE.to_be_bytes(),
        &orientation.to_be_bytes(),
    ];
    // What is left is zero: the rest of the value, and where the next directory is.
    exif.iter_mut().zip(parts.concat()).for_each(|(byte, said)| *byte = said);
    exif
}

struct Tiff<'a> {
    bytes: &'a [u8],
    is_big_end_first: bool,
}

impl<'a> Tiff<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let is_big_end_first = match bytes.first_chunk()? {
            BIG_END_FIRST => true,
            LITTLE_END_FIRST => false,
            _ => return None,
        };
        Some(Self { bytes, is_big_end_first })
    }

    fn orientation(&self) -> Option<u16> {
        let directory = usize::try_from(self.long(4)?).ok()?;
        let count = usize::from(self.short(directory)?);
        let entries = (0..count).map_while(|n| directory.checked_add(COUNT_BYTES + n * ENTRY_BYTES));
        let mut entries = entries.take_while(|at| *at < self.bytes.len());
        entries.find_map(|at| {
            let is_it = (self.short(at)?, self.short(at + 2)?, self.long(at + 4)?) == (TAG, SHORT, ONE);
            if is_it { self.short(at + 8) } else { None }
        })
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_end_first { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_end_first { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for orientation in 2..=8 {
            let exif = saying(orientation);
            assert_eq!(Tiff::of(&exif).unwrap().orientation(), Some(orientation));
            assert_eq!(alone(&exif), Some(exif));
        }
        for nothing in [0, 1, 9, 0x0600] {
            assert_eq!(alone(&saying(nothing)), None);
        }
        let longest = saying(6);
        assert_eq!(alone(&longest[..25]), None);
    }
}
