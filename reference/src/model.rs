//! The market as a plain person would write it down: lists, looked through from the start every time. Shares no code
//! with the rules; of the project it knows only the vocabulary in `contracts`.

use contracts::{
    BarcodeHash, BidId, Command, CommandId, CommandState, CouponId, Envelope, Event, OrderId, PartitionCount, Picture,
    ProductId, ResultCode, Side, UnixMs, UserId, Won,
};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub cap: usize,
    pub retired: usize,
    pub skew_ms: i64,
    pub fee_per_mille: i128,
    pub prices: (i64, i64),
    pub longest_days: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    PerCent(i128),
    Amount(i128),
}

#[derive(Clone, Debug)]
pub struct ModelCoupon {
    pub id: CouponId,
    pub user: UserId,
    pub off: Off,
    /// "available", "reserved" or "used".
    pub state: &'static str,
}

#[derive(Clone, Debug)]
pub struct ModelBid {
    pub id: u64,
    pub buys: bool,
    pub product: ProductId,
    pub user: UserId,
    pub price: i64,
    pub hold: i64,
    pub coupon: Option<CouponId>,
    pub gifticon: Option<u64>,
    /// "open", "traded", "cancelled" or "expired".
    pub state: &'static str,
    pub placed_at: i64,
    pub deadline: i64,
    pub closed_at: Option<i64>,
    pub command: CommandId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOrder {
    pub id: u64,
    pub product: ProductId,
    pub buyer: UserId,
    pub seller: UserId,
    pub buy_bid: Option<u64>,
    pub sell_bid: Option<u64>,
    pub gifticon: u64,
    pub coupon: Option<CouponId>,
    pub price: i64,
    pub final_price: i64,
    pub fee: i64,
    pub command: CommandId,
    pub at: i64,
}

#[derive(Clone, Debug)]
pub struct Purse {
    pub user: UserId,
    pub available: i64,
    pub held: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub state: CommandState,
    pub code: ResultCode,
    pub data: Value,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub terms: Terms,
    pub partition_count: u16,
    /// Of each partition: the last sequence and the last time.
    pub progress: Vec<(u64, i64)>,
    pub products: Vec<ProductId>,
    pub purses: Vec<Purse>,
    pub coupons: Vec<ModelCoupon>,
    pub bids: Vec<ModelBid>,
    /// Gifticon, seller, picture's key.
    pub gifticons: Vec<(u64, UserId, String)>,
    /// Gifticon and barcode, of those that have one.
    pub barcodes: Vec<(u64, BarcodeHash)>,
    pub orders: Vec<ModelOrder>,
    pub events: Vec<(CommandId, Event)>,
}

struct Now<'a> {
    envelope: &'a Envelope,
    partition: usize,
    at: i64,
}

impl Model {
    pub fn carry_out(&mut self, envelope: &Envelope, clock: UnixMs) -> Answer {
        let partition = match &envelope.command {
            Command::CancelBid { bid, .. } => (bid.0 % 256) as usize,
            Command::PlaceBuyBid { product, .. }
            | Command::PlaceSellBid { product, .. }
            | Command::BuyNow { product, .. }
            | Command::SellNow { product, .. }
            | Command::ExpireBids { product, .. } => {
                usize::from(PartitionCount::new(self.partition_count).unwrap().of_product(*product).0)
            }
            other => panic!("{other:?} is not for the market"),
        };
        let mut at = envelope.accepted_at.0;
        if at > clock.0 + self.terms.skew_ms {
            at = clock.0 + self.terms.skew_ms;
        }
        if at < self.progress[partition].1 {
            at = self.progress[partition].1;
        }
        self.progress[partition].1 = at;
        let expired = envelope.valid_until.is_some_and(|until| until.0 <= clock.0);
        let answer =
            if expired { Err(ResultCode::CommandExpired) } else { self.follow(&Now { envelope, partition, at }) };
        match answer {
            Ok(data) => Answer { state: CommandState::Done, code: ResultCode::Ok, data },
            Err(code) => Answer { state: CommandState::Rejected, code, data: json!({}) },
        }
    }

    fn follow(&mut self, now: &Now) -> Result<Value, ResultCode> {
        let me = now.envelope.user;
        match &now.envelope.command {
            Command::PlaceBuyBid { product, price, period_days, deadline, coupon } => {
                self.may_place(now, *product, price.0, *period_days, deadline.0)?;
                self.may_use(me, *coupon, price.0)?;
                let hold = self.to_pay(price.0, *coupon);
                let purse = self.purse(me).unwrap();
                if purse.available < hold {
                    return Err(ResultCode::NotEnoughPoints);
                }
                purse.available -= hold;
                purse.held += hold;
                self.mark_coupon(*coupon, "reserved");
                let id = self.number(now);
                self.note_bid(now, id, true, *product, price.0, deadline.0, hold, *coupon, None);
                if let Some(other) = self.first_that_fits(now, *product, true, 1, price.0) {
                    self.trade(now, Some(id), Some(other), None);
                }
                Ok(json!({"price": price.0, "buyId": id}))
            }
            Command::PlaceSellBid { product, price, period_days, deadline, picture } => {
                self.may_place(now, *product, price.0, *period_days, deadline.0)?;
                self.may_offer(now, picture)?;
                let id = self.number(now);
                let gifticon = self.number(now);
                self.note_gifticon(gifticon, me, picture);
                self.note_bid(now, id, false, *product, price.0, deadline.0, 0, None, Some(gifticon));
                if let Some(other) = self.first_that_fits(now, *product, false, price.0, i64::MAX) {
                    self.trade(now, Some(other), Some(id), None);
                }
                Ok(json!({"price": price.0, "sellId": id}))
            }
            Command::BuyNow { product, price, coupon } => {
                self.is_known(me, *product)?;
                let other = self.first_that_fits(now, *product, true, price.0, price.0);
                let other = other.ok_or(ResultCode::SellBidNotFound)?;
                self.may_use(me, *coupon, price.0)?;
                if self.purse(me).unwrap().available < self.to_pay(price.0, *coupon) {
                    return Err(ResultCode::NotEnoughPoints);
                }
                let order = self.trade(now, None, Some(other), *coupon);
                Ok(json!({"orderId": order.id, "expectedPrice": price.0, "finalPrice": order.final_price}))
            }
            Command::SellNow { product, price, picture } => {
                self.is_known(me, *product)?;
                self.may_offer(now, picture)?;
                let other = self.first_that_fits(now, *product, false, price.0, price.0);
                let other = other.ok_or(ResultCode::BuyBidNotFound)?;
                let gifticon = self.number(now);
                self.note_gifticon(gifticon, me, picture);
                let order = self.trade(now, Some(other), None, None);
                Ok(json!({"orderId": order.id, "price": price.0}))
            }
            Command::CancelBid { bid, side } => self.cancel(now, bid.0, *side == Side::Buy),
            Command::ExpireBids { product, bids } => {
                let mut expired = 0;
                for id in bids {
                    let known = self.bids.iter().find(|bid| bid.id == id.0).cloned();
                    if known.is_some_and(|b| b.state == "open" && b.deadline <= now.at && b.product == *product) {
                        self.expire(now, id.0);
                        expired += 1;
                    }
                }
                Ok(json!({"expired": expired}))
            }
            other => panic!("{other:?} is not for the market"),
        }
    }

    fn cancel(&mut self, now: &Now, id: u64, buys: bool) -> Result<Value, ResultCode> {
        let missing = if buys { ResultCode::BuyBidNotFound } else { ResultCode::SellBidNotFound };
        let bid = self.bids.iter().find(|bid| bid.id == id).cloned().ok_or(missing)?;
        if bid.buys != buys || bid.state != "open" {
            return Err(missing);
        }
        if bid.user != now.envelope.user {
            return Err(if buys { ResultCode::Forbidden } else { ResultCode::SellBidNotFound });
        }
        if bid.deadline <= now.at {
            self.expire(now, id);
            return Err(ResultCode::DeadlinePassed);
        }
        self.take_back(now, id, "cancelled");
        Ok(if buys { json!({"buyId": id}) } else { json!({"sellId": id}) })
    }

    fn is_known(&mut self, user: UserId, product: ProductId) -> Result<(), ResultCode> {
        if self.purse(user).is_none() {
            return Err(ResultCode::UserNotFound);
        }
        if !self.products.contains(&product) {
            return Err(ResultCode::ProductNotFound);
        }
        Ok(())
    }

    fn may_place(
        &mut self,
        now: &Now,
        product: ProductId,
        price: i64,
        days: u32,
        deadline: i64,
    ) -> Result<(), ResultCode> {
        let me = now.envelope.user;
        self.is_known(me, product)?;
        if price < self.terms.prices.0 || price > self.terms.prices.1 || days == 0 || days > self.terms.longest_days {
            return Err(ResultCode::InvalidInput);
        }
        if now.at >= deadline {
            return Err(ResultCode::DeadlinePassed);
        }
        let mine = self.bids.iter().filter(|b| b.state == "open" && b.user == me && b.product == product).count();
        if mine + 1 > self.terms.cap {
            return Err(ResultCode::TooManyOpenBids);
        }
        Ok(())
    }

    /// Neither ended, nor the barcode of one that an open bid offers or that is in an order.
    fn may_offer(&self, now: &Now, picture: &Picture) -> Result<(), ResultCode> {
        if picture.expires_at.is_some_and(|end| now.at >= end.0) {
            return Err(ResultCode::GifticonExpired);
        }
        for (gifticon, barcode) in &self.barcodes {
            let offered = self.bids.iter().any(|bid| bid.gifticon == Some(*gifticon) && bid.state == "open");
            let sold = self.orders.iter().any(|order| order.gifticon == *gifticon);
            if Some(*barcode) == picture.barcode && (offered || sold) {
                return Err(ResultCode::GifticonAlreadyOffered);
            }
        }
        Ok(())
    }

    fn note_gifticon(&mut self, id: u64, seller: UserId, picture: &Picture) {
        self.gifticons.push((id, seller, picture.key.clone()));
        self.barcodes.extend(picture.barcode.map(|barcode| (id, barcode)));
    }

    fn may_use(&self, user: UserId, coupon: Option<CouponId>, price: i64) -> Result<(), ResultCode> {
        let Some(id) = coupon else { return Ok(()) };
        let Some(coupon) = self.coupons.iter().find(|coupon| coupon.id == id && coupon.user == user) else {
            return Err(ResultCode::CouponNotFound);
        };
        if coupon.state != "available" {
            return Err(ResultCode::CouponNotAvailable);
        }
        match coupon.off {
            Off::Amount(amount) if amount > i128::from(price) => Err(ResultCode::BadFixedDiscount),
            _ => Ok(()),
        }
    }

    fn to_pay(&self, price: i64, coupon: Option<CouponId>) -> i64 {
        let Some(id) = coupon else { return price };
        let price = i128::from(price);
        let left = match self.coupons.iter().find(|coupon| coupon.id == id).unwrap().off {
            Off::PerCent(rate) => price * (100 - rate) / 100,
            Off::Amount(amount) if amount > price => 0,
            Off::Amount(amount) => price - amount,
        };
        i64::try_from(left).unwrap()
    }

    fn number(&mut self, now: &Now) -> u64 {
        self.progress[now.partition].0 += 1;
        self.progress[now.partition].0 * 256 + now.partition as u64
    }

    #[allow(clippy::too_many_arguments)]
    fn note_bid(
        &mut self,
        now: &Now,
        id: u64,
        buys: bool,
        product: ProductId,
        price: i64,
        deadline: i64,
        hold: i64,
        coupon: Option<CouponId>,
        gifticon: Option<u64>,
    ) {
        self.bids.push(ModelBid {
            id,
            buys,
            product,
            user: now.envelope.user,
            price,
            hold,
            coupon,
            gifticon,
            state: "open",
            placed_at: now.at,
            deadline,
            closed_at: None,
            command: now.envelope.id,
        });
    }

    /// Looks again and again for the best bid between the two prices, until one will do. `cheapest` for a buyer.
    fn first_that_fits(&mut self, now: &Now, product: ProductId, cheapest: bool, low: i64, high: i64) -> Option<u64> {
        let mut looked_at: Vec<u64> = Vec::new();
        let mut retired = 0;
        loop {
            let mut best: Option<&ModelBid> = None;
            for bid in &self.bids {
                let eligible = bid.state == "open"
                    && bid.product == product
                    && bid.buys != cheapest
                    && bid.price >= low
                    && bid.price <= high
                    && !looked_at.contains(&bid.id);
                if !eligible {
                    continue;
                }
                let better = match best {
                    None => true,
                    Some(best) if bid.price == best.price => bid.id < best.id,
                    Some(best) => (bid.price < best.price) == cheapest,
                };
                if better {
                    best = Some(bid);
                }
            }
            let best = best?.clone();
            looked_at.push(best.id);
            if best.deadline <= now.at {
                if retired < self.terms.retired {
                    self.expire(now, best.id);
                    retired += 1;
                }
            } else if best.user != now.envelope.user {
                return Some(best.id);
            }
        }
    }

    /// One side may be missing: that is the one who trades at once, with `coupon` if they buy.
    fn trade(&mut self, now: &Now, bought: Option<u64>, sold: Option<u64>, coupon: Option<CouponId>) -> ModelOrder {
        let find = |id: Option<u64>| id.map(|id| self.bids.iter().find(|bid| bid.id == id).unwrap().clone());
        let (buy_bid, sell_bid) = (find(bought), find(sold));
        // The one that was there first names the price.
        let price = match (&buy_bid, &sell_bid) {
            (Some(one), Some(other)) => {
                if one.id < other.id {
                    one.price
                } else {
                    other.price
                }
            }
            (Some(bid), None) | (None, Some(bid)) => bid.price,
            (None, None) => panic!("nobody rests"),
        };
        let coupon = buy_bid.as_ref().map_or(coupon, |bid| bid.coupon);
        let final_price = self.to_pay(price, coupon);
        let fee = i64::try_from(i128::from(price) * self.terms.fee_per_mille / 1000).unwrap();
        let buyer = buy_bid.as_ref().map_or(now.envelope.user, |bid| bid.user);
        let seller = sell_bid.as_ref().map_or(now.envelope.user, |bid| bid.user);
        let gifticon = sell_bid.as_ref().map_or_else(|| self.gifticons.last().unwrap().0, |b| b.gifticon.unwrap());
        let hold = buy_bid.as_ref().map_or(0, |bid| bid.hold);
        let purse = self.purse(buyer).unwrap();
        purse.held -= hold;
        purse.available += hold;
        purse.available -= final_price;
        self.purse(seller).unwrap().available += price - fee;
        self.mark_coupon(coupon, "used");
        for bid in &mut self.bids {
            if Some(bid.id) == bought || Some(bid.id) == sold {
                bid.state = "traded";
                bid.closed_at = Some(now.at);
            }
        }
        let id = self.number(now);
        let (product, command, at) = (self.product_of(bought.or(sold)), now.envelope.id, now.at);
        let order = ModelOrder {
            id,
            product,
            buyer,
            seller,
            buy_bid: bought,
            sell_bid: sold,
            gifticon,
            coupon,
            price,
            final_price,
            fee,
            command,
            at,
        };
        self.orders.push(order.clone());
        let (order_id, price, at) = (OrderId(id), Won(price), UnixMs(at));
        self.events.push((command, Event::TradeMade { order: order_id, product, buyer, seller, price, at }));
        order
    }

    fn product_of(&self, bid: Option<u64>) -> ProductId {
        self.bids.iter().find(|found| Some(found.id) == bid).unwrap().product
    }

    fn expire(&mut self, now: &Now, id: u64) {
        self.take_back(now, id, "expired");
        let bid = self.bids.iter().find(|bid| bid.id == id).unwrap();
        let side = if bid.buys { Side::Buy } else { Side::Sell };
        let (product, user, at) = (bid.product, bid.user, UnixMs(now.at));
        let event = Event::BidExpired { bid: BidId(id), side, product, user, at };
        self.events.push((now.envelope.id, event));
    }

    fn take_back(&mut self, now: &Now, id: u64, state: &'static str) {
        let bid = self.bids.iter_mut().find(|bid| bid.id == id).unwrap();
        bid.state = state;
        bid.closed_at = Some(now.at);
        let bid = bid.clone();
        let purse = self.purse(bid.user).unwrap();
        purse.held -= bid.hold;
        purse.available += bid.hold;
        self.mark_coupon(bid.coupon, "available");
    }

    fn mark_coupon(&mut self, coupon: Option<CouponId>, state: &'static str) {
        for known in &mut self.coupons {
            if Some(known.id) == coupon {
                known.state = state;
            }
        }
    }

    fn purse(&mut self, user: UserId) -> Option<&mut Purse> {
        self.purses.iter_mut().find(|purse| purse.user == user)
    }
}
