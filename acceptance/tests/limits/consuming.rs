//! Consuming: acks that come too late, consumers that the broker ends, prefetch.

use super::rabbitmq;
use acceptance::{
    Market,
    commands::buy,
    page::Page,
    process::Process,
    wait::{becomes, eventually},
    wire::Wire,
};
use contracts::{
    Envelope,
    dead_letter::HEADER_ORIGIN,
    topology::{REPLAY_QUEUE, bid_queue, origin, routing_key},
};
use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use platform::rabbitmq::{ConsumerError, ConsumingConnection};

/// Ten buyers of each of four products: every partition has something.
fn commands(market: &Market) -> Vec<Envelope> {
    let user = contracts::UserId(1);
    let now = market.now();
    let products = (1..=8).map(contracts::ProductId);
    products.flat_map(|product| (0..5).map(move |n| buy(&format!("{product}-{n}"), user, product, 10, now))).collect()
}

async fn stage(market: &Market) {
    market.user(1, 1_000_000).await;
    for id in 1..=8 {
        market.product(id).await;
    }
}

async fn let_go(worker: &Process) {
    eventually("the worker noticed", || async { worker.logged().contains("lets go of everything").then_some(()) })
        .await;
}

#[tokio::test]
async fn an_ack_that_comes_after_the_end_of_its_connection_is_harmless() {
    let market = Market::new("late_ack").await;
    let (wire, url) = Wire::to(market.broker.url()).await;
    market.broker.publish_bytes("", "bid.00", b"x", &[]).await;
    let connection = ConsumingConnection::open(&rabbitmq(&url), "limits").await.unwrap();
    let (subscription, mut deliveries) = connection.subscribe("bid.00", 10).await.unwrap();
    let delivery = deliveries.next().await.unwrap().unwrap().delivery;
    wire.cut();
    let end = deliveries.next().await.unwrap();
    assert!(end.is_err(), "the stream says that it has ended");
    assert!(!connection.is_connected());
    // The limit itself: lapin's own ack says 'false', which is no error, and our ack says that nothing was acked.
    assert!(!delivery.acker.ack(BasicAckOptions::default()).await.unwrap());
    let ours = subscription.ack_through(delivery.delivery_tag).await;
    assert!(matches!(ours, Err(ConsumerError::Broken(_))), "{ours:?}");

    let connection = ConsumingConnection::open(&rabbitmq(&url), "limits").await.unwrap();
    let (subscription, mut deliveries) = connection.subscribe("bid.00", 10).await.unwrap();
    let again = deliveries.next().await.unwrap().unwrap().delivery;
    assert!(again.redelivered && again.data == delivery.data, "it is delivered again");
    subscription.ack_through(again.delivery_tag).await.unwrap();
}

#[tokio::test]
async fn a_batch_whose_acks_came_too_late_has_one_effect() {
    let mut market = Market::new("late_acks").await;
    stage(&market).await;
    let wire = market.wire("GREAM__RABBITMQ__URL").await;
    let commands = commands(&market);
    let (mut worker, file) = market.halting_worker(&["bid"], "bid.before_ack");
    market.broker.publish(market.partitions, &commands).await;
    eventually("a batch has committed", || async { file.exists().then_some(()) }).await;
    assert!(market.count("done").await > 0);
    let carried = wire.accepted();
    wire.cut();
    std::fs::remove_file(&file).unwrap();
    let_go(&worker).await;
    becomes("every command is done", 40, || market.count("done")).await;
    for partition in market.partitions.all() {
        let queue = bid_queue(partition);
        becomes("an empty queue", 0, || market.broker.depth(&queue)).await;
    }
    assert!(wire.accepted() > carried && worker.is_running(), "it has reconnected by itself");
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 40);
    assert_eq!(market.number("SELECT held FROM balances WHERE user_id = 1").await, 400);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_deleted_queue_ends_its_consumer_aloud() {
    let market = Market::new("ended").await;
    let connection = ConsumingConnection::open(&rabbitmq(market.broker.url()), "limits").await.unwrap();
    let (_subscription, mut deliveries) = connection.subscribe("bid.00", 10).await.unwrap();
    Page::of(&market).delete_queue("bid.00").await;
    let end = deliveries.next().await.unwrap();
    assert!(matches!(&end, Err(ConsumerError::Ended(queue)) if **queue == *"bid.00"), "{end:?}");
    // The limit itself: connection and channel know of nothing, so that only the stream's end can tell.
    assert!(connection.is_connected());
    let missing = connection.subscribe("bid.00", 10).await.err().unwrap();
    assert!(missing.is_missing_queue(), "{missing}");
    assert!(connection.is_connected(), "only its channel was closed");
}

#[tokio::test]
async fn workers_declare_deleted_queues_again_and_go_on() {
    let market = Market::new("deleted").await;
    stage(&market).await;
    let (page, commands) = (Page::of(&market), commands(&market));
    let mut worker = market.worker(&["bid", "relay", "payment", "refund"]).await;
    market.broker.publish(market.partitions, &commands[..20]).await;
    becomes("the first half is done", 20, || market.count("done")).await;
    let queues: Vec<String> = market.partitions.all().map(bid_queue).collect();
    for queue in queues.iter().map(String::as_str).chain([REPLAY_QUEUE, "payment", "refund"]) {
        page.delete_queue(queue).await;
    }
    for queue in queues.iter().map(String::as_str).chain([REPLAY_QUEUE, "payment", "refund"]) {
        becomes(&format!("{queue} is consumed"), Some(1), || market.broker.consumers(queue)).await;
    }
    let (last, rest) = commands[20..].split_last().unwrap();
    market.broker.publish(market.partitions, rest).await;
    let came_from = origin(&routing_key(&last.command, market.partitions).unwrap());
    market.broker.publish_bytes("", REPLAY_QUEUE, &last.encode(), &[(HEADER_ORIGIN, &came_from)]).await;
    becomes("the second half is done", 40, || market.count("done")).await;
    assert!(worker.is_running());
    market.audit_holds().await;
}

#[tokio::test]
async fn every_consumer_has_a_prefetch_also_after_a_reconnect() {
    let mut market = Market::new("prefetch").await;
    market.set("GREAM__BID_WORKER__PREFETCH", 7);
    market.set("GREAM__PAYMENT_WORKER__PREFETCH", 5);
    let wire = market.wire("GREAM__RABBITMQ__URL").await;
    let page = Page::of(&market);
    let worker = market.worker(&["bid", "relay", "payment", "refund"]).await;
    let mut wanted: Vec<(String, u64)> = market.partitions.all().map(|partition| (bid_queue(partition), 7)).collect();
    wanted.extend([("payment", 5), ("refund", 5), (REPLAY_QUEUE, 50)].map(|(queue, count)| (queue.to_owned(), count)));
    wanted.sort();
    becomes("the consumers of the first connections", wanted.clone(), || page.consumers()).await;
    let carried = wire.accepted();
    wire.cut();
    let_go(&worker).await;
    // A publishing connection; lanes, crews and relay one each.
    eventually("all have reconnected", || async { (wire.accepted() >= 2 * carried).then_some(()) }).await;
    becomes("the consumers of the second connections", wanted, || page.consumers()).await;
}
