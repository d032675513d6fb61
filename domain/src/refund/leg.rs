//! One cancel leg of a refund: when to send the cancel, when to look first, and when it is paid.
//!
//! ```text
//!  planned ──► executing ──► cancel ◄───────────┐
//!                              │                │ same key: no answer, still processing, Toss is ailing
//!                              │                │ next key, and each sending of a later one than the first: only if a
//!                              │                │ look-up, in this delivery, shows no trace of any
//!              answered: paid ─┤                │
//!              refused: ───► look up ───────────┤
//!                              │                └ later
//!                              ├──► paid       (our reason stands among the payment's cancels)
//!                              ├──► moved      (refused for good, or others have taken the money; and no trace)
//!                              └──► a person   (the payment's cancels do not add up)
//! ```
//! Promises: a cancel is never sent under a new key, and no payout takes its place, unless a look-up directly before shows
//! that none of the earlier ones went through, and none of them can still be on its way: that would give the money back
//! twice. Where that cannot be told, a person decides. Whether the charge still has the money when the leg is booked as
//! paid is asked again then, under its lock: a deposit may have been taken back in between.
//! Doesn't: call, wait or store.

use super::LegState;
use crate::payment::Refusal;
use contracts::{UnixMs, Won};

/// A key protects for 15 days at Toss; a day less is counted on.
pub const KEY_LIFETIME_MS: i64 = 14 * 24 * 3_600_000;

/// What is known of a leg when deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg<'a> {
    /// As stored.
    pub state: LegState,
    /// The number of the present key; 0 before the first.
    pub attempt: u16,
    /// When the present key was first sent, or a little before.
    pub key_since: UnixMs,
    /// The present key has been answered, with an error that does not tell the outcome: it is of no more use.
    pub is_key_spent: bool,
    /// Another delivery of the same command may be about to send the present key.
    pub may_be_sent_elsewhere: bool,
    /// What this delivery has done so far.
    pub sent: Sent,
    /// What it pays.
    pub amount: Won,
    /// The reason that goes with its cancels, and with no other's.
    pub reason: &'a str,
    /// What had been cancelled of the charge, by our own books, when this leg began.
    pub cancelled_before: Won,
    /// What the charge can still give back, by our own books. Others may have taken it, on Toss's page or as a bank does.
    pub charge_left: Won,
}

impl Leg<'_> {
    fn is_charge_gone(&self) -> bool {
        self.charge_left < self.amount
    }
}

/// Whether a cancel was sent since a delivery began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// None was.
    NotYet,
    /// One was.
    Once,
    /// One was, and Toss refused it for good.
    AndRefused,
}

/// What the last call to Toss showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation<'a> {
    /// None was made in this delivery.
    Nothing,
    /// The cancel brought no answer, or the answer that its key is still being processed.
    Unanswered,
    /// The cancel was answered with an error.
    Refused {
        /// What the error says about the outcome.
        refusal: Refusal,
        /// Toss's code.
        code: &'a str,
    },
    /// The payment, from the cancel or a look-up.
    Seen(Sighting<'a>),
    /// The look-up: Toss knows no such payment.
    NoSuchPayment,
    /// The look-up brought nothing.
    LookUpFailed,
    /// The look-up was refused because our keys are wrong.
    LookUpForbidden,
}

/// A payment's cancels, as Toss shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// What was paid.
    pub total_amount: Won,
    /// What has not been given back.
    pub balance_amount: Won,
    /// Every cancel.
    pub cancels: Vec<SeenCancel<'a>>,
}

/// One cancel of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenCancel<'a> {
    /// The reason that was sent with it.
    pub reason: Option<&'a str>,
    /// How much was given back.
    pub amount: Won,
    /// How far it is.
    pub progress: Progress,
}

/// How far a cancel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// Through.
    Done,
    /// Not yet through, or in a state that this build does not know.
    Pending,
    /// Given up by Toss.
    Aborted,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the cancel under key number `attempt`. Where the number is new, it is stored first.
    Cancel {
        /// Which key.
        attempt: u16,
    },
    /// Ask how the payment stands.
    LookUp,
    /// It went through: book it.
    Paid,
    /// It never will: a payout takes its place.
    Move,
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

/// What to do next with `leg`, after `observation`, at `now`.
pub fn next(leg: &Leg<'_>, observation: &Observation<'_>, now: UnixMs) -> Step {
    if matches!(leg.state, LegState::Paid | LegState::Moved | LegState::Returned) {
        return Step::Finished;
    }
    match observation {
        Observation::Nothing if leg.is_charge_gone() && leg.attempt == 0 => Step::Move,
        Observation::Nothing if leg.is_charge_gone() || leg.is_key_spent || is_key_old(leg, now) => Step::LookUp,
        // A later key may have been taken and not sent, long ago: the look-up before it says nothing any more.
        Observation::Nothing if leg.attempt > 1 => Step::LookUp,
        Observation::Nothing => Step::Cancel { attempt: leg.attempt.max(1) },
        Observation::NoSuchPayment if leg.sent == Sent::AndRefused => Step::Move,
        Observation::Unanswered | Observation::LookUpFailed | Observation::NoSuchPayment => Step::Wait,
        Observation::Refused { refusal, .. } => after_refusal(*refusal),
        Observation::Seen(sighting) => after_sighting(leg, sighting, now),
        Observation::LookUpForbidden => Step::Hold,
    }
}

fn after_refusal(refusal: Refusal) -> Step {
    match refusal {
        // A final one too: it may answer to an earlier cancel, of unknown outcome, that took what this one wanted.
        Refusal::Final | Refusal::Unknown => Step::LookUp,
        Refusal::Later => Step::Wait,
        Refusal::OurConfiguration => Step::Hold,
    }
}

fn after_sighting(leg: &Leg<'_>, sighting: &Sighting<'_>, now: UnixMs) -> Step {
    match trace(leg, sighting) {
        Trace::Through => Step::Paid,
        Trace::Unclear(why) => Step::Suspend { why },
        Trace::None if leg.sent == Sent::AndRefused => Step::Move,
        // What is left never grows: no cancel of this leg can go through any more.
        Trace::None if sighting.balance_amount < leg.amount => Step::Move,
        Trace::None if leg.is_charge_gone() && is_alone(leg) => Step::Move,
        Trace::None if may_try_anew(leg, now) => Step::Cancel { attempt: leg.attempt.saturating_add(1) },
        Trace::None
            if leg.sent == Sent::NotYet && !leg.is_charge_gone() && !leg.is_key_spent && !is_key_old(leg, now) =>
        {
            Step::Cancel { attempt: leg.attempt }
        }
        Trace::None | Trace::Pending => Step::Wait,
    }
}

/// Only at the start of a delivery (between two keys lies a wait, and the look-up stands directly before the second),
/// and only when nobody else can still send the old key after the look-up.
fn may_try_anew(leg: &Leg<'_>, now: UnixMs) -> bool {
    is_alone(leg) && (leg.is_key_spent || is_key_old(leg, now))
}

fn is_alone(leg: &Leg<'_>) -> bool {
    leg.sent == Sent::NotYet && !leg.may_be_sent_elsewhere
}

/// What a payment shows of this leg's cancels.
enum Trace {
    /// None went through.
    None,
    Pending,
    Through,
    Unclear(String),
}

fn trace(leg: &Leg<'_>, sighting: &Sighting<'_>) -> Trace {
    let alive = || sighting.cancels.iter().filter(|cancel| cancel.progress != Progress::Aborted);
    let ours = || alive().filter(|cancel| cancel.reason == Some(leg.reason));
    if ours().any(|cancel| cancel.progress == Progress::Pending) {
        return Trace::Pending;
    }
    let given_back: Won = ours().map(|cancel| cancel.amount).sum();
    if given_back == leg.amount {
        return Trace::Through;
    }
    if given_back != Won::ZERO {
        return Trace::Unclear(format!("Toss gave {given_back} back for this leg instead of {}", leg.amount));
    }
    // No cancel bears our reason. That proves something only if every won that is missing is explained.
    let missing = Won(sighting.total_amount.0.saturating_sub(sighting.balance_amount.0));
    let explained: Won = alive().filter(|cancel| cancel.reason.is_some()).map(|cancel| cancel.amount).sum();
    if explained == missing || missing == leg.cancelled_before {
        return Trace::None;
    }
    Trace::Unclear(format!(
        "{missing} of this payment was given back, of which its cancels explain {explained} and our books {}",
        leg.cancelled_before
    ))
}

fn is_key_old(leg: &Leg<'_>, now: UnixMs) -> bool {
    leg.attempt > 0 && now.ms_since(leg.key_since) >= KEY_LIFETIME_MS
}
