//! What is given back comes again in its old order, however a consumer ends: the market's promise of first come, first
//! served holds across failures.

use super::rabbitmq;
use acceptance::{Market, broker::Broker};
use contracts::topology::COMMANDS_EXCHANGE;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions},
    types::FieldTable,
};
use platform::rabbitmq::ConsumingConnection;
use std::time::Duration;

/// Messages in a round.
const MESSAGES: u8 = 40;
/// More than that: all that there is is on its way to the consumer.
const PREFETCH: u16 = 200;
/// Between one consumer's end and the next one's beginning; less than a lane's shortest pause.
const PAUSE: Duration = Duration::from_millis(60);

/// Publishes a round, one after the other.
async fn publish(broker: Broker, queue: String) {
    let channel = broker.channel().await;
    for n in 0..MESSAGES {
        let body = [n];
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let publish =
            channel.basic_publish(COMMANDS_EXCHANGE.into(), queue.as_str().into(), options, &body, properties);
        publish.await.unwrap().await.unwrap();
    }
}

/// Takes and acks a round; the order in which it came.
async fn drain(broker: &Broker, queue: &str) -> Vec<u8> {
    let connection = ConsumingConnection::open(&rabbitmq(broker.url()), "limits").await.unwrap();
    let (subscription, mut deliveries) = connection.subscribe(queue, PREFETCH).await.unwrap();
    let (mut found, mut last_tag) = (Vec::new(), 0);
    while found.len() < usize::from(MESSAGES) {
        let delivery = deliveries.next().await.unwrap().unwrap().delivery;
        last_tag = delivery.delivery_tag;
        found.push(delivery.data[0]);
    }
    // One ack for all: acks are not confirmed, and of many single ones the broker may lose the last at the channel's end.
    subscription.ack_through(last_tag).await.unwrap();
    subscription.close().await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_end_while_messages_come_leave_their_order_as_it_was() {
    let market = Market::new("order").await;
    for round in 0..10 {
        let queue = format!("bid.0{}", round % 4);
        let publishing = tokio::spawn(publish(market.broker.clone(), queue.clone()));
        for life in 0..3 {
            let connection = ConsumingConnection::open(&rabbitmq(market.broker.url()), "limits").await.unwrap();
            let (subscription, mut deliveries) = connection.subscribe(&queue, PREFETCH).await.unwrap();
            for n in 0..=life {
                assert_eq!(deliveries.next().await.unwrap().unwrap().delivery.data, [n], "round {round}, life {life}");
            }
            drop((connection, subscription, deliveries));
            tokio::time::sleep(PAUSE).await;
        }
        publishing.await.unwrap();
        let found = drain(&market.broker, &queue).await;
        assert!(found.is_sorted(), "round {round}: {found:?}");
    }
}

/// The limit itself: a consumer that is cancelled before its channel ends. Dropping lapin's does that.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_consumer_lets_younger_messages_overtake_what_it_holds() {
    let market = Market::new("raw_order").await;
    for round in 0..40 {
        let queue = format!("bid.0{}", round % 4);
        let publishing = tokio::spawn(publish(market.broker.clone(), queue.clone()));
        {
            let connection = Connection::connect(market.broker.url(), ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
            let options = BasicConsumeOptions::default();
            let consume = channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
            assert_eq!(consume.await.unwrap().next().await.unwrap().unwrap().data, [0]);
        }
        tokio::time::sleep(PAUSE).await;
        publishing.await.unwrap();
        let found = drain(&market.broker, &queue).await;
        if !found.is_sorted() {
            println!("after a cancel: {found:?}");
            return;
        }
    }
    panic!("nothing was overtaken: platform::rabbitmq may leave the end of a consumer to lapin");
}
