//! One process's own configuration, as the service judges it.
//!
//! Promises: whose keys are refused calls no more, but for a try now and then, at growing pauses. Doesn't: concern the
//! fleet: the others have keys of their own configuration, which may be right.
//!
//! ```text
//!   accepted ──refused──► refused(until) ──refused again──► for longer
//!      ▲                       │
//!      └──── any other answer ─┘
//! ```

use super::{Policy, left_ms};
use contracts::UnixMs;

/// See the module's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    refused: Option<Refused>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    until: UnixMs,
    pause_ms: i64,
}

impl Keys {
    /// Whether nothing speaks against them.
    pub fn are_accepted(&self) -> bool {
        self.refused.is_none()
    }

    /// Whether refused keys may be tried again.
    pub fn may_be_tried(&self, now: UnixMs) -> bool {
        self.refused.is_some() && self.refused_for_ms(now) == 0
    }

    /// For how long refused ones will not be tried.
    pub fn refused_for_ms(&self, now: UnixMs) -> i64 {
        self.refused.map_or(0, |refused| left_ms(refused.until, refused.pause_ms, now))
    }

    /// They were refused. Calls that were under way when the first was refused prolong nothing.
    pub fn refuse(&mut self, policy: &Policy, now: UnixMs) {
        let pause_ms = match self.refused {
            None => policy.open_ms,
            Some(_) if self.may_be_tried(now) => self.refused.map_or(0, |refused| policy.longer_ms(refused.pause_ms)),
            Some(_) => return,
        };
        self.refused = Some(Refused { until: now.plus_ms(pause_ms), pause_ms });
    }

    /// Anything but a refusal of the keys came back.
    pub fn accept(&mut self) {
        self.refused = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::POLICY, *};

    const T0: UnixMs = UnixMs(1_000_000);

    #[test]
    fn refused_keys_are_tried_again_at_growing_pauses() {
        let (policy, mut keys, mut now) = (POLICY, Keys::default(), T0);
        assert!(keys.are_accepted() && !keys.may_be_tried(now));
        for pause_ms in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
            keys.refuse(&policy, now);
            keys.refuse(&policy, now.plus_ms(1));
            assert!(!keys.are_accepted() && !keys.may_be_tried(now.plus_ms(pause_ms - 1)));
            now = now.plus_ms(pause_ms);
            assert!(keys.may_be_tried(now), "after {pause_ms} ms");
        }
        keys.accept();
        assert!(keys.are_accepted());
    }

    #[test]
    fn a_clock_that_is_set_back_prolongs_nothing() {
        let mut keys = Keys::default();
        keys.refuse(&POLICY, T0);
        assert!(keys.may_be_tried(T0.plus_ms(-3_600_000)));
    }
}
