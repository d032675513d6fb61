//! Taking a bid back.

use super::{
    bid::BidState,
    decision::{Decision, Stop},
    state::{Market, Turn},
};
use contracts::{BidId, ResultCode, Side};
use serde_json::json;

impl Market {
    pub(super) fn cancel(&mut self, turn: &mut Turn, id: BidId, side: Side) -> Result<Decision, Stop> {
        let bid = self.bids.get(&id).filter(|bid| bid.side == side && bid.state == BidState::Open);
        let bid = bid.ok_or(not_found(side))?;
        if bid.user != turn.user {
            return Err(not_yours(side).into());
        }
        if bid.deadline <= turn.at {
            self.retire(turn, id)?;
            return Err(ResultCode::DeadlinePassed.into());
        }
        self.withdraw(turn, id, BidState::Cancelled)?;
        Ok(Decision::done(match side {
            Side::Buy => json!({"buyId": id}),
            Side::Sell => json!({"sellId": id}),
        }))
    }
}

/// No such open bid.
pub(super) fn not_found(side: Side) -> ResultCode {
    match side {
        Side::Buy => ResultCode::BuyBidNotFound,
        Side::Sell => ResultCode::SellBidNotFound,
    }
}

/// The REST contract tells another's buy bid from a missing one, but not another's sell bid.
fn not_yours(side: Side) -> ResultCode {
    match side {
        Side::Buy => ResultCode::Forbidden,
        Side::Sell => ResultCode::SellBidNotFound,
    }
}
