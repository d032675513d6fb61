//! The gate to Toss: every call of a role in this process passes here, none while the fleet's circuit breaker is open.
//!
//! ```text
//!  call ─► may I? ─ no: Shut ─► comes later, uncounted
//!           │ yes                                        the fleet's row in MySQL
//!           ▼                                             ▲            │
//!          Toss ─► well: counted here ───── at each look ─┤            │ at each look, and whenever something is told
//!                ├ failed or slow: ─── told at once ──────┤            ▼
//!                ├ 429 with Retry-After: told at once ────┘      what is known here ─► may I?
//!                └ our keys are refused: this process stops, the fleet goes on
//! ```
//! Promises: no call begins later than a tenth of a second after the row forbade it. What failed or is slow is told
//! before its caller goes on, who therefore knows whether the breaker has opened. A slow call is told when it becomes
//! slow, not when it ends. After an outage the calls of this process begin with one at a time. Refused keys raise an
//! alarm until Toss takes them.
//! Doesn't: queue anybody up, or write to the row for each good call. While MySQL is away, what was last known goes on
//! to hold, together with what is heard here.

use super::{
    Foundation,
    health::{Health, count, health},
    shared_breaker::{Changed, SharedBreaker, word},
};
use contracts::UnixMs;
use domain::breaker::{CLOCKS_AGREE_WITHIN_MS, Keys, Phase, Policy, Ramp, State, Tally};
use platform::Clock;
use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use toss::{CallError, Payment};

/// The longest pause between two probes.
const MAX_PAUSE_MS: i64 = 60_000;
/// No longer than this does a `Retry-After` stop the fleet.
const MAX_ASKED_MS: i64 = 600_000;
/// A call is made only if the row was looked at so lately, where it can be reached.
const FRESH: Duration = Duration::from_millis(100);
/// No call waits longer than this for the row before it begins.
pub(crate) const ENTRY_LIMIT: Duration = Duration::from_millis(500);

/// The gate is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shut;

/// See the module's words.
pub(crate) struct Gate {
    pub(super) shared: SharedBreaker,
    pub(super) policy: Policy,
    pub(super) slow_after: Duration,
    known: Mutex<Known>,
    /// One conversation with the row at a time, or an older answer would overwrite a newer one.
    pub(super) conversation: tokio::sync::Mutex<()>,
    pub(super) toss: toss::Client,
    pub(super) clock: Clock,
    pub(super) role: &'static str,
}

/// What this process knows.
pub(super) struct Known {
    pub(super) state: State,
    /// When the row said so.
    looked_at: Option<Instant>,
    pub(super) keys: Keys,
    pub(super) ramp: Ramp,
    /// Calls at this moment.
    under_way: usize,
    /// How calls went that the row does not know of yet.
    news: Tally,
}

impl Gate {
    pub(crate) fn new(foundation: &Foundation, toss: toss::Client, role: &'static str) -> Self {
        let config = &foundation.config;
        let statement_limit = Duration::from_millis(config.database.statement_timeout_ms);
        let known = Known {
            state: State::NEW,
            looked_at: None,
            keys: Keys::default(),
            ramp: Ramp::climbed(usize::from(config.payment_worker.prefetch)),
            under_way: 0,
            news: Tally::NONE,
        };
        let gate = Self {
            shared: SharedBreaker::new(foundation.database.clone(), statement_limit, &foundation.name),
            policy: policy(config),
            slow_after: Duration::from_millis(config.payment_worker.breaker_slow_call_ms),
            known: Mutex::new(known),
            conversation: tokio::sync::Mutex::new(()),
            toss,
            clock: foundation.clock.clone(),
            role,
        };
        gate.show(&gate.known());
        gate
    }

    /// Makes a call, if the gate is open.
    pub(crate) async fn call(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<Payment, CallError>>,
    ) -> Result<Result<Payment, CallError>, Shut> {
        if tokio::time::timeout(ENTRY_LIMIT, self.look_if_stale()).await.is_err() {
            tracing::warn!(role = self.role, "the circuit breaker's row is slow; what was last known must do");
        }
        let _place = self.enter()?;
        let started = Instant::now();
        let mut call = pin!(call);
        let (answer, was_slow) = match tokio::time::timeout(self.slow_after, &mut call).await {
            Ok(answer) => (answer, false),
            Err(_) => (tokio::join!(call, self.tell(Tally::SLOW)).0, true),
        };
        count(what, &answer, started);
        self.heed(health(&answer), was_slow).await;
        Ok(answer)
    }

    /// Draws the conclusions from an answer.
    async fn heed(&self, health: Health, was_slow: bool) {
        match (health, was_slow) {
            (Health::Well, true) => (),
            (Health::Well, false) => {
                let mut known = self.known();
                known.news = known.news.with(Tally::GOOD, self.policy.window_calls);
                known.ramp.climb();
                self.show(&known);
            }
            (Health::Ill, false) => self.tell(Tally::FAILED).await,
            (Health::Ill, true) => self.tell(Tally::FAILED_LATE).await,
            (Health::AskedToWait(wait_ms), _) => {
                let now = self.clock.now();
                self.change(now, |state| state.asked_to_wait(&self.policy, wait_ms, now)).await;
            }
            (Health::KeysRefused, _) => self.stop_for_the_keys(),
        }
    }

    /// Tells the fleet of a call, and of those that went well since. Whoever waited for their turn may find that the one
    /// before them has told everything.
    async fn tell(&self, call: Tally) {
        {
            let mut known = self.known();
            known.news = known.news.with(call, self.policy.window_calls);
        }
        let _turn = self.conversation.lock().await;
        if !self.known().news.is_empty() {
            self.tell_in_turn().await;
        }
    }

    /// Looks at the row, and tells what it does not know.
    pub(crate) async fn look(&self) {
        let _turn = self.conversation.lock().await;
        self.tell_in_turn().await;
    }

    /// Looks at the row, unless that was just done.
    async fn look_if_stale(&self) {
        if self.known().is_fresh() {
            return;
        }
        let _turn = self.conversation.lock().await;
        if !self.known().is_fresh() {
            self.change_in_turn(self.clock.now(), |state| state).await;
        }
    }

    async fn tell_in_turn(&self) {
        let news = std::mem::take(&mut self.known().news);
        let now = self.clock.now();
        self.change_in_turn(now, |state| state.after_calls(&self.policy, news, now)).await;
    }

    pub(super) async fn change(&self, now: UnixMs, step: impl Fn(State) -> State) {
        let _turn = self.conversation.lock().await;
        self.change_in_turn(now, step).await;
    }

    async fn change_in_turn(&self, now: UnixMs, step: impl Fn(State) -> State) {
        match self.shared.change(now, &step).await {
            Ok(changed) => self.adopt_changed(changed),
            Err(error) => {
                tracing::warn!(role = self.role, %error, "the circuit breaker's row cannot be reached");
                let state = step(self.known().state);
                self.adopt(state);
            }
        }
    }

    pub(super) fn adopt_changed(&self, Changed { state, ended }: Changed) {
        if let Some(from) = ended {
            let (from, to) = (word(from), word(state.phase()));
            tracing::warn!(role = self.role, from, to, "the fleet's circuit breaker moved, by this process");
            metrics::counter!("gream_toss_breaker_moves_total", "role" => self.role, "from" => from, "to" => to)
                .increment(1);
        }
        self.adopt(state);
    }

    fn adopt(&self, state: State) {
        let mut known = self.known();
        let began_to_ramp = state.phase() == Phase::Ramping && known.state.phase() != Phase::Ramping;
        if began_to_ramp || (state.lets_pass() && !known.state.lets_pass()) {
            known.ramp.fall();
        }
        if state.phase() != known.state.phase() {
            tracing::info!(role = self.role, from = ?known.state.phase(), to = ?state.phase(), "the breaker, seen here");
        }
        known.state = state;
        known.looked_at = Some(Instant::now());
        self.show(&known);
    }

    pub(super) fn stop_for_the_keys(&self) {
        let mut known = self.known();
        known.keys.refuse(&self.policy, self.clock.now());
        self.show(&known);
        tracing::error!(
            role = self.role,
            "Toss refuses our keys: correct toss.secret_key and restart; this process takes nothing meanwhile"
        );
    }

    fn enter(&self) -> Result<Place<'_>, Shut> {
        let mut known = self.known();
        if !known.lets_pass() || known.under_way >= known.ramp.allowed() {
            return Err(Shut);
        }
        known.under_way += 1;
        Ok(Place(self))
    }

    /// Whether calls pass.
    pub(crate) fn is_open(&self) -> bool {
        self.known().lets_pass()
    }

    /// How many calls may be under way at once.
    pub(crate) fn allowed(&self) -> usize {
        self.known().ramp.allowed()
    }

    /// Turns how many calls are usual.
    pub(crate) fn reach(&self, most: usize) {
        let mut known = self.known();
        known.ramp.reach(most);
        self.show(&known);
    }

    /// Whether this process may make fewer calls than usual, as after an outage.
    pub(crate) fn is_ramping(&self) -> bool {
        !self.known().ramp.is_climbed()
    }

    /// For how long certainly no call of ours will pass.
    pub(crate) fn pause_ms(&self) -> i64 {
        let now = self.clock.now();
        let known = self.known();
        known.state.shut_for_ms(&self.policy, now).max(known.keys.refused_for_ms(now))
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, known: &Known) {
        let open = match known.state.phase() {
            _ if !known.keys.are_accepted() => 1.0,
            Phase::Closed | Phase::Ramping => 0.0,
            Phase::HalfOpen => 0.5,
            Phase::Open | Phase::Held => 1.0,
        };
        let alarm = if known.keys.are_accepted() { 0.0 } else { 1.0 };
        let allowed = u32::try_from(known.ramp.allowed()).unwrap_or(u32::MAX);
        metrics::gauge!("gream_toss_breaker_open", "role" => self.role).set(open);
        metrics::gauge!("gream_toss_configuration_alarm", "role" => self.role).set(alarm);
        metrics::gauge!("gream_toss_calls_allowed", "role" => self.role).set(f64::from(allowed));
    }
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.looked_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    /// Nothing speaks against Toss: whoever has few calls to make must not be held back for ever by an old outage.
    pub(super) fn quiet_moment(&mut self) {
        if self.state.phase() == Phase::Closed {
            self.ramp.climb();
        }
    }

    fn lets_pass(&self) -> bool {
        self.state.lets_pass() && self.keys.are_accepted()
    }
}

/// When the breaker opens, and for how long.
pub fn policy(config: &platform::Config) -> Policy {
    let worker = &config.payment_worker;
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Policy {
        window_calls: worker.breaker_window_calls,
        minimum_calls: worker.breaker_min_calls,
        bad_percent: worker.breaker_failure_percent,
        open_ms: ms(worker.breaker_pause_ms),
        max_open_ms: MAX_PAUSE_MS.max(ms(worker.breaker_pause_ms)),
        max_asked_ms: MAX_ASKED_MS,
        probe_lease_ms: ms(worker.breaker_slow_call_ms).saturating_add(CLOCKS_AGREE_WITHIN_MS),
    }
}

/// A call under way; gives its place free also when it is cancelled.
struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.under_way = known.under_way.saturating_sub(1);
    }
}
