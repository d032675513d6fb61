//! Limits that operators turn while roles run: pause, drain, resume, batches, how many at once.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{
    Market, Visitor,
    commands::buy,
    process::metric,
    visitor::start_api,
    wait::{becomes, eventually},
};
use contracts::{Envelope, ProductId, UserId, topology::bid_queue};
use serde_json::json;

const WHY: [&str; 2] = ["--why", "a test"];

async fn turned(market: &Market, arguments: &[&str]) -> String {
    market.gream_ok(&[&["limits"], arguments, &WHY].concat()).await
}

fn bids(market: &Market, from: usize, count: usize, (user, product): (UserId, ProductId)) -> Vec<Envelope> {
    (from..from + count).map(|n| buy(&format!("b{n}"), user, product, 1_000, market.now())).collect()
}

#[tokio::test]
async fn a_paused_role_takes_nothing_in_any_process_and_goes_on_where_it_stopped() {
    let mut market = Market::new("limits_pause").await;
    market.set("GREAM__MARKET__MAX_OPEN_BIDS_PER_USER_AND_PRODUCT", 10_000);
    let who = (market.user(1, 1_000_000).await, market.product(1).await);
    let queue = bid_queue(market.partitions.of_product(ProductId(1)));
    let (_one, _two) = (market.worker(&["bid", "relay"]).await, market.worker(&["bid"]).await);
    market.broker.publish(market.partitions, &bids(&market, 0, 50, who)).await;
    let said = turned(&market, &["pause", "bid"]).await;
    assert!(said.contains("holds nothing"), "{said}");
    assert_eq!(market.broker.consumers(&queue).await, Some(0), "drained means that nobody consumes");
    let done = market.count("done").await;
    let left = 50 - u32::try_from(done).unwrap();
    assert_eq!(market.broker.depth(&queue).await, left, "what was not begun lies on its queue");

    market.broker.publish(market.partitions, &bids(&market, 50, 20, who)).await;
    let mut late = market.worker(&["bid"]).await;
    let admin = late.address("admin").await;
    becomes("a process that starts meanwhile knows", 1.0, || metric(&admin, "gream_role_paused")).await;
    assert_eq!((market.broker.consumers(&queue).await, market.count("done").await), (Some(0), done));
    let shown = market.gream_json(&["limits"]).await;
    assert_eq!((&shown[0]["role"], &shown[0]["limits"]["is_paused"]), (&json!("bid"), &json!(true)));
    assert_eq!(shown[0]["last"]["why"], "a test");

    turned(&market, &["resume", "bid"]).await;
    becomes("all are done", 70, || market.count("done")).await;
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 70);
    let actions = market.gream_json(&["dlq", "actions"]).await;
    assert_eq!((&actions[0]["what"], &actions[0]["selection"]["turn"]["is_paused"]), (&json!("limits"), &json!(false)));
    market.audit_holds().await;
}

#[tokio::test]
async fn a_paused_relay_and_a_paused_scheduler_leave_things_where_they_are() {
    let mut market = Market::new("limits_relay").await;
    market.set("GREAM__SCHEDULER__CLEAN_UP_INTERVAL_MS", 200);
    let who = (market.user(1, 10_000).await, market.product(1).await);
    for role in ["relay", "scheduler"] {
        turned(&market, &["pause", role, "--drain-s", "0"]).await;
    }
    let mut worker = market.worker(&["bid", "relay", "scheduler"]).await;
    let admin = worker.address("admin").await;
    becomes("both know", 2.0, || metric(&admin, "gream_role_paused")).await;
    market.broker.publish(market.partitions, &bids(&market, 0, 3, who)).await;
    becomes("bids are placed", 3, || market.count("done")).await;
    sqlx::query(
        "INSERT INTO outbox (exchange_name, routing_key, payload, created_at_ms) VALUES ('gream.events', 'x', '{}', 1)",
    )
    .execute(&market.database)
    .await
    .unwrap();
    assert_eq!(market.broker.consumers("replay").await, Some(0));
    assert_eq!(market.number("SELECT COUNT(*) FROM scheduler_duties").await, 0, "no duty has run");
    assert!(market.number("SELECT COUNT(*) FROM outbox").await >= 1);
    for role in ["relay", "scheduler"] {
        turned(&market, &["resume", role]).await;
    }
    becomes("the outbox is empty", 0, || market.number("SELECT COUNT(*) FROM outbox")).await;
    eventually("duties run", || async {
        (market.number("SELECT COUNT(*) FROM scheduler_duties").await > 0).then_some(())
    })
    .await;
    becomes("replays are taken", Some(1), || market.broker.consumers("replay")).await;
}

#[tokio::test]
async fn batches_are_as_large_as_they_were_turned_to() {
    let mut market = Market::new("limits_batch").await;
    market.set("GREAM__MARKET__MAX_OPEN_BIDS_PER_USER_AND_PRODUCT", 10_000);
    market.set("GREAM__BID_WORKER__LINGER_MS", 300);
    let who = (market.user(1, 1_000_000).await, market.product(1).await);
    let mut worker = market.worker(&["bid"]).await;
    let admin = worker.address("admin").await;
    let (market, mut sent) = (&market, 0);
    let mut batches_of_ten = async || {
        let before = metric(&admin, "gream_bid_batch_items_count").await;
        market.broker.publish(market.partitions, &bids(market, sent, 10, who)).await;
        sent += 10;
        becomes("they are done", i64::try_from(sent).unwrap(), || market.count("done")).await;
        metric(&admin, "gream_bid_batch_items_count").await - before
    };
    assert!(batches_of_ten().await < 10.0, "they wait for each other");
    turned(market, &["set", "bid", "--batch", "1"]).await;
    let mut alone = false;
    for _ in 0..20 {
        alone = alone || (batches_of_ten().await - 10.0).abs() < 0.5;
    }
    assert!(alone, "one command, one batch");
    turned(market, &["set", "bid", "--batch", "configured"]).await;
    assert_eq!(market.gream_json(&["limits"]).await[0]["limits"]["batch_max"], json!(null));
}

#[tokio::test]
async fn as_many_charges_at_once_as_was_turned() {
    let mut market = Market::new("limits_at_once").await;
    let (_sandbox, _address) = market.sandbox().await;
    let mut worker = market.worker(&["payment", "refund"]).await;
    let admin = worker.address("admin").await;
    becomes("as configured", 64.0, || metric(&admin, "gream_toss_calls_allowed")).await;
    turned(&market, &["set", "payment", "--concurrency", "3"]).await;
    becomes("the payment role's three, the refund role's 32", 35.0, || metric(&admin, "gream_toss_calls_allowed"))
        .await;
    turned(&market, &["set", "payment", "--concurrency", "50"]).await;
    becomes("more than configured", 82.0, || metric(&admin, "gream_toss_calls_allowed")).await;
    turned(&market, &["pause", "payment"]).await;
    assert_eq!(market.broker.consumers("payment").await, Some(0));
    assert!(market.broker.consumers("refund").await > Some(0), "the other role goes on");
    turned(&market, &["resume", "payment"]).await;
    becomes("it takes again", true, || async { market.broker.consumers("payment").await > Some(0) }).await;
}

#[tokio::test]
async fn what_a_role_cannot_keep_is_refused_with_a_reason() {
    let market = Market::new("limits_refused").await;
    for (arguments, told) in [
        (&["limits", "set", "payment", "--batch", "5", "--why", "x"][..], "not to be turned"),
        (&["limits", "set", "bid", "--concurrency", "5", "--why", "x"], "not to be turned"),
        (&["limits", "set", "bid", "--batch", "0", "--why", "x"], "between 1 and 2000"),
        (&["limits", "set", "bid", "--batch", "2001", "--why", "x"], "between 1 and 2000"),
        (&["limits", "set", "bid", "--why", "x"], "--batch or --concurrency"),
        (&["limits", "pause", "bid"], "--why"),
    ] {
        let refused = market.gream_refused(arguments).await;
        assert!(refused.contains(told), "{arguments:?}: {refused}");
    }
    assert_eq!(market.number("SELECT COUNT(*) FROM role_limits").await, 0);
    // A role that somebody still consumes is not drained.
    let _worker = market.worker(&["bid"]).await;
    let (_api, visitor): (_, Visitor) = start_api(&market).await;
    let queue = bid_queue(market.partitions.of_product(ProductId(1)));
    let channel = market.broker.channel().await;
    let options = lapin::options::BasicConsumeOptions::default();
    let table = lapin::types::FieldTable::default();
    let _stranger = channel.basic_consume(queue.as_str().into(), "stranger".into(), options, table).await.unwrap();
    let refused = market.gream_refused(&["limits", "pause", "bid", "--drain-s", "3", "--why", "x"]).await;
    assert!(refused.contains("still hold"), "{refused}");
    visitor.get("/api/products").await.ok();
}
