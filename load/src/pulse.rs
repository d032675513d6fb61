//! The crowd's pulse, for whoever breaks things meanwhile: when commands end, and which clients still wait.
//!
//! Promises: a command counts as open from before it is first sent until its client knows its end (or has given up), however
//! often it is sent again in between. Doesn't: know what a command wants, or say which one it was.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Shared by the crowd and whoever watches it. It holds one entry for each client that waits.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Beats>);

#[derive(Debug, Default)]
struct Beats {
    next: u64,
    /// The commands whose clients wait, by number, with the time since when.
    open: BTreeMap<u64, Instant>,
    done: u64,
    last_done: Option<Instant>,
    longest: Duration,
    closing: bool,
    not_accepted: u64,
    unanswered: u64,
}

/// What the pulse was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Commands carried out so far.
    pub done: u64,
    /// Answers so far that said: not now.
    pub not_accepted: u64,
    /// Requests so far that nobody answered.
    pub unanswered: u64,
    /// The number that the next command will have.
    pub next: u64,
}

impl Pulse {
    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now.
    pub fn beat(&self) -> Beat {
        let beats = self.beats();
        Beat { done: beats.done, not_accepted: beats.not_accepted, unanswered: beats.unanswered, next: beats.next }
    }

    /// Whether a command was carried out since.
    pub fn goes_on_since(&self, beat: Beat) -> bool {
        self.beats().done > beat.done
    }

    /// Whether every command that was under way then has ended.
    pub fn has_caught_up_with(&self, beat: Beat) -> bool {
        self.beats().open.first_key_value().is_none_or(|(number, _)| *number >= beat.next)
    }

    /// Since when the oldest command is under way.
    pub fn oldest(&self) -> Option<Duration> {
        self.beats().open.values().min().map(Instant::elapsed)
    }

    /// How long ago a command was carried out.
    pub fn silence(&self) -> Option<Duration> {
        self.beats().last_done.map(|at| at.elapsed())
    }

    /// The longest that a client has waited for a command's end, sending it again included.
    pub fn longest_wait(&self) -> Duration {
        self.beats().longest
    }

    /// Nobody begins anything any more; what is under way is waited for.
    pub fn close(&self) {
        self.beats().closing = true;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.beats().closing
    }

    pub(crate) fn not_now(&self) {
        self.beats().not_accepted += 1;
    }

    pub(crate) fn unanswered(&self) {
        self.beats().unanswered += 1;
    }

    pub(crate) fn begins(&self) -> u64 {
        let mut beats = self.beats();
        let number = beats.next;
        beats.next += 1;
        beats.open.insert(number, Instant::now());
        number
    }

    pub(crate) fn ends(&self, number: u64, is_done: bool) {
        let mut beats = self.beats();
        let Some(began) = beats.open.remove(&number) else { return };
        beats.longest = beats.longest.max(began.elapsed());
        if is_done {
            beats.done += 1;
            beats.last_done = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_at_the_beat_must_end_and_who_came_later_need_not() {
        let pulse = Pulse::default();
        let (first, second) = (pulse.begins(), pulse.begins());
        let beat = pulse.beat();
        let later = pulse.begins();
        pulse.ends(second, true);
        assert!(pulse.goes_on_since(beat) && !pulse.has_caught_up_with(beat));
        pulse.ends(first, false);
        assert!(pulse.has_caught_up_with(beat), "{later} came later");
        assert_eq!((pulse.beat().done, pulse.oldest().is_some()), (1, true));
    }
}
