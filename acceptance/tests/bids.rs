//! Bid commands from their queue to their commit, by a real worker process.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{
    Market,
    commands::{buy, cancel, sell},
    wait::becomes,
};
use contracts::Side;

#[tokio::test]
async fn bids_meet_and_money_and_gifticon_change_hands() {
    let market = Market::new("bids_meet").await;
    let (buyer, seller, product) = (market.user(1, 10_000).await, market.user(2, 0).await, market.product(1).await);
    let _worker = market.worker(&["bid"]).await;
    let now = market.now();
    let commands = [
        sell("s1", seller, product, 4_000, now),
        buy("b1", buyer, product, 4_500, now),
        buy("b2", buyer, product, 3_000, now),
        buy("b3", buyer, product, 9_000, now),
    ];
    market.broker.publish(market.partitions, &commands).await;
    becomes("four outcomes", (3, 1), || async { (market.count("done").await, market.count("rejected").await) }).await;
    assert_eq!(market.number("SELECT price FROM orders").await, 4_000, "at the resting bid's price");
    assert_eq!(market.number("SELECT available FROM balances WHERE user_id = 1").await, 3_000);
    assert_eq!(market.number("SELECT held FROM balances WHERE user_id = 1").await, 3_000);
    assert_eq!(market.number("SELECT available FROM balances WHERE user_id = 2").await, 4_000);
    assert_eq!(market.number("SELECT CAST(SUM(amount) AS SIGNED) FROM ledger_entries").await, 0);
    let bid = market.number("SELECT bid_id FROM bids WHERE state = 'open'").await.unsigned_abs();
    market.broker.publish(market.partitions, &[cancel("c1", buyer, bid, Side::Buy, market.now())]).await;
    becomes("the hold is released", 0, || market.number("SELECT held FROM balances WHERE user_id = 1")).await;
}
