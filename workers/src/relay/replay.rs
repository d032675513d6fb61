//! The queue `replay`: each message goes back to where its origin header says, or, without one, to where its command
//! belongs. What is neither goes to a dead-letter queue, with the reason. Of a command that an operator has edited it is
//! the newest revision that goes, whichever copy of the message was moved here.

use super::Relay;
use contracts::{
    CommandId, DeadLetterReason, Envelope, PartitionCount,
    dead_letter::{
        HEADER_ACTION, HEADER_ATTEMPTS, HEADER_ERROR, HEADER_NEXT, HEADER_ORIGIN, HEADER_REASON, HEADER_REPLAYS,
        HEADER_REVISION,
    },
    envelope::id_of,
    topology::{COMMANDS_EXCHANGE, REPLAY_QUEUE, Role, origin, routing_key, routing_key_of_origin},
};
use futures_util::StreamExt;
use lapin::{
    message::Delivery,
    types::{AMQPValue, FieldTable},
};
use platform::{
    database::within,
    history::{self, Happened, Note},
    pause::Pauses,
    rabbitmq::{ConsumerError, ConsumingConnection, Failure, Message, PublishError, header_number, header_text},
};
use std::time::Duration;

/// Unacked replays at a time.
const PREFETCH: u16 = 50;
/// A relay with nothing to replay looks this often whether its connection still stands.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error("a replayed message could not be published: {0}")]
    Publish(#[from] PublishError),
    #[error("whether a replayed command was edited cannot be read: {0}")]
    Database(#[from] sqlx::Error),
}

/// The newest revision of a command that an operator has edited.
struct Revision {
    number: i32,
    payload: String,
}

pub(super) async fn run(relay: &Relay, partitions: PartitionCount) {
    metrics::counter!("gream_replays_total").increment(0);
    let mut pauses = Pauses::new();
    while !relay.shutdown.is_requested() {
        match live(relay, partitions, &mut pauses).await {
            // Paused, or time to stop.
            Ok(()) => continue,
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
    while !relay.publisher.is_ready() || relay.limits.is_paused() {
        if !relay.shutdown.sleep(LOOK_EVERY).await {
            return Ok(());
        }
    }
    let connection = ConsumingConnection::open(&relay.config.rabbitmq, &format!("{} replay", relay.name)).await?;
    let (subscription, mut deliveries) = connection.subscribe(REPLAY_QUEUE, PREFETCH).await?;
    while !relay.limits.is_paused() {
        let next = tokio::select! {
            () = relay.shutdown.requested() => break,
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
    Ok(subscription.close().await?)
}

/// Publishes a replayed message to where it belongs.
async fn send_back(relay: &Relay, delivery: &Delivery, partitions: PartitionCount) -> Result<(), ReplayError> {
    let command = id_of(&delivery.data);
    let revision = match command {
        Some(id) => newest_revision(relay, id).await?,
        None => None,
    };
    let payload = revision.as_ref().map_or(delivery.data.as_slice(), |revision| revision.payload.as_bytes());
    let own = Envelope::decode(payload).ok().and_then(|envelope| routing_key(&envelope.command, partitions));
    let by_header = header_text(delivery, HEADER_ORIGIN)
        .and_then(|origin| routing_key_of_origin(&origin, partitions).map(str::to_owned));
    // Where an edited command belongs, its old message does not know.
    let key = if revision.is_some() { own.or(by_header) } else { by_header.or(own) };
    let now = relay.clock.now();
    let Some(key) = key else {
        let error = "no origin header that names a command queue, and no readable command".to_owned();
        let failure = Failure { reason: DeadLetterReason::NoOrigin, error, attempts: 0, at: now, command };
        relay.publisher.dead_letter(Role::Bid, "", delivery, &failure).await?;
        return Ok(());
    };
    let message = Message {
        exchange: COMMANDS_EXCHANGE.to_owned(),
        headers: headers(delivery, &key, revision.as_ref()),
        routing_key: key.clone(),
        payload: payload.to_vec(),
        message_id: command.map_or_else(String::new, |id| id.to_string()),
        reply_to: None,
        mandatory: true,
    };
    relay.publisher.publish(message).await?;
    metrics::counter!("gream_replays_total").increment(1);
    tracing::info!(command = ?command.map(|id| id.to_string()), queue = key, "replayed");
    if let Some(id) = command {
        let to = format!("to {key}");
        let note = Note::new(id, Happened::Replayed, now, &relay.name, &to);
        let note = Note { action: header_number(delivery, HEADER_ACTION), ..note };
        history::try_write(&relay.database, limit(relay), &note).await;
    }
    Ok(())
}

async fn newest_revision(relay: &Relay, command: CommandId) -> Result<Option<Revision>, sqlx::Error> {
    let id = command.bytes();
    let read = sqlx::query_as!(
        Revision,
        "SELECT revision AS number, payload FROM command_revisions WHERE command_id = ? ORDER BY revision DESC LIMIT 1",
        &id[..]
    );
    within(limit(relay), read.fetch_optional(&relay.database)).await
}

fn limit(relay: &Relay) -> Duration {
    Duration::from_millis(relay.config.database.statement_timeout_ms)
}

/// The headers of a fresh start: the attempts and the reason of its last failure are gone, its history stays.
fn headers(delivery: &Delivery, key: &str, revision: Option<&Revision>) -> FieldTable {
    let gone =
        [HEADER_ATTEMPTS, HEADER_ERROR, HEADER_NEXT, HEADER_REASON, HEADER_ACTION, "x-delivery-count", "x-death"];
    let mut headers = FieldTable::default();
    for (name, value) in delivery.properties.headers().iter().flat_map(FieldTable::inner) {
        if !gone.contains(&name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let replays = header_number(delivery, HEADER_REPLAYS).unwrap_or(0).saturating_add(1);
    headers.insert(HEADER_REPLAYS.into(), AMQPValue::LongLongInt(replays));
    if let Some(revision) = revision {
        headers.insert(HEADER_REVISION.into(), AMQPValue::LongLongInt(i64::from(revision.number)));
    }
    headers.insert(HEADER_ORIGIN.into(), AMQPValue::LongString(origin(key).into()));
    headers
}
