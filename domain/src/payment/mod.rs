//! A charge's way from the request to the credit, or to its failure; and back, where Toss takes the money back.
//!
//! ```text
//!               ┌────────────────────────────────────────────► failed   (nothing was taken, for sure)
//!               │                ▲                  ▲
//!  requested ───┴─► confirming ──┤                  │ no deposit came, and none will
//!                     │  │       └─► awaiting_deposit ◄────┐
//!                     │  │                 │ deposited     │ the deposit was an error: all of it taken back
//!                     │  └───────────────► ▼               │
//!                     │                  done ─────────────┘  ─► cancelled by others than us: so much is taken back
//!                     └──► confirm ◄──┐
//!                             │       │ same key: no answer, or still processing
//!                             │       │ next key: after a look-up, in this delivery, that shows READY or IN_PROGRESS
//!                             ▼       │
//!                          look up ───┴──► past the window: look-ups only, until the status is final
//! ```
//! [`next`] is the way through `confirming`, which one command goes; [`follow`] is everything after it, which hints and
//! the scheduler set going.
//!
//! Promises: no credit but for a DONE (or what is left of one, where others cancelled a part) whose order, amount and
//! currency are the ones asked for; no new key without a look-up since the last call; no confirm at or after the end of
//! its window; `failed` only where nothing was taken, or nothing of it is left.
//! Doesn't: call, wait or store. [`next`] says what to do; how long to wait is [`crate::retry`]'s.

pub mod compare;
pub mod follow;

#[cfg(test)]
mod tests;

use crate::word::words;
use contracts::{CommandId, UnixMs, Won};

/// After the end of the confirm window, how much later its verdicts are believed: clocks differ.
pub const SETTLE_MARGIN_MS: i64 = 120_000;

/// The only currency that is credited.
pub const CURRENCY: &str = "KRW";

words! {
    /// Where a charge stands.
    State, "payment state", {
        /// Its order is saved; nobody has paid yet.
        Requested = "requested",
        /// A confirm was or is about to be sent.
        Confirming = "confirming",
        /// Confirmed with a virtual account: credited once somebody has paid into it.
        AwaitingDeposit = "awaiting_deposit",
        /// Credited.
        Done = "done",
        /// Nothing was taken.
        Failed = "failed",
    }
}

/// The key under which attempt `attempt` of `command` goes to Toss.
pub fn idempotency_key(command: CommandId, attempt: u16) -> String {
    format!("{command}-{attempt}")
}

/// What is known of a charge when deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge<'a> {
    /// As stored.
    pub state: State,
    /// The number of the present key; 0 before the first.
    pub attempt: u16,
    /// The present key has been answered, with an error that does not tell the outcome: it is of no more use.
    pub is_key_spent: bool,
    /// A confirm was sent since this delivery began.
    pub confirm_sent: bool,
    /// What was asked for.
    pub order_id: &'a str,
    /// What was asked for.
    pub amount: Won,
    /// Exclusive end of Toss's window for the confirm.
    pub confirm_by: UnixMs,
}

/// What the last call to Toss showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation<'a> {
    /// None was made in this delivery.
    Nothing,
    /// The confirm brought no answer, or the answer that its key is still being processed.
    Unanswered,
    /// The confirm was answered with an error.
    Refused {
        /// What the error says about the outcome.
        refusal: Refusal,
        /// Toss's code.
        code: &'a str,
    },
    /// A payment, from the confirm or a look-up.
    Seen(Sighting<'a>),
    /// The look-up: no such payment.
    NotFound,
    /// The look-up brought nothing.
    LookUpFailed,
    /// The look-up was refused because our keys are wrong.
    LookUpForbidden,
}

/// What an error says about the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Nothing.
    Unknown,
    /// It did not happen and never will.
    Final,
    /// It did not happen; it may, later.
    Later,
    /// Our keys are wrong.
    OurConfiguration,
}

/// A payment, as Toss shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// Toss's word.
    pub status: Status,
    /// Whose it is.
    pub order_id: &'a str,
    /// What was paid.
    pub total_amount: Won,
    /// What of it was not given back.
    pub balance_amount: Won,
    /// In what.
    pub currency: &'a str,
    /// Why it was aborted.
    pub failure_code: Option<&'a str>,
}

/// Toss's statuses, as far as charges tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Paid.
    Done,
    /// Authenticated, not confirmed.
    InProgress,
    /// Nobody has authenticated; a virtual account is in this state until it is confirmed.
    Ready,
    /// Neither paid nor lost, and not ours to hurry: words of tomorrow.
    Pending,
    /// Confirmed; a virtual account waits for its deposit.
    AwaitingDeposit,
    /// Refused.
    Aborted,
    /// Too late.
    Expired,
    /// Paid and given back whole, by somebody else than us.
    Canceled,
    /// Paid and given back in part, by somebody else than us.
    PartialCanceled,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the confirm under key number `attempt`. Where the number is new, it is stored first.
    Confirm {
        /// Which key.
        attempt: u16,
    },
    /// Ask how the payment stands.
    LookUp,
    /// Verified: credit it, and take back in the same breath what [`follow`] says that others have cancelled.
    Credit,
    /// Verified, and nothing was paid yet: the command has ended, the charge awaits its deposit.
    Await,
    /// Nothing was taken: close the charge.
    Fail {
        /// Toss's code, or word.
        code: String,
    },
    /// Try again later.
    Wait,
    /// Try again later; our keys are wrong, so this attempt counts for nothing.
    Hold,
    /// A person must look.
    Suspend {
        /// At what.
        why: String,
    },
    /// It ended before.
    Finished,
}

/// What to do next with `charge`, after `observation`, at `now`.
pub fn next(charge: &Charge<'_>, observation: Observation<'_>, now: UnixMs) -> Step {
    if matches!(charge.state, State::AwaitingDeposit | State::Done | State::Failed) {
        return Step::Finished;
    }
    match observation {
        Observation::Nothing if charge.is_key_spent || is_closed(charge, now) => Step::LookUp,
        Observation::Nothing => Step::Confirm { attempt: charge.attempt.max(1) },
        Observation::Refused { refusal, code } => after_refusal(charge, refusal, code),
        Observation::Seen(sighting) => after_sighting(charge, &sighting, now),
        // Before, a 404 proves nothing: the payment may still be on its way into Toss's books.
        Observation::NotFound if is_settled(charge, now) => Step::Fail { code: "NOT_FOUND_PAYMENT".to_owned() },
        Observation::Unanswered | Observation::LookUpFailed | Observation::NotFound => Step::Wait,
        Observation::LookUpForbidden => Step::Hold,
    }
}

fn after_refusal(charge: &Charge<'_>, refusal: Refusal, code: &str) -> Step {
    match refusal {
        // Under a later key it may be an earlier one, of unknown outcome, that this refusal answers to.
        Refusal::Final if charge.attempt <= 1 => Step::Fail { code: code.to_owned() },
        Refusal::Final | Refusal::Unknown => Step::LookUp,
        Refusal::Later => Step::Wait,
        Refusal::OurConfiguration => Step::Hold,
    }
}

fn after_sighting(charge: &Charge<'_>, sighting: &Sighting<'_>, now: UnixMs) -> Step {
    match sighting.status {
        // In parts, but all of it: the status does not say so.
        Status::PartialCanceled if sighting.balance_amount <= Won::ZERO => Step::Fail { code: "CANCELED".to_owned() },
        Status::Done | Status::PartialCanceled => if_ours(charge, sighting, Step::Credit),
        Status::AwaitingDeposit => if_ours(charge, sighting, Step::Await),
        Status::Aborted => Step::Fail { code: sighting.failure_code.unwrap_or("ABORTED").to_owned() },
        Status::Canceled => Step::Fail { code: "CANCELED".to_owned() },
        Status::Expired if is_settled(charge, now) => Step::Fail { code: "EXPIRED".to_owned() },
        Status::InProgress | Status::Ready if may_try_anew(charge, now) => {
            Step::Confirm { attempt: charge.attempt.saturating_add(1) }
        }
        Status::InProgress | Status::Ready | Status::Pending | Status::Expired => Step::Wait,
    }
}

/// Only at the start of a delivery: between two keys lies a wait, and the look-up stands directly before the second.
fn may_try_anew(charge: &Charge<'_>, now: UnixMs) -> bool {
    charge.is_key_spent && !charge.confirm_sent && !is_closed(charge, now)
}

fn if_ours(charge: &Charge<'_>, sighting: &Sighting<'_>, step: Step) -> Step {
    let found = (sighting.order_id, sighting.total_amount, sighting.currency);
    let asked = (charge.order_id, charge.amount, CURRENCY);
    if found == asked {
        return step;
    }
    let why = format!(
        "Toss has {} {} for order {}, but {} {} was asked for order {}",
        found.1, found.2, found.0, asked.1, asked.2, asked.0
    );
    Step::Suspend { why }
}

fn is_closed(charge: &Charge<'_>, now: UnixMs) -> bool {
    now >= charge.confirm_by
}

fn is_settled(charge: &Charge<'_>, now: UnixMs) -> bool {
    has_settled(charge.confirm_by, now)
}

/// Whether a look-up is sure to tell how a confirm ended whose window closed at `confirm_by`.
pub fn has_settled(confirm_by: UnixMs, now: UnixMs) -> bool {
    now >= confirm_by.plus_ms(SETTLE_MARGIN_MS)
}

/// The window for [`crate::retry::next`].
pub fn window(confirm_by: UnixMs) -> crate::retry::Window {
    crate::retry::Window { closes: confirm_by, settles: confirm_by.plus_ms(SETTLE_MARGIN_MS) }
}
