//! When a bid ends: the end of a day in Seoul, as the exclusive first instant of the following day.
//!
//! Korea has kept +09:00 without daylight saving time since 1988, so this is integer arithmetic. Doesn't: hold for
//! instants before that.

use contracts::UnixMs;

/// Seoul is this far ahead of UTC.
pub const SEOUL_OFFSET_MS: i64 = 9 * 60 * 60 * 1_000;
/// One day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The exclusive end of a bid placed at `placed_at` for `period_days`: the end of the day that many days after the
/// day it was placed. Placed on day D for 7 days, it ends with the first instant of D + 8.
pub fn deadline(placed_at: UnixMs, period_days: u32) -> UnixMs {
    let placed_on = placed_at.plus_ms(SEOUL_OFFSET_MS).0.div_euclid(DAY_MS);
    let first_day_after = placed_on.saturating_add(i64::from(period_days) + 1);
    UnixMs(first_day_after.saturating_mul(DAY_MS)).plus_ms(-SEOUL_OFFSET_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2024-01-30T00:00:00+09:00 = 2024-01-29T15:00:00Z.
    const JANUARY_30_IN_SEOUL: i64 = 1_706_540_400_000;

    #[test]
    fn the_whole_day_gives_the_same_deadline_and_the_next_day_the_next() {
        let end = UnixMs(JANUARY_30_IN_SEOUL + 8 * DAY_MS);
        assert_eq!(deadline(UnixMs(JANUARY_30_IN_SEOUL), 7), end);
        assert_eq!(deadline(UnixMs(JANUARY_30_IN_SEOUL + DAY_MS - 1), 7), end);
        assert_eq!(deadline(UnixMs(JANUARY_30_IN_SEOUL + DAY_MS), 7), end.plus_ms(DAY_MS));
        assert_eq!(deadline(UnixMs(JANUARY_30_IN_SEOUL - 1), 7), end.plus_ms(-DAY_MS));
    }

    #[test]
    fn without_a_period_it_ends_with_today() {
        assert_eq!(deadline(UnixMs(JANUARY_30_IN_SEOUL + 5), 0), UnixMs(JANUARY_30_IN_SEOUL + DAY_MS));
    }

    #[test]
    fn days_before_the_epoch_and_at_the_ends_of_time_do_not_wrap() {
        assert_eq!(deadline(UnixMs(-SEOUL_OFFSET_MS - 1), 0), UnixMs(-SEOUL_OFFSET_MS));
        assert!(deadline(UnixMs(i64::MAX), u32::MAX).0 > i64::MAX - DAY_MS);
    }

    proptest! {
        #[test]
        fn a_bid_lives_between_period_and_one_day_more(at in 0_i64..4_000_000_000_000, days in 0_u32..1_000) {
            let lives_ms = deadline(UnixMs(at), days).ms_since(UnixMs(at));
            let period_ms = i64::from(days) * DAY_MS;
            prop_assert!(lives_ms > period_ms && lives_ms <= period_ms + DAY_MS);
            prop_assert_eq!((deadline(UnixMs(at), days).0 + SEOUL_OFFSET_MS) % DAY_MS, 0);
        }
    }
}
