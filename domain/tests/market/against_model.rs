//! Random market days: the rules and the plain model must agree on every answer and on everything that is left, and
//! it must not matter how the day was cut into batches or how little of the book a window showed.

use crate::{
    audit::audit,
    database::Database,
    day::{Day, Step, empty_database, play, steps},
    model::{Model, ModelOrder},
};
use contracts::{Event, GifticonId, PartitionId, ResultCode, Side, UserId};
use domain::market::{Bid, Decision, Order};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use std::collections::BTreeMap;

fn config() -> Config {
    // A failure prints the day that caused it; nothing is written beside the source.
    Config { failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn one_by_one_the_rules_do_what_the_model_does(steps in steps(100)) {
        let day = play(&steps);
        let database = carried_out(&day, &[1], 8);
        compare(&day.end, &database);
    }

    #[test]
    fn batches_and_windows_of_any_size_change_nothing(
        steps in steps(100),
        sizes in prop::collection::vec(1_usize..40, 1..6),
        window_slack in prop_oneof![2 => Just(0_u32), 1 => 1_u32..4],
    ) {
        let day = play(&steps);
        let database = carried_out(&day, &sizes, window_slack);
        compare(&day.end, &database);
    }
}

/// Carries the day out in batches of these sizes, again and again, and audits after each.
fn carried_out(day: &Day, sizes: &[usize], window_slack: u32) -> Database {
    let mut database = empty_database(window_slack);
    let mut rest = &day.commands[..];
    let mut expected = &day.answers[..];
    for size in sizes.iter().cycle() {
        let (batch, later) = rest.split_at(rest.len().min(*size));
        for ((envelope, _), decision) in batch.iter().zip(database.carry_out(batch).unwrap()) {
            let Decision { state, code, data } = decision;
            let answer = &expected[0];
            assert_eq!((state, code, &data), (answer.state, answer.code, &answer.data), "{envelope:?}");
            expected = &expected[1..];
        }
        audit(&database);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    database
}

fn compare(model: &Model, database: &Database) {
    let progress = |partition: usize| database.partitions[&PartitionId(u16::try_from(partition).unwrap())];
    for (partition, (sequence, time)) in model.progress.iter().enumerate() {
        let found = progress(partition);
        assert_eq!((found.last_sequence, found.last_time.0), (*sequence, *time), "partition {partition}");
    }
    for purse in &model.purses {
        assert_eq!(database.balance(purse.user), (purse.available, purse.held), "{}", purse.user);
    }
    for coupon in &model.coupons {
        assert_eq!(database.coupon_state(coupon.id).as_str(), coupon.state, "{coupon:?}");
    }
    compare_bids(model, database);
    assert_eq!(database.orders.iter().map(plain).collect::<Vec<_>>(), model.orders);
    let gifticons = |(id, owner, key): &(u64, UserId, String)| (GifticonId(*id), *owner, key.clone());
    let found: Vec<_> = database.gifticons.iter().map(|g| (g.id, g.owner, g.picture.key.clone())).collect();
    assert_eq!(found, model.gifticons.iter().map(gifticons).collect::<Vec<_>>());
    let events: Vec<_> = database.events.iter().map(|caused| (caused.command_id, caused.event.clone())).collect();
    assert_eq!(events, model.events);
}

fn compare_bids(model: &Model, database: &Database) {
    assert_eq!(database.bids.len(), model.bids.len());
    for expected in &model.bids {
        let bid: &Bid = &database.bids[&contracts::BidId(expected.id)];
        assert_eq!((bid.side == Side::Buy, bid.product, bid.user), (expected.buys, expected.product, expected.user));
        assert_eq!((bid.price.0, bid.hold.0, bid.coupon), (expected.price, expected.hold, expected.coupon));
        assert_eq!((bid.gifticon.map(|id| id.0), bid.command), (expected.gifticon, expected.command));
        assert_eq!((bid.placed_at.0, bid.deadline.0), (expected.placed_at, expected.deadline));
        let end = (bid.state.as_str(), bid.closed_at.map(|at| at.0));
        assert_eq!(end, (expected.state, expected.closed_at), "{bid:?}");
    }
}

fn plain(order: &Order) -> ModelOrder {
    ModelOrder {
        id: order.id.0,
        product: order.product,
        buyer: order.buyer,
        seller: order.seller,
        buy_bid: order.buy_bid.map(|bid| bid.0),
        sell_bid: order.sell_bid.map(|bid| bid.0),
        gifticon: order.gifticon.0,
        coupon: order.coupon,
        price: order.price.0,
        final_price: order.final_price.0,
        fee: order.fee.0,
        command: order.command,
        at: order.traded_at.0,
    }
}

/// The days are worth something: every outcome, every kind of trade and too short windows all come up in them.
#[test]
fn the_random_days_reach_everything() {
    let mut runner = TestRunner::deterministic();
    let mut codes: BTreeMap<ResultCode, usize> = BTreeMap::new();
    let (mut widened, mut retired_on_the_way, mut crossed, mut at_once, mut with_coupon) = (0, 0, 0, 0, 0);
    for _ in 0..100 {
        let steps: Vec<Step> = steps(100).new_tree(&mut runner).unwrap().current();
        let day = play(&steps);
        day.answers.iter().for_each(|answer| *codes.entry(answer.code).or_default() += 1);
        let database = carried_out(&day, &[5, 1, 20], 0);
        compare(&day.end, &database);
        widened += database.widened;
        let expired_by = |id| day.end.events.iter().any(|(by, event)| *by == id && is_expiry(event));
        let orders = &day.end.orders;
        retired_on_the_way += orders.iter().filter(|order| expired_by(order.command)).count();
        crossed += orders.iter().filter(|order| order.buy_bid.is_some() && order.sell_bid.is_some()).count();
        at_once += orders.iter().filter(|order| order.buy_bid.is_none() || order.sell_bid.is_none()).count();
        with_coupon += orders.iter().filter(|order| order.coupon.is_some()).count();
    }
    let reached = [
        ResultCode::Ok,
        ResultCode::UserNotFound,
        ResultCode::NotEnoughPoints,
        ResultCode::ProductNotFound,
        ResultCode::BuyBidNotFound,
        ResultCode::DeadlinePassed,
        ResultCode::TooManyOpenBids,
        ResultCode::SellBidNotFound,
        ResultCode::GifticonAlreadyOffered,
        ResultCode::GifticonExpired,
        ResultCode::Forbidden,
        ResultCode::InvalidInput,
        ResultCode::CommandExpired,
        ResultCode::CouponNotFound,
        ResultCode::CouponNotAvailable,
        ResultCode::BadFixedDiscount,
    ];
    for code in reached {
        assert!(codes.get(&code).is_some_and(|count| *count >= 5), "{code:?} hardly comes up: {codes:?}");
    }
    assert_eq!(codes.len(), reached.len(), "{codes:?}");
    println!("{codes:?}");
    for (what, count) in [
        ("windows too short", widened),
        ("trades past an expired bid", retired_on_the_way),
        ("crossing bids", crossed),
        ("trades at once", at_once),
        ("trades with a coupon", with_coupon),
    ] {
        println!("{what}: {count}");
        assert!(count >= 20, "{what} hardly come up: {count}");
    }
}

fn is_expiry(event: &Event) -> bool {
    matches!(event, Event::BidExpired { .. })
}
