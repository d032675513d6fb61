//! The queue `replay`: each message goes back to where its origin header says, or, without one, to where its command
//! belongs. What is neither goes to a dead-letter queue, with the reason.

use super::Relay;
use contracts::{
    DeadLetterReason, Envelope, PartitionCount,
    dead_letter::{HEADER_ATTEMPTS, HEADER_ERROR, HEADER_NEXT, HEADER_ORIGIN, HEADER_REASON},
    topology::{COMMANDS_EXCHANGE, REPLAY_QUEUE, Role, origin, routing_key, routing_key_of_origin},
};
use futures_util::StreamExt;
use lapin::{
    message::Delivery,
    types::{AMQPValue, FieldTable},
};
use platform::{
    pause::Pauses,
    rabbitmq::{ConsumerError, ConsumingConnection, Failure, Message, PublishError, header_number, header_text},
};
use std::time::Duration;

/// Unacked replays at a time.
const PREFETCH: u16 = 50;
/// A relay with nothing to replay looks this often whether its connection still stands.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the message was replayed, for people.
const HEADER_REPLAYS: &str = "x-gream-replays";

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error("a replayed message could not be published: {0}")]
    Publish(#[from] PublishError),
}

pub(super) async fn run(relay: &Relay, partitions: PartitionCount) {
    metrics::counter!("gream_replays_total").increment(0);
    let mut pauses = Pauses::new();
    while !relay.shutdown.is_requested() {
        match live(relay, partitions, &mut pauses).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "replays wait; reconnecting");
                if matches!(&error, ReplayError::Consumer(error) if error.is_missing_queue()) {
                    relay.publisher.declare_again();
                }
            }
        }
        relay.shutdown.sleep(pauses.next_pause()).await;
    }
}

async fn live(relay: &Relay, partitions: PartitionCount, pauses: &mut Pauses) -> Result<(), ReplayError> {
    tokio::select! {
        () = relay.publisher.ready() => (),
        () = relay.shutdown.requested() => return Ok(()),
    }
    // Every life that ends with messages in hand counts as a delivery of theirs: don't begin one in vain.
    while !relay.publisher.is_ready() {
        if !relay.shutdown.sleep(LOOK_EVERY).await {
            return Ok(());
        }
    }
    let connection = ConsumingConnection::open(&relay.config.rabbitmq, &format!("{} replay", relay.name)).await?;
    let (subscription, mut deliveries) = connection.subscribe(REPLAY_QUEUE, PREFETCH).await?;
    loop {
        let next = tokio::select! {
            () = relay.shutdown.requested() => return Ok(()),
            next = deliveries.next() => next,
            () = tokio::time::sleep(LOOK_EVERY) => {
                if connection.is_connected() { continue }
                return Err(ConsumerError::TimedOut("heartbeats").into());
            }
        };
        let Some(delivered) = next else { return Err(ConsumerError::Ended(REPLAY_QUEUE.into()).into()) };
        let delivery = delivered?.delivery;
        send_back(relay, &delivery, partitions).await?;
        subscription.ack(delivery.delivery_tag).await?;
        *pauses = Pauses::new();
    }
}

/// Publishes a replayed message to where it belongs.
async fn send_back(relay: &Relay, delivery: &Delivery, partitions: PartitionCount) -> Result<(), ReplayError> {
    let envelope = Envelope::decode(&delivery.data).ok();
    let command = envelope.as_ref().map(|envelope| envelope.id);
    let by_header = header_text(delivery, HEADER_ORIGIN)
        .and_then(|origin| routing_key_of_origin(&origin, partitions).map(str::to_owned));
    let key = by_header.or_else(|| routing_key(&envelope.as_ref()?.command, partitions));
    let Some(key) = key else {
        let error = "no origin header that names a command queue, and no readable command".to_owned();
        let failure =
            Failure { reason: DeadLetterReason::NoOrigin, error, attempts: 0, at: relay.clock.now(), command };
        relay.publisher.dead_letter(Role::Bid, "", delivery, &failure).await?;
        return Ok(());
    };
    let message = Message {
        exchange: COMMANDS_EXCHANGE.to_owned(),
        headers: headers(delivery, &key),
        routing_key: key.clone(),
        payload: delivery.data.clone(),
        message_id: command.map_or_else(String::new, |id| id.to_string()),
        reply_to: None,
        mandatory: true,
    };
    relay.publisher.publish(message).await?;
    metrics::counter!("gream_replays_total").increment(1);
    tracing::info!(command = ?command.map(|id| id.to_string()), queue = key, "replayed");
    Ok(())
}

/// The headers of a fresh start: the attempts and the reason of its last failure are gone, its history stays.
fn headers(delivery: &Delivery, key: &str) -> FieldTable {
    let gone = [HEADER_ATTEMPTS, HEADER_ERROR, HEADER_NEXT, HEADER_REASON, "x-delivery-count", "x-death"];
    let mut headers = FieldTable::default();
    for (name, value) in delivery.properties.headers().iter().flat_map(FieldTable::inner) {
        if !gone.contains(&name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let replays = header_number(delivery, HEADER_REPLAYS).unwrap_or(0).saturating_add(1);
    headers.insert(HEADER_REPLAYS.into(), AMQPValue::LongLongInt(replays));
    headers.insert(HEADER_ORIGIN.into(), AMQPValue::LongString(origin(key).into()));
    headers
}
