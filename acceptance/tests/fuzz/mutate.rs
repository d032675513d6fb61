//! Damage, from luck alone: a few edits of a sample.

use rand::{Rng, rngs::StdRng};

/// Edits of one sample, at most.
const MOST_EDITS: usize = 6;
/// No sample grows beyond this.
const MAX_BYTES: usize = 256 * 1024;
/// What often hurts: ends of ranges, signs, quotes, line ends, zero.
const CURIOUS: [&[u8]; 14] = [
    b"\0",
    b"\xff",
    b"\r\n",
    b"\"",
    b"\\u0000",
    b"-1",
    b"9223372036854775808",
    b"1e400",
    b"{",
    b"[[[[[[[[",
    b"--",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"null",
];

/// A damaged copy of `sample`; `other` lends pieces.
pub(crate) fn mutate(sample: &[u8], other: &[u8], luck: &mut StdRng) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..luck.random_range(1..=MOST_EDITS) {
        let at = luck.random_range(0..=bytes.len());
        let end = luck.random_range(at..=bytes.len()).min(at + 64);
        match luck.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] = luck.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << luck.random_range(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => insert(&mut bytes, at, CURIOUS[luck.random_range(0..CURIOUS.len())]),
            4 => insert(&mut bytes, at, &sample[at.min(sample.len())..end.min(sample.len()).max(at.min(sample.len()))]),
            5 => insert(&mut bytes, at, piece(other, luck)),
            _ if luck.random_ratio(1, 8) => bytes.truncate(at),
            _ => (),
        }
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn insert(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    bytes.splice(at..at, what.iter().copied());
}

fn piece<'a>(other: &'a [u8], luck: &mut StdRng) -> &'a [u8] {
    let from = luck.random_range(0..=other.len());
    &other[from..luck.random_range(from..=other.len())]
}

#[test]
fn damage_depends_on_luck_alone_and_does_damage() {
    use rand::SeedableRng;
    let damaged = |seed| mutate(b"a sample", b"another", &mut StdRng::seed_from_u64(seed));
    let differ = (0..100).filter(|seed| damaged(*seed) != b"a sample").count();
    assert!(differ > 80, "{differ}");
    assert!((0..100).all(|seed| damaged(seed) == damaged(seed)));
}
