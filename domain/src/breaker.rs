//! The circuit breaker: when a service ails, stop asking; let one probe at a time find out whether it recovered.
//!
//! Promises: while it is open nobody passes; half open, at most one probe is on its way; each failed probe lengthens
//! the pause, up to a limit. Decided from the values given, with the time given.
//! Doesn't: stop the consuming, wait, or count anything in the messages: an open breaker costs no attempt.
//!
//! ```text
//!              too many failed or slow of the last calls
//!   Closed ────────────────────────────────────────────► Open(until)
//!     ▲                                                   │      ▲
//!     │ the probe succeeds                   time is up,  │      │ the probe fails or is slow: a longer pause
//!     │                                      one may go   ▼      │
//!     └──────────────────────────────────────────────── HalfOpen(probe since)
//!                                                          └► no word of the probe for long: another may go
//!   any ──tripped──► Open(until), for longer each time
//! ```

use contracts::UnixMs;
use std::collections::VecDeque;

/// When to open and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many of the last calls are looked at.
    pub window_calls: usize,
    /// Fewer calls than this say nothing.
    pub minimum_calls: usize,
    /// Opens when at least this share of them failed.
    pub failed_percent: usize,
    /// Opens when at least this share of them was slow.
    pub slow_percent: usize,
    /// A call that took at least this long was slow.
    pub slow_after_ms: i64,
    /// The first pause.
    pub open_ms: i64,
    /// The longest pause.
    pub max_open_ms: i64,
    /// A probe of which nothing was heard for so long is given up.
    pub probe_timeout_ms: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            window_calls: 20,
            minimum_calls: 5,
            failed_percent: 50,
            slow_percent: 80,
            slow_after_ms: 10_000,
            open_ms: 5_000,
            max_open_ms: 60_000,
            probe_timeout_ms: 90_000,
        }
    }
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// No answer, or one that speaks of the service's own health.
    pub failed: bool,
    /// From sending to the end.
    pub took_ms: i64,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Pass,
    /// Yes, and much depends on it.
    Probe,
    /// Not before this instant.
    NotBefore(UnixMs),
}

/// The state, for metrics and people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Calls pass.
    Closed,
    /// One probe is on its way or may go.
    HalfOpen,
    /// Nobody passes.
    Open,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: UnixMs, pause_ms: i64 },
    HalfOpen { probe_since: UnixMs, pause_ms: i64 },
}

/// A breaker's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    policy: Policy,
    state: State,
    window: VecDeque<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    failed: bool,
    slow: bool,
}

impl Breaker {
    /// Closed, with nothing known.
    pub fn new(policy: Policy) -> Self {
        Self { policy, state: State::Closed, window: VecDeque::new() }
    }

    /// Asks to make a call at `now`. Whoever is let pass reports with [`Breaker::record`].
    pub fn admit(&mut self, now: UnixMs) -> Admission {
        self.follow(now);
        match self.state {
            State::Closed => Admission::Pass,
            State::Open { until, .. } if now < until => Admission::NotBefore(until),
            State::Open { pause_ms, .. } => self.probe(now, pause_ms),
            State::HalfOpen { probe_since, pause_ms } => {
                let given_up_at = probe_since.plus_ms(self.policy.probe_timeout_ms);
                if now < given_up_at { Admission::NotBefore(given_up_at) } else { self.probe(now, pause_ms) }
            }
        }
    }

    /// Nothing of ours lies further ahead than its own length: a clock that was set back does not prolong it.
    fn follow(&mut self, now: UnixMs) {
        match &mut self.state {
            State::Closed => (),
            State::Open { until, pause_ms } => *until = (*until).min(now.plus_ms(*pause_ms)),
            State::HalfOpen { probe_since, .. } => *probe_since = (*probe_since).min(now),
        }
    }

    fn probe(&mut self, now: UnixMs, pause_ms: i64) -> Admission {
        self.state = State::HalfOpen { probe_since: now, pause_ms };
        Admission::Probe
    }

    /// Reports how the call went that `admission` let pass. Calls from before the opening say nothing any more.
    pub fn record(&mut self, admission: Admission, sample: Sample, now: UnixMs) {
        let verdict = Verdict { failed: sample.failed, slow: sample.took_ms >= self.policy.slow_after_ms };
        match (&self.state, admission) {
            (State::Closed, Admission::Pass) => {
                self.remember(verdict);
                if self.is_too_much() {
                    self.open(now, self.policy.open_ms);
                }
            }
            (State::HalfOpen { pause_ms, .. }, Admission::Probe) if verdict.failed || verdict.slow => {
                let pause_ms = self.longer_ms(*pause_ms);
                self.open(now, pause_ms);
            }
            (State::HalfOpen { .. }, Admission::Probe) => self.state = State::Closed,
            _ => {}
        }
    }

    /// The call that `admission` let pass was not made after all: a probe's place becomes free at once.
    pub fn release(&mut self, admission: Admission, now: UnixMs) {
        if let (State::HalfOpen { pause_ms, .. }, Admission::Probe) = (&self.state, admission) {
            self.state = State::Open { until: now, pause_ms: *pause_ms };
        }
    }

    /// Opens whatever the calls said: our own keys are refused, say, and every further call would be too.
    pub fn trip(&mut self, now: UnixMs) {
        let pause_ms = match self.state {
            State::Closed => self.policy.open_ms,
            State::Open { pause_ms, .. } | State::HalfOpen { pause_ms, .. } => self.longer_ms(pause_ms),
        };
        self.open(now, pause_ms);
    }

    /// Until when nobody will be let pass, if so. Asking lets nobody pass.
    pub fn shut_until(&mut self, now: UnixMs) -> Option<UnixMs> {
        self.follow(now);
        let until = match self.state {
            State::Closed => return None,
            State::Open { until, .. } => until,
            State::HalfOpen { probe_since, .. } => probe_since.plus_ms(self.policy.probe_timeout_ms),
        };
        (now < until).then_some(until)
    }

    /// The state, for metrics and people.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Closed => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    fn open(&mut self, now: UnixMs, pause_ms: i64) {
        self.window.clear();
        self.state = State::Open { until: now.plus_ms(pause_ms), pause_ms };
    }

    fn longer_ms(&self, pause_ms: i64) -> i64 {
        pause_ms.saturating_mul(2).min(self.policy.max_open_ms)
    }

    fn remember(&mut self, verdict: Verdict) {
        if self.window.len() >= self.policy.window_calls.max(1) {
            self.window.pop_front();
        }
        self.window.push_back(verdict);
    }

    fn is_too_much(&self) -> bool {
        let calls = self.window.len();
        let share = |count: usize, percent: usize| count > 0 && count * 100 >= calls * percent;
        let failed = self.window.iter().filter(|verdict| verdict.failed).count();
        let slow = self.window.iter().filter(|verdict| verdict.slow).count();
        calls >= self.policy.minimum_calls
            && (share(failed, self.policy.failed_percent) || share(slow, self.policy.slow_percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: Sample = Sample { failed: false, took_ms: 50 };
    const BAD: Sample = Sample { failed: true, took_ms: 50 };
    const SLOW: Sample = Sample { failed: false, took_ms: 10_000 };
    const T0: UnixMs = UnixMs(1_000_000);

    fn fed(samples: impl IntoIterator<Item = Sample>) -> Breaker {
        let mut breaker = Breaker::new(Policy::default());
        for sample in samples {
            let admission = breaker.admit(T0);
            breaker.record(admission, sample, T0);
        }
        breaker
    }

    fn opened() -> Breaker {
        fed([BAD; 5])
    }

    #[test]
    fn a_few_failures_among_many_calls_change_nothing() {
        assert_eq!(fed([BAD; 4]).phase(), Phase::Closed, "four calls say nothing");
        let mixed = [GOOD, GOOD, BAD].into_iter().cycle().take(300);
        assert_eq!(fed(mixed).phase(), Phase::Closed);
    }

    #[test]
    fn half_failed_or_most_slow_opens_it_for_a_pause() {
        assert_eq!(fed([GOOD, GOOD, GOOD, BAD, BAD, BAD]).phase(), Phase::Open);
        assert_eq!(fed([GOOD, SLOW, SLOW, SLOW, SLOW]).phase(), Phase::Open);
        assert_eq!(fed([GOOD, GOOD, SLOW, SLOW, SLOW]).phase(), Phase::Closed);
        let mut breaker = opened();
        let until = T0.plus_ms(5_000);
        assert_eq!(breaker.admit(until.plus_ms(-1)), Admission::NotBefore(until));
    }

    #[test]
    fn only_the_last_calls_count() {
        let mut samples = vec![GOOD; 100];
        samples.extend([BAD; 9]);
        assert_eq!(fed(samples.clone()).phase(), Phase::Closed);
        samples.push(BAD);
        assert_eq!(fed(samples).phase(), Phase::Open, "10 of the last 20");
    }

    #[test]
    fn one_probe_goes_and_closes_it_when_it_succeeds() {
        let mut breaker = opened();
        let later = T0.plus_ms(5_000);
        assert_eq!(breaker.admit(later), Admission::Probe);
        assert_eq!(breaker.admit(later), Admission::NotBefore(later.plus_ms(90_000)), "one at a time");
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        breaker.record(Admission::Probe, GOOD, later);
        assert_eq!(breaker.admit(later), Admission::Pass);
        assert_eq!(fed([BAD; 4]).phase(), Phase::Closed);
    }

    #[test]
    fn failed_probes_lengthen_the_pause_to_a_limit() {
        let mut breaker = opened();
        let mut now = T0.plus_ms(5_000);
        for pause_ms in [10_000, 20_000, 40_000, 60_000, 60_000] {
            assert_eq!(breaker.admit(now), Admission::Probe);
            breaker.record(Admission::Probe, if pause_ms == 20_000 { SLOW } else { BAD }, now);
            let until = now.plus_ms(pause_ms);
            assert_eq!(breaker.admit(now), Admission::NotBefore(until));
            now = until;
        }
    }

    #[test]
    fn a_lost_probe_and_one_that_was_never_made_are_replaced() {
        let mut breaker = opened();
        let now = T0.plus_ms(5_000);
        assert_eq!(breaker.admit(now), Admission::Probe);
        assert_eq!(breaker.admit(now.plus_ms(90_000)), Admission::Probe);
        breaker.release(Admission::Probe, now.plus_ms(90_001));
        assert_eq!(breaker.admit(now.plus_ms(90_001)), Admission::Probe);
    }

    #[test]
    fn tripped_it_is_open_at_once_and_longer_each_time() {
        let mut breaker = Breaker::new(Policy::default());
        assert_eq!(breaker.shut_until(T0), None);
        breaker.trip(T0);
        assert_eq!(breaker.shut_until(T0), Some(T0.plus_ms(5_000)));
        let later = T0.plus_ms(5_000);
        assert_eq!(breaker.shut_until(later), None, "a probe may go");
        assert_eq!(breaker.admit(later), Admission::Probe);
        assert_eq!(breaker.shut_until(later), Some(later.plus_ms(90_000)));
        breaker.trip(later);
        assert_eq!(breaker.admit(later), Admission::NotBefore(later.plus_ms(10_000)));
        breaker.record(Admission::Probe, GOOD, later);
        assert_eq!(breaker.phase(), Phase::Open, "the probe that tripped it says no more");
    }

    #[test]
    fn a_clock_that_is_set_back_prolongs_nothing() {
        let (mut breaker, back) = (opened(), T0.plus_ms(-3_600_000));
        assert_eq!(breaker.shut_until(back), Some(back.plus_ms(5_000)));
        assert_eq!(breaker.admit(back.plus_ms(5_000)), Admission::Probe);
        let further_back = back.plus_ms(-3_600_000);
        assert_eq!(breaker.admit(further_back), Admission::NotBefore(further_back.plus_ms(90_000)));
        assert_eq!(breaker.admit(further_back.plus_ms(90_000)), Admission::Probe, "the lost one is replaced");
    }

    #[test]
    fn calls_from_before_the_opening_say_nothing() {
        let mut breaker = opened();
        let now = T0.plus_ms(5_000);
        breaker.record(Admission::Pass, GOOD, now);
        assert_eq!(breaker.phase(), Phase::Open);
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.record(Admission::Pass, GOOD, now);
        breaker.record(Admission::Pass, BAD, now);
        assert_eq!(breaker.phase(), Phase::HalfOpen);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Ask { after_ms: i64 },
        Report { failed: bool, took_ms: i64 },
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let ask = (0_i64..20_000).prop_map(|after_ms| Event::Ask { after_ms });
        let report = (any::<bool>(), 0_i64..20_000).prop_map(|(failed, took_ms)| Event::Report { failed, took_ms });
        proptest::collection::vec(prop_oneof![ask, report], 1..200)
    }

    proptest! {
        /// Beside a plain record of what was let pass: never a call while open, never two probes.
        #[test]
        fn nobody_passes_an_open_breaker(events in events()) {
            let policy = Policy::default();
            let mut breaker = Breaker::new(policy);
            let mut now = T0;
            let mut under_way: Vec<(Admission, UnixMs)> = Vec::new();
            for event in events {
                match event {
                    Event::Ask { after_ms } => {
                        now = now.plus_ms(after_ms);
                        let before = breaker.phase();
                        let admission = breaker.admit(now);
                        match admission {
                            Admission::Pass => prop_assert_eq!(before, Phase::Closed),
                            Admission::NotBefore(until) => prop_assert!(until > now && before != Phase::Closed),
                            Admission::Probe => {
                                let alive = |(admission, since): &(Admission, UnixMs)| {
                                    *admission == Admission::Probe && now.ms_since(*since) < policy.probe_timeout_ms
                                };
                                prop_assert!(!under_way.iter().any(alive), "two probes at once");
                            }
                        }
                        if !matches!(admission, Admission::NotBefore(_)) {
                            under_way.push((admission, now));
                        }
                    }
                    Event::Report { failed, took_ms } => {
                        if let Some((admission, _)) = under_way.pop() {
                            breaker.record(admission, Sample { failed, took_ms }, now);
                        }
                    }
                }
            }
        }
    }
}
