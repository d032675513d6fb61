//! What is asked of the database, and that nothing beyond it is believed.

use crate::floor::*;
use contracts::{BidId, Command, CouponId, Envelope, Kind, PartitionCount, Side, UserId, Won};
use domain::market::{Discount, Loaded, Market, Missing, Needs, Progress, Undecided, WindowKey, WindowNeed};
use std::collections::BTreeSet;

const SELLS: WindowKey = WindowKey::Crossing { product: PRODUCT, side: Side::Sell };
const CLOCK: contracts::UnixMs = contracts::UnixMs(NOW_MS);
const BUYS: WindowKey = WindowKey::Crossing { product: PRODUCT, side: Side::Buy };

fn level(side: Side, price: i64) -> WindowKey {
    WindowKey::Level { product: PRODUCT, side, price: Won(price) }
}

fn needs(asked: &[(UserId, Command)]) -> Needs {
    let mut floor = Floor::new();
    let envelopes: Vec<Envelope> = asked.iter().map(|(user, command)| floor.envelope(*user, command.clone())).collect();
    Needs::of(&envelopes, floor.database.partition_count, &limits())
}

#[test]
fn each_kind_asks_for_its_rows() {
    let four = PartitionCount::new(4).unwrap();
    let bid = BidId((5 << 8) | 3);
    let found = needs(&[
        (ANNA, buy_with(500, CouponId(7))),
        (BORA, sell(900)),
        (CHAN, buy_now_with(900, CouponId(8))),
        (ANNA, cancel(Side::Buy, bid.0)),
        (UserId::SYSTEM, expire(&[6 << 8, 7 << 8])),
    ]);
    assert_eq!(found.partitions, BTreeSet::from([four.of_product(PRODUCT), four.of_bid(bid).unwrap()]));
    assert!(found.products.iter().eq(&[PRODUCT]));
    assert!(found.users.iter().eq(&[ANNA, BORA, CHAN]), "and never the system");
    assert!(found.bids.iter().eq(&[bid, BidId(6 << 8), BidId(7 << 8)]));
    assert!(found.coupons.iter().eq(&[CouponId(7), CouponId(8)]));
    assert!(found.open_counts.iter().eq(&[(ANNA, PRODUCT), (BORA, PRODUCT)]));
}

#[test]
fn a_window_goes_down_to_the_best_offer_and_has_a_row_for_everyone_who_may_take_one() {
    let found = needs(&[
        (ANNA, buy(500)),
        (BORA, buy(700)),
        (CHAN, buy(600)),
        (CHAN, buy_now(700)),
        (CHAN, buy_now(701)),
        (ANNA, sell(800)),
        (ANNA, sell(900)),
        (ANNA, sell_now(850)),
        // Refused before they look for anybody:
        (ANNA, buy(99)),
        (ANNA, buy(50_001)),
    ]);
    let need = |price, takers: u32| WindowNeed { limit_price: Won(price), rows: takers + 4 };
    assert_eq!(found.windows[&SELLS], need(700, 4), "three bids and one trade at once within 700");
    assert_eq!(found.windows[&BUYS], need(800, 3));
    assert_eq!(found.windows[&level(Side::Sell, 700)], need(700, 2), "the bid of 700 may take it too");
    assert_eq!(found.windows[&level(Side::Sell, 701)], need(701, 1));
    assert_eq!(found.windows[&level(Side::Buy, 850)], need(850, 2));
    assert_eq!(found.windows.len(), 5);
}

#[test]
fn cancels_and_expiries_ask_for_no_window_and_other_roles_for_nothing() {
    assert!(needs(&[(ANNA, cancel(Side::Buy, 5 << 8)), (ANNA, expire(&[1]))]).windows.is_empty());
    assert_eq!(needs(&[(ANNA, refund())]), Needs::default());
}

#[test]
fn widening_doubles_the_rows_of_one_window() {
    let mut found = needs(&[(ANNA, buy(500)), (ANNA, sell(500))]);
    found.widen(&SELLS);
    found.widen(&level(Side::Sell, 1));
    assert_eq!((found.windows[&SELLS].rows, found.windows[&BUYS].rows, found.windows.len()), (10, 5, 2));
}

/// A market that has loaded `rows` of the sell bids, for a buyer who would take those at 700.
fn short_sighted(floor: &mut Floor, rows: u32, command: Command) -> Result<u64, Undecided> {
    let envelope = floor.envelope(ANNA, command);
    let mut needs = Needs::of(std::slice::from_ref(&envelope), floor.database.partition_count, &limits());
    needs.windows.values_mut().for_each(|need| need.rows = rows);
    let mut market = Market::new(floor.database.load(&needs), floor.database.partition_count, limits());
    market.carry_out(&envelope, floor.clock)?;
    let orders = market.into_changes().orders;
    Ok(orders.first().and_then(|order| order.sell_bid).map_or(0, |bid| bid.0))
}

#[test]
fn the_search_stops_where_unloaded_bids_may_stand() {
    let mut floor = Floor::new();
    floor.done(ANNA, sell(600));
    floor.done(ANNA, sell(700));
    let third = floor.done(BORA, sell(700));
    // Two rows show only the buyer's own; whether somebody stands behind them cannot be known.
    for rows in [0, 1, 2] {
        assert_eq!(short_sighted(&mut floor, rows, buy(700)), Err(Undecided::WindowTooShort(SELLS)), "{rows}");
    }
    assert_eq!(short_sighted(&mut floor, 3, buy(700)), Ok(third), "the last row loaded may be believed");
    let at_700 = level(Side::Sell, 700);
    assert_eq!(short_sighted(&mut floor, 1, buy_now(700)), Err(Undecided::WindowTooShort(at_700)));
    assert_eq!(short_sighted(&mut floor, 2, buy_now(700)), Ok(third));
}

#[test]
fn a_window_that_is_not_full_shows_that_there_is_nobody() {
    let mut floor = Floor::new();
    floor.done(ANNA, sell(600));
    assert_eq!(short_sighted(&mut floor, 1, buy(700)), Err(Undecided::WindowTooShort(SELLS)));
    assert_eq!(short_sighted(&mut floor, 2, buy(700)), Ok(0));
}

#[test]
fn a_full_window_that_ends_behind_the_price_shows_that_there_is_nobody() {
    let mut floor = Floor::new();
    floor.done(ANNA, sell(600));
    floor.done(BORA, sell(651));
    floor.done(BORA, sell(652));
    // In one batch, the window goes down to 700 for the second buyer; the first one's 650 ends before its last row.
    let batch = [floor.envelope(ANNA, buy(650)), floor.envelope(CHAN, buy(700))];
    let mut needs = Needs::of(&batch, floor.database.partition_count, &limits());
    needs.windows.values_mut().for_each(|need| need.rows = 2);
    let mut market = Market::new(floor.database.load(&needs), floor.database.partition_count, limits());
    assert!(market.carry_out(&batch[0], floor.clock).is_ok());
    assert!(market.carry_out(&batch[1], floor.clock).is_ok());
    assert_eq!(market.into_changes().orders[0].price, Won(600));
}

#[test]
fn bids_known_otherwise_are_not_believed_beyond_the_window() {
    let mut floor = Floor::new();
    floor.done(ANNA, sell(600));
    let hidden = floor.done(BORA, sell(650));
    let named = floor.done(CHAN, sell(660));
    // CHAN's bid is loaded because its cancel names it, and another is placed in the batch. BORA's, which is better
    // than both, is not loaded.
    let batch = [
        floor.envelope(BORA, cancel(Side::Sell, named)),
        floor.envelope(CHAN, sell(670)),
        floor.envelope(ANNA, buy(700)),
    ];
    let mut needs = Needs::of(&batch, floor.database.partition_count, &limits());
    needs.windows.get_mut(&SELLS).unwrap().rows = 1;
    let mut market = Market::new(floor.database.load(&needs), floor.database.partition_count, limits());
    assert!(market.carry_out(&batch[0], floor.clock).is_ok());
    assert!(market.carry_out(&batch[1], floor.clock).is_ok());
    assert_eq!(market.carry_out(&batch[2], floor.clock), Err(Undecided::WindowTooShort(SELLS)));

    let batch = batch.map(|envelope| (envelope, floor.clock));
    floor.database.limits.window_slack = 0;
    floor.database.carry_out(&batch).unwrap();
    assert_eq!(floor.database.widened, 1);
    assert_eq!(floor.traded_with(floor.database.orders[0].id.0), Some(hidden));
}

fn refund() -> Command {
    Command::ApproveRefund { refund: contracts::RefundId(1) }
}

#[test]
fn what_is_no_command_of_the_market_is_not_decided() {
    let mut floor = Floor::new();
    assert_eq!(floor.try_send(ANNA, refund()), Err(Undecided::WrongRole(Kind::ApproveRefund)));
}

#[test]
fn what_was_not_loaded_is_named() {
    let mut floor = Floor::new();
    let count = floor.database.partition_count;
    let coupon = floor.coupon(1, BORA, Discount::Rate(10));
    floor.done(BORA, buy_with(1_000, coupon));
    let envelope = floor.envelope(ANNA, sell(1_000));
    let all = floor.database.load(&Needs::of(std::slice::from_ref(&envelope), count, &limits()));
    let without = |change: fn(&mut Loaded)| {
        let mut loaded = all.clone();
        change(&mut loaded);
        Market::new(loaded, count, limits()).carry_out(&envelope, CLOCK).unwrap_err()
    };
    let missing = |missing| Undecided::NotLoaded(missing);
    assert_eq!(without(|loaded| loaded.partitions.clear()), missing(Missing::Partition(count.of_product(PRODUCT))));
    assert_eq!(without(|loaded| loaded.windows.clear()), missing(Missing::Window(BUYS)));
    assert_eq!(without(|loaded| loaded.coupons.clear()), missing(Missing::Coupon(coupon)));
    assert_eq!(without(|loaded| loaded.balances.retain(|user, _| *user != BORA)), missing(Missing::Balance(BORA)));
    let damaged = without(|loaded| loaded.balances.get_mut(&BORA).unwrap().held = Won(899));
    assert!(matches!(damaged, Undecided::Overdrawn(overdrawn) if overdrawn.user == BORA));
    let used_up = Progress { last_sequence: contracts::partition::MAX_SEQUENCE, last_time: CLOCK };
    floor.database.partitions.values_mut().for_each(|progress| *progress = used_up);
    let exhausted = Undecided::SequenceExhausted(count.of_product(PRODUCT));
    assert_eq!(floor.try_send(ANNA, sell(1_000)), Err(exhausted));
}
