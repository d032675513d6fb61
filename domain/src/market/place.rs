//! Placing a bid: it is checked, it holds what it may cost, and it trades at once with the best bid it crosses.

use super::{
    bid::{Bid, BidState, Gifticon},
    decision::{Decision, Stop, Undecided},
    needs::WindowKey,
    settle::bid_reference,
    state::{Market, Turn},
    trade::{Buyer, Seller},
};
use crate::{coupon::CouponStep, ledger::Transfer};
use contracts::{BidId, CouponId, GifticonId, Picture, ProductId, ResultCode, Side, UnixMs, Won};
use serde_json::json;

/// What both kinds of bid say.
pub(super) struct Offer {
    pub(super) product: ProductId,
    pub(super) price: Won,
    pub(super) period_days: u32,
    pub(super) deadline: UnixMs,
}

impl Market {
    pub(super) fn place_buy(
        &mut self,
        turn: &mut Turn,
        offer: &Offer,
        coupon: Option<CouponId>,
    ) -> Result<Decision, Stop> {
        self.check_offer(turn, offer)?;
        let hold = self.check_coupon(turn.user, coupon, offer.price)?;
        self.check_points(turn.user, hold)?;

        let id = BidId(self.next_id(turn)?);
        if hold != Won::ZERO {
            let user = turn.user;
            self.post(turn, bid_reference(id), |heading| Transfer::hold(heading, user, hold))?;
        }
        self.step_coupon(turn, coupon, CouponStep::Reserved, bid_reference(id))?;
        let bid = Bid { hold, coupon, ..new_bid(turn, id, Side::Buy, offer) };
        self.open(bid.clone());
        if let Some(other) = self.meet_crossing(turn, &bid)? {
            self.trade(turn, bid.product, other.price, &Buyer::of(&bid), &Seller::of(&other)?)?;
        }
        Ok(Decision::done(json!({"price": offer.price, "buyId": id})))
    }

    pub(super) fn place_sell(&mut self, turn: &mut Turn, offer: &Offer, picture: &Picture) -> Result<Decision, Stop> {
        self.check_offer(turn, offer)?;
        self.check_voucher(turn, picture)?;

        let id = BidId(self.next_id(turn)?);
        let gifticon = self.take_in(turn, offer.product, picture, Some(id))?;
        let bid = Bid { gifticon: Some(gifticon), ..new_bid(turn, id, Side::Sell, offer) };
        self.open(bid.clone());
        if let Some(other) = self.meet_crossing(turn, &bid)? {
            self.trade(turn, bid.product, other.price, &Buyer::of(&other), &Seller::of(&bid)?)?;
        }
        Ok(Decision::done(json!({"price": offer.price, "sellId": id})))
    }

    fn check_offer(&self, turn: &Turn, offer: &Offer) -> Result<(), ResultCode> {
        self.check_user_and_product(turn, offer.product)?;
        let known_period = (1..=self.limits.max_period_days).contains(&offer.period_days);
        if !self.limits.allows_price(offer.price) || !known_period {
            return Err(ResultCode::InvalidInput);
        }
        if offer.deadline <= turn.at {
            return Err(ResultCode::DeadlinePassed);
        }
        let open = self.open_counts.get(&(turn.user, offer.product)).copied().unwrap_or(0);
        if open >= self.limits.max_open_bids_per_user_and_product {
            return Err(ResultCode::TooManyOpenBids);
        }
        Ok(())
    }

    fn meet_crossing(&mut self, turn: &mut Turn, bid: &Bid) -> Result<Option<Bid>, Undecided> {
        let key = WindowKey::Crossing { product: bid.product, side: bid.side.opposite() };
        self.meet(turn, key, bid.price)
    }

    /// Notes a voucher that the commander offers, by `bid` or at once.
    pub(super) fn take_in(
        &mut self,
        turn: &Turn,
        product: ProductId,
        picture: &Picture,
        bid: Option<BidId>,
    ) -> Result<GifticonId, Undecided> {
        let id = GifticonId(self.next_id(turn)?);
        self.claim(picture, id, bid);
        self.changes.gifticons.push(Gifticon {
            id,
            owner: turn.user,
            product,
            picture: picture.clone(),
            bid,
            command: turn.command,
            created_at: turn.at,
        });
        Ok(id)
    }
}

fn new_bid(turn: &Turn, id: BidId, side: Side, offer: &Offer) -> Bid {
    Bid {
        id,
        side,
        product: offer.product,
        user: turn.user,
        price: offer.price,
        hold: Won::ZERO,
        coupon: None,
        gifticon: None,
        state: BidState::Open,
        placed_at: turn.at,
        deadline: offer.deadline,
        closed_at: None,
        command: turn.command,
    }
}
