//! Placing bids.

use crate::floor::*;
use contracts::{Command, Event, ProductId, ResultCode, UserId, Won};
use domain::{
    ledger::Account,
    market::{BidState, CouponState, Discount},
};
use serde_json::json;

#[test]
fn a_buy_bid_holds_its_price_and_answers_with_its_id() {
    let mut floor = Floor::new();
    let decision = floor.send(ANNA, buy(4_500));
    let id = decision.data["buyId"].as_u64().unwrap();
    assert_eq!(decision.data, json!({"price": 4_500, "buyId": id}));
    assert_eq!(floor.database.balance(ANNA), (POINTS - 4_500, 4_500));
    assert_eq!((floor.state(id), floor.bid(id).hold), (BidState::Open, Won(4_500)));
    assert_eq!(floor.database.transfers[0].reference, format!("bid:{id}"));
}

#[test]
fn a_sell_bid_takes_the_gifticon_in_and_holds_nothing() {
    let mut floor = Floor::new();
    let decision = floor.send(ANNA, sell(4_500));
    let id = decision.data["sellId"].as_u64().unwrap();
    assert_eq!(decision.data, json!({"price": 4_500, "sellId": id}));
    assert_eq!(floor.database.balance(ANNA), (POINTS, 0));
    let gifticon = &floor.database.gifticons[0];
    assert_eq!((gifticon.owner, &gifticon.picture), (ANNA, &picture()));
    assert_eq!(floor.bid(id).gifticon, Some(gifticon.id));
}

#[test]
fn prices_and_periods_have_two_ends() {
    let mut floor = Floor::new();
    for price in [100, 50_000] {
        floor.done(ANNA, buy(price));
        floor.done(BORA, sell(price));
    }
    for price in [i64::MIN, -1, 0, 99, 50_001, i64::MAX] {
        assert_eq!(floor.refused(CHAN, buy(price)), ResultCode::InvalidInput, "{price}");
        assert_eq!(floor.refused(CHAN, sell(price)), ResultCode::InvalidInput, "{price}");
    }
    for days in [1, 30] {
        floor.done(CHAN, buy(200).for_days(days));
    }
    for days in [0, 31, u32::MAX] {
        assert_eq!(floor.refused(CHAN, buy(200).for_days(days)), ResultCode::InvalidInput, "{days}");
    }
}

#[test]
fn checks_come_in_their_order() {
    let mut floor = Floor::new();
    let mut all_wrong = buy(99).of(ProductId(9)).ending(floor.clock);
    assert_eq!(floor.refused(UserId(9), all_wrong.clone()), ResultCode::UserNotFound);
    assert_eq!(floor.refused(ANNA, all_wrong.clone()), ResultCode::ProductNotFound);
    all_wrong = all_wrong.of(PRODUCT);
    assert_eq!(floor.refused(ANNA, all_wrong.clone()), ResultCode::InvalidInput);
    for _ in 0..3 {
        floor.done(ANNA, buy(100));
    }
    all_wrong = all_wrong.at_price(50_000);
    assert_eq!(floor.refused(ANNA, all_wrong.clone()), ResultCode::DeadlinePassed);
    all_wrong = all_wrong.ending(floor.clock.plus_ms(1));
    assert_eq!(floor.refused(ANNA, all_wrong), ResultCode::TooManyOpenBids);
}

#[test]
fn coupon_checks_come_in_their_order_and_before_the_points() {
    let mut floor = Floor::new();
    floor.database.add_user(UserId(4), Won(0));
    let poor = UserId(4);
    let foreign = floor.coupon(1, BORA, Discount::Rate(10));
    let used = floor.coupon(2, poor, Discount::Fix(Won(60_000)));
    floor.database.coupons.get_mut(&used).unwrap().state = CouponState::Used;
    // A used coupon without an order would be damage to the audit: ask the rules alone.
    let mut code = |coupon| {
        let envelope = floor.envelope(poor, buy_with(500, coupon));
        floor.database.carry_out(&[(envelope, floor.clock)]).unwrap()[0].code
    };
    assert_eq!(code(contracts::CouponId(77)), ResultCode::CouponNotFound);
    assert_eq!(code(foreign), ResultCode::CouponNotFound);
    assert_eq!(code(used), ResultCode::CouponNotAvailable);
    floor.database.coupons.get_mut(&used).unwrap().state = CouponState::Available;
    assert_eq!(floor.refused(poor, buy_with(500, used)), ResultCode::BadFixedDiscount);
    let small = floor.coupon(3, poor, Discount::Fix(Won(499)));
    assert_eq!(floor.refused(poor, buy_with(500, small)), ResultCode::NotEnoughPoints);
    assert_eq!(floor.database.coupon_state(small), CouponState::Available);
}

#[test]
fn the_last_won_may_be_held_and_not_one_more() {
    let mut floor = Floor::new();
    let four = UserId(4);
    floor.database.add_user(four, Won(1_000));
    let coupon = floor.coupon(1, four, Discount::Rate(10));
    assert_eq!(floor.refused(four, buy(1_001)), ResultCode::NotEnoughPoints);
    assert_eq!(floor.refused(four, buy_with(1_113, coupon)), ResultCode::NotEnoughPoints);
    // 1 112 × 90 / 100 = 1 000.8, rounded down.
    floor.done(four, buy_with(1_112, coupon));
    assert_eq!(floor.database.balance(four), (0, 1_000));
    assert_eq!(floor.refused(four, buy(100)), ResultCode::NotEnoughPoints);
}

#[test]
fn a_coupon_that_pays_everything_holds_nothing() {
    let mut floor = Floor::new();
    let all = floor.coupon(1, ANNA, Discount::Rate(100));
    let fixed = floor.coupon(2, ANNA, Discount::Fix(Won(700)));
    let (one, two) = (floor.done(ANNA, buy_with(800, all)), floor.done(ANNA, buy_with(700, fixed)));
    assert_eq!(floor.database.balance(ANNA), (POINTS, 0));
    assert!(floor.database.transfers.is_empty());
    floor.done(BORA, sell(700));
    floor.done(BORA, sell(700));
    assert_eq!((floor.state(one), floor.state(two)), (BidState::Traded, BidState::Traded));
    assert_eq!(floor.database.balance(ANNA), (POINTS, 0));
    assert_eq!(floor.database.system(Account::CouponCost), -1_500);
    assert_eq!(floor.database.balance(BORA), (POINTS + 1_500 - 40 - 35, 0));
}

#[test]
fn the_cap_counts_both_sides_of_one_product_and_open_bids_only() {
    let mut floor = Floor::new();
    floor.database.products.insert(ProductId(2));
    let first = floor.done(ANNA, buy(100));
    floor.done(ANNA, sell(900));
    floor.done(ANNA, sell(901));
    assert_eq!(floor.refused(ANNA, sell(902)), ResultCode::TooManyOpenBids);
    assert_eq!(floor.refused(ANNA, buy(101)), ResultCode::TooManyOpenBids);
    floor.done(ANNA, buy(101).of(ProductId(2)));
    floor.done(ANNA, cancel(contracts::Side::Buy, first));
    floor.done(ANNA, buy(101));
    assert_eq!(floor.refused(ANNA, buy(101)), ResultCode::TooManyOpenBids);
    floor.done(BORA, buy_now(900));
    floor.done(ANNA, buy(101));
}

#[test]
fn the_cap_holds_within_a_batch() {
    let mut floor = Floor::new();
    let asked = [buy(100), sell(900), buy(101), buy(102), sell(901)];
    let batch: Vec<_> = asked.into_iter().map(|command| (floor.envelope(ANNA, command), floor.clock)).collect();
    let mut batch = batch;
    batch.insert(4, (floor.envelope(BORA, buy_now(900)), floor.clock));
    let codes: Vec<ResultCode> = floor.database.carry_out(&batch).unwrap().iter().map(|found| found.code).collect();
    let (ok, too_many) = (ResultCode::Ok, ResultCode::TooManyOpenBids);
    assert_eq!(codes, [ok, ok, ok, too_many, ok, ok]);
}

#[test]
fn a_buyer_meets_the_lowest_price_then_the_oldest_and_pays_what_the_seller_asked() {
    let mut floor = Floor::new();
    floor.done(BORA, sell(1_002));
    let first = floor.done(BORA, sell(1_000));
    let second = floor.done(CHAN, sell(1_000));
    let buyer = floor.done(ANNA, buy(1_001));
    assert_eq!(floor.only_trade(), (ANNA, BORA, 1_000));
    assert_eq!((floor.state(first), floor.state(second)), (BidState::Traded, BidState::Open));
    assert_eq!(floor.state(buyer), BidState::Traded);
    assert_eq!(floor.database.balance(ANNA), (POINTS - 1_000, 0), "the hold's surplus came back");
    assert_eq!(floor.database.balance(BORA), (POINTS + 950, 0));
    assert_eq!(floor.database.system(Account::Fee), 50);
}

#[test]
fn a_seller_meets_the_highest_price_then_the_oldest_and_gets_what_the_buyer_offered() {
    let mut floor = Floor::new();
    floor.done(BORA, buy(999));
    let first = floor.done(BORA, buy(1_001));
    let second = floor.done(CHAN, buy(1_001));
    let seller = floor.done(ANNA, sell(1_000));
    assert_eq!(floor.only_trade(), (BORA, ANNA, 1_001));
    assert_eq!((floor.state(first), floor.state(second)), (BidState::Traded, BidState::Open));
    assert_eq!(floor.state(seller), BidState::Traded);
    // The fee is 50 per mille of 1 001, rounded down.
    assert_eq!(floor.database.balance(ANNA), (POINTS + 951, 0));
    let order = &floor.database.orders[0];
    assert_eq!((order.buy_bid.unwrap().0, order.sell_bid.unwrap().0), (first, seller));
    let event = &floor.database.events[0].event;
    assert!(matches!(event, Event::TradeMade { order: id, price: Won(1_001), .. } if *id == order.id));
}

#[test]
fn prices_that_only_just_do_not_cross_rest() {
    let mut floor = Floor::new();
    floor.done(ANNA, sell(1_001));
    floor.done(BORA, buy(1_000));
    assert!(floor.database.orders.is_empty());
    floor.done(CHAN, buy(1_001));
    assert_eq!(floor.only_trade(), (CHAN, ANNA, 1_001));
}

#[test]
fn nobody_trades_with_themself() {
    let mut floor = Floor::new();
    let own = floor.done(ANNA, sell(900));
    floor.done(ANNA, buy(1_000));
    assert!(floor.database.orders.is_empty());
    let other = floor.done(BORA, sell(1_001));
    floor.done(ANNA, buy(1_001));
    assert_eq!(floor.only_trade(), (ANNA, BORA, 1_001), "passed over the better one of their own");
    assert_eq!((floor.state(own), floor.state(other)), (BidState::Open, BidState::Traded));
}

#[test]
fn a_coupon_is_recomputed_at_the_price_of_the_trade() {
    let mut floor = Floor::new();
    let rate = floor.coupon(1, ANNA, Discount::Rate(33));
    let fixed = floor.coupon(2, CHAN, Discount::Fix(Won(800)));
    floor.done(BORA, sell(901));
    floor.done(BORA, sell(501));
    // 501 × 67 / 100 = 335.67, rounded down.
    floor.done(ANNA, buy_with(1_000, rate));
    assert_eq!(floor.database.orders[0].final_price, Won(335));
    assert_eq!(floor.database.balance(ANNA), (POINTS - 335, 0));
    assert_eq!(floor.database.system(Account::CouponCost), -(501 - 335));
    // The fixed amount was allowed for the bid's 950, and is all of what 901 leaves but 101.
    floor.done(CHAN, buy_with(950, fixed));
    assert_eq!(floor.database.balance(CHAN), (POINTS - 101, 0));
    floor.done(BORA, sell(400));
    let more = floor.coupon(3, CHAN, Discount::Fix(Won(800)));
    floor.done(CHAN, buy_with(900, more));
    assert_eq!(floor.database.balance(CHAN), (POINTS - 101, 0), "never more than the price");
    for coupon in [rate, fixed, more] {
        assert_eq!(floor.database.coupon_state(coupon), CouponState::Used);
    }
}

#[test]
fn two_products_never_meet() {
    let mut floor = Floor::new();
    floor.database.products.insert(ProductId(2));
    floor.done(ANNA, sell(1_000).of(ProductId(2)));
    floor.done(BORA, buy(1_000));
    assert!(floor.database.orders.is_empty());
}

/// A command with one thing changed.
trait Changed {
    fn of(self, product: ProductId) -> Self;
    fn at_price(self, price: i64) -> Self;
    fn for_days(self, days: u32) -> Self;
    fn ending(self, at: contracts::UnixMs) -> Self;
}

impl Changed for Command {
    fn of(mut self, changed: ProductId) -> Self {
        if let Command::PlaceBuyBid { product, .. } | Command::PlaceSellBid { product, .. } = &mut self {
            *product = changed;
        }
        self
    }
    fn at_price(mut self, changed: i64) -> Self {
        if let Command::PlaceBuyBid { price, .. } | Command::PlaceSellBid { price, .. } = &mut self {
            *price = Won(changed);
        }
        self
    }
    fn for_days(mut self, days: u32) -> Self {
        if let Command::PlaceBuyBid { period_days, .. } | Command::PlaceSellBid { period_days, .. } = &mut self {
            *period_days = days;
        }
        self
    }
    fn ending(mut self, at: contracts::UnixMs) -> Self {
        if let Command::PlaceBuyBid { deadline, .. } | Command::PlaceSellBid { deadline, .. } = &mut self {
            *deadline = at;
        }
        self
    }
}
