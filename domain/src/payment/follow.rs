//! What a look-up of a charge means for our books, once its confirm has ended: deposits that came, money that Toss took
//! back, and what nobody can explain.
//!
//! ```text
//!              at Toss  │ WAITING_FOR_DEPOSIT   DONE                CANCELED, PARTIAL_CANCELED   EXPIRED, ABORTED
//!  our books            │
//!  awaiting_deposit     │ – (overdue: fail)     credit              credit, then as done ¹       fail
//!  done                 │ reverse all of it     reverse what others than us gave back            a person ² ³
//!  failed               │ –                     a person ²          a person ² (if any is left)  –
//! ```
//! ¹ given back whole before it was credited: fail. ² [`Verdict::Differs`]: noted for a person, nothing is booked.
//! ³ of a virtual account, EXPIRED means that its deposit was taken back and did not come again: reverse all of it, and fail.
//!
//! Promises: repeating a look-up that shows the same changes nothing more; what is credited less what is reversed is
//! what Toss holds for the charge less our own refunds, or a difference is told; money moves only where order, amount
//! and currency are the ones asked for.
//! Doesn't: know which of two look-ups is the newer one. Whoever applies verdicts does so in the order of the look-ups.

use super::{CURRENCY, State, Status};
use crate::{
    refund::{
        is_cancel_reason,
        leg::{Progress, SeenCancel},
    },
    word::words,
};
use contracts::{UnixMs, Won};

/// How long after its due date a virtual account is given up that Toss still says to be waiting.
pub const DEPOSIT_MARGIN_MS: i64 = 24 * 3_600_000;

words! {
    /// How our books and Toss differ.
    Difference, "difference", {
        /// Toss took money that nobody was credited.
        NotCredited = "not_credited",
        /// Credited, but Toss took nothing, or knows nothing of it.
        NotTaken = "not_taken",
        /// Another order, amount or currency.
        OtherTerms = "other_terms",
        /// What was given back cannot be explained.
        GivenBack = "given_back",
        /// Toss took money for an order that we do not have.
        UnknownOrder = "unknown_order",
        /// Toss's list of a day says another amount than was asked for, whatever it says of the payment by itself.
        OtherListed = "other_listed",
    }
}

/// What a look-up of a charge can tell, and so can show to be over.
pub const TOLD_BY_LOOK_UP: [Difference; 4] =
    [Difference::NotCredited, Difference::NotTaken, Difference::OtherTerms, Difference::GivenBack];

/// A charge, by our books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked<'a> {
    /// Where it stands.
    pub state: State,
    /// Which order.
    pub order_id: &'a str,
    /// What was asked for, and credited where it is done.
    pub amount: Won,
    /// What our refunds gave back of it.
    pub refunded: Won,
    /// What was taken from the user again because others than us gave it back.
    pub reversed: Won,
}

/// The charge's payment, as a look-up shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Toss's word.
    pub status: Status,
    /// Whose it is.
    pub order_id: &'a str,
    /// What was paid, or is to be.
    pub total_amount: Won,
    /// What of it was not given back.
    pub balance_amount: Won,
    /// In what.
    pub currency: &'a str,
    /// Why it was aborted.
    pub failure_code: Option<&'a str>,
    /// Until when somebody may pay into the virtual account.
    pub deposit_due: Option<UnixMs>,
    /// Every cancel.
    pub cancels: Vec<SeenCancel<'a>>,
}

/// What is to be booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Our books are right.
    Nothing,
    /// The deposit came: credit the amount. The charge is done.
    Credit,
    /// Toss took so much back.
    Reverse {
        /// How much.
        amount: Won,
        /// Where the charge stands afterwards: `awaiting_deposit` with nothing reversed, or still `done`.
        then: State,
    },
    /// No deposit came, and none will: close the charge.
    Fail {
        /// Toss's code, or word.
        code: String,
    },
    /// A person must look.
    Differs {
        /// At what kind of difference.
        kind: Difference,
        /// In words.
        why: String,
    },
}

/// What `seen` means for `booked`; `None`: Toss knows no such payment. Asked again after its verdict was booked, the
/// answer is another one, and at last [`Verdict::Nothing`] or a difference.
pub fn follow(booked: &Booked<'_>, seen: Option<&Seen<'_>>, now: UnixMs) -> Verdict {
    let Some(seen) = seen else { return unknown_at_toss(booked) };
    match booked.state {
        State::Failed if holds_money(seen) => {
            let why =
                format!("the charge failed here, but Toss says {:?} and holds {}", seen.status, seen.balance_amount);
            Verdict::Differs { kind: Difference::NotCredited, why }
        }
        // Of a charge that has not ended, its own command is at it.
        State::Requested | State::Confirming | State::Failed => Verdict::Nothing,
        State::AwaitingDeposit | State::Done => other_terms(booked, seen).unwrap_or_else(|| settle(booked, seen, now)),
    }
}

/// What Toss gave back for our refunds and our books do not have, where [`follow`] finds [`Verdict::Nothing`]: a leg is
/// about to book it, or its command is lost.
pub fn unbooked(booked: &Booked<'_>, seen: &Seen<'_>) -> Won {
    if booked.state != State::Done {
        return Won::ZERO;
    }
    let missing = seen.total_amount.0.saturating_sub(seen.balance_amount.0);
    Won(missing.saturating_sub(booked.refunded.0).saturating_sub(booked.reversed.0))
}

/// The differences that are over, where [`follow`] finds [`Verdict::Nothing`].
pub fn over(booked: &Booked<'_>, seen: Option<&Seen<'_>>) -> &'static [Difference] {
    const ALL: &[Difference] = &TOLD_BY_LOOK_UP;
    const ALL_BUT_GIVEN_BACK: &[Difference] = &[Difference::NotCredited, Difference::NotTaken, Difference::OtherTerms];
    let is_even = seen.is_none_or(|seen| unbooked(booked, seen) == Won::ZERO);
    if is_even { ALL } else { ALL_BUT_GIVEN_BACK }
}

fn unknown_at_toss(booked: &Booked<'_>) -> Verdict {
    match booked.state {
        State::Done | State::AwaitingDeposit => not_taken(booked, "Toss knows no such payment"),
        State::Requested | State::Confirming | State::Failed => Verdict::Nothing,
    }
}

fn not_taken(booked: &Booked<'_>, what: &str) -> Verdict {
    Verdict::Differs { kind: Difference::NotTaken, why: format!("the charge is {} here, but {what}", booked.state) }
}

fn holds_money(seen: &Seen<'_>) -> bool {
    matches!(seen.status, Status::Done | Status::PartialCanceled | Status::Canceled) && seen.balance_amount > Won::ZERO
}

fn other_terms(booked: &Booked<'_>, seen: &Seen<'_>) -> Option<Verdict> {
    let found = (seen.order_id, seen.total_amount, seen.currency);
    let asked = (booked.order_id, booked.amount, CURRENCY);
    (found != asked).then(|| {
        let why = format!(
            "Toss has {} {} for order {}, but {} {} was asked for order {}",
            found.1, found.2, found.0, asked.1, asked.2, asked.0
        );
        Verdict::Differs { kind: Difference::OtherTerms, why }
    })
}

fn settle(booked: &Booked<'_>, seen: &Seen<'_>, now: UnixMs) -> Verdict {
    let is_done = booked.state == State::Done;
    match seen.status {
        Status::AwaitingDeposit | Status::Expired if is_done && is_of_virtual_account(seen) => fall_back(booked),
        Status::AwaitingDeposit if is_overdue(seen, now) => Verdict::Fail { code: "DEPOSIT_OVERDUE".to_owned() },
        Status::Canceled if !is_done => Verdict::Fail { code: "CANCELED".to_owned() },
        Status::Done | Status::PartialCanceled if !is_done => Verdict::Credit,
        Status::Done | Status::PartialCanceled | Status::Canceled => compare(booked, seen),
        Status::Aborted | Status::Expired if !is_done => {
            let word = if seen.status == Status::Aborted { "ABORTED" } else { "EXPIRED" };
            Verdict::Fail { code: seen.failure_code.unwrap_or(word).to_owned() }
        }
        Status::Aborted | Status::Expired => not_taken(booked, "Toss says that the payment is lost"),
        Status::Pending | Status::Ready | Status::InProgress if is_done => {
            not_taken(booked, "Toss says that nothing was paid")
        }
        Status::AwaitingDeposit | Status::Pending | Status::Ready | Status::InProgress => Verdict::Nothing,
    }
}

/// Of such a one, EXPIRED means that it fell back and was not looked up before its due date.
fn is_of_virtual_account(seen: &Seen<'_>) -> bool {
    seen.status == Status::AwaitingDeposit || seen.deposit_due.is_some()
}

fn is_overdue(seen: &Seen<'_>, now: UnixMs) -> bool {
    seen.deposit_due.is_some_and(|due| now >= due.plus_ms(DEPOSIT_MARGIN_MS))
}

/// The deposit was an error. All that is credited still goes; should it come again, it is credited again.
fn fall_back(booked: &Booked<'_>) -> Verdict {
    if booked.refunded != Won::ZERO {
        let why = format!("Toss took the deposit back, of which {} were refunded before", booked.refunded);
        return Verdict::Differs { kind: Difference::GivenBack, why };
    }
    let amount = Won(booked.amount.0.saturating_sub(booked.reversed.0));
    Verdict::Reverse { amount, then: State::AwaitingDeposit }
}

/// A credited charge against the cancels of its payment.
fn compare(booked: &Booked<'_>, seen: &Seen<'_>) -> Verdict {
    let differs = |why| Verdict::Differs { kind: Difference::GivenBack, why };
    let (ours, others) = match given_back(seen) {
        Ok(parts) => parts,
        Err(why) => return differs(why),
    };
    if ours < booked.refunded {
        return differs(format!("{} were refunded by our books, but Toss gave back {ours} for them", booked.refunded));
    }
    match others.0 - booked.reversed.0 {
        0 => Verdict::Nothing,
        more @ 1.. => Verdict::Reverse { amount: Won(more), then: State::Done },
        _ => differs(format!("{} were taken back by our books, but others cancelled only {others}", booked.reversed)),
    }
}

/// What our legs gave back and what others did, where the cancels explain every won that is missing.
fn given_back(seen: &Seen<'_>) -> Result<(Won, Won), String> {
    let of = |progress| seen.cancels.iter().filter(move |cancel| cancel.progress == progress);
    let sum = |progress| of(progress).map(|cancel| cancel.amount).sum::<Won>();
    let (through, on_their_way) = (sum(Progress::Done), sum(Progress::Pending));
    let missing = Won(seen.total_amount.0.saturating_sub(seen.balance_amount.0));
    // Whether a cancel that is on its way has left the balance already is not said anywhere.
    let explained = missing == through || missing.0 == through.0.saturating_add(on_their_way.0);
    if !explained || of(Progress::Done).any(|cancel| cancel.reason.is_none()) {
        return Err(format!("{missing} of this payment was given back, of which its cancels explain {through}"));
    }
    let is_ours = |cancel: &&SeenCancel<'_>| cancel.reason.is_some_and(is_cancel_reason);
    let ours: Won = of(Progress::Done).filter(is_ours).map(|cancel| cancel.amount).sum();
    Ok((ours, Won(through.0.saturating_sub(ours.0))))
}

#[cfg(test)]
mod tests;
