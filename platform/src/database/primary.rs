//! Whether the server that a pool is connected to still takes writes.
//!
//! Promises: at most one question an interval, whatever the traffic; once the answer was no, every connection from
//! before it is given up, and whoever answers at that address now (after a failover, the new primary) is connected to.
//! Doesn't: ask by itself. A pool that nobody uses learns of it when somebody does.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long a connection to a former primary may be used at most.
const ASK_EVERY_MS: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Primary {
    began: Instant,
    /// Milliseconds since `began`.
    ask_at: AtomicU64,
    /// Connections from before this are given up; milliseconds since `began`.
    gone_at: AtomicU64,
}

impl Primary {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), ask_at: AtomicU64::new(0), gone_at: AtomicU64::new(0) }
    }

    /// Whether the caller should ask the server. Says yes to one caller an interval.
    pub(super) fn is_time_to_ask(&self) -> bool {
        let (now, due) = (self.now_ms(), self.ask_at.load(Ordering::Relaxed));
        now >= due
            && self.ask_at.compare_exchange(due, now + ASK_EVERY_MS, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The server takes no writes any more: whatever is connected by now is given up.
    pub(super) fn is_gone(&self) {
        self.gone_at.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Whether a connection of this age was made since.
    pub(super) fn is_current(&self, age: Duration) -> bool {
        let gone_at = self.gone_at.load(Ordering::Relaxed);
        gone_at == 0 || age < self.began.elapsed().saturating_sub(Duration::from_millis(gone_at))
    }

    fn now_ms(&self) -> u64 {
        // Never zero, which means never.
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_an_interval_and_older_connections_go_after_a_no() {
        let primary = Primary::new();
        assert!(primary.is_time_to_ask());
        assert!(!primary.is_time_to_ask(), "once an interval");
        assert!(primary.is_current(Duration::from_hours(1)), "nothing is wrong yet");
        primary.is_gone();
        assert!(!primary.is_current(Duration::from_hours(1)));
        while primary.began.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        assert!(primary.is_current(Duration::from_millis(1)), "made since");
    }
}
