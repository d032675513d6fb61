//! Taking bids back, and retiring those whose deadline has passed.

use crate::floor::*;
use contracts::{Command, Event, ProductId, ResultCode, Side, UserId, Won};
use domain::market::{BidState, CouponState, Discount};
use serde_json::json;

#[test]
fn a_cancelled_buy_bid_gives_everything_back() {
    let mut floor = Floor::new();
    let coupon = floor.coupon(1, ANNA, Discount::Rate(10));
    let bid = floor.done(ANNA, buy_with(1_000, coupon));
    let decision = floor.send(ANNA, cancel(Side::Buy, bid));
    assert_eq!(decision.data, json!({"buyId": bid}));
    assert_eq!((floor.state(bid), floor.bid(bid).closed_at), (BidState::Cancelled, Some(floor.clock)));
    assert_eq!(floor.database.balance(ANNA), (POINTS, 0));
    assert_eq!(floor.database.coupon_state(coupon), CouponState::Available);
    assert_eq!(floor.refused(ANNA, cancel(Side::Buy, bid)), ResultCode::BuyBidNotFound);
    assert!(floor.database.events.is_empty());
}

#[test]
fn a_cancelled_sell_bid_is_no_longer_offered() {
    let mut floor = Floor::new();
    let bid = floor.done(ANNA, sell(1_000));
    assert_eq!(floor.send(ANNA, cancel(Side::Sell, bid)).data, json!({"sellId": bid}));
    assert_eq!(floor.refused(BORA, buy_now(1_000)), ResultCode::SellBidNotFound);
}

#[test]
fn what_cannot_be_cancelled_says_why() {
    let mut floor = Floor::new();
    let (bought, sold) = (floor.done(ANNA, buy(900)), floor.done(ANNA, sell(1_000)));
    assert_eq!(floor.refused(BORA, cancel(Side::Buy, bought)), ResultCode::Forbidden);
    assert_eq!(floor.refused(BORA, cancel(Side::Sell, sold)), ResultCode::SellBidNotFound);
    // Of the other side, of no bid, of no partition, and traded already.
    assert_eq!(floor.refused(ANNA, cancel(Side::Sell, bought)), ResultCode::SellBidNotFound);
    assert_eq!(floor.refused(ANNA, cancel(Side::Buy, sold)), ResultCode::BuyBidNotFound);
    assert_eq!(floor.refused(ANNA, cancel(Side::Buy, 77 << 8)), ResultCode::BuyBidNotFound);
    assert_eq!(floor.refused(ANNA, cancel(Side::Sell, u64::MAX)), ResultCode::SellBidNotFound);
    floor.done(BORA, sell_now(900));
    assert_eq!(floor.refused(ANNA, cancel(Side::Buy, bought)), ResultCode::BuyBidNotFound);
}

#[test]
fn a_cancel_that_comes_at_the_deadline_finds_the_bid_expired() {
    let mut floor = Floor::new();
    let deadline = floor.clock.plus_ms(10);
    let coupon = floor.coupon(1, ANNA, Discount::Rate(10));
    let mut place = buy_with(1_000, coupon);
    if let Command::PlaceBuyBid { deadline: ends, .. } = &mut place {
        *ends = deadline;
    }
    let (early, late) = (floor.done(ANNA, buy_until(900, deadline)), floor.done(ANNA, place));
    floor.clock = deadline.plus_ms(-1);
    floor.done(ANNA, cancel(Side::Buy, early));
    floor.clock = deadline;
    assert_eq!(floor.refused(BORA, cancel(Side::Buy, late)), ResultCode::Forbidden);
    assert_eq!(floor.state(late), BidState::Open, "another's cancel does not even retire it");
    assert_eq!(floor.refused(ANNA, cancel(Side::Buy, late)), ResultCode::DeadlinePassed);
    assert_eq!(floor.state(late), BidState::Expired);
    assert_eq!(floor.database.balance(ANNA), (POINTS, 0));
    assert_eq!(floor.database.coupon_state(coupon), CouponState::Available);
    assert!(matches!(floor.database.events[0].event, Event::BidExpired { side: Side::Buy, user: ANNA, .. }));
}

#[test]
fn the_scheduler_retires_what_is_due_and_passes_over_the_rest() {
    let mut floor = Floor::new();
    floor.database.products.insert(ProductId(2));
    let due = floor.clock.plus_ms(10);
    let coupon = floor.coupon(1, BORA, Discount::Fix(Won(100)));
    let buys = floor.done(ANNA, buy_until(900, due));
    let sells = floor.done(ANNA, sell_until(1_000, due));
    let lives = floor.done(ANNA, sell_until(1_001, due.plus_ms(1)));
    let gone = floor.done(BORA, buy_with(800, coupon));
    floor.done(BORA, cancel(Side::Buy, gone));
    let mut elsewhere = buy_until(700, due);
    if let Command::PlaceBuyBid { product, .. } = &mut elsewhere {
        *product = ProductId(2);
    }
    let elsewhere = floor.done(BORA, elsewhere);
    floor.clock = due;
    let listed = [buys, sells, lives, gone, elsewhere, buys, 99 << 8];
    assert_eq!(floor.send(UserId::SYSTEM, expire(&listed)).data, json!({"expired": 2}));
    let states = [buys, sells, lives, gone, elsewhere].map(|bid| floor.state(bid));
    assert_eq!(states, [BidState::Expired, BidState::Expired, BidState::Open, BidState::Cancelled, BidState::Open]);
    assert_eq!(floor.database.balance(ANNA), (POINTS, 0));
    let expired = floor.database.events.iter().filter(|e| matches!(e.event, Event::BidExpired { .. })).count();
    assert_eq!(expired, 2);
    assert_eq!(floor.send(UserId::SYSTEM, expire(&listed)).data, json!({"expired": 0}));
}

#[test]
fn whoever_meets_bids_past_their_deadline_retires_a_few_and_trades_behind_them() {
    let mut floor = Floor::new();
    let due = floor.clock.plus_ms(10);
    let stale = [900, 901, 902].map(|price| floor.done(BORA, sell_until(price, due)));
    let fresh = floor.done(CHAN, sell(1_000));
    floor.clock = due;
    floor.done(ANNA, buy(1_000));
    assert_eq!(floor.only_trade(), (ANNA, CHAN, 1_000));
    // At most two a command; the third is only passed over.
    let states = [stale[0], stale[1], stale[2], fresh].map(|bid| floor.state(bid));
    assert_eq!(states, [BidState::Expired, BidState::Expired, BidState::Open, BidState::Traded]);
    assert_eq!(floor.database.events.len(), 3);
}

#[test]
fn stale_buy_bids_met_on_the_way_get_their_points_back_even_if_nobody_is_found() {
    let mut floor = Floor::new();
    let due = floor.clock.plus_ms(10);
    let coupon = floor.coupon(1, BORA, Discount::Fix(Won(100)));
    let mut place = buy_with(900, coupon);
    if let Command::PlaceBuyBid { deadline, .. } = &mut place {
        *deadline = due;
    }
    let stale = floor.done(BORA, place);
    let own = floor.done(ANNA, buy_until(900, due));
    floor.clock = due;
    assert_eq!(floor.refused(ANNA, sell_now(900)), ResultCode::BuyBidNotFound);
    assert_eq!((floor.state(stale), floor.state(own)), (BidState::Expired, BidState::Expired));
    assert_eq!(floor.database.balance(BORA), (POINTS, 0));
    assert_eq!(floor.database.balance(ANNA), (POINTS, 0));
    assert_eq!(floor.database.coupon_state(coupon), CouponState::Available);
    let transfers = &floor.database.transfers;
    let command = transfers.last().unwrap().command;
    let numbers: Vec<u16> = transfers.iter().filter(|made| made.command == command).map(|made| made.no).collect();
    assert_eq!(numbers, [0, 1]);
}
