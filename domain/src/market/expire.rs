//! Retiring bids whose deadline has passed, as the scheduler asks.

use super::{
    bid::BidState,
    decision::{Decision, Stop},
    state::{Market, Turn},
};
use contracts::{BidId, ProductId};
use serde_json::json;

impl Market {
    /// Retires those of `bids` that are open and past their deadline, and passes over the others: they were closed
    /// meanwhile, or belong to another product and so maybe to a partition whose guard row nobody holds here.
    pub(super) fn expire(&mut self, turn: &mut Turn, product: ProductId, bids: &[BidId]) -> Result<Decision, Stop> {
        let mut expired = 0_u32;
        for id in bids {
            let due = |state, deadline, of| state == BidState::Open && deadline <= turn.at && of == product;
            if self.bids.get(id).is_some_and(|bid| due(bid.state, bid.deadline, bid.product)) {
                self.retire(turn, *id)?;
                expired += 1;
            }
        }
        Ok(Decision::done(json!({"expired": expired})))
    }
}
