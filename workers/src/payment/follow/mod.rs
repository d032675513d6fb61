//! `FollowPayment`: a charge is looked up, and our books are brought to what Toss says.
//!
//! ```text
//!  requested ─────────────────────► done, nothing to follow
//!  confirming, in its window ─────► the ladder: its own command is at it
//!  confirming, past its window ───► look up ─► ended in its own command's name, which nobody carries on any more
//!  awaiting_deposit, done, failed ► look up ─► what `domain::payment::follow` says, in one transaction
//!                                     ▲            │ another look-up was booked meanwhile
//!                                     └────────────┘
//! ```
//! Promises: look-ups are booked in the order in which they were made, so an older one never undoes a newer one. What a
//! person must look at becomes a row of `differences`, not a dead letter: whoever forges hints cannot make any.
//! Doesn't: trust whoever sent the command. It says which payment, and nothing else.

mod store;

use super::{Answer, Asked, Confirming};
use crate::laddered::{Ending, Fault};
use contracts::{Command, Envelope, UnixMs};
use domain::payment::{self, Charge, State, Step, follow::Difference};
use platform::halt;
pub(super) use store::take_back;
use store::{Booking, Standing, Stuck};
use toss::{CallError, Payment};

/// Look-ups of one delivery; each is made because another delivery has booked one meanwhile.
const MAX_LOOKS: usize = 3;

impl Confirming {
    pub(super) async fn follow(&self, envelope: &Envelope, order_id: &str) -> Result<Ending, Fault> {
        for _ in 0..MAX_LOOKS {
            let now = self.clock.now();
            let (payment_key, looks) = match self.store.begin_following(envelope, order_id, now).await? {
                Standing::Ended(outcome) => return Ok(Ending::Ended(outcome)),
                Standing::Superseded => return Ok(Ending::Superseded),
                Standing::BeingConfirmed { confirm_by } => {
                    let error = "its confirm has not ended".to_owned();
                    return Ok(Ending::Again { error, window: Some(payment::window(confirm_by)) });
                }
                Standing::Stuck(stuck) => return self.unstick(envelope, &stuck).await,
                Standing::Settled { payment_key, looks } => (payment_key, looks),
            };
            let look_up = self.gate.call("payment", self.toss.payment(&payment_key));
            let Ok(result) = halt::around("payment.follow_up", look_up).await else {
                return Ok(super::shut());
            };
            let payment = match shown(result) {
                Ok(payment) => payment,
                Err(ending) => return Ok(ending),
            };
            let now = self.clock.now();
            match self.store.book(envelope, order_id, looks, payment.as_ref(), now).await? {
                Booking::Ended(outcome) => return Ok(Ending::Ended(outcome)),
                Booking::Outrun => {}
            }
        }
        Ok(Ending::Later { error: "others look at the same payment".to_owned() })
    }

    /// A charge whose own command lies in a dead-letter queue, or nowhere: ends it by what a look-up shows.
    async fn unstick(&self, envelope: &Envelope, stuck: &Stuck) -> Result<Ending, Fault> {
        let Command::ConfirmCharge { order_id, payment_key, amount, confirm_by } = &stuck.command.command else {
            return Err(Fault::Defect("a stuck charge is a ConfirmCharge".to_owned()));
        };
        let asked = Asked { order_id, payment_key, amount: *amount, confirm_by: *confirm_by };
        let look_up = self.gate.call("payment", self.toss.payment(payment_key));
        let Ok(result) = halt::around("payment.unstick", look_up).await else {
            return Ok(super::shut());
        };
        let answer = Answer::LookUp(result);
        let step = payment::next(&stuck.charge(&asked), answer.observation(), self.clock.now());
        match step {
            Step::Credit | Step::Await | Step::Fail { .. } => {
                self.settle(&stuck.command, &asked, step, &answer, *confirm_by).await?;
                metrics::counter!("gream_charges_unstuck_total").increment(1);
                self.end(envelope, order_id, None).await
            }
            Step::Suspend { why } => self.end(envelope, order_id, Some((Difference::OtherTerms, &why))).await,
            Step::Hold => Ok(Ending::Later { error: answer.describe() }),
            _ => Ok(Ending::Again { error: answer.describe(), window: None }),
        }
    }

    async fn end(
        &self,
        envelope: &Envelope,
        order_id: &str,
        differs: Option<(Difference, &str)>,
    ) -> Result<Ending, Fault> {
        Ok(Ending::Ended(self.store.end_following(envelope, order_id, differs, self.clock.now()).await?))
    }
}

impl Stuck {
    fn charge<'a>(&self, asked: &Asked<'a>) -> Charge<'a> {
        Charge {
            state: State::Confirming,
            attempt: self.attempt,
            is_key_spent: true,
            confirm_sent: false,
            order_id: asked.order_id,
            amount: asked.amount,
            confirm_by: asked.confirm_by,
        }
    }
}

/// The payment, or `None` where Toss knows none; otherwise how the delivery ends.
fn shown(result: Result<Payment, CallError>) -> Result<Option<Payment>, Ending> {
    match result {
        Ok(payment) => Ok(Some(payment)),
        Err(CallError::Refused(refusal)) if refusal.is_not_found() => Ok(None),
        Err(CallError::Refused(refusal)) if refusal.is_our_configuration() => {
            Err(Ending::Later { error: format!("look-up: {refusal}") })
        }
        Err(error) => Err(Ending::Again { error: format!("look-up: {error}"), window: None }),
    }
}

/// When a stuck charge's own command was accepted is not known any more; nothing depends on it.
const ACCEPTED_ONCE: UnixMs = UnixMs(0);
