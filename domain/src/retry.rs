//! When a failed attempt is made again, and when no more.
//!
//! Promises: every wait is a rung of the ladder (each rung has its queues), a wait inside a window ends inside it even
//! with the longest jitter, and nobody gives up before the end of the window can be known.
//! Doesn't: count attempts or wait. The count travels with the message; the broker's queues do the waiting.
//!
//! ```text
//!  attempt ──fails──► rung 1 ─► attempt ──fails──► rung 2 ─► … ──fails──► last rung ─► attempt ──fails──► give up
//!
//!  with a window:  now ────────────────── closes ──────── settles ────────►
//!                   └ rungs are shortened ┘│               │
//!                     to end before it     └ one wait that └ from here on as without a window
//!                                            ends past this
//! ```

use contracts::{UnixMs, topology::RETRY_JITTER_PERCENT};

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Again, about this much later.
    After {
        /// A rung of the ladder.
        step_ms: u32,
    },
    /// The ladder is used up.
    GiveUp,
}

/// The time in which an attempt can succeed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Exclusive end: an attempt after it is useless.
    pub closes: UnixMs,
    /// From here on a look is sure to tell how it ended; not before `closes`.
    pub settles: UnixMs,
}

/// What follows the `failed`-th failure (counted from 1) at `now`.
pub fn next(failed: u32, ladder_ms: &[u32], now: UnixMs, window: Option<Window>) -> Retry {
    let rung = usize::try_from(failed.max(1) - 1).ok().and_then(|index| ladder_ms.get(index)).copied();
    match window.filter(|window| now < window.settles) {
        Some(window) => within(window, rung, ladder_ms, now),
        None => rung.map_or(Retry::GiveUp, |step_ms| Retry::After { step_ms }),
    }
}

fn within(window: Window, rung: Option<u32>, ladder_ms: &[u32], now: UnixMs) -> Retry {
    let ends_inside = |step_ms: &u32| now.plus_ms(longest_ms(*step_ms)) < window.closes;
    let shortened = rung.and_then(|rung| {
        let no_longer = ladder_ms.iter().copied().filter(|step_ms| *step_ms <= rung);
        no_longer.filter(ends_inside).max()
    });
    let past_it = || {
        let reaches = |step_ms: &u32| now.plus_ms(i64::from(*step_ms)) >= window.settles;
        let reaching = ladder_ms.iter().copied().filter(reaches).min();
        reaching.or_else(|| ladder_ms.iter().copied().max())
    };
    shortened.or_else(past_it).map_or(Retry::GiveUp, |step_ms| Retry::After { step_ms })
}

/// How long a rung can take, jitter included.
fn longest_ms(step_ms: u32) -> i64 {
    let percent = RETRY_JITTER_PERCENT.into_iter().max().unwrap_or(100);
    i64::from(step_ms) * i64::from(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::topology::RETRY_LADDER_MS;
    use proptest::prelude::*;

    const MINUTE_MS: i64 = 60_000;

    fn after(step_ms: u32) -> Retry {
        Retry::After { step_ms }
    }

    #[test]
    fn without_a_window_the_ladder_is_climbed_once() {
        let now = UnixMs(0);
        for (index, step_ms) in RETRY_LADDER_MS.into_iter().enumerate() {
            assert_eq!(next(u32::try_from(index).unwrap() + 1, &RETRY_LADDER_MS, now, None), after(step_ms));
        }
        assert_eq!(next(6, &RETRY_LADDER_MS, now, None), Retry::GiveUp);
        assert_eq!(next(u32::MAX, &RETRY_LADDER_MS, now, None), Retry::GiveUp);
        assert_eq!(next(0, &RETRY_LADDER_MS, now, None), after(1_000), "nothing has failed less than once");
        assert_eq!(next(1, &[], now, None), Retry::GiveUp);
    }

    #[test]
    fn inside_a_window_rungs_are_shortened_and_then_one_leads_past_it() {
        let window = Some(Window { closes: UnixMs(10 * MINUTE_MS), settles: UnixMs(12 * MINUTE_MS) });
        let at = |failed, minutes| next(failed, &RETRY_LADDER_MS, UnixMs(minutes * MINUTE_MS), window);
        assert_eq!(at(1, 0), after(1_000));
        assert_eq!(at(4, 1), after(120_000), "fits");
        assert_eq!(at(5, 3), after(120_000), "ten minutes would not");
        assert_eq!(at(5, 8), after(30_000), "two minutes and their jitter would not either");
        assert_eq!(at(6, 4), after(600_000), "used up: wait for the certain look");
        assert_eq!(at(2, 10), after(120_000), "closed: likewise");
        assert_eq!(at(5, 12), after(600_000), "settled: the ladder as ever");
        assert_eq!(at(6, 12), Retry::GiveUp);
    }

    fn ladder() -> impl Strategy<Value = Vec<u32>> {
        proptest::collection::vec(1_u32..1_000_000, 1..8)
    }

    proptest! {
        #[test]
        fn a_wait_is_always_a_rung_and_stays_clear_of_the_end(
            ladder in ladder(), failed in 1_u32..12, now in 0_i64..2_000_000, closes in 0_i64..2_000_000, margin in 0_i64..500_000,
        ) {
            let (now, window) = (UnixMs(now), Window { closes: UnixMs(closes), settles: UnixMs(closes + margin) });
            match next(failed, &ladder, now, Some(window)) {
                Retry::After { step_ms } => {
                    prop_assert!(ladder.contains(&step_ms));
                    let ends = (now.plus_ms(i64::from(step_ms)), now.plus_ms(longest_ms(step_ms)));
                    let inside = ends.1 < window.closes;
                    let longest = ladder.iter().copied().max() == Some(step_ms);
                    prop_assert!(inside || ends.0 >= window.settles || longest || now >= window.settles);
                }
                Retry::GiveUp => prop_assert!(now >= window.settles && failed as usize > ladder.len()),
            }
        }

        #[test]
        fn it_ends(ladder in ladder(), closes in 0_i64..2_000_000, margin in 0_i64..500_000) {
            let window = Window { closes: UnixMs(closes), settles: UnixMs(closes + margin) };
            let mut now = UnixMs(0);
            let mut failed = 0_u32;
            while let Retry::After { step_ms } = next(failed + 1, &ladder, now, Some(window)) {
                now = now.plus_ms(i64::from(step_ms));
                failed += 1;
                // The longest rung may be short beside the window, then it is taken again and again up to its end.
                let again = (closes + margin) / i64::from(*ladder.iter().max().unwrap());
                prop_assert!(i64::from(failed) <= i64::try_from(ladder.len()).unwrap() + again + 1);
            }
            prop_assert!(now >= window.settles);
        }
    }
}
