//! Redis dies under open streams of notifications, and comes back with nothing in it.

use acceptance::{Market, sse::Stream, visitor::start_api, wait::becomes};
use contracts::{
    CommandId, UserId, Won,
    event::{Caused, Event},
    topology::EVENTS_EXCHANGE,
};

const STREAM: &str = "/api/notifications/stream";

async fn tell(market: &Market, user: UserId, orders: std::ops::Range<i64>) {
    for order in orders {
        let event =
            Event::ChargeConfirmed { order_id: format!("order-{order}"), user, amount: Won(100), at: market.now() };
        let caused = Caused { command_id: CommandId::derived(user, "charge", &order.to_string()), event };
        let payload = serde_json::to_vec(&caused).unwrap();
        market.broker.publish_bytes(EVENTS_EXCHANGE, "charge.confirmed", &payload, &[]).await;
    }
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_empty_and_every_stream_goes_on_without_a_gap() {
    let market = Market::new("notify_redis").await;
    let _notifier = market.worker(&["notifier"]).await;
    let (_api, visitor) = start_api(&market).await;
    let (_other_api, other) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let elsewhere = acceptance::Visitor { base: other.base.clone(), ..alice.clone() };
    let user = UserId(market.number("SELECT user_id FROM users").await.unsigned_abs());
    let mut here = Stream::open(&alice, STREAM, None).await;
    let mut there = Stream::open(&elsewhere, STREAM, None).await;
    tell(&market, user, 0..3).await;
    assert_eq!(here.numbers(3).await, [1, 2, 3]);

    market.servers.signal("redis", "KILL").await;
    tell(&market, user, 3..6).await;
    assert_eq!(here.numbers(3).await, [4, 5, 6], "from MySQL");
    let mut resumed = Stream::open(&alice, STREAM, Some(2)).await;
    assert_eq!(resumed.numbers(4).await, [3, 4, 5, 6]);

    market.servers.start("redis").await;
    tell(&market, user, 6..9).await;
    assert_eq!(here.numbers(3).await, [7, 8, 9]);
    assert_eq!(there.numbers(9).await, (1..=9).collect::<Vec<_>>());
    // Redis has the last ones at most: what is before comes from MySQL.
    let mut late = Stream::open(&elsewhere, STREAM, Some(0)).await;
    assert_eq!(late.numbers(9).await, (1..=9).collect::<Vec<_>>());
    becomes("nothing was set aside", 0, || market.broker.depth("dead.notifier")).await;
}
