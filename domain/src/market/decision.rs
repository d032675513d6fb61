//! How a command ended, or why it cannot be said.

use super::needs::WindowKey;
use crate::ledger::{Overdrawn, TransferError};
use contracts::{BidId, CommandState, CouponId, Kind, PartitionId, ResultCode, UserId};
use serde_json::{Value, json};

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// `Done` or `Rejected`.
    pub state: CommandState,
    /// 0 when done, else why it was refused.
    pub code: ResultCode,
    /// The `data` of the REST contract's answer; `{}` when rejected.
    pub data: Value,
}

impl Decision {
    pub(super) fn done(data: Value) -> Self {
        Self { state: CommandState::Done, code: ResultCode::Ok, data }
    }

    pub(super) fn rejected(code: ResultCode) -> Self {
        Self { state: CommandState::Rejected, code, data: json!({}) }
    }
}

/// Why a command could not be decided. The market may have changed half-way: throw it away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// More of the book must be loaded: widen the window ([`super::Needs::widen`]) and carry the batch out again.
    #[error("the window {0:?} ends before the answer")]
    WindowTooShort(WindowKey),
    /// Another role carries this kind out.
    #[error("{0} is no command of the bid worker: it was sent to the wrong queue")]
    WrongRole(Kind),
    /// [`super::Needs`] asked for it, but it was not loaded.
    #[error("{0:?} was not loaded")]
    NotLoaded(Missing),
    /// The partition has given out its last id.
    #[error("partition {0} has no id left: its sequence has reached the largest that JavaScript can hold")]
    SequenceExhausted(PartitionId),
    /// One command moves points more often than the ledger can number.
    #[error("more transfers in one command than the ledger can number")]
    TooManyTransfers,
    /// A sell bid that offers nothing.
    #[error("sell bid {0} has no gifticon: its row is damaged, run `gream audit`")]
    NothingOffered(BidId),
    /// A bid was to leave the book a second time.
    #[error("bid {0} is not open")]
    NotOpen(BidId),
    /// The points do not add up.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The points are not there.
    #[error("{0}: the stored balance is damaged, run `gream audit`")]
    Overdrawn(#[from] Overdrawn),
}

/// What was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The partition's sequence and time.
    Partition(PartitionId),
    /// A part of the book, or as far down as this command needs it.
    Window(WindowKey),
    /// An open bid.
    Bid(BidId),
    /// The balance of the owner of an open bid.
    Balance(UserId),
    /// The coupon of an open bid.
    Coupon(CouponId),
}

/// What stops a rule half-way: a refusal, which is the command's outcome, or that there can be no outcome.
#[derive(Debug)]
pub(super) enum Stop {
    Rejected(ResultCode),
    Undecided(Undecided),
}

impl From<ResultCode> for Stop {
    fn from(code: ResultCode) -> Self {
        Stop::Rejected(code)
    }
}

impl From<Undecided> for Stop {
    fn from(undecided: Undecided) -> Self {
        Stop::Undecided(undecided)
    }
}
