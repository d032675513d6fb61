//! A trade: two sides meet, points move, and both leave the book.

use super::{
    bid::{Bid, BidState, Order},
    decision::Undecided,
    settle::order_reference,
    state::{Market, Turn},
};
use crate::{
    coupon::CouponStep,
    ledger::{TradeTerms, Transfer},
    share::share,
};
use contracts::{BidId, CouponId, Event, GifticonId, OrderId, ProductId, UserId, Won};

/// Who buys, and with what.
pub(super) struct Buyer {
    pub(super) user: UserId,
    /// `None`: at once.
    pub(super) bid: Option<BidId>,
    /// What the bid holds.
    pub(super) hold: Won,
    pub(super) coupon: Option<CouponId>,
}

/// Who sells, and what.
pub(super) struct Seller {
    pub(super) user: UserId,
    /// `None`: at once.
    pub(super) bid: Option<BidId>,
    pub(super) gifticon: GifticonId,
}

impl Buyer {
    pub(super) fn of(bid: &Bid) -> Self {
        Self { user: bid.user, bid: Some(bid.id), hold: bid.hold, coupon: bid.coupon }
    }
}

impl Seller {
    pub(super) fn of(bid: &Bid) -> Result<Self, Undecided> {
        let gifticon = bid.gifticon.ok_or(Undecided::NothingOffered(bid.id))?;
        Ok(Self { user: bid.user, bid: Some(bid.id), gifticon })
    }
}

impl Market {
    /// Lets `buyer` and `seller` trade at `price`, which is the resting bid's.
    pub(super) fn trade(
        &mut self,
        turn: &mut Turn,
        product: ProductId,
        price: Won,
        buyer: &Buyer,
        seller: &Seller,
    ) -> Result<Order, Undecided> {
        let order = Order {
            id: OrderId(self.next_id(turn)?),
            product,
            buyer: buyer.user,
            seller: seller.user,
            buy_bid: buyer.bid,
            sell_bid: seller.bid,
            gifticon: seller.gifticon,
            coupon: buyer.coupon,
            price,
            final_price: self.discounted(price, buyer.coupon)?,
            fee: share(price, self.limits.fee_per_mille, 1_000),
            command: turn.command,
            traded_at: turn.at,
        };
        self.pay(turn, &order, buyer.hold)?;
        for bid in [buyer.bid, seller.bid].into_iter().flatten() {
            self.close(turn, bid, BidState::Traded)?;
        }
        self.step_coupon(turn, buyer.coupon, CouponStep::Used, order_reference(order.id))?;
        let Order { id, buyer, seller, .. } = order;
        self.tell(turn, Event::TradeMade { order: id, product, buyer, seller, price, at: turn.at });
        self.changes.orders.push(order.clone());
        Ok(order)
    }

    fn pay(&mut self, turn: &mut Turn, order: &Order, hold: Won) -> Result<(), Undecided> {
        let Order { buyer, seller, price, final_price, fee, .. } = *order;
        let terms = TradeTerms { buyer, seller, price, final_price, fee, hold };
        self.post(turn, order_reference(order.id), |heading| Transfer::trade(heading, &terms))
    }
}
