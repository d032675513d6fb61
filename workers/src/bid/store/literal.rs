//! Values as SQL text: whole numbers and hexadecimal, and nothing else that came from outside.
//!
//! Text, because sqlx never sets `TCP_NODELAY`: a multi-row prepared statement over TCP waits for delayed acks and is
//! nine times slower (facts-stack.md). Numbers and hexadecimal, because nothing in them can end a literal.

use contracts::{CommandId, UnixMs, Won};
use std::fmt::{self, Write};

/// Bytes, as `0x…`.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

/// Bytes written at a time.
const HEX_CHUNK: usize = 64;

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        if self.0.is_empty() {
            return f.write_str("''");
        }
        f.write_str("0x")?;
        // By hand, not by `{:02x}`, which took a fifth of the worker's time.
        for chunk in self.0.chunks(HEX_CHUNK) {
            let mut text = [0; 2 * HEX_CHUNK];
            for (pair, byte) in text.chunks_exact_mut(2).zip(chunk) {
                pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            f.write_str(std::str::from_utf8(&text[..2 * chunk.len()]).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

/// UTF-8 text, as `_utf8mb4 0x…`.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "_utf8mb4 {}", Hex(self.0.as_bytes()))
    }
}

/// A number that may be missing.
pub(super) struct Nullable<T>(pub(super) Option<T>);

impl<T: fmt::Display> fmt::Display for Nullable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("NULL"),
        }
    }
}

/// The list of a multi-row `VALUES` or an `IN`, each item written by `item`.
pub(super) fn list<T>(
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T) -> fmt::Result,
) -> String {
    let mut text = String::new();
    for value in items {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = item(&mut text, value);
    }
    text
}

/// The rows of a derived table, `SELECT … UNION ALL SELECT …`, each item's columns written by `item`.
pub(super) fn rows<T>(
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T) -> fmt::Result,
) -> String {
    let mut text = String::new();
    for value in items {
        text.push_str(if text.is_empty() { "SELECT " } else { " UNION ALL SELECT " });
        // Writing to a String cannot fail.
        let _ = item(&mut text, value);
    }
    text
}

/// `IN` list of numbers.
pub(super) fn numbers(items: impl IntoIterator<Item = u64>) -> String {
    list(items, |text, id| write!(text, "{id}"))
}

/// `IN` list of command ids.
pub(super) fn command_ids<'a>(items: impl IntoIterator<Item = &'a CommandId>) -> String {
    list(items, |text, id| write!(text, "{}", Hex(&id.bytes())))
}

/// As a plain number.
pub(super) fn ms(at: UnixMs) -> i64 {
    at.0
}

/// As a plain number.
pub(super) fn won(amount: Won) -> i64 {
    amount.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_can_end_a_literal() {
        assert_eq!(Text("'); DROP--").to_string(), "_utf8mb4 0x27293b2044524f502d2d");
        assert_eq!(Text("").to_string(), "_utf8mb4 ''");
        let long: Vec<u8> = (0..=255).collect();
        let expected = long.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(Hex(&long).to_string(), expected);
        assert_eq!(Nullable(None::<u64>).to_string(), "NULL");
        assert_eq!(numbers([1, 2]), "1,2");
    }
}
