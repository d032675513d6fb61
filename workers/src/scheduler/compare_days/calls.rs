//! The comparison's calls to Toss: slow on purpose, because the workers need the same quota more urgently.
//!
//! Promises: so far apart as configured; none while the fleet's circuit breaker forbids calls; a wait that Toss asks for is
//! kept, and then the same call goes on. Bounded tries.
//! Doesn't: tell the breaker anything. What a look-up in no hurry meets should not stop the workers.

use super::CompareError;
use crate::{
    laddered::{SharedBreaker, toss_client},
    scheduler::Scheduler,
};
use contracts::UnixMs;
use platform::pause::Pauses;
use std::time::Duration;
use toss::{CallError, Client, Payment, Transaction, client::InvalidOptions};

/// Tries of one call before what it is about is left for later.
const MAX_TRIES: usize = 6;
/// No longer is waited at once, whatever Toss asks for.
const MAX_ASKED: Duration = Duration::from_mins(10);
/// So often is it asked whether calls pass again.
const BREAKER_LOOK: Duration = Duration::from_secs(1);

/// See the module's words.
pub(super) struct Calls<'a> {
    scheduler: &'a Scheduler,
    client: Client,
    breaker: SharedBreaker,
    pace: Duration,
}

impl<'a> Calls<'a> {
    pub(super) fn new(scheduler: &'a Scheduler) -> Result<Self, InvalidOptions> {
        let config = &scheduler.config;
        let limit = Duration::from_millis(config.database.statement_timeout_ms);
        Ok(Self {
            scheduler,
            client: toss_client(config)?,
            breaker: SharedBreaker::new(scheduler.database.clone(), limit, "scheduler"),
            pace: Duration::from_millis(config.scheduler.compare_pace_ms),
        })
    }

    /// A page of a span's transactions.
    pub(super) async fn page(
        &self,
        from: UnixMs,
        to: UnixMs,
        after: Option<&str>,
    ) -> Result<Vec<Transaction>, CompareError> {
        self.patiently(|| self.client.transactions(from, to, after)).await
    }

    /// A charge's payment; `None`: Toss knows none.
    pub(super) async fn payment(
        &self,
        payment_key: Option<&str>,
        order_id: &str,
    ) -> Result<Option<Payment>, CompareError> {
        let look_up = || async {
            match payment_key {
                Some(payment_key) => self.client.payment(payment_key).await,
                None => self.client.payment_by_order(order_id).await,
            }
        };
        match self.patiently(look_up).await {
            Ok(payment) => Ok(Some(payment)),
            Err(CompareError::Toss(CallError::Refused(refusal))) if refusal.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a call when it is time, and again where waiting can help.
    async fn patiently<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, CompareError> {
        let mut pauses = Pauses::new();
        let mut tries = 1;
        loop {
            self.sleep(self.pace).await?;
            self.wait_for_the_breaker().await?;
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(asked) = may_pass(&error).filter(|_| tries < MAX_TRIES) else { return Err(error.into()) };
            tracing::info!(%error, "the comparison waits for Toss");
            self.sleep(asked.min(MAX_ASKED).max(pauses.next_pause())).await?;
            tries += 1;
        }
    }

    async fn wait_for_the_breaker(&self) -> Result<(), CompareError> {
        while !self.breaker.read().await?.state.lets_pass() {
            self.sleep(BREAKER_LOOK).await?;
        }
        Ok(())
    }

    async fn sleep(&self, time: Duration) -> Result<(), CompareError> {
        if self.scheduler.shutdown.sleep(time).await { Ok(()) } else { Err(CompareError::Stopping) }
    }
}

/// Whether it may go otherwise later, and how long Toss asks us to wait.
fn may_pass(error: &CallError) -> Option<Duration> {
    match error {
        CallError::NoAnswer { .. } => Some(Duration::ZERO),
        CallError::Refused(refusal) => {
            refusal.is_toss_ailing().then(|| Duration::from_millis(refusal.retry_after_ms.unwrap_or(0)))
        }
    }
}
