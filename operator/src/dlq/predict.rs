//! What a replay would come to, by what is known before it. Pure.
//!
//! Promises: what has ended is never called open, and nothing that would be sent to Toss without a look-up is called one.
//! Doesn't: run the order book. A bid that "would apply" may still meet a book, a coupon or a limit that refuses it.

use super::letter::Letter;
use crate::words;
use contracts::{
    CommandState, DeadLetterReason, Envelope, Fingerprint, PartitionCount, ResultCode, Side, UnixMs, Won,
    command::Command,
    envelope::Undecodable,
    event::Caused,
    topology::{Role, routing_key},
};
use domain::{
    payment::{self, Charge},
    refund::{
        self, LegState, Route,
        leg::{self, KEY_LIFETIME_MS, Leg, Sent},
    },
};
use serde::Serialize;

/// What a replay would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "prediction", rename_all = "snake_case")]
pub enum Prediction {
    /// It would be carried out.
    WouldApply {
        /// As far as can be told.
        how: String,
    },
    /// It has ended: the inbox answers it, and nothing happens.
    AlreadyEnded {
        /// How.
        #[serde(serialize_with = "words::state")]
        state: CommandState,
    },
    /// The rules would refuse it.
    WouldBeRejected {
        /// With which code.
        #[serde(serialize_with = "words::code")]
        code: ResultCode,
        /// Why.
        why: String,
    },
    /// Toss is asked how the payment stands before anything is sent, and that decides.
    NeedsLookUp {
        /// Why.
        why: String,
    },
    /// It would become a dead letter again.
    WouldComeBack {
        /// With which reason.
        #[serde(serialize_with = "words::text")]
        reason: DeadLetterReason,
        /// Why.
        why: String,
    },
    /// Another delivery of it is under way, whose outcome it would share.
    UnderWay {
        /// Where that stands.
        #[serde(serialize_with = "words::state")]
        state: CommandState,
    },
}

impl Prediction {
    /// In two or three words, for counting.
    pub fn title(&self) -> String {
        match self {
            Prediction::WouldApply { .. } => "would apply".to_owned(),
            Prediction::AlreadyEnded { state } => format!("already {}", state.as_str()),
            Prediction::WouldBeRejected { code, .. } => format!("would be rejected: {}", code.name()),
            Prediction::NeedsLookUp { .. } => "needs a look-up at Toss".to_owned(),
            Prediction::WouldComeBack { reason, .. } => format!("would come back: {reason}"),
            Prediction::UnderWay { state } => format!("under way: {}", state.as_str()),
        }
    }

    /// Why, for people.
    pub fn why(&self) -> &str {
        match self {
            Prediction::WouldApply { how } => how,
            Prediction::WouldBeRejected { why, .. }
            | Prediction::NeedsLookUp { why }
            | Prediction::WouldComeBack { why, .. } => why,
            Prediction::AlreadyEnded { .. } => "the inbox answers it; nothing happens",
            Prediction::UnderWay { .. } => "another delivery of it is with a worker or on the retry ladder",
        }
    }
}

/// What is known of a letter's command beside the letter.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its row in the inbox.
    pub row: Option<Row>,
    /// The newest revision that an operator made of it.
    pub revision: Option<Envelope>,
    /// Who asked: their points, unless they have left.
    pub points: Option<Won>,
    /// What they owe.
    pub debt: Won,
    /// The product that it names exists.
    pub knows_product: bool,
    /// The bid that it names, if it is open.
    pub bid_is_open: bool,
    /// The charge that it names.
    pub charge: Option<ChargeFacts>,
    /// The refund that it names.
    pub refund: Option<refund::State>,
    /// The leg that it names.
    pub leg: Option<LegFacts>,
}

/// A command's row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it stands.
    pub state: CommandState,
    /// Of the body that was carried out, or is to be.
    pub fingerprint: Fingerprint,
}

/// A charge's row.
#[derive(Clone, Debug)]
pub struct ChargeFacts {
    /// It belongs to whoever sent the command.
    pub is_own: bool,
    /// The command that confirms it is this one.
    pub is_this_commands: bool,
    /// Where it stands.
    pub state: payment::State,
    /// How much.
    pub amount: Won,
    /// Under which payment key.
    pub payment_key: Option<String>,
    /// The number of its idempotency key.
    pub attempt: u16,
    /// That key was answered.
    pub is_key_spent: bool,
    /// As it was when the first key was taken.
    pub confirm_by: Option<UnixMs>,
}

/// A leg's row, with what its charge has left.
#[derive(Clone, Copy, Debug)]
pub struct LegFacts {
    /// How it is paid.
    pub route: Route,
    /// Where it stands.
    pub state: LegState,
    /// How much.
    pub amount: Won,
    /// The number of its idempotency key.
    pub attempt: u16,
    /// Since when.
    pub key_since: UnixMs,
    /// That key was answered.
    pub is_key_spent: bool,
    /// What the charge can still give back.
    pub charge_left: Won,
}

/// What a replay of `letter` at `now` would come to.
pub fn predict(letter: &Letter, facts: &Facts, partitions: PartitionCount, now: UnixMs) -> Prediction {
    if letter.role == Role::Notifier {
        return of_event(letter);
    }
    if let Some(row) = facts.row.filter(|row| row.state.is_final()) {
        return Prediction::AlreadyEnded { state: row.state };
    }
    let content = facts.revision.clone().map_or_else(|| letter.content(), Ok);
    let envelope = match content {
        Ok(envelope) => envelope,
        Err(error) => return Prediction::WouldComeBack { reason: reason(&error), why: error.to_string() },
    };
    if let Some(back) = wrong_way(letter, facts, &envelope, partitions) {
        return back;
    }
    match facts.row {
        Some(row) if matches!(row.state, CommandState::Executing | CommandState::Retrying) => {
            return Prediction::UnderWay { state: row.state };
        }
        _ => {}
    }
    match Role::of(envelope.command.kind()) {
        Role::Bid => of_bid(&envelope, facts, now),
        Role::Payment => of_payment(&envelope, facts, now),
        Role::Refund => of_refund(&envelope, facts, now),
        // No command is the notifier's.
        Role::Notifier => of_event(letter),
    }
}

/// An event, of which users are told.
fn of_event(letter: &Letter) -> Prediction {
    match serde_json::from_slice::<Caused>(&letter.body) {
        Ok(_) => Prediction::WouldApply { how: "the notifier books it, once".to_owned() },
        Err(error) => {
            Prediction::WouldComeBack { reason: DeadLetterReason::Undecodable, why: format!("no event: {error}") }
        }
    }
}

fn reason(error: &Undecodable) -> DeadLetterReason {
    match error {
        Undecodable::UnknownKind { .. } => DeadLetterReason::UnknownKind,
        Undecodable::UnknownVersion { .. } => DeadLetterReason::UnknownVersion,
        Undecodable::Malformed { .. } | Undecodable::FingerprintMismatch { .. } => DeadLetterReason::Undecodable,
    }
}

/// The origin header decides where a replay goes; what it says may be what was wrong.
fn wrong_way(letter: &Letter, facts: &Facts, envelope: &Envelope, partitions: PartitionCount) -> Option<Prediction> {
    let own = routing_key(&envelope.command, partitions);
    let by_header = letter.origin.as_deref().and_then(|o| contracts::topology::routing_key_of_origin(o, partitions));
    let goes = if facts.revision.is_some() { own.as_deref().or(by_header) } else { by_header.or(own.as_deref()) };
    match (goes, own.as_deref()) {
        (None, _) => Some(Prediction::WouldComeBack {
            reason: DeadLetterReason::NoOrigin,
            why: "its origin header names no queue of commands".to_owned(),
        }),
        (Some(goes), Some(own)) if goes != own => Some(Prediction::WouldComeBack {
            reason: DeadLetterReason::WrongQueue,
            why: format!("its origin header says {goes}, but it belongs on {own}: `gream dlq edit` corrects that"),
        }),
        _ => None,
    }
}

fn of_bid(envelope: &Envelope, facts: &Facts, now: UnixMs) -> Prediction {
    if envelope.valid_until.is_some_and(|until| now >= until) {
        return expired();
    }
    let wants_product = match &envelope.command {
        Command::CancelBid { side, .. } if !facts.bid_is_open => {
            let code = if *side == Side::Buy { ResultCode::BuyBidNotFound } else { ResultCode::SellBidNotFound };
            return rejected(code, "the bid is not open any more");
        }
        Command::CancelBid { .. } | Command::ExpireBids { .. } => false,
        _ => true,
    };
    if wants_product && facts.points.is_none() {
        return rejected(ResultCode::UserNotFound, "whoever sent it has left");
    }
    if wants_product && !facts.knows_product {
        return rejected(ResultCode::ProductNotFound, "its product does not exist");
    }
    // A coupon may make up for what is missing.
    if let Command::PlaceBuyBid { price, coupon: None, .. } | Command::BuyNow { price, coupon: None, .. } =
        &envelope.command
        && facts.points.is_some_and(|points| points < *price)
    {
        return rejected(ResultCode::NotEnoughPoints, "whoever sent it has not enough points now");
    }
    Prediction::WouldApply { how: "unless the book refuses it".to_owned() }
}

fn of_payment(envelope: &Envelope, facts: &Facts, now: UnixMs) -> Prediction {
    match &envelope.command {
        Command::ConfirmCharge { payment_key, amount, confirm_by, order_id } => {
            confirm(envelope, facts, (order_id, payment_key, *amount, *confirm_by), now)
        }
        Command::FollowPayment { .. } => match &facts.charge {
            Some(charge) if charge.state != payment::State::Requested => {
                Prediction::NeedsLookUp { why: "that is what it is for".to_owned() }
            }
            _ => Prediction::WouldApply { how: "there is nothing to follow".to_owned() },
        },
        _ => Prediction::WouldApply { how: "at once, in our books alone".to_owned() },
    }
}

fn confirm(
    envelope: &Envelope,
    facts: &Facts,
    (order_id, payment_key, amount, confirm_by): (&str, &str, Won, UnixMs),
    now: UnixMs,
) -> Prediction {
    let Some(row) = facts.charge.as_ref().filter(|charge| charge.is_own) else {
        return rejected(ResultCode::PaymentNotFound, "there is no such charge");
    };
    if row.amount != amount {
        return rejected(ResultCode::AmountMismatch, "the charge is of another amount");
    }
    let is_first = row.state == payment::State::Requested;
    if is_first && facts.row.is_none() && envelope.valid_until.is_some_and(|until| now >= until) {
        return expired();
    }
    let is_ours = row.state == payment::State::Confirming && row.is_this_commands;
    if !is_first && !is_ours {
        return rejected(ResultCode::PaymentNotFound, "the charge has ended, or another command is at it");
    }
    if !is_first && row.payment_key.as_deref() != Some(payment_key) {
        let why = "the charge is being confirmed under another payment key".to_owned();
        return Prediction::WouldComeBack { reason: DeadLetterReason::NeedsAPerson, why };
    }
    let confirm_by = row.confirm_by.filter(|_| !is_first).unwrap_or(confirm_by);
    let charge = Charge {
        state: payment::State::Confirming,
        attempt: if is_first { u16::from(now < confirm_by) } else { row.attempt },
        is_key_spent: !is_first && row.is_key_spent,
        confirm_sent: false,
        order_id,
        amount,
        confirm_by,
    };
    match payment::next(&charge, payment::Observation::Nothing, now) {
        payment::Step::LookUp if now >= confirm_by => look_up("the window for its confirm is over"),
        payment::Step::LookUp => look_up("its last confirm was answered without telling the outcome"),
        _ => Prediction::WouldApply { how: "the confirm is sent, under the key that it began with".to_owned() },
    }
}

fn of_refund(envelope: &Envelope, facts: &Facts, now: UnixMs) -> Prediction {
    let tells = matches!(envelope.command, Command::ConfirmPayout { .. } | Command::FailPayout { .. });
    let is_stale = now.ms_since(envelope.accepted_at) >= KEY_LIFETIME_MS;
    let is_expired = envelope.valid_until.is_some_and(|until| now >= until);
    match &envelope.command {
        Command::CancelCharge { refund, leg } => cancel(facts, &refund::cancel_reason(*refund, *leg), now),
        _ if is_expired || (is_stale && !tells) => expired(),
        Command::RequestRefund { .. } if facts.points.is_none() => {
            rejected(ResultCode::UserNotFound, "whoever sent it has left")
        }
        Command::RequestRefund { .. } if facts.debt > Won::ZERO => {
            rejected(ResultCode::DebtOpen, "whoever sent it owes points")
        }
        Command::RequestRefund { point, .. } if facts.points.is_some_and(|points| points < *point) => {
            rejected(ResultCode::NotEnoughPoints, "whoever sent it has not enough points now")
        }
        Command::ApproveRefund { .. } | Command::RejectRefund { .. }
            if facts.refund != Some(refund::State::Requested) =>
        {
            rejected(ResultCode::RefundNotFound, "there is no such refund, or it was decided before")
        }
        _ if tells && !awaits_transfer(facts) => {
            rejected(ResultCode::RefundNotFound, "there is no such leg, or it has ended")
        }
        _ => Prediction::WouldApply { how: "at once, in our books alone".to_owned() },
    }
}

fn awaits_transfer(facts: &Facts) -> bool {
    facts.leg.is_some_and(|leg| {
        matches!((leg.route, leg.state), (Route::Payout, LegState::Planned) | (Route::Cancel, LegState::Executing))
    })
}

fn cancel(facts: &Facts, reason: &str, now: UnixMs) -> Prediction {
    let Some(row) = facts.leg.filter(|leg| leg.route == Route::Cancel) else {
        return rejected(ResultCode::RefundNotFound, "there is no such leg");
    };
    match row.state {
        LegState::Paid => return Prediction::WouldApply { how: "its leg is paid already: it ends as done".to_owned() },
        LegState::Moved | LegState::Returned => {
            return rejected(ResultCode::TossFailed, "its leg has ended another way");
        }
        LegState::Planned | LegState::Executing => {}
    }
    let leg = Leg {
        state: row.state,
        attempt: row.attempt,
        key_since: row.key_since,
        is_key_spent: row.is_key_spent,
        may_be_sent_elsewhere: false,
        sent: Sent::NotYet,
        amount: row.amount,
        reason,
        cancelled_before: Won::ZERO,
        charge_left: row.charge_left,
    };
    match leg::next(&leg, &leg::Observation::Nothing, now) {
        leg::Step::LookUp if row.charge_left < row.amount => look_up("others have taken what its charge had left"),
        leg::Step::LookUp if row.is_key_spent => look_up("its last cancel was answered without telling the outcome"),
        leg::Step::LookUp => look_up("Toss may have forgotten its idempotency key"),
        leg::Step::Move => rejected(ResultCode::TossFailed, "its charge has nothing left: a payout takes its place"),
        _ => Prediction::WouldApply { how: "the cancel is sent, under the key that it began with".to_owned() },
    }
}

fn expired() -> Prediction {
    rejected(ResultCode::CommandExpired, "its time was over: whoever sent it may send it again")
}

fn rejected(code: ResultCode, why: &str) -> Prediction {
    Prediction::WouldBeRejected { code, why: why.to_owned() }
}

fn look_up(why: &str) -> Prediction {
    Prediction::NeedsLookUp { why: why.to_owned() }
}

#[cfg(test)]
mod tests;
