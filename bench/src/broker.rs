//! Messages as the API would send them, published as fast as one connection can, every one confirmed.

use crate::{Failure, orders::Ask};
use contracts::{
    CommandId, Envelope, Kind, PartitionCount, UnixMs, UserId,
    dead_letter::HEADER_ORIGIN,
    topology::{COMMANDS_EXCHANGE, origin, routing_key},
};
use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions},
    types::{AMQPValue, FieldTable},
};
use rand::{Rng, rngs::StdRng};
use std::collections::VecDeque;

/// The yardstick's queue; in no exchange of ours.
pub(crate) const BARE_QUEUE: &str = "bench.bare";
/// Who waits for the outcomes: nobody listens, but Redis is told as in life.
const REPLY_TO: &str = "bench";
/// Of so many messages, one has nobody waiting (`Prefer: respond-async`).
const ASYNC_EVERY: usize = 4;
/// Confirms that a publisher leaves open.
const WINDOW: usize = 1_000;
/// As the API sets them.
const INSTANT_VALID_MS: i64 = 30_000;
const BID_VALID_MS: i64 = 600_000;

/// One command, ready to be published.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    key: String,
    id: String,
    body: Vec<u8>,
    awaited: bool,
}

/// Envelopes of `asks`, accepted at `at`.
pub(crate) fn messages(
    asks: Vec<Ask>,
    partitions: PartitionCount,
    at: UnixMs,
    luck: &mut StdRng,
) -> Result<Vec<Message>, Failure> {
    let message = |(n, ask): (usize, Ask)| {
        let key = routing_key(&ask.command, partitions).ok_or("no queue for a command")?;
        let valid_ms = match ask.command.kind() {
            Kind::BuyNow | Kind::SellNow => INSTANT_VALID_MS,
            _ => BID_VALID_MS,
        };
        let id = CommandId::fresh(at, luck.random());
        let envelope = Envelope::new(id, UserId(ask.user), at, Some(at.plus_ms(valid_ms)), ask.command);
        Ok(Message { key, id: id.to_string(), body: envelope.encode(), awaited: n % ASYNC_EVERY != 0 })
    };
    asks.into_iter().enumerate().map(message).collect()
}

/// A connection with its name in the RabbitMQ page.
pub(crate) async fn connect(url: &str, name: &str) -> Result<Connection, Failure> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    Ok(Connection::connect(url, properties).await?)
}

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the shipped queues.
    Partitions,
    /// To the yardstick's queue.
    Bare,
}

/// Publishes all of `messages` in order, persistent and mandatory, and waits for every confirm.
pub(crate) async fn publish(url: &str, target: Target, messages: &[Message]) -> Result<(), Failure> {
    let connection = connect(url, "bench publisher").await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut open = VecDeque::with_capacity(WINDOW);
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    for message in messages {
        let (exchange, key) = match target {
            Target::Partitions => (COMMANDS_EXCHANGE, message.key.as_str()),
            Target::Bare => ("", BARE_QUEUE),
        };
        let sent =
            channel.basic_publish(exchange.into(), key.into(), options, &message.body, properties(message)).await?;
        open.push_back(sent);
        if open.len() >= WINDOW
            && let Some(oldest) = open.pop_front()
        {
            clean(&oldest.await?)?;
        }
    }
    for confirm in open {
        clean(&confirm.await?)?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

fn clean(confirm: &Confirmation) -> Result<(), Failure> {
    if matches!(confirm, Confirmation::Ack(None)) { Ok(()) } else { Err("the broker did not take a message".into()) }
}

fn properties(message: &Message) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(HEADER_ORIGIN.into(), AMQPValue::LongString(origin(&message.key).into()));
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(message.id.as_str().into())
        .with_headers(headers);
    if message.awaited { properties.with_reply_to(REPLY_TO.into()) } else { properties }
}

/// Makes the yardstick's queue: a quorum queue like ours.
pub(crate) async fn declare_bare(url: &str) -> Result<(), Failure> {
    let connection = connect(url, "bench").await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(BARE_QUEUE.into(), options, arguments).await?;
    channel.queue_purge(BARE_QUEUE.into(), QueuePurgeOptions::default()).await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Forgets it.
pub(crate) async fn delete_bare(url: &str) -> Result<(), Failure> {
    let connection = connect(url, "bench").await?;
    let channel = connection.create_channel().await?;
    channel.queue_delete(BARE_QUEUE.into(), QueueDeleteOptions::default()).await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// The mean size of the bodies.
pub(crate) fn mean_bytes(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.body.len()).sum::<usize>() / messages.len().max(1)
}
