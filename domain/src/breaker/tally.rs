//! How the last calls went, in three numbers that any number of processes can add to.
//!
//! Promises: the share of bad calls among about the last `window` of them. For each new call an average one of the old
//! is forgotten, because nobody keeps the calls one by one. Doesn't: know when they were.

/// Calls are counted in thousandths, so that what is forgotten of a few is not rounded away.
const CALL: u32 = 1_000;

/// See the module's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls, in thousandths.
    pub calls: u32,
    /// How many of them failed.
    pub failed: u32,
    /// How many of them were slow.
    pub slow: u32,
}

impl Tally {
    /// Nothing.
    pub const NONE: Tally = Tally { calls: 0, failed: 0, slow: 0 };
    /// A call that went well.
    pub const GOOD: Tally = Tally { calls: CALL, failed: 0, slow: 0 };
    /// One without an answer, or with one that speaks of the service's own ill health.
    pub const FAILED: Tally = Tally { calls: CALL, failed: CALL, slow: 0 };
    /// One that is slow; it may still be under way.
    pub const SLOW: Tally = Tally { calls: CALL, failed: 0, slow: CALL };
    /// One that was counted as slow before, and then failed too.
    pub const FAILED_LATE: Tally = Tally { calls: 0, failed: CALL, slow: 0 };

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// This and the `news`, of about the last `window_calls`.
    #[must_use]
    pub fn with(self, news: Tally, window_calls: u32) -> Tally {
        let window = window_calls.max(1).saturating_mul(CALL);
        let news = news.shrunk_to(window);
        let old = self.shrunk_to(window - news.calls);
        let calls = old.calls + news.calls;
        let both = |of: fn(&Tally) -> u32| of(&old).saturating_add(of(&news)).min(calls);
        Tally { calls, failed: both(|tally| tally.failed), slow: both(|tally| tally.slow) }
    }

    /// Whether at least `percent` of them failed or were slow; fewer than `minimum_calls` are no proof.
    pub fn is_too_much(&self, percent: u32, minimum_calls: u32) -> bool {
        let share = |bad: u32| bad > 0 && u64::from(bad) * 100 >= u64::from(self.calls) * u64::from(percent);
        self.says_enough(minimum_calls) && (share(self.failed) || share(self.slow))
    }

    /// Whether it has at least so many calls.
    pub fn says_enough(&self, minimum_calls: u32) -> bool {
        self.calls >= minimum_calls.saturating_mul(CALL)
    }

    fn shrunk_to(self, calls: u32) -> Tally {
        if self.calls <= calls {
            return self;
        }
        // It has shrunk, so the quotient is below what it was and fits.
        let part = |of: u32| u32::try_from(u64::from(of) * u64::from(calls) / u64::from(self.calls)).unwrap_or(of);
        Tally { calls, failed: part(self.failed), slow: part(self.slow) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: u32 = 20;

    fn of(calls: impl IntoIterator<Item = Tally>) -> Tally {
        calls.into_iter().fold(Tally::NONE, |tally, call| tally.with(call, WINDOW))
    }

    #[test]
    fn too_few_calls_are_no_proof() {
        assert!(!of([Tally::FAILED; 4]).is_too_much(50, 5));
        assert!(of([Tally::FAILED; 5]).is_too_much(50, 5));
        assert!(of([Tally::SLOW; 5]).is_too_much(50, 5));
        assert!(!of([Tally::GOOD; 5]).is_too_much(50, 5));
        assert!(!Tally::NONE.is_too_much(0, 0));
    }

    #[test]
    fn a_slow_call_that_fails_counts_once_as_a_call_and_twice_as_bad() {
        let both = of([Tally::SLOW, Tally::FAILED_LATE]);
        assert_eq!((both.calls, both.failed, both.slow), (1_000, 1_000, 1_000));
        let late = of([Tally::FAILED_LATE]);
        assert_eq!(late.failed, 0, "nothing fails that was not called");
    }

    #[test]
    fn a_burst_of_good_news_does_not_outweigh_more_than_the_window() {
        let burst = (0..1_000).fold(Tally::NONE, |tally, _| tally.with(Tally::GOOD, 1_000));
        let mixed = of([burst]).with((0..10).fold(Tally::NONE, |tally, _| tally.with(Tally::FAILED, 10)), WINDOW);
        assert!(mixed.is_too_much(50, 5), "10 of the last 20");
    }

    proptest! {
        /// Beside the same thing in real numbers: each call takes an average one's place.
        #[test]
        fn it_forgets_as_real_numbers_would(failed in proptest::collection::vec(any::<bool>(), 1..300)) {
            let (mut tally, mut calls, mut share) = (Tally::NONE, 0.0_f64, 0.0_f64);
            for failed in failed {
                tally = tally.with(if failed { Tally::FAILED } else { Tally::GOOD }, WINDOW);
                let kept = calls.min(f64::from(WINDOW) - 1.0);
                share = if calls > 0.0 { share * kept / calls } else { 0.0 } + f64::from(u8::from(failed));
                calls = kept + 1.0;
                prop_assert!((f64::from(tally.calls) / 1_000.0 - calls).abs() < 1e-9);
                prop_assert!((f64::from(tally.failed) / 1_000.0 - share).abs() < 0.03, "{tally:?} for {share}");
                prop_assert!(tally.failed <= tally.calls);
            }
        }
    }
}
