//! The circuit breaker of a whole fleet: when a service ails, everybody stops asking; one probe at a time finds out
//! whether it recovered; then the calls come back slowly.
//!
//! The state is a plain value that all processes share (a row, say). Each transition is a pure function of the state as
//! it was read, of what happened, and of the time given; whoever writes the result must do so only if nobody else has
//! written since, or read again and decide again.
//!
//! Promises: while it is open nobody passes; at most one probe holds a lease; each failed probe lengthens the pause, up
//! to a limit; a wait that the service asked for is kept by everybody, up to a limit.
//! Doesn't: stop the consuming, wait, or count anything in the messages: an open breaker costs no attempt. Nor limit how
//! many calls run at once after it has closed: that is each process's [`Ramp`].
//!
//! ```text
//!              too many failed or slow of the last calls; the service asked to wait
//!   Closed ────────────────────────────────────────────────────────────────────────► Open(until)
//!     ▲                                                                              │ ▲     ▲
//!     │ enough calls                                             time is up, one may │ │     │ the probe fails or is
//!     │                    too many failed or slow: a longer pause           try it  │ │     │ slow: a longer pause
//!   Ramping ───────────────────────────────────────────────────────────────────────────┘     │
//!     ▲                                                                              ▼       │
//!     └────────────────────────────── the probe succeeds ────────────────────── HalfOpen(probe, its lease)
//!                                                                                    └► the lease is over: another may
//!   any ──a person holds it──► Held ──a person lets go──► Ramping
//! ```

mod keys;
mod ramp;
mod tally;

pub use keys::Keys;
pub use ramp::Ramp;
pub use tally::Tally;

use contracts::UnixMs;

/// As far as the hosts' clocks may be apart. Where they are further, probes come early, and two may overlap.
pub const CLOCKS_AGREE_WITHIN_MS: i64 = 5_000;

/// When to open and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many of the last calls are looked at.
    pub window_calls: u32,
    /// Fewer calls than this say nothing; and so many end the ramp.
    pub minimum_calls: u32,
    /// Opens when at least this share of them failed, or was slow.
    pub bad_percent: u32,
    /// The first pause.
    pub open_ms: i64,
    /// The longest pause.
    pub max_open_ms: i64,
    /// No longer than this does anybody wait because the service asked for it.
    pub max_asked_ms: i64,
    /// A probe of which nothing was heard for so long is given up. Longer than a probe may take, by what the clocks may
    /// be apart.
    pub probe_lease_ms: i64,
}

impl Policy {
    fn longer_ms(&self, pause_ms: i64) -> i64 {
        pause_ms.saturating_mul(2).min(self.max_open_ms)
    }
}

/// Whose probe it is: a number that nobody else draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub i64);

/// How a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// Answered, and in time.
    Well,
    /// Not answered, or late, or with a word of the service's own ill health.
    Ill,
    /// The service asks everybody to wait for so many milliseconds.
    AskedToWait(i64),
    /// It said nothing about the service: it was not made, or our own keys were refused.
    Void,
}

/// The state's name, for metrics and people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Calls pass.
    Closed,
    /// Calls pass, few at first, and the first bad ones open it again.
    Ramping,
    /// One probe is on its way.
    HalfOpen,
    /// Nobody passes.
    Open,
    /// Nobody passes until a person says so.
    Held,
}

/// What the fleet knows of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls pass.
    Closed {
        /// The last calls.
        tally: Tally,
    },
    /// It has just closed.
    Ramping {
        /// The calls since.
        tally: Tally,
        /// The last pause.
        pause_ms: i64,
    },
    /// Nobody passes.
    Open {
        /// Until then; afterwards one probe may go.
        until: UnixMs,
        /// How long the pause is: never less than lies ahead of it.
        pause_ms: i64,
    },
    /// One probe is on its way.
    HalfOpen {
        /// Whose.
        probe: ProbeId,
        /// Nobody else may try before.
        lease_until: UnixMs,
        /// The last pause.
        pause_ms: i64,
    },
    /// A person has stopped all calls.
    Held,
}

impl State {
    /// Nothing is known, and calls pass.
    pub const NEW: State = State::Closed { tally: Tally::NONE };

    /// For metrics and people.
    pub fn phase(&self) -> Phase {
        match self {
            State::Closed { .. } => Phase::Closed,
            State::Ramping { .. } => Phase::Ramping,
            State::HalfOpen { .. } => Phase::HalfOpen,
            State::Open { .. } => Phase::Open,
            State::Held => Phase::Held,
        }
    }

    /// Whether calls that are no probes may be made.
    pub fn lets_pass(&self) -> bool {
        matches!(self, State::Closed { .. } | State::Ramping { .. })
    }

    /// For how long certainly nobody will pass, not even as a probe.
    pub fn shut_for_ms(&self, policy: &Policy, now: UnixMs) -> i64 {
        match *self {
            State::Closed { .. } | State::Ramping { .. } | State::HalfOpen { .. } => 0,
            State::Open { until, pause_ms } => left_ms(until, pause_ms, now),
            State::Held => policy.max_open_ms,
        }
    }

    /// After these calls. Those that were sent before it opened say nothing any more.
    #[must_use]
    pub fn after_calls(self, policy: &Policy, news: Tally, now: UnixMs) -> State {
        match self {
            State::Closed { tally } => {
                let tally = tally.with(news, policy.window_calls);
                let opens = tally.is_too_much(policy.bad_percent, policy.minimum_calls);
                if opens { open(now, policy.open_ms) } else { State::Closed { tally } }
            }
            State::Ramping { tally, pause_ms } => {
                let tally = tally.with(news, policy.window_calls);
                // Here every call counts, for nobody knows yet whether the service bears them.
                if tally.is_too_much(policy.bad_percent, 1) {
                    open(now, policy.longer_ms(pause_ms))
                } else if tally.says_enough(policy.minimum_calls) {
                    State::Closed { tally }
                } else {
                    State::Ramping { tally, pause_ms }
                }
            }
            state => state,
        }
    }

    /// The service asked to be left alone for so long. A pause that lasts longer anyway stays.
    #[must_use]
    pub fn asked_to_wait(self, policy: &Policy, wait_ms: i64, now: UnixMs) -> State {
        let wait_ms = wait_ms.clamp(policy.open_ms.min(policy.max_asked_ms), policy.max_asked_ms);
        match self {
            State::Held => State::Held,
            State::Open { until, pause_ms } if left_ms(until, pause_ms, now) >= wait_ms => self,
            _ => open(now, wait_ms),
        }
    }

    /// With the lease of a probe, if one may go now.
    #[must_use]
    pub fn with_probe(self, policy: &Policy, probe: ProbeId, now: UnixMs) -> Option<State> {
        let (until, length_ms, pause_ms) = match self {
            State::Open { until, pause_ms } => (until, pause_ms, pause_ms),
            State::HalfOpen { lease_until, pause_ms, .. } => (lease_until, policy.probe_lease_ms, pause_ms),
            State::Closed { .. } | State::Ramping { .. } | State::Held => return None,
        };
        if left_ms(until, length_ms, now) > 0 {
            return None;
        }
        Some(State::HalfOpen { probe, lease_until: now.plus_ms(policy.probe_lease_ms), pause_ms })
    }

    /// After the probe. One that has lost its lease says nothing any more.
    #[must_use]
    pub fn after_probe(self, policy: &Policy, probe: ProbeId, went: Probed, now: UnixMs) -> State {
        match self {
            State::HalfOpen { probe: holder, pause_ms, .. } if holder == probe => match went {
                Probed::Well => State::Ramping { tally: Tally::NONE, pause_ms },
                Probed::Ill => open(now, policy.longer_ms(pause_ms)),
                Probed::AskedToWait(wait_ms) => self.asked_to_wait(policy, wait_ms, now),
                Probed::Void => State::Open { until: now, pause_ms },
            },
            state => state,
        }
    }

    /// A person lets calls pass again, whatever it was.
    #[must_use]
    pub fn let_go(self, policy: &Policy) -> State {
        match self {
            State::Closed { .. } | State::Ramping { .. } => self,
            _ => State::Ramping { tally: Tally::NONE, pause_ms: policy.open_ms },
        }
    }
}

fn open(now: UnixMs, pause_ms: i64) -> State {
    State::Open { until: now.plus_ms(pause_ms), pause_ms }
}

/// How much is left at `now` of something so long that ends at `until`. What lies further ahead than it is long was
/// written by a clock that has been set back since: it is over, or nobody would call until that clock has caught up.
fn left_ms(until: UnixMs, length_ms: i64, now: UnixMs) -> i64 {
    let left_ms = until.ms_since(now);
    if left_ms > length_ms.saturating_add(CLOCKS_AGREE_WITHIN_MS) { 0 } else { left_ms.max(0) }
}

#[cfg(test)]
mod tests;
