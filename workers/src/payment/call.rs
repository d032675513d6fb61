//! What a call to Toss brought, in the words of the rules.

use crate::refund::seen_cancel;
use domain::payment::{Observation, Refusal, Sighting, Status, follow::Seen};
use toss::{CallError, Class, Payment, PaymentStatus, classify_confirm};

/// The last call of a delivery, and what came of it.
pub(super) enum Answer {
    /// No call yet.
    None,
    Confirm(Result<Payment, CallError>),
    LookUp(Result<Payment, CallError>),
}

impl Answer {
    /// For the rules.
    pub(super) fn observation(&self) -> Observation<'_> {
        match self {
            Answer::None => Observation::Nothing,
            Answer::Confirm(Ok(payment)) | Answer::LookUp(Ok(payment)) => Observation::Seen(sighting(payment)),
            Answer::Confirm(Err(CallError::NoAnswer { .. })) => Observation::Unanswered,
            Answer::Confirm(Err(CallError::Refused(refusal))) if refusal.is_still_processing() => {
                Observation::Unanswered
            }
            Answer::Confirm(Err(CallError::Refused(refusal))) => {
                Observation::Refused { refusal: of_class(classify_confirm(&refusal.code)), code: &refusal.code }
            }
            Answer::LookUp(Err(CallError::Refused(refusal))) if refusal.is_not_found() => Observation::NotFound,
            Answer::LookUp(Err(CallError::Refused(refusal))) if refusal.is_our_configuration() => {
                Observation::LookUpForbidden
            }
            Answer::LookUp(Err(_)) => Observation::LookUpFailed,
        }
    }

    /// The code by which the present key was answered, if it is of no more use now.
    pub(super) fn spent_the_key(&self) -> Option<&str> {
        match (self, self.observation()) {
            (_, Observation::Refused { refusal: Refusal::OurConfiguration, .. }) => None,
            (Answer::Confirm(Err(CallError::Refused(refusal))), Observation::Refused { .. }) => Some(&refusal.code),
            _ => None,
        }
    }

    /// The payment, if one was seen.
    pub(super) fn payment(&self) -> Option<&Payment> {
        match self {
            Answer::Confirm(Ok(payment)) | Answer::LookUp(Ok(payment)) => Some(payment),
            _ => None,
        }
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Answer::None => "Toss was not asked".to_owned(),
            Answer::Confirm(Ok(payment)) => format!("confirmed, but the payment is {}", payment.status),
            Answer::LookUp(Ok(payment)) => format!("looked up: the payment is {}", payment.status),
            Answer::Confirm(Err(error)) => format!("confirm: {error}"),
            Answer::LookUp(Err(error)) => format!("look-up: {error}"),
        }
    }
}

/// The client's word for a refusal in the rules' words.
pub(crate) fn of_class(class: Class) -> Refusal {
    match class {
        Class::Unknown => Refusal::Unknown,
        Class::Final => Refusal::Final,
        Class::Later => Refusal::Later,
        Class::OurConfiguration => Refusal::OurConfiguration,
    }
}

fn sighting(payment: &Payment) -> Sighting<'_> {
    Sighting {
        status: status(&payment.status),
        order_id: &payment.order_id,
        total_amount: payment.total_amount,
        balance_amount: payment.balance_amount,
        currency: &payment.currency,
        failure_code: payment.failure.as_ref().map(|failure| failure.code.as_str()),
    }
}

/// A look-up of a charge whose confirm has ended, for the rules.
pub(crate) fn seen(payment: &Payment) -> Seen<'_> {
    Seen {
        status: status(&payment.status),
        order_id: &payment.order_id,
        total_amount: payment.total_amount,
        balance_amount: payment.balance_amount,
        currency: &payment.currency,
        failure_code: payment.failure.as_ref().map(|failure| failure.code.as_str()),
        deposit_due: payment.deposit_due,
        cancels: payment.cancels.iter().map(seen_cancel).collect(),
    }
}

/// Toss's word in the rules' words.
pub(crate) fn status(status: &PaymentStatus) -> Status {
    match status {
        PaymentStatus::Done => Status::Done,
        PaymentStatus::InProgress => Status::InProgress,
        PaymentStatus::Ready => Status::Ready,
        PaymentStatus::WaitingForDeposit => Status::AwaitingDeposit,
        PaymentStatus::Other(_) => Status::Pending,
        PaymentStatus::Aborted => Status::Aborted,
        PaymentStatus::Expired => Status::Expired,
        PaymentStatus::Canceled => Status::Canceled,
        PaymentStatus::PartialCanceled => Status::PartialCanceled,
    }
}
