//! What a call to Toss brought, in the words of the rules.

use crate::payment::of_class;
use domain::{
    payment::Refusal,
    refund::leg::{Observation, Progress, SeenCancel, Sighting},
};
use toss::{CallError, Cancel, Payment, classify_cancel};

/// The last call of a delivery, and what came of it.
pub(super) enum Answer {
    /// No call yet.
    None,
    Cancel(Result<Payment, CallError>),
    LookUp {
        result: Result<Payment, CallError>,
        /// The code of the cancel before it, where Toss refused that for good.
        refused_with: Option<String>,
    },
}

impl Answer {
    /// The look-up that followed, which takes this answer's place.
    pub(super) fn then_looked_up(&mut self, result: Result<Payment, CallError>) {
        let refused_with = self.is_final_refusal().then(|| self.final_code().to_owned());
        *self = Answer::LookUp { result, refused_with };
    }

    /// For the rules.
    pub(super) fn observation(&self) -> Observation<'_> {
        match self {
            Answer::None => Observation::Nothing,
            Answer::Cancel(Ok(payment)) | Answer::LookUp { result: Ok(payment), .. } => {
                Observation::Seen(sighting(payment))
            }
            Answer::Cancel(Err(CallError::NoAnswer { .. })) => Observation::Unanswered,
            Answer::Cancel(Err(CallError::Refused(refusal))) if refusal.is_still_processing() => {
                Observation::Unanswered
            }
            Answer::Cancel(Err(CallError::Refused(refusal))) => {
                Observation::Refused { refusal: of_class(classify_cancel(&refusal.code)), code: &refusal.code }
            }
            Answer::LookUp { result: Err(CallError::Refused(refusal)), .. } if refusal.is_our_configuration() => {
                Observation::LookUpForbidden
            }
            Answer::LookUp { result: Err(CallError::Refused(refusal)), .. } if refusal.is_not_found() => {
                Observation::NoSuchPayment
            }
            Answer::LookUp { result: Err(_), .. } => Observation::LookUpFailed,
        }
    }

    /// Whether Toss has refused the cancel for good.
    pub(super) fn is_final_refusal(&self) -> bool {
        matches!(self.observation(), Observation::Refused { refusal: Refusal::Final, .. })
    }

    /// The code with which Toss refused for good; empty when it did not.
    pub(super) fn final_code(&self) -> &str {
        match self {
            Answer::Cancel(Err(CallError::Refused(refusal))) => &refusal.code,
            Answer::LookUp { refused_with: Some(code), .. } => code,
            _ => "",
        }
    }

    /// The code by which the present key was answered, if it is of no more use now: what is bound to it is no end.
    pub(super) fn spent_the_key(&self) -> Option<&str> {
        match (self, self.observation()) {
            (_, Observation::Refused { refusal: Refusal::OurConfiguration, .. }) => None,
            // Toss, or a gateway before it, that does not work says nothing of what became of the call: it may still be
            // under way, under this key, which protects as long as it is the only one.
            (Answer::Cancel(Err(CallError::Refused(refusal))), _) if refusal.is_toss_ailing() => None,
            (Answer::Cancel(Err(CallError::Refused(refusal))), Observation::Refused { .. }) => Some(&refusal.code),
            // Asked again under its key, Toss would repeat that it is not through, whatever became of it.
            (Answer::Cancel(Ok(payment)), _) if payment.cancels.iter().any(is_under_way) => Some("IN_PROGRESS"),
            _ => None,
        }
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Answer::None => "Toss was not asked".to_owned(),
            Answer::Cancel(Ok(payment)) | Answer::LookUp { result: Ok(payment), .. } => {
                format!("the payment is {}, with {} left", payment.status, payment.balance_amount)
            }
            Answer::Cancel(Err(error)) => format!("cancel: {error}"),
            Answer::LookUp { result: Err(error), .. } => format!("look-up: {error}"),
        }
    }
}

fn is_under_way(cancel: &Cancel) -> bool {
    seen_cancel(cancel).progress == Progress::Pending
}

/// One of a payment's cancels, for the rules.
pub(crate) fn seen_cancel(cancel: &Cancel) -> SeenCancel<'_> {
    SeenCancel {
        reason: cancel.cancel_reason.as_deref(),
        amount: cancel.cancel_amount,
        progress: match cancel.cancel_status.as_deref() {
            None | Some("DONE") => Progress::Done,
            Some("ABORTED") => Progress::Aborted,
            Some(_) => Progress::Pending,
        },
    }
}

fn sighting(payment: &Payment) -> Sighting<'_> {
    let cancels = payment.cancels.iter().map(seen_cancel);
    Sighting { total_amount: payment.total_amount, balance_amount: payment.balance_amount, cancels: cancels.collect() }
}
