//! Instants and lengths of time, as operators read them.

use contracts::UnixMs;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

const UTC: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z");

/// `2024-01-30 03:34:56.123Z`; empty past the years that four digits can name.
pub fn utc(at: UnixMs) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|at| at.format(UTC).ok())
        .unwrap_or_default()
}

/// The largest two units of it: `2 d 3 h`, `4 min 10 s`, `12 ms`.
pub fn length(ms: i64) -> String {
    const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
    let mut left = ms.max(0);
    let first = UNITS.iter().position(|(_, unit)| left >= *unit).unwrap_or(UNITS.len() - 1);
    let parts = UNITS.iter().skip(first).take(2).filter_map(|(name, unit)| {
        let count = left / unit;
        left %= unit;
        (count > 0).then(|| format!("{count} {name}"))
    });
    let text = parts.collect::<Vec<_>>().join(" ");
    if text.is_empty() { "0 ms".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_lengths_read_as_people_write_them() {
        assert_eq!(utc(UnixMs(1_706_585_696_123)), "2024-01-30 03:34:56.123Z");
        assert_eq!(utc(UnixMs(i64::MAX)), "");
        for (ms, text) in [
            (0, "0 ms"),
            (12, "12 ms"),
            (1_500, "1 s 500 ms"),
            (250_000, "4 min 10 s"),
            (3_600_000, "1 h"),
            (183_600_000, "2 d 3 h"),
            (-5, "0 ms"),
        ] {
            assert_eq!(length(ms), text);
        }
    }
}
