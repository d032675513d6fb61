//! Values as SQL text: whole numbers and hexadecimal, and nothing else that came from outside.
//!
//! Text, because sqlx never sets `TCP_NODELAY`: a multi-row prepared statement over TCP waits for delayed acks and is
//! nine times slower (facts-stack.md). Numbers and hexadecimal, because nothing in them can end a literal.

use contracts::{CommandId, UnixMs, Won};
use std::fmt::{self, Write};

/// Bytes, as `0x…`.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("''");
        }
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
        assert_eq!(Nullable(None::<u64>).to_string(), "NULL");
        assert_eq!(numbers([1, 2]), "1,2");
    }
}
