//! Publishing: an unroutable message never looks accepted, a full queue refuses, a wrong topology says what to do.

use super::{publisher, rabbitmq};
use acceptance::{
    Market, Visitor,
    page::Page,
    visitor::{send, start_api},
    wait::{becomes, eventually},
};
use contracts::topology::{COMMANDS_EXCHANGE, REPLAY_QUEUE, bid_queue};
use futures_util::future::join_all;
use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use platform::{
    Shutdown,
    rabbitmq::{DeclareError, Message, PublishError, Publisher, declare},
};
use serde_json::json;
use std::time::Duration;

const PUBLISHES: u32 = 2_000;

/// Every seventh goes nowhere.
fn goes_nowhere(n: u32) -> bool {
    n % 7 == 3
}

fn message(key: &str, n: u32) -> Message {
    Message {
        exchange: COMMANDS_EXCHANGE.to_owned(),
        routing_key: key.to_owned(),
        payload: vec![0; 200],
        message_id: n.to_string(),
        mandatory: true,
        ..Message::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_thousand_publishes_at_once_each_learns_its_own_fate() {
    let market = Market::new("pipelined").await;
    let (publisher, _shutdown) = publisher(&market).await;
    let tasks = (0..PUBLISHES).map(|n| {
        let publisher = publisher.clone();
        let key = if goes_nowhere(n) { "nowhere".to_owned() } else { format!("bid.{:02}", n % 4) };
        tokio::spawn(async move { publisher.publish(message(&key, n)).await })
    });
    for (n, result) in (0..PUBLISHES).zip(join_all(tasks).await) {
        match result.unwrap() {
            Ok(()) => assert!(!goes_nowhere(n), "{n} went nowhere and was called accepted"),
            Err(PublishError::Unroutable { routing_key, .. }) => {
                assert!(goes_nowhere(n), "{n} was accepted and called unroutable");
                assert_eq!(routing_key, "nowhere");
            }
            Err(error) => panic!("{n}: {error}"),
        }
    }
    let mut found = 0;
    for partition in market.partitions.all() {
        found += market.broker.depth(&bid_queue(partition)).await;
    }
    assert_eq!(found, (0..PUBLISHES).map(|n| u32::from(!goes_nowhere(n))).sum::<u32>());
}

/// The limit itself: why nobody of a wave is told anything before all of its confirms are there.
#[tokio::test(flavor = "multi_thread")]
async fn lapin_mixes_up_what_is_pipelined_on_one_channel() {
    let market = Market::new("raw_pipelined").await;
    let channel = market.broker.channel().await;
    // A queue that confirms at once, so that one confirm of the broker's covers several messages.
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare("quick".into(), options, FieldTable::default()).await.unwrap();
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    for _ in 0..5 {
        let mut confirms = Vec::new();
        for n in 0..PUBLISHES {
            let key = if goes_nowhere(n) { "nowhere" } else { "quick" };
            let publish = channel.basic_publish("".into(), key.into(), options, b"x", BasicProperties::default());
            confirms.push(publish.await.unwrap());
        }
        let mut mixed_up = 0;
        for (n, confirm) in (0..PUBLISHES).zip(confirms) {
            let accepted = matches!(confirm.await.unwrap(), Confirmation::Ack(None));
            mixed_up += u32::from(accepted == goes_nowhere(n));
        }
        println!("lapin: {mixed_up} of {PUBLISHES} pipelined publishes got another one's fate");
        if mixed_up > 0 {
            return;
        }
    }
    panic!("lapin pairs returns and confirms now: a wave could tell each message its fate at once");
}

#[tokio::test]
async fn a_full_queue_refuses_and_holds_exactly_what_was_accepted() {
    let market = Market::new("full").await;
    let full = json!({"pattern": r"^bid\.", "apply-to": "queues", "priority": 9, "definition": {"max-length": 5}});
    market.broker.set_policy("small", &full).await;
    let (publisher, _shutdown) = publisher(&market).await;
    let mut accepted = 0;
    let refusal = loop {
        match publisher.publish(message("bid.00", accepted)).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 500, "the policy holds");
    };
    assert!(matches!(refusal, PublishError::Refused), "{refusal}");
    assert_eq!(market.broker.depth("bid.00").await, accepted);

    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let product = market.product(1).await;
    let queue = bid_queue(market.partitions.of_product(product));
    let before = market.broker.depth(&queue).await;
    let (mut accepted, mut refused) = (0, 0);
    while refused < 3 {
        let request = alice.request("POST", "/api/buy/1").header("Prefer", "respond-async");
        let answer = send(request.json(&json!({"price": 1_000}))).await;
        if answer.is(202, 0) {
            accepted += 1;
            assert!(accepted < 500, "the policy holds");
        } else {
            answer.refused(503, 5005);
            assert!(!answer.header("retry-after").is_empty());
            refused += 1;
        }
    }
    assert_eq!(market.broker.depth(&queue).await, before + accepted);
    Page::of(&market).delete_policy("small").await;
    eventually("it is accepted again", || async { bid(&alice, "later").await.is(202, 0).then_some(()) }).await;
}

async fn bid(visitor: &Visitor, key: &str) -> acceptance::visitor::Answer {
    let request = visitor.request("POST", "/api/buy/1").header("Prefer", "respond-async");
    send(request.header("Idempotency-Key", key).json(&json!({"price": 1_000}))).await
}

#[tokio::test]
async fn an_api_declares_a_deleted_queue_again() {
    let market = Market::new("undeclared").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let queue = bid_queue(market.partitions.of_product(market.product(1).await));
    Page::of(&market).delete_queue(&queue).await;
    bid(&alice, "a").await.refused(503, 5005);
    eventually("the queue is there again", || async { bid(&alice, "a").await.is(202, 0).then_some(()) }).await;
    assert_eq!(market.broker.depth(&queue).await, 1);
}

#[tokio::test]
async fn a_queue_that_is_otherwise_closes_one_channel_and_says_what_to_do() {
    let market = Market::new("mismatch").await;
    let page = Page::of(&market);
    page.delete_queue(REPLAY_QUEUE).await;
    let connection = Connection::connect(market.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(REPLAY_QUEUE.into(), options, FieldTable::default()).await.unwrap();

    let error = declare(&connection, &market.topology(), Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(error, DeclareError::Mismatch(_)), "{error}");
    let sentence = error.to_string();
    assert!(sentence.contains(&format!("queue '{REPLAY_QUEUE}'")), "which one: {sentence}");
    assert!(sentence.contains("delete it"), "what to do: {sentence}");
    assert!(connection.status().connected() && channel.status().connected(), "only the throw-away channel is gone");

    // A process neither ends nor publishes meanwhile, and goes on by itself once somebody did what it says.
    let shutdown = Shutdown::new();
    let publisher = Publisher::start(rabbitmq(market.broker.url()), market.topology(), "limits".to_owned(), &shutdown);
    let refused = publisher.publish(message("bid.00", 0)).await.unwrap_err();
    assert!(matches!(refused, PublishError::Away), "{refused}");
    assert!(!publisher.is_ready());
    page.delete_queue(REPLAY_QUEUE).await;
    becomes("it is ready", true, || async { publisher.is_ready() }).await;
    publisher.publish(message("bid.00", 0)).await.unwrap();
}
