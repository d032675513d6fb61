//! How far a replica is behind, told by a heartbeat: a row that is counted up on the primary and read on the replica.
//!
//! Promises: only this process's own clock is used, so hosts whose clocks differ are no problem; what cannot be told is
//! said to be unknown. Doesn't: see a lag shorter than the time between two beats.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Beats remembered: minutes of them, more than any bound on the lag.
const MAX_REMEMBERED: usize = 1_024;

/// The beats that were met on the primary.
#[derive(Debug, Default)]
pub(super) struct Heartbeat(VecDeque<(i64, Instant)>);

impl Heartbeat {
    /// The primary shows this beat.
    pub(super) fn on_primary(&mut self, beat: i64, at: Instant) {
        if self.0.back().is_some_and(|(newest, _)| beat <= *newest) {
            return;
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((beat, at));
    }

    /// How far behind a replica is that shows this beat: the time between the first beat that it misses and the newest
    /// one. `None` while it shows none that we met.
    ///
    /// While the primary is away no beat is added: nothing is written there, so a replica that had everything has it
    /// still, and serves on.
    pub(super) fn lag(&self, shown: i64) -> Option<Duration> {
        let ((oldest, _), (newest, newest_at)) = (self.0.front()?, self.0.back()?);
        if shown < *oldest {
            return None;
        }
        if shown >= *newest {
            // Another process may have counted on since we looked.
            return Some(Duration::ZERO);
        }
        let (_, missed_at) = self.0.iter().find(|(beat, _)| *beat > shown)?;
        Some(newest_at.duration_since(*missed_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn the_lag_is_the_time_of_the_beats_that_are_missing() {
        let (start, mut heartbeat) = (Instant::now(), Heartbeat::default());
        assert_eq!(heartbeat.lag(7), None, "nothing is known of the primary");
        // Other processes count, too.
        for (beat, at) in [(10, 0), (13, 1), (14, 2), (17, 3)] {
            heartbeat.on_primary(beat, start + seconds(at));
        }
        assert_eq!(heartbeat.lag(9), None, "it may be hours behind");
        assert_eq!(heartbeat.lag(10), Some(seconds(2)));
        assert_eq!(heartbeat.lag(13), Some(seconds(1)));
        assert_eq!(heartbeat.lag(15), Some(seconds(0)), "the newest is only on its way");
        assert_eq!(heartbeat.lag(17), Some(seconds(0)));
        assert_eq!(heartbeat.lag(99), Some(seconds(0)));
        heartbeat.on_primary(16, start + seconds(4));
        assert_eq!(heartbeat.lag(15), Some(seconds(0)), "no beat is taken back");
    }

    #[test]
    fn what_was_forgotten_is_unknown() {
        let (start, mut heartbeat) = (Instant::now(), Heartbeat::default());
        for beat in 0..2_000 {
            heartbeat.on_primary(beat, start + seconds(1) * u32::try_from(beat).unwrap());
            assert!(heartbeat.0.len() <= MAX_REMEMBERED);
        }
        assert_eq!(heartbeat.lag(0), None);
        assert_eq!(heartbeat.lag(1_990), Some(seconds(8)));
    }
}
