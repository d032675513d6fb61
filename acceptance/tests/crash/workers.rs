//! Workers and relay, killed and stopped at named points.

use super::{all_done_once, crossing_commands, halted};
use acceptance::{
    Market,
    commands::buy,
    wait::{becomes, eventually},
};
use contracts::CommandId;
use std::time::Duration;

async fn worker_is_killed_at(point: &str) {
    let market = Market::new(&format!("kill_{}", point.replace('.', "_"))).await;
    let commands = crossing_commands(&market, 40).await;
    let (mut victim, file) = market.halting_worker(&["bid"], point);
    market.broker.publish(market.partitions, &commands).await;
    halted(&mut victim, &file, point).await;
    victim.kill();
    let successor = market.worker(&["bid", "relay"]).await;
    all_done_once(&market, &commands).await;
    if point != "bid.acked" {
        // Its messages were unacked: they came to the successor, which took the partitions over.
        assert!(successor.logged().contains("taking the partition over"), "the successor went on where the victim was");
    }
}

#[tokio::test]
async fn a_worker_killed_while_it_holds_the_locks() {
    worker_is_killed_at("bid.locked").await;
}

#[tokio::test]
async fn a_worker_killed_before_its_commit() {
    worker_is_killed_at("bid.before_commit").await;
}

#[tokio::test]
async fn a_worker_killed_after_its_commit() {
    worker_is_killed_at("bid.committed").await;
}

#[tokio::test]
async fn a_worker_killed_before_its_acks() {
    worker_is_killed_at("bid.before_ack").await;
}

#[tokio::test]
async fn a_worker_killed_before_its_outcomes_are_told() {
    worker_is_killed_at("bid.acked").await;
}

#[tokio::test]
async fn a_relay_killed_between_publishing_and_deleting() {
    let market = Market::new("kill_relay").await;
    let commands = crossing_commands(&market, 10).await;
    let _worker = market.worker(&["bid"]).await;
    let (mut victim, file) = market.halting_worker(&["relay"], "relay.published");
    market.broker.publish(market.partitions, &commands).await;
    halted(&mut victim, &file, "relay.published").await;
    victim.kill();
    let left = market.number("SELECT COUNT(*) FROM outbox").await;
    assert!(left > 0, "the rows stay until they are deleted");
    let _successor = market.worker(&["relay"]).await;
    becomes("an empty outbox", 0, || market.number("SELECT COUNT(*) FROM outbox")).await;
    all_done_once(&market, &commands).await;
}

#[tokio::test]
async fn a_worker_stopped_in_its_transaction_does_not_hold_its_successor_up() {
    let mut market = Market::new("stop").await;
    market.set("GREAM__RABBITMQ__HEARTBEAT_S", 2);
    let commands = crossing_commands(&market, 40).await;
    let (mut victim, file) = market.halting_worker(&["bid"], "bid.before_commit");
    market.broker.publish(market.partitions, &commands).await;
    halted(&mut victim, &file, "bid.before_commit").await;
    victim.signal("STOP");
    let successor = market.worker(&["bid", "relay"]).await;
    all_done_once(&market, &commands).await;
    assert!(successor.logged().contains("ended the connection of a predecessor"), "the victim still held the locks");
    // The victim goes on, with a batch that has been carried out by another.
    std::fs::remove_file(&file).unwrap();
    victim.signal("CONT");
    eventually("the victim noticed", || async { victim.logged().contains("lets go of everything").then_some(()) })
        .await;
    let later = crossing_later(&market).await;
    market.reaches(later, "done").await;
    all_done_once_after_more(&market).await;
}

async fn crossing_later(market: &Market) -> CommandId {
    let command = buy("later", contracts::UserId(1), contracts::ProductId(1), 1, market.now());
    market.broker.publish(market.partitions, std::slice::from_ref(&command)).await;
    command.id
}

async fn all_done_once_after_more(market: &Market) {
    assert_eq!(market.number("SELECT COUNT(*) FROM orders").await, 40);
    market.audit_holds().await;
}

#[tokio::test]
async fn sigterm_ends_a_busy_worker_in_order_and_in_time() {
    let market = Market::new("sigterm").await;
    let commands = crossing_commands(&market, 400).await;
    market.broker.publish(market.partitions, &commands).await;
    let mut first = market.spawn(&["worker", "bid", "relay"]);
    eventually("it is at work", || async { (market.count("done").await > 0).then_some(()) }).await;
    assert_eq!(first.terminate(Duration::from_secs(12)).await, Some(0), "{}", first.logged());
    let listed = market.number("SELECT COUNT(*) FROM worker_presence").await;
    assert_eq!(listed, 0, "it signed off: nobody keeps a share for it");
    let _second = market.worker(&["bid", "relay"]).await;
    all_done_once(&market, &commands).await;
}
