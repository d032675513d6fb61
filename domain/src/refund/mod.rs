//! A refund: points that a user wants back as money, allocated to their own charges and paid leg by leg.
//!
//! ```text
//!  refund:      requested ──(approved: allocate)──► paying ──(every leg ended)──► paid
//!                   │                                  ├──(some of them returned)─► partly_paid
//!                   │                                  └──(all of them returned)──► returned
//!                   └─────(rejected: points returned)───────────────────────────► rejected
//!
//!  cancel leg:  planned ──► executing ──► paid
//!                  └────────────┴───────► moved    (Toss refuses for good, or others have taken what was left of the charge:
//!                               │                   a new payout leg takes its place)
//!                               └───────► paid or returned, as a person says, where its command is suspended
//!
//!  payout leg:  planned ──(transfer made)────► paid
//!                  └──────(transfer failed)──► returned   (its points are the user's again)
//! ```
//! Promises: legs add up to the refund, no leg exceeds what its charge has left, nobody else's charge is touched. What has
//! been decided is not decided again: of two who decide at once, the second meets the state that the first one left.
//! Doesn't: call Toss ([`leg`] says when to), transfer money, or lock anything.

pub mod leg;

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod tests;

use crate::word::words;
use contracts::{CommandId, RefundId, UnixMs, UserId, Won};

words! {
    /// Where a refund stands.
    State, "refund state", {
        /// Points are held; an administrator decides.
        Requested = "requested",
        /// Allocated; its legs are being paid.
        Paying = "paying",
        /// Every leg is paid.
        Paid = "paid",
        /// Every leg has ended: some are paid, the points of the others were returned.
        PartlyPaid = "partly_paid",
        /// Every leg has ended, and all points were returned.
        Returned = "returned",
        /// An administrator said no; all points were returned.
        Rejected = "rejected",
    }
}

words! {
    /// Where a leg stands.
    LegState, "refund leg state", {
        /// Nothing was sent yet. Payout legs stay here until an administrator has paid them.
        Planned = "planned",
        /// A cancel was or is about to be sent.
        Executing = "executing",
        /// The money is on its way to the user.
        Paid = "paid",
        /// It could not be paid this way; another leg has taken its place.
        Moved = "moved",
        /// It could not be paid at all; its points are the user's again.
        Returned = "returned",
    }
}

words! {
    /// How a leg is paid.
    Route, "refund route", {
        /// By cancelling (a part of) a charge at Toss.
        Cancel = "cancel",
        /// By bank transfer.
        Payout = "payout",
    }
}

/// A refund has at most so many cancel legs; what they do not cover is paid out.
pub const MAX_CANCEL_LEGS: usize = 50;

/// A charge of the user's, and what can still be cancelled of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refundable {
    /// Which charge.
    pub order_id: String,
    /// When it was made.
    pub charged_at: UnixMs,
    /// Its amount, less what was cancelled, less what unfinished legs have claimed.
    pub left: Won,
}

/// A leg to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewLeg {
    /// Give this much of a charge back.
    Cancel {
        /// Which charge.
        order_id: String,
        /// How much of it.
        amount: Won,
    },
    /// Transfer this much.
    Payout {
        /// How much.
        amount: Won,
    },
}

impl NewLeg {
    /// What it pays.
    pub fn amount(&self) -> Won {
        match self {
            NewLeg::Cancel { amount, .. } | NewLeg::Payout { amount } => *amount,
        }
    }
}

/// Spreads `amount` over the user's charges, newest first (they are the likeliest to be cancellable still), and leaves
/// the rest to one payout. An amount that is not positive has no legs.
pub fn allocate(amount: Won, charges: &[Refundable]) -> Vec<NewLeg> {
    let mut newest_first: Vec<&Refundable> = charges.iter().filter(|charge| charge.left > Won::ZERO).collect();
    newest_first.sort_by(|a, b| b.charged_at.cmp(&a.charged_at).then_with(|| b.order_id.cmp(&a.order_id)));
    let mut missing = amount.0.max(0);
    let mut legs = Vec::new();
    for charge in newest_first.into_iter().take(MAX_CANCEL_LEGS) {
        let part = missing.min(charge.left.0);
        if part == 0 {
            break;
        }
        legs.push(NewLeg::Cancel { order_id: charge.order_id.clone(), amount: Won(part) });
        missing -= part;
    }
    if missing > 0 {
        legs.push(NewLeg::Payout { amount: Won(missing) });
    }
    legs
}

/// What an administrator says to a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It shall be paid.
    Approve,
    /// It shall not.
    Reject,
}

/// The state after `decision`; `None` when the refund awaits none (any more).
pub fn decide(state: State, decision: Decision) -> Option<State> {
    match (state, decision) {
        (State::Requested, Decision::Approve) => Some(State::Paying),
        (State::Requested, Decision::Reject) => Some(State::Rejected),
        _ => None,
    }
}

/// What became of a bank transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transferred {
    /// The user has the money.
    Made,
    /// They have not, and will not.
    Failed,
}

/// The state of a leg after what became of its transfer; `None` when the leg awaits none (any more). A cancel leg awaits a
/// person's word only while its command is suspended: no worker is at it then.
pub fn after_transfer(route: Route, state: LegState, is_suspended: bool, transferred: Transferred) -> Option<LegState> {
    match (route, state) {
        (Route::Payout, LegState::Planned) => {}
        (Route::Cancel, LegState::Executing) if is_suspended => {}
        _ => return None,
    }
    Some(match transferred {
        Transferred::Made => LegState::Paid,
        Transferred::Failed => LegState::Returned,
    })
}

/// How a refund with legs in these states ends; `None` while one of them is open. (A moved leg's amount is another's.)
pub fn end(legs: impl IntoIterator<Item = LegState>) -> Option<State> {
    let (mut paid, mut returned) = (false, false);
    for state in legs {
        match state {
            LegState::Planned | LegState::Executing => return None,
            LegState::Paid => paid = true,
            LegState::Returned => returned = true,
            LegState::Moved => {}
        }
    }
    Some(match (paid, returned) {
        (_, false) => State::Paid,
        (true, true) => State::PartlyPaid,
        (false, true) => State::Returned,
    })
}

/// The id of the command that pays a leg: the same however often the approval is carried out.
pub fn leg_command(user: UserId, refund: RefundId, leg_no: u32) -> CommandId {
    CommandId::derived(user, "refund_leg", &format!("{refund}-{leg_no}"))
}

/// How the reasons of our cancels begin.
const REASON: &str = "Gream refund ";

/// The reason that is sent with a leg's cancel, by which the leg is recognised among a payment's cancels.
pub fn cancel_reason(refund: RefundId, leg_no: u32) -> String {
    format!("{REASON}{refund}-{leg_no}")
}

/// Whether a cancel that bears this reason is one of our legs', rather than somebody's on Toss's own pages.
pub fn is_cancel_reason(reason: &str) -> bool {
    let parts = reason.strip_prefix(REASON).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(refund, leg_no)| refund.parse::<u64>().is_ok() && leg_no.parse::<u32>().is_ok())
}
