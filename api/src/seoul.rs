//! Seoul's wall clock, as clients read it: local ISO-8601 without zone. Inside there are only [`UnixMs`].

use contracts::UnixMs;
use time::{
    Date, OffsetDateTime, UtcOffset,
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

/// The exclusive end of a day that is written `2024-01-30`.
pub(crate) fn end_of_day(text: &str) -> Option<UnixMs> {
    // A year may have a sign, for the parser.
    let next = Date::parse(text, DATE).ok().filter(|_| text.len() == "2024-01-30".len())?.next_day()?;
    i64::try_from(next.midnight().assume_offset(SEOUL).unix_timestamp_nanos() / 1_000_000).ok().map(UnixMs)
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
    fn a_day_ends_with_the_first_instant_of_the_next_in_seoul() {
        assert_eq!(local_end(end_of_day("2024-01-30").unwrap()), "2024-01-30T23:59:59.999999999");
        assert_eq!(end_of_day("2024-02-29"), end_of_day("2024-02-28").map(|end| end.plus_ms(86_400_000)));
        for wrong in ["", "2024-02-30", "2024-1-30", "20240130", "2024-01-30T00:00:00", "30.01.2024", "-2024-01-30"] {
            assert_eq!(end_of_day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_deadline_reads_as_the_last_moment_before_it() {
        let deadline = domain::deadline::deadline(UnixMs(1_706_585_696_123), 7);
        assert_eq!(local_end(deadline), "2024-02-06T23:59:59.999999999");
    }
}
