//! How old a queue's oldest message is, from counts alone: a quorum queue does not tell, and looking at its head would
//! take it from its consumer (or, with a single active one, is refused).
//!
//! Messages leave in the order in which they came. So if `acked` messages have ever left, the oldest one is the next in
//! that order, and it was there already at the first look that had seen more than `acked` arrive:
//!
//! ```text
//! look at          0 s   5 s   10 s  15 s        at 15 s the oldest is number 121: it had arrived at 5 s, not at 0 s
//! acked            100   110   120   120         it is 10 s old, or up to one interval more
//! there            10    15    8     20
//! arrived ever     110   125   128   140
//! ```
//! Promises: never says more than the truth, but for the age of the counts; less by one interval at most, for messages that
//! arrived since it looks. Bounded memory. Doesn't: know what arrived before its first look, but that it is older.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Looks that are remembered; of more, every second one goes, so that the oldest one stays.
const MAX_LOOKS: usize = 1_000;

struct Look {
    at: Instant,
    /// Messages that had ever arrived.
    arrived: u64,
}

/// One queue's looks, those that can matter still: the oldest first.
#[derive(Default)]
pub(super) struct Arrivals(VecDeque<Look>);

impl Arrivals {
    /// Notes a look; how old the oldest message is.
    pub(super) fn oldest(&mut self, at: Instant, there: u64, acked: u64) -> Duration {
        let arrived = acked.saturating_add(there);
        let before = self.0.back().map_or(arrived, |look| look.arrived);
        // Fewer than before: the broker was started anew and counts from zero, or has removed some itself.
        let vanished = before.saturating_sub(arrived);
        self.0.iter_mut().for_each(|look| look.arrived = look.arrived.saturating_sub(vanished));
        if before < arrived || self.0.is_empty() {
            self.0.push_back(Look { at, arrived });
        }
        if there == 0 {
            self.0.drain(..self.0.len() - 1);
            return Duration::ZERO;
        }
        while self.0.len() > 1 && self.0.front().is_some_and(|look| look.arrived <= acked) {
            self.0.pop_front();
        }
        if self.0.len() > MAX_LOOKS {
            let mut number = 0;
            self.0.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        self.0.front().map_or(Duration::ZERO, |look| at.saturating_duration_since(look.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks of (seconds, there, acked), and the ages in seconds that come of them.
    fn ages(looks: &[(u64, u64, u64)]) -> Vec<u64> {
        let (mut arrivals, began) = (Arrivals::default(), Instant::now());
        let age = |(second, there, acked): &(u64, u64, u64)| {
            arrivals.oldest(began + Duration::from_secs(*second), *there, *acked).as_secs()
        };
        looks.iter().map(age).collect()
    }

    #[test]
    fn the_example_above() {
        assert_eq!(ages(&[(0, 10, 100), (5, 15, 110), (10, 8, 120), (15, 20, 120)]), [0, 0, 5, 10]);
    }

    #[test]
    fn a_queue_that_nobody_consumes_grows_old_and_one_that_is_drained_young() {
        assert_eq!(ages(&[(0, 0, 7), (5, 3, 7), (10, 3, 7), (15, 9, 7), (60, 9, 7)]), [0, 0, 5, 10, 55]);
        assert_eq!(ages(&[(0, 3, 0), (10, 4, 2), (20, 2, 4), (30, 0, 6), (40, 1, 6)]), [0, 10, 10, 0, 0]);
    }

    #[test]
    fn a_busy_queue_is_as_old_as_its_head_not_as_its_business() {
        let steady: Vec<(u64, u64, u64)> = (0..100).map(|n| (n * 5, 50, n * 200)).collect();
        assert!(ages(&steady).into_iter().all(|age| age == 0));
    }

    #[test]
    fn a_broker_that_counts_anew_makes_nothing_younger() {
        assert_eq!(ages(&[(0, 0, 500), (5, 4, 500), (10, 4, 0), (15, 4, 0), (20, 2, 2)]), [0, 0, 5, 10, 15]);
    }

    #[test]
    fn what_the_broker_removed_is_gone() {
        assert_eq!(ages(&[(0, 5, 10), (5, 4, 10), (10, 4, 10)]), [0, 5, 10]);
    }

    #[test]
    fn years_of_looks_take_little_room_and_keep_the_oldest() {
        let (mut arrivals, began) = (Arrivals::default(), Instant::now());
        for n in 0..20_000 {
            let age = arrivals.oldest(began + Duration::from_secs(n), n + 1, 0);
            assert_eq!(age.as_secs(), n);
            assert!(arrivals.0.len() <= MAX_LOOKS + 1);
        }
    }
}
