//! A small trading floor for the tests of single rules: a few users with points, one product, one command at a time.

use crate::database::Database;
use contracts::{
    BarcodeHash, BidId, Command, CommandId, CommandState, CouponId, Envelope, OrderId, Picture, ProductId, ResultCode,
    Side, UnixMs, UserId, Won,
};
use domain::market::{Bid, BidState, Coupon, CouponState, Decision, Discount, Limits, Undecided};

pub const NOW_MS: i64 = 1_700_000_000_000;
/// Where bids end unless a test says otherwise.
pub const FAR: UnixMs = UnixMs(NOW_MS + 86_400_000);
pub const PRODUCT: ProductId = ProductId(1);
pub const ANNA: UserId = UserId(1);
pub const BORA: UserId = UserId(2);
pub const CHAN: UserId = UserId(3);
pub const POINTS: i64 = 100_000;

pub fn limits() -> Limits {
    Limits {
        max_open_bids_per_user_and_product: 3,
        max_retired_per_command: 2,
        accepted_at_skew_ms: 1_000,
        fee_per_mille: 50,
        min_price: Won(100),
        max_price: Won(50_000),
        max_period_days: 30,
        window_slack: 4,
    }
}

pub struct Floor {
    pub database: Database,
    /// The worker's clock; commands are accepted at this instant too.
    pub clock: UnixMs,
    sent: u32,
}

impl Floor {
    pub fn new() -> Self {
        let mut database = Database::new(4, limits());
        database.products.insert(PRODUCT);
        for user in [ANNA, BORA, CHAN] {
            database.add_user(user, Won(POINTS));
        }
        Self { database, clock: UnixMs(NOW_MS), sent: 0 }
    }

    pub fn coupon(&mut self, id: u64, user: UserId, discount: Discount) -> CouponId {
        let id = CouponId(id);
        self.database.coupons.insert(id, Coupon { id, user, discount, state: CouponState::Available });
        id
    }

    pub fn envelope(&mut self, user: UserId, command: Command) -> Envelope {
        self.sent += 1;
        let id = CommandId::derived(user, "floor", &self.sent.to_string());
        Envelope::new(id, user, self.clock, None, command)
    }

    pub fn try_send(&mut self, user: UserId, command: Command) -> Result<Decision, Undecided> {
        let envelope = self.envelope(user, command);
        self.send_envelope(envelope)
    }

    pub fn send_envelope(&mut self, envelope: Envelope) -> Result<Decision, Undecided> {
        let decisions = self.database.carry_out(&[(envelope, self.clock)])?;
        crate::audit::audit(&self.database);
        Ok(decisions.into_iter().next().unwrap())
    }

    pub fn send(&mut self, user: UserId, command: Command) -> Decision {
        self.try_send(user, command).unwrap()
    }

    /// Sends what must be done, and gives the id that the answer names.
    pub fn done(&mut self, user: UserId, command: Command) -> u64 {
        let decision = self.send(user, command);
        assert_eq!((decision.state, decision.code), (CommandState::Done, ResultCode::Ok));
        let mut ids = ["buyId", "sellId", "orderId"].into_iter().filter_map(|name| decision.data[name].as_u64());
        ids.next_back().unwrap()
    }

    /// Sends what must be refused, and gives the code.
    pub fn refused(&mut self, user: UserId, command: Command) -> ResultCode {
        let before = self.database.clone();
        let decision = self.send(user, command);
        assert_eq!((decision.state, decision.data), (CommandState::Rejected, serde_json::json!({})));
        assert_eq!(self.database.orders, before.orders);
        assert_eq!(self.database.gifticons, before.gifticons);
        assert_eq!(self.database.bids.len(), before.bids.len());
        decision.code
    }

    pub fn bid(&self, id: u64) -> &Bid {
        &self.database.bids[&BidId(id)]
    }

    pub fn state(&self, id: u64) -> BidState {
        self.bid(id).state
    }

    /// Of the only order there is: buyer, seller, price.
    pub fn only_trade(&self) -> (UserId, UserId, i64) {
        assert_eq!(self.database.orders.len(), 1);
        let order = &self.database.orders[0];
        (order.buyer, order.seller, order.price.0)
    }

    pub fn traded_with(&self, order: u64) -> Option<u64> {
        let order = self.database.order(OrderId(order));
        order.sell_bid.or(order.buy_bid).map(|bid| bid.0)
    }
}

pub fn buy(price: i64) -> Command {
    buy_until(price, FAR)
}

pub fn buy_until(price: i64, deadline: UnixMs) -> Command {
    Command::PlaceBuyBid { product: PRODUCT, price: Won(price), period_days: 1, deadline, coupon: None }
}

pub fn buy_with(price: i64, coupon: CouponId) -> Command {
    let coupon = Some(coupon);
    Command::PlaceBuyBid { product: PRODUCT, price: Won(price), period_days: 1, deadline: FAR, coupon }
}

pub fn sell(price: i64) -> Command {
    sell_until(price, FAR)
}

pub fn sell_until(price: i64, deadline: UnixMs) -> Command {
    Command::PlaceSellBid { product: PRODUCT, price: Won(price), period_days: 1, deadline, picture: picture() }
}

pub fn buy_now(price: i64) -> Command {
    Command::BuyNow { product: PRODUCT, price: Won(price), coupon: None }
}

pub fn buy_now_with(price: i64, coupon: CouponId) -> Command {
    Command::BuyNow { product: PRODUCT, price: Won(price), coupon: Some(coupon) }
}

pub fn sell_now(price: i64) -> Command {
    Command::SellNow { product: PRODUCT, price: Won(price), picture: picture() }
}

pub fn cancel(side: Side, bid: u64) -> Command {
    Command::CancelBid { bid: BidId(bid), side }
}

pub fn expire(bids: &[u64]) -> Command {
    Command::ExpireBids { product: PRODUCT, bids: bids.iter().map(|bid| BidId(*bid)).collect() }
}

pub fn picture() -> Picture {
    Picture { key: "pictures/1".into(), sha256: "0f".repeat(32), ..Picture::default() }
}

/// A voucher whose barcode was read.
pub fn voucher(barcode: u8) -> Picture {
    Picture { barcode: Some(BarcodeHash([barcode; 32])), ..picture() }
}

pub fn sell_voucher(price: i64, picture: Picture) -> Command {
    Command::PlaceSellBid { product: PRODUCT, price: Won(price), period_days: 1, deadline: FAR, picture }
}

pub fn sell_voucher_now(price: i64, picture: Picture) -> Command {
    Command::SellNow { product: PRODUCT, price: Won(price), picture }
}
