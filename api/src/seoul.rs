//! Seoul's wall clock, as clients read it: local ISO-8601 without zone. Inside there are only [`UnixMs`].

use contracts::UnixMs;
use time::{
    OffsetDateTime, UtcOffset,
    format_description::BorrowedFormatItem,
    macros::{format_description, offset},
};

const SEOUL: UtcOffset = offset!(+9);
const MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]");
const NANOS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]");
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// `2024-01-30T12:34:56.123`.
pub(crate) fn local(at: UnixMs) -> String {
    text(i128::from(at.0) * 1_000_000, MILLIS)
}

/// The last nanosecond before an exclusive deadline: `2024-01-30T23:59:59.999999999`.
pub(crate) fn local_end(deadline: UnixMs) -> String {
    text(i128::from(deadline.0) * 1_000_000 - 1, NANOS)
}

/// `2024-01-30`.
pub(crate) fn local_date(at: UnixMs) -> String {
    text(i128::from(at.0) * 1_000_000, DATE)
}

/// Empty past the years that four digits can name; no stored instant is.
fn text(nanos: i128, format: &[BorrowedFormatItem<'_>]) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|at| at.to_offset(SEOUL).format(format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_as_seouls_clock() {
        // 2024-01-30T03:34:56.123Z
        assert_eq!(local(UnixMs(1_706_585_696_123)), "2024-01-30T12:34:56.123");
        assert_eq!(local(UnixMs(1_706_585_696_000)), "2024-01-30T12:34:56.000");
        assert_eq!(local_date(UnixMs(1_706_540_400_000 - 1)), "2024-01-29");
        assert_eq!(local_date(UnixMs(1_706_540_400_000)), "2024-01-30");
    }

    #[test]
    fn a_deadline_reads_as_the_last_moment_before_it() {
        let deadline = domain::deadline::deadline(UnixMs(1_706_585_696_123), 7);
        assert_eq!(local_end(deadline), "2024-02-06T23:59:59.999999999");
    }
}
