//! Faults of real servers and processes, one at a time: what was accepted is carried out, once, and everything recovers by
//! itself. Runs serially, on a stack of its own that it may break (`dev/stack … crash`).
//!
//! Each test shows that its fault struck: a process halts at a named point and is killed or stopped exactly there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{
    Market,
    commands::{buy, sell},
    process::Process,
    wait::{becomes, eventually},
};
use contracts::{CommandId, Envelope};
use std::{path::Path, time::Duration};

/// Orders that cross, over all partitions, so that every table of a batch is written.
async fn crossing_commands(market: &Market, pairs: usize) -> Vec<Envelope> {
    let (buyer, seller) = (market.user(1, 90_000_000).await, market.user(2, 0).await);
    let mut products = Vec::new();
    for id in 1..=8 {
        products.push(market.product(id).await);
    }
    let now = market.now();
    (0..pairs)
        .flat_map(|n| {
            let product = products[n % products.len()];
            [sell(&format!("s{n}"), seller, product, 1_000, now), buy(&format!("b{n}"), buyer, product, 1_200, now)]
        })
        .collect()
}

/// Everything ended as it must, with one effect for each command.
async fn all_done_once(market: &Market, commands: &[Envelope]) {
    let wanted = i64::try_from(commands.len()).unwrap();
    becomes("every command is done", wanted, || market.count("done")).await;
    let trades = wanted / 2;
    assert_eq!(market.number("SELECT COUNT(*) FROM orders").await, trades, "each pair traded once");
    assert_eq!(market.number("SELECT available FROM balances WHERE user_id = 2").await, trades * 1_000);
    assert_eq!(market.broker.depth("dead.bid").await, 0, "nothing was dead-lettered");
    assert_eq!(market.number("SELECT CAST(MAX(attempts) AS SIGNED) FROM commands").await, 1, "no attempt was burnt");
    market.audit_holds().await;
}

async fn halted(worker: &mut Process, file: &Path, point: &str) {
    eventually(&format!("halted at {point}"), || async {
        (std::fs::read_to_string(file).ok()? == point).then_some(())
    })
    .await;
    assert!(worker.is_running());
}

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
async fn the_database_is_killed_in_the_middle_of_a_batch() {
    let market = Market::new("kill_database").await;
    let commands = crossing_commands(&market, 40).await;
    let (mut worker, file) = market.halting_worker(&["bid", "relay"], "bid.before_commit");
    market.broker.publish(market.partitions, &commands).await;
    halted(&mut worker, &file, "bid.before_commit").await;
    market.servers.signal("mysql", "KILL").await;
    std::fs::remove_file(&file).unwrap();
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
    // Away long enough for several tries; the worker lives on, and takes nothing from the queues meanwhile.
    eventually("it tries again", || async {
        (worker.logged().matches("lets go of everything").count() >= 4).then_some(())
    })
    .await;
    assert!(worker.is_running());
    market.servers.start("mysql").await;
    all_done_once(&market, &commands).await;
}

#[tokio::test]
async fn the_broker_is_killed_between_commit_and_acks() {
    let market = Market::new("kill_broker").await;
    let commands = crossing_commands(&market, 40).await;
    let (mut worker, file) = market.halting_worker(&["bid", "relay"], "bid.before_ack");
    market.broker.publish(market.partitions, &commands).await;
    halted(&mut worker, &file, "bid.before_ack").await;
    let committed = market.count("done").await;
    assert!(committed > 0, "a batch has committed and is not acked");
    market.servers.signal("rabbitmq", "KILL").await;
    std::fs::remove_file(&file).unwrap();
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
    market.servers.start("rabbitmq").await;
    all_done_once(&market, &commands).await;
    assert!(worker.is_running());
}

#[tokio::test]
async fn the_broker_is_restarted_under_an_idle_worker() {
    let market = Market::new("restart_broker").await;
    let mut worker = market.worker(&["bid", "relay"]).await;
    market.servers.shut_down("rabbitmq").await;
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
    market.servers.start("rabbitmq").await;
    let commands = crossing_commands(&market, 5).await;
    market.broker.publish(market.partitions, &commands).await;
    all_done_once(&market, &commands).await;
    assert!(worker.is_running());
}

#[tokio::test]
async fn sigterm_ends_a_busy_worker_in_order_and_in_time() {
    let market = Market::new("sigterm").await;
    let commands = crossing_commands(&market, 400).await;
    market.broker.publish(market.partitions, &commands).await;
    let mut first = market.spawn(&["worker", "bid", "relay"]);
    eventually("it is at work", || async { (market.count("done").await > 0).then_some(()) }).await;
    assert_eq!(first.terminate(Duration::from_secs(12)).await, Some(0), "{}", first.logged());
    let _second = market.worker(&["bid", "relay"]).await;
    all_done_once(&market, &commands).await;
}
