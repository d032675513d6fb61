//! The payment worker: confirms charges at Toss and credits the points.
//!
//! ```text
//!  ConfirmCharge ─► tx 1: command executing, payment confirming, key 1 ─► call Toss, holding nothing ─► tx 2: settle
//!                     │ known: the stored outcome                           │
//!                     │ no such payment, other amount: rejected             ├ verified DONE: credit, ledger, event; done
//!                     ▼                                                     ├ nothing was taken: rejected (8004)
//!                   ended                                                   └ else: the retry ladder, or a person
//! ```
//! Promises: no transaction and no connection is held across a call; points are credited once, in the transaction that
//! ends the command, and only for a DONE whose asked, amount and currency are the ones asked for.
//! Doesn't: decide. What to do next is `domain::payment`, when to try again `domain::retry`.

mod call;
mod store;

use crate::laddered::{CarryOut, Crew, Ending, Fault, Foundation, Gate};
use call::Answer;
pub(crate) use call::of_class;
use contracts::{Command, Envelope, UnixMs, topology::Role};
use domain::payment::{self, Step};
use std::sync::Arc;
use store::{Asked, Begun, Store, Stored};
use toss::client::InvalidOptions;

/// Calls that one delivery makes at most: a look-up, a confirm, and a look-up after it.
const MAX_CALLS: usize = 3;

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

/// Carries `ConfirmCharge` out.
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
            _ => envelope.accepted_at,
        }
    }

    async fn carry_out(&self, envelope: &Envelope) -> Result<Ending, Fault> {
        let Command::ConfirmCharge { order_id, payment_key, amount, confirm_by } = &envelope.command else {
            return Err(Fault::Defect(format!("a {} is no charge", envelope.command.kind())));
        };
        let asked = Asked { order_id, payment_key, amount: *amount, confirm_by: *confirm_by };
        match self.store.begin(envelope, &asked, self.clock.now()).await? {
            Begun::Ended(outcome) => Ok(Ending::Ended(outcome)),
            Begun::Superseded => Ok(Ending::Superseded),
            Begun::Person(at) => Ok(Ending::Person { error: at.to_owned() }),
            Begun::Confirming(stored) => self.confirm(envelope, &asked, stored).await,
        }
    }
}

impl Confirming {
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
                    platform::halt::point("payment.before_call").await;
                    let key = payment::idempotency_key(envelope.id, attempt);
                    let call = self.toss.confirm(asked.payment_key, asked.order_id, asked.amount, &key);
                    let Ok(result) = self.gate.call("confirm", call).await else { return Ok(shut()) };
                    platform::halt::point("payment.answered").await;
                    answer = Answer::Confirm(result);
                    if let Some(code) = answer.spent_the_key() {
                        stored.is_key_spent = true;
                        self.store.note_refusal(asked, attempt, code).await?;
                    }
                }
                Step::LookUp => {
                    let Ok(result) = self.gate.call("payment", self.toss.payment(asked.payment_key)).await else {
                        return Ok(shut());
                    };
                    answer = Answer::LookUp(result);
                }
                Step::Credit => return self.credit(envelope, asked, &answer).await,
                Step::Fail { code } => {
                    let outcome = self.store.fail(envelope, asked, &code, self.clock.now()).await?;
                    return Ok(Ending::Ended(outcome));
                }
                Step::Wait => {
                    let window = Some(payment::window(asked.confirm_by));
                    return Ok(Ending::Again { error: answer.describe(), window });
                }
                Step::Hold => return Ok(Ending::Later { error: answer.describe() }),
                Step::Suspend { why } => return Ok(Ending::Person { error: why }),
                Step::Finished => return Ok(Ending::Later { error: "it ended meanwhile".to_owned() }),
            }
        }
        Err(Fault::Defect(format!("a charge asked for more than {MAX_CALLS} calls in one delivery")))
    }

    async fn credit(&self, envelope: &Envelope, asked: &Asked<'_>, answer: &Answer) -> Result<Ending, Fault> {
        let Some(payment) = answer.payment() else {
            return Err(Fault::Defect("nothing that could be credited was seen".to_owned()));
        };
        let outcome = self.store.credit(envelope, asked, payment, self.clock.now()).await?;
        platform::halt::point("payment.committed").await;
        Ok(Ending::Ended(outcome))
    }
}

fn shut() -> Ending {
    Ending::Later { error: "the circuit breaker is open".to_owned() }
}
