//! Peers that vanish without a word: no connection is closed, nothing arrives any more. Neither sqlx nor redis asks its
//! peer by itself; each wait of ours has a limit, and what is lost is replaced.

use acceptance::{
    Market, Visitor,
    commands::buy,
    process::metric,
    visitor::{Answer, start_api},
    wait::{eventually, within},
};
use serde_json::json;
use std::time::{Duration, Instant};

async fn bid(visitor: &Visitor) -> Answer {
    visitor.post("/api/buy/1", &json!({"price": 10})).await
}

#[tokio::test]
async fn a_database_lost_in_the_middle_of_a_transaction_holds_its_partitions_up_only_shortly() {
    let mut market = Market::new("lost_database").await;
    market.set("GREAM__DATABASE__STATEMENT_TIMEOUT_MS", 2_000);
    market.set("GREAM__DATABASE__LOCK_WAIT_TIMEOUT_S", 1);
    let wire = market.wire("GREAM__DATABASE__URL").await;
    let command = buy("b", market.user(1, 10_000).await, market.product(1).await, 1_000, market.now());
    let (worker, file) = market.halting_worker(&["bid", "relay"], "bid.locked");
    market.broker.publish(market.partitions, std::slice::from_ref(&command)).await;
    eventually("the worker holds its guard rows", || async { file.exists().then_some(()) }).await;
    wire.lose();
    std::fs::remove_file(&file).unwrap();
    // The server would keep the lost session, and its locks, for database.session_wait_timeout_s: a minute.
    within(Duration::from_secs(25), "the command is done", || async {
        market.state(command.id).await.filter(|state| state == "done").map(drop)
    })
    .await;
    assert!(worker.logged().contains("ended the connection of a predecessor"), "of its own former life");
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 1);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_lost_database_is_told_in_bounded_time_and_found_again() {
    let mut market = Market::new("lost_pool").await;
    market.set("GREAM__DATABASE__STATEMENT_TIMEOUT_MS", 2_000);
    market.set("GREAM__DATABASE__ACQUIRE_TIMEOUT_MS", 1_000);
    let wire = market.wire("GREAM__DATABASE__URL").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    wire.lose();
    within(Duration::from_secs(20), "it is found again", || async {
        let began = Instant::now();
        let answer = alice.get("/api/users/points").await;
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        if answer.is(200, 0) {
            return Some(());
        }
        answer.refused(503, 5005);
        None
    })
    .await;
}

#[tokio::test]
async fn a_lost_broker_is_noticed_by_its_heartbeats() {
    let mut market = Market::new("lost_broker").await;
    market.set("GREAM__RABBITMQ__HEARTBEAT_S", 2);
    market.set("GREAM__RABBITMQ__PUBLISH_TIMEOUT_MS", 1_000);
    let wire = market.wire("GREAM__RABBITMQ__URL").await;
    let worker = market.worker(&["bid", "relay"]).await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    bid(&alice).await.ok();
    wire.lose();
    bid(&alice).await.refused(503, 5005);
    within(Duration::from_secs(25), "the API publishes and the worker consumes again", || async {
        let answer = bid(&alice).await;
        assert!(answer.is(200, 0) || answer.is(202, 0) || answer.is(503, 5005), "{} {}", answer.status, answer.body);
        answer.is(200, 0).then_some(())
    })
    .await;
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
    market.audit_holds().await;
}

#[tokio::test]
async fn a_lost_redis_costs_time_and_is_found_again() {
    let mut market = Market::new("lost_redis").await;
    let wire = market.wire("GREAM__REDIS__URL").await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let (mut api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let admin = api.address("admin").await;
    let looked_up = || metric(&admin, "gream_outcomes_looked_up_total");
    bid(&alice).await.ok();
    let told = wire.accepted();
    wire.lose();
    let began = Instant::now();
    bid(&alice).await.ok();
    println!("with Redis lost, an answer took {:?}", began.elapsed());
    assert!(looked_up().await >= 1.0, "found in the database");
    eventually("the API has subscribed again", || async { (wire.accepted() > told).then_some(()) }).await;
    eventually("an outcome comes over Redis again", || async {
        let before = looked_up().await;
        bid(&alice).await.ok();
        (looked_up().await <= before).then_some(())
    })
    .await;
    market.audit_holds().await;
}
