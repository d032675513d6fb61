//! Trading at once.

use crate::floor::*;
use contracts::{Command, ProductId, ResultCode, UserId, Won};
use domain::{
    ledger::Account,
    market::{BidState, CouponState, Discount},
};
use serde_json::json;

#[test]
fn buying_takes_the_oldest_bid_at_exactly_that_price() {
    let mut floor = Floor::new();
    let cheaper = floor.done(BORA, sell(999));
    let first = floor.done(BORA, sell(1_000));
    let second = floor.done(CHAN, sell(1_000));
    let decision = floor.send(ANNA, buy_now(1_000));
    let order = floor.database.orders[0].clone();
    assert_eq!(decision.data, json!({"orderId": order.id, "expectedPrice": 1_000, "finalPrice": 1_000}));
    assert_eq!(floor.traded_with(order.id.0), Some(first));
    assert_eq!(order.buy_bid, None);
    assert_eq!([cheaper, second].map(|bid| floor.state(bid)), [BidState::Open; 2]);
    assert_eq!(floor.database.balance(ANNA), (POINTS - 1_000, 0));
    assert_eq!(floor.database.balance(BORA), (POINTS + 950, 0));
    assert_eq!(floor.database.bids.len(), 3, "the buyer has no bid");
}

#[test]
fn selling_takes_the_oldest_bid_at_exactly_that_price() {
    let mut floor = Floor::new();
    let better = floor.done(BORA, buy(1_001));
    let first = floor.done(BORA, buy(1_000));
    let second = floor.done(CHAN, buy(1_000));
    let decision = floor.send(ANNA, sell_now(1_000));
    let order = floor.database.orders[0].clone();
    assert_eq!(decision.data, json!({"orderId": order.id, "price": 1_000}));
    assert_eq!(floor.traded_with(order.id.0), Some(first));
    assert_eq!(order.sell_bid, None);
    assert_eq!(floor.database.gifticons[0].id, order.gifticon);
    assert_eq!([better, second].map(|bid| floor.state(bid)), [BidState::Open; 2]);
    assert_eq!(floor.database.balance(ANNA), (POINTS + 950, 0));
    assert_eq!(floor.database.balance(BORA), (POINTS - 2_001, 1_001));
}

#[test]
fn without_such_a_bid_nothing_happens() {
    let mut floor = Floor::new();
    assert_eq!(floor.refused(ANNA, buy_now(1_000)), ResultCode::SellBidNotFound);
    assert_eq!(floor.refused(ANNA, sell_now(1_000)), ResultCode::BuyBidNotFound);
    floor.done(ANNA, sell(1_000));
    floor.done(ANNA, buy(900));
    assert_eq!(floor.refused(ANNA, buy_now(1_000)), ResultCode::SellBidNotFound, "their own");
    assert_eq!(floor.refused(ANNA, sell_now(900)), ResultCode::BuyBidNotFound, "their own");
    for price in [i64::MIN, 0, 899, 999, 1_001, i64::MAX] {
        assert_eq!(floor.refused(BORA, buy_now(price)), ResultCode::SellBidNotFound);
        assert_eq!(floor.refused(BORA, sell_now(price)), ResultCode::BuyBidNotFound);
    }
}

#[test]
fn checks_come_in_their_order() {
    let mut floor = Floor::new();
    let poor = UserId(4);
    floor.database.add_user(poor, Won(200));
    let big = floor.coupon(1, poor, Discount::Fix(Won(60_000)));
    let foreign = floor.coupon(2, BORA, Discount::Fix(Won(1)));
    let elsewhere = Command::BuyNow { product: ProductId(9), price: Won(500), coupon: Some(foreign) };
    assert_eq!(floor.refused(UserId(9), elsewhere.clone()), ResultCode::UserNotFound);
    assert_eq!(floor.refused(poor, elsewhere), ResultCode::ProductNotFound);
    assert_eq!(floor.refused(poor, buy_now_with(500, foreign)), ResultCode::SellBidNotFound);
    floor.done(BORA, sell(500));
    assert_eq!(floor.refused(poor, buy_now_with(500, foreign)), ResultCode::CouponNotFound);
    assert_eq!(floor.refused(poor, buy_now_with(500, big)), ResultCode::BadFixedDiscount);
    assert_eq!(floor.refused(poor, buy_now(500)), ResultCode::NotEnoughPoints);
    let enough = floor.coupon(3, poor, Discount::Fix(Won(300)));
    floor.done(poor, buy_now_with(500, enough));
    assert_eq!(floor.database.balance(poor), (0, 0));
}

#[test]
fn a_coupon_is_used_at_once_or_not_at_all() {
    let mut floor = Floor::new();
    let coupon = floor.coupon(1, ANNA, Discount::Rate(33));
    assert_eq!(floor.refused(ANNA, buy_now_with(501, coupon)), ResultCode::SellBidNotFound);
    assert_eq!(floor.database.coupon_state(coupon), CouponState::Available);
    floor.done(BORA, sell(501));
    floor.done(BORA, sell(502));
    let decision = floor.send(ANNA, buy_now_with(501, coupon));
    assert_eq!((&decision.data["expectedPrice"], &decision.data["finalPrice"]), (&json!(501), &json!(335)));
    assert_eq!(floor.database.coupon_state(coupon), CouponState::Used);
    assert_eq!(floor.database.system(Account::CouponCost), -166);
    assert_eq!(floor.refused(ANNA, buy_now_with(502, coupon)), ResultCode::CouponNotAvailable);
}

#[test]
fn a_buyers_coupon_waits_reserved_for_who_sells_at_once() {
    let mut floor = Floor::new();
    let coupon = floor.coupon(1, BORA, Discount::Fix(Won(300)));
    floor.done(BORA, buy_with(1_000, coupon));
    assert_eq!(floor.database.coupon_state(coupon), CouponState::Reserved);
    assert_eq!(floor.refused(BORA, buy_with(1_000, coupon)), ResultCode::CouponNotAvailable);
    floor.done(ANNA, sell_now(1_000));
    assert_eq!(floor.database.coupon_state(coupon), CouponState::Used);
    assert_eq!(floor.database.balance(BORA), (POINTS - 700, 0));
    assert_eq!(floor.database.balance(ANNA), (POINTS + 950, 0));
}
