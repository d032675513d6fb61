//! The payment worker: confirms charges at Toss and credits the points, follows what becomes of them, collects debts.
//!
//! ```text
//!  ConfirmCharge ─► tx 1: command executing, payment confirming, key 1 ─► call Toss, holding nothing ─► tx 2: settle
//!                     │ known: the stored outcome                           │
//!                     │ no such payment, other amount: rejected             ├ verified DONE: credit, ledger, event; done
//!                     ▼                                                     ├ nothing was taken: rejected (8004)
//!                   ended                                                   ├ a deposit is awaited: credited later
//!                                                                           └ else: the retry ladder, or a person
//!  FollowPayment ─► tx 1: where it stands ─► look up, holding nothing ─► tx 2: book what `payment::follow` says
//!  CollectDebt ───► one transaction: what the user has goes to what they owe
//! ```
//! Promises: no transaction and no connection is held across a call; points are credited once, in the transaction that
//! ends the command, and only for a payment whose order, amount and currency are the ones asked for.
//! Doesn't: decide. What to do next is `domain::payment`, when to try again `domain::retry`.

mod call;
mod debt;
mod follow;
mod settle;
mod store;

use crate::laddered::{CarryOut, Crew, Ending, Fault, Foundation, Gate};
use call::Answer;
pub(crate) use call::{of_class, seen, status};
use contracts::{Command, Envelope, UnixMs, topology::Role};
use domain::payment::{self, Step};
use platform::halt;
use std::sync::Arc;
use store::{Asked, Begun, Store, Stored};
use toss::client::InvalidOptions;

/// Calls that one delivery makes at most: a look-up, a confirm, and a look-up after it.
const MAX_CALLS: usize = 3;
/// So much later than a confirm that came with it a charge is followed, and a debt collected, when many commands wait.
/// Nothing is lost by it: Toss's clock runs for confirms alone.
const CONFIRMS_GO_BEFORE_MS: i64 = 24 * 3_600_000;

/// The payment worker of a process.
pub struct PaymentWorker(Arc<Crew<Confirming>>);

impl PaymentWorker {
    /// Makes the worker.
    ///
    /// # Errors
    /// When no client for Toss can be made of the configuration.
    pub fn new(foundation: Foundation) -> Result<Self, InvalidOptions> {
        let toss = foundation.toss()?;
        let gate = Arc::new(Gate::new(&foundation, toss.clone(), Role::Payment.as_str()));
        let handler =
            Confirming { toss, store: Store::new(&foundation), gate: gate.clone(), clock: foundation.clock.clone() };
        Ok(Self(Crew::new(foundation, gate, handler)))
    }

    /// Runs until shutdown.
    pub async fn run(self) {
        self.0.run().await;
    }
}

/// Carries the commands of charges out.
struct Confirming {
    toss: toss::Client,
    store: Store,
    gate: Arc<Gate>,
    clock: platform::Clock,
}

impl CarryOut for Confirming {
    const ROLE: Role = Role::Payment;
    const STOPS_WITH_TOSS: bool = true;

    fn deadline(envelope: &Envelope) -> UnixMs {
        match &envelope.command {
            Command::ConfirmCharge { confirm_by, .. } => *confirm_by,
            _ => envelope.accepted_at.plus_ms(CONFIRMS_GO_BEFORE_MS),
        }
    }

    async fn carry_out(&self, envelope: &Envelope) -> Result<Ending, Fault> {
        match &envelope.command {
            Command::ConfirmCharge { order_id, payment_key, amount, confirm_by } => {
                let asked = Asked { order_id, payment_key, amount: *amount, confirm_by: *confirm_by };
                self.charge(envelope, &asked).await
            }
            Command::FollowPayment { order_id } => self.follow(envelope, order_id).await,
            Command::CollectDebt { debtor } => self.store.collect(envelope, *debtor, self.clock.now()).await,
            other => Err(Fault::Defect(format!("a {} is no charge", other.kind()))),
        }
    }
}

impl Confirming {
    async fn charge(&self, envelope: &Envelope, asked: &Asked<'_>) -> Result<Ending, Fault> {
        match self.store.begin(envelope, asked, self.clock.now()).await? {
            Begun::Ended(outcome) => Ok(Ending::Ended(outcome)),
            Begun::Superseded => Ok(Ending::Superseded),
            Begun::Person(at) => Ok(Ending::Person { error: at.to_owned() }),
            Begun::Confirming(stored) => self.confirm(envelope, asked, stored).await,
        }
    }

    /// Asks the rules what to do, does it, and asks again, until this delivery is done.
    async fn confirm(&self, envelope: &Envelope, asked: &Asked<'_>, mut stored: Stored) -> Result<Ending, Fault> {
        let mut answer = Answer::None;
        let mut confirm_sent = false;
        for _ in 0..=MAX_CALLS {
            let charge = stored.charge(asked, confirm_sent);
            match payment::next(&charge, answer.observation(), self.clock.now()) {
                Step::Confirm { attempt } => {
                    if attempt != stored.attempt && !self.store.take_key(asked, stored.attempt, attempt).await? {
                        return Ok(Ending::Later { error: "another delivery is at the same charge".to_owned() });
                    }
                    (stored.attempt, stored.is_key_spent, confirm_sent) = (attempt, false, true);
                    let key = payment::idempotency_key(envelope.id, attempt);
                    let call = self.toss.confirm(asked.payment_key, asked.order_id, asked.amount, &key);
                    let call = self.gate.call("confirm", call);
                    let Ok(result) = halt::around("payment.confirm", call).await else { return Ok(shut()) };
                    answer = Answer::Confirm(result);
                    if let Some(code) = answer.spent_the_key() {
                        stored.is_key_spent = true;
                        self.store.note_refusal(asked, attempt, code).await?;
                    }
                }
                Step::LookUp => {
                    let call = self.gate.call("payment", self.toss.payment(asked.payment_key));
                    let Ok(result) = halt::around("payment.look_up", call).await else { return Ok(shut()) };
                    answer = Answer::LookUp(result);
                }
                step => return self.settle(envelope, asked, step, &answer, stored.confirm_by).await,
            }
        }
        Err(Fault::Defect(format!("a charge asked for more than {MAX_CALLS} calls in one delivery")))
    }

    /// Does a step that ends this delivery.
    async fn settle(
        &self,
        envelope: &Envelope,
        asked: &Asked<'_>,
        step: Step,
        answer: &Answer,
        confirm_by: UnixMs,
    ) -> Result<Ending, Fault> {
        let now = self.clock.now();
        Ok(match (step, answer.payment()) {
            (Step::Credit, Some(payment)) => Ending::Ended(self.store.credit(envelope, asked, payment, now).await?),
            (Step::Await, Some(payment)) => {
                Ending::Ended(self.store.await_deposit(envelope, asked, payment, now).await?)
            }
            (Step::Fail { code }, _) => Ending::Ended(self.store.fail(envelope, asked, &code, now).await?),
            (Step::Wait, _) => Ending::Again { error: answer.describe(), window: Some(payment::window(confirm_by)) },
            (Step::Hold, _) => Ending::Later { error: answer.describe() },
            (Step::Suspend { why }, _) => Ending::Person { error: why },
            (Step::Finished, _) => Ending::Later { error: "it ended meanwhile".to_owned() },
            (step, _) => return Err(Fault::Defect(format!("{step:?} ends no delivery"))),
        })
    }
}

fn shut() -> Ending {
    Ending::Later { error: "the circuit breaker is open".to_owned() }
}
