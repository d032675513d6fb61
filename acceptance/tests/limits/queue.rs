//! RabbitMQ's queues conform to what the simulation's broker in memory does: the same tests, through the workers' own adapter.

#[path = "../../../workers/tests/simulation/queue_conformance.rs"]
mod queue_conformance;

use super::rabbitmq;
use acceptance::Market;
use contracts::topology::COMMANDS_EXCHANGE;
use futures_util::StreamExt;
use platform::rabbitmq::{ConsumingConnection, Deliveries, Subscription};
use std::time::Duration;

const QUEUE: &str = "bid.00";
const PREFETCH: u16 = 200;
/// What is on its way is here by then, and longer than any hand-over on this machine.
const NOTHING_COMES: Duration = Duration::from_millis(500);

struct Rabbit(Market);

struct Consumer {
    connection: ConsumingConnection,
    subscription: Subscription,
    deliveries: Deliveries,
    last_tag: u64,
}

impl queue_conformance::Queue for Rabbit {
    type Consumer = Consumer;

    async fn publish(&self, number: u8) {
        self.0.broker.publish_bytes(COMMANDS_EXCHANGE, QUEUE, &[number], &[]).await;
    }

    async fn consumer(&self) -> Consumer {
        let connection = ConsumingConnection::open(&rabbitmq(self.0.broker.url()), "limits").await.unwrap();
        let (subscription, deliveries) = connection.subscribe(QUEUE, PREFETCH).await.unwrap();
        Consumer { connection, subscription, deliveries, last_tag: 0 }
    }

    async fn takes(&self, consumer: &mut Consumer, count: usize) -> Vec<(u8, bool)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let delivery = consumer.deliveries.next().await.unwrap().unwrap().delivery;
            consumer.last_tag = delivery.delivery_tag;
            taken.push((delivery.data[0], delivery.redelivered));
        }
        taken
    }

    async fn has_more(&self, consumer: &mut Consumer) -> bool {
        tokio::time::timeout(NOTHING_COMES, consumer.deliveries.next()).await.is_ok()
    }

    async fn acks(&self, consumer: &mut Consumer) {
        consumer.subscription.ack_through(consumer.last_tag).await.unwrap();
    }

    async fn goes(&self, consumer: Consumer) {
        let Consumer { connection, subscription, deliveries, .. } = consumer;
        drop((connection, subscription, deliveries));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_brings_again_what_was_not_acked() {
    queue_conformance::what_was_not_acked_comes_again_in_order(&Rabbit(Market::new("queue_again").await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_has_one_active_consumer() {
    queue_conformance::one_consumer_is_active(&Rabbit(Market::new("queue_active").await)).await;
}
