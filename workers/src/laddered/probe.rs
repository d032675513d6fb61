//! The gate's own initiative: looking at the fleet's row, and probing Toss when that is due.
//!
//! Promises: a probe is a look-up of an order that nobody has: it needs no command, changes nothing, and is made also
//! while the queues are empty; it ends in bounded time, well within its lease. Looks and probes are jittered.
//! Doesn't: show that confirms work. That is what the first calls afterwards do, which is why they are few.

use super::{
    gate::Gate,
    health::{Health, count, health},
};
use domain::breaker::{Phase, ProbeId, Probed, State};
use std::time::{Duration, Instant};

/// How often the row is looked at while nobody calls, and the calls that went well are told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while something is about to change.
const LOOK_OFTEN: Duration = Duration::from_millis(250);
/// Each look comes by up to so many percent later, or a fleet would look all at once.
const LOOK_JITTER_PERCENT: u32 = 25;
/// The order that probes look up. Nobody has it.
const PROBE_ORDER: &str = "gream-probe";

impl Gate {
    /// Looks after the breaker until it is dropped: looks at the row, and probes when that is due.
    pub(crate) async fn watch(&self) {
        loop {
            let often = self.known().state.phase() != Phase::Closed;
            let every = if often { LOOK_OFTEN } else { LOOK_EVERY };
            tokio::time::sleep(every + every * rand::random_range(0..=LOOK_JITTER_PERCENT) / 100).await;
            self.look().await;
            self.known().quiet_moment();
            if self.known().keys.are_accepted() {
                self.probe_if_due().await;
            } else if self.known().keys.may_be_tried(self.clock.now()) {
                self.try_keys().await;
            }
        }
    }

    async fn probe_if_due(&self) {
        let probe = ProbeId(rand::random());
        if !self.takes_lease(probe).await {
            return;
        }
        platform::halt::point("breaker.probing").await;
        let went = match self.probe().await {
            Health::Well => Probed::Well,
            Health::Ill => Probed::Ill,
            Health::AskedToWait(wait_ms) => Probed::AskedToWait(wait_ms),
            Health::KeysRefused => {
                self.stop_for_the_keys();
                Probed::Void
            }
        };
        tracing::info!(role = self.role, ?went, "a probe of Toss");
        let now = self.clock.now();
        self.change(now, |state| state.after_probe(&self.policy, probe, went, now)).await;
    }

    /// Whether the one probe is ours. Only the row can say so: without the database nobody probes.
    async fn takes_lease(&self, probe: ProbeId) -> bool {
        let now = self.clock.now();
        if self.known().state.with_probe(&self.policy, probe, now).is_none() {
            return false;
        }
        let _turn = self.conversation.lock().await;
        let step = |state: State| state.with_probe(&self.policy, probe, now).unwrap_or(state);
        let Ok(changed) = self.shared.change(now, step).await else { return false };
        self.adopt_changed(changed);
        matches!(changed.state, State::HalfOpen { probe: holder, .. } if holder == probe)
    }

    /// Asks Toss for something that does not exist. To say so, it must be well.
    async fn probe(&self) -> Health {
        let started = Instant::now();
        let Ok(answer) = tokio::time::timeout(self.slow_after, self.toss.payment_by_order(PROBE_ORDER)).await else {
            metrics::counter!("gream_toss_calls_total", "call" => "probe", "result" => "timeout").increment(1);
            return Health::Ill;
        };
        count("probe", &answer, started);
        health(&answer)
    }

    async fn try_keys(&self) {
        if self.probe().await == Health::Well {
            tracing::warn!(role = self.role, "Toss takes our keys again");
            let mut known = self.known();
            known.keys.accept();
            known.ramp.fall();
            self.show(&known);
        } else {
            self.stop_for_the_keys();
        }
    }
}
