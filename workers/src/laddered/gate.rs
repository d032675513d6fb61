//! The gate to Toss: every call of this process passes here, and none while the circuit breaker is open.
//!
//! Promises: a call that was let pass is reported, also when it is cancelled half-way. Refused keys (our configuration
//! is wrong) shut the gate too, and raise an alarm until a call succeeds.
//! Doesn't: queue anybody up. Whoever finds the gate shut comes later; the crew stops consuming meanwhile.

use super::Foundation;
use domain::breaker::{Admission, Breaker, Phase, Policy, Sample};
use platform::Clock;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use toss::{CallError, Payment};

/// The longest pause between two probes.
const MAX_PAUSE_MS: i64 = 60_000;
/// What a call may take beyond its configured limits before its probe is taken for lost.
const PROBE_SLACK_MS: i64 = 5_000;

/// The gate is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shut;

/// See the module's words.
pub(crate) struct Gate {
    breaker: Mutex<Breaker>,
    clock: Clock,
    role: &'static str,
}

/// What a call's answer says about Toss, and about us.
enum Health {
    Good,
    Bad,
    OurConfiguration,
}

impl Gate {
    pub(crate) fn new(foundation: &Foundation, role: &'static str) -> Self {
        let (worker, toss) = (&foundation.config.payment_worker, &foundation.config.toss);
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let policy = Policy {
            window_calls: count(worker.breaker_window_calls),
            minimum_calls: count(worker.breaker_min_calls),
            failed_percent: count(worker.breaker_failure_percent),
            slow_percent: count(worker.breaker_failure_percent),
            slow_after_ms: ms(worker.breaker_slow_call_ms),
            open_ms: ms(worker.breaker_pause_ms),
            max_open_ms: MAX_PAUSE_MS.max(ms(worker.breaker_pause_ms)),
            probe_timeout_ms: ms(toss.connect_timeout_ms)
                .saturating_add(ms(toss.read_timeout_ms))
                .saturating_add(PROBE_SLACK_MS),
        };
        let gate = Self { breaker: Mutex::new(Breaker::new(policy)), clock: foundation.clock.clone(), role };
        gate.show(&gate.breaker());
        gate
    }

    /// Makes a call, if the gate is open.
    pub(crate) async fn call(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<Payment, CallError>>,
    ) -> Result<Result<Payment, CallError>, Shut> {
        let admission = self.breaker().admit(self.clock.now());
        if matches!(admission, Admission::NotBefore(_)) {
            return Err(Shut);
        }
        let mut pass = Pass { gate: self, admission: Some(admission) };
        let started = Instant::now();
        let answer = call.await;
        pass.admission = None;
        self.report(admission, &answer, started);
        let result = match &answer {
            Ok(_) => "ok",
            Err(CallError::NoAnswer { kind, .. }) => kind.as_str(),
            Err(CallError::Refused(_)) => "refused",
        };
        metrics::counter!("gream_toss_calls_total", "call" => what, "result" => result).increment(1);
        metrics::histogram!("gream_toss_call_seconds", "call" => what).record(started.elapsed().as_secs_f64());
        Ok(answer)
    }

    fn report(&self, admission: Admission, answer: &Result<Payment, CallError>, started: Instant) {
        let took_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = self.clock.now();
        let mut breaker = self.breaker();
        let before = breaker.phase();
        match health(answer) {
            Health::OurConfiguration => {
                breaker.trip(now);
                metrics::gauge!("gream_toss_configuration_alarm", "role" => self.role).set(1.0);
                tracing::error!(
                    role = self.role,
                    "Toss refuses our keys: correct toss.secret_key and restart; commands wait meanwhile"
                );
            }
            health => {
                if matches!(health, Health::Good) {
                    metrics::gauge!("gream_toss_configuration_alarm", "role" => self.role).set(0.0);
                }
                breaker.record(admission, Sample { failed: matches!(health, Health::Bad), took_ms }, now);
            }
        }
        if breaker.phase() != before {
            tracing::warn!(role = self.role, from = ?before, to = ?breaker.phase(), "the circuit breaker moved");
        }
        self.show(&breaker);
    }

    /// Whether calls pass freely.
    pub(crate) fn is_open(&self) -> bool {
        self.breaker().phase() == Phase::Closed
    }

    /// For how long nobody will pass; zero when somebody may, perhaps as a probe.
    pub(crate) fn shut_for_ms(&self) -> i64 {
        let now = self.clock.now();
        self.breaker().shut_until(now).map_or(0, |until| until.ms_since(now).max(0))
    }

    /// For how long it stays open before the next probe; zero while one is on its way, which may end at any moment.
    pub(crate) fn pause_ms(&self) -> i64 {
        let shut_for_ms = self.shut_for_ms();
        if self.breaker().phase() == Phase::Open { shut_for_ms } else { 0 }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, breaker: &Breaker) {
        let value = match breaker.phase() {
            Phase::Closed => 0.0,
            Phase::HalfOpen => 0.5,
            Phase::Open => 1.0,
        };
        metrics::gauge!("gream_toss_breaker_open", "role" => self.role).set(value);
    }
}

fn health(answer: &Result<Payment, CallError>) -> Health {
    match answer {
        Err(CallError::NoAnswer { .. }) => Health::Bad,
        Err(CallError::Refused(refusal)) if refusal.is_our_configuration() => Health::OurConfiguration,
        Err(CallError::Refused(refusal)) if refusal.is_toss_ailing() => Health::Bad,
        // To say no, Toss must be well enough.
        Ok(_) | Err(CallError::Refused(_)) => Health::Good,
    }
}

/// Gives a probe's place free when its call is cancelled.
struct Pass<'a> {
    gate: &'a Gate,
    admission: Option<Admission>,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission {
            self.gate.breaker().release(admission, self.gate.clock.now());
        }
    }
}
