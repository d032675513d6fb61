//! The refund worker: holds points that a user wants back as money, allocates them once approved, and pays the legs that
//! go back through Toss.
//!
//! ```text
//!  RequestRefund ──► one transaction: points held, refund requested
//!  ApproveRefund ──► one transaction: allocated to the user's charges; a CancelCharge for each leg in the outbox
//!  RejectRefund ───► one transaction: points returned, refund rejected
//!  CancelCharge ───► tx 1: leg executing ─► call Toss, holding nothing ─► tx 2: leg paid, ledger; the last one: refund paid
//!                                                                     └► refused for good: leg moved, new payout leg
//!  ConfirmPayout ──► one transaction: payout leg paid, ledger  ─┬─ the last one: refund paid, or partly, or returned
//!  FailPayout ─────► one transaction: leg and points returned ──┘
//! ```
//! Promises: no transaction and no connection is held across a call; a leg's money leaves the ledger once, in the
//! transaction that ends its command. While Toss is away, requests and approvals go on.
//! Doesn't: transfer money. Payout legs go to the payout port, and stay `planned` until it is told what became of them.

mod approve;
mod call;
mod leg;
mod once;
mod payout;
mod reject;
mod request;
mod rows;
mod transfer;

use crate::laddered::{CarryOut, Crew, ENTRY_LIMIT, Ending, Fault, Foundation, Gate};
use call::Answer;
pub(crate) use call::seen_cancel;
use contracts::{Command, Envelope, RefundId, topology::Role};
use domain::{
    payment::idempotency_key,
    refund::leg::{self as rules, Sent, Step},
};
use leg::{Begun, Stored};
use payout::Manual;
use platform::halt;
use sqlx::MySqlPool;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use toss::{CallError, Payment, client::InvalidOptions};

/// Calls that one delivery makes at most: a look-up, a cancel, and a look-up after it.
const MAX_CALLS: usize = 3;
/// A cancel is sent so soon after its leg was read, or not at all: a worker that stood still in between (stopped, or
/// starved) must not act on what was true then.
const SEND_WITHIN: Duration = Duration::from_secs(2);

/// The refund worker of a process.
pub struct RefundWorker(Arc<Crew<Refunding>>);

impl RefundWorker {
    /// Makes the worker.
    ///
    /// # Errors
    /// When no client for Toss can be made of the configuration.
    pub fn new(foundation: Foundation) -> Result<Self, InvalidOptions> {
        let toss = foundation.toss()?;
        let gate = Arc::new(Gate::new(&foundation, toss.clone(), Role::Refund.as_str()));
        let limits = &foundation.config.toss;
        let call_limit_ms = limits.connect_timeout_ms.saturating_add(limits.read_timeout_ms);
        let handler = Refunding {
            toss,
            store: Store::new(&foundation),
            gate: gate.clone(),
            clock: foundation.clock.clone(),
            sender_limit: SEND_WITHIN + ENTRY_LIMIT + Duration::from_millis(call_limit_ms),
        };
        Ok(Self(Crew::new(foundation, gate, handler)))
    }

    /// Runs until shutdown.
    pub async fn run(self) {
        self.0.run().await;
    }
}

/// The refund worker's SQL. Every function is one transaction and holds its connection no longer; locks are taken in one
/// order: command, refund, legs, payments, balance.
struct Store {
    pool: MySqlPool,
    limit: Duration,
    payouts: Manual,
}

impl Store {
    fn new(foundation: &Foundation) -> Self {
        let limit = Duration::from_millis(foundation.config.database.statement_timeout_ms);
        Self { pool: foundation.database.clone(), limit, payouts: Manual }
    }
}

/// Carries the commands of refunds out.
struct Refunding {
    toss: toss::Client,
    store: Store,
    gate: Arc<Gate>,
    clock: platform::Clock,
    /// Whoever has begun a leg has sent its cancel, and heard of it, within this time; or never will.
    sender_limit: Duration,
}

impl CarryOut for Refunding {
    const ROLE: Role = Role::Refund;
    const STOPS_WITH_TOSS: bool = false;

    async fn carry_out(&self, envelope: &Envelope) -> Result<Ending, Fault> {
        match &envelope.command {
            Command::RequestRefund { .. }
            | Command::ApproveRefund { .. }
            | Command::RejectRefund { .. }
            | Command::ConfirmPayout { .. }
            | Command::FailPayout { .. } => self.store.at_once(envelope, self.clock.now()).await,
            Command::CancelCharge { refund, leg } => self.cancel_charge(envelope, *refund, *leg).await,
            other => Err(Fault::Defect(format!("a {} is no refund", other.kind()))),
        }
    }
}

impl Refunding {
    async fn cancel_charge(&self, envelope: &Envelope, refund: RefundId, leg_no: u32) -> Result<Ending, Fault> {
        let started = Instant::now();
        let begun = self.store.begin_leg(envelope, refund, leg_no, self.sender_limit, self.clock.now()).await?;
        match begun {
            Begun::Ended(outcome) => Ok(Ending::Ended(outcome)),
            Begun::Superseded => Ok(Ending::Superseded),
            Begun::Executing(stored) => self.pay_leg(envelope, stored, started).await,
        }
    }

    /// Asks the rules what to do, does it, and asks again, until this delivery is done.
    async fn pay_leg(&self, envelope: &Envelope, mut stored: Stored, mut read_at: Instant) -> Result<Ending, Fault> {
        let mut answer = Answer::None;
        let mut sent = Sent::NotYet;
        for _ in 0..=MAX_CALLS {
            let now = self.clock.now();
            match rules::next(&stored.leg(sent), &answer.observation(), now) {
                Step::Cancel { attempt } => {
                    if attempt != stored.attempt {
                        read_at = Instant::now();
                        if !self.store.take_key(&stored, attempt, now).await? {
                            return Ok(Ending::Later { error: "another delivery is at the same leg".to_owned() });
                        }
                        stored.attempt = attempt;
                    }
                    stored.is_key_spent = false;
                    let key = idempotency_key(envelope.id, attempt);
                    match halt::around("refund.cancel", self.cancel(&stored, &key, read_at)).await {
                        Ok(result) => answer = Answer::Cancel(result),
                        Err(ending) => return Ok(ending),
                    }
                    sent = if answer.is_final_refusal() { Sent::AndRefused } else { Sent::Once };
                    if let Some(code) = answer.spent_the_key() {
                        stored.is_key_spent = true;
                        self.store.note_refusal(&stored, code).await?;
                    }
                }
                Step::LookUp => {
                    let call = self.gate.call("payment", self.toss.payment(&stored.payment_key));
                    let Ok(result) = halt::around("refund.look_up", call).await else { return Ok(shut()) };
                    answer.then_looked_up(result);
                }
                Step::Paid => {
                    return Ok(Ending::Ended(self.store.pay_leg(envelope, &stored, now).await?));
                }
                Step::Move => {
                    let outcome = self.store.move_leg(envelope, &stored, answer.final_code(), now).await?;
                    return Ok(Ending::Ended(outcome));
                }
                Step::Wait => return Ok(Ending::Again { error: answer.describe(), window: None }),
                Step::Hold => return Ok(Ending::Later { error: answer.describe() }),
                Step::Suspend { why } => return Ok(Ending::Person { error: why }),
                Step::Finished => return Ok(Ending::Later { error: "it ended meanwhile".to_owned() }),
            }
        }
        Err(Fault::Defect(format!("a refund leg asked for more than {MAX_CALLS} calls in one delivery")))
    }

    /// Sends the cancel, unless what it rests on may be true no more; then, how the delivery ends.
    async fn cancel(&self, stored: &Stored, key: &str, read_at: Instant) -> Result<Result<Payment, CallError>, Ending> {
        if read_at.elapsed() > SEND_WITHIN {
            return Err(Ending::Later { error: "this worker stood still; what it read is old".to_owned() });
        }
        let call = self.toss.cancel(&stored.payment_key, &stored.reason, stored.amount, key);
        self.gate.call("cancel", call).await.map_err(|_| shut())
    }
}

fn shut() -> Ending {
    Ending::Later { error: "the circuit breaker is open".to_owned() }
}
