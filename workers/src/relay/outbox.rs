//! Outbox rows to the broker.
//!
//! Takes unsent rows, skipping those that another relay holds, and deletes them once the broker confirmed. A relay that
//! ends in between leaves them to the next one: at least once. Rows that cannot be published (their queue is full, say)
//! stay, and are passed by until the end of the table is reached: they hold nobody up. Every round begins at the oldest
//! row again, for ids commit out of order.

use super::Relay;
use contracts::{
    Envelope,
    dead_letter::HEADER_ORIGIN,
    topology::{COMMANDS_EXCHANGE, origin},
};
use futures_util::{StreamExt, stream};
use platform::{database::within, pause::Pauses, rabbitmq::Message, traces::TraceContext};
use std::time::Duration;

/// Publishes in flight at a time.
const CONCURRENT_PUBLISHES: usize = 32;

struct Row {
    outbox_id: i64,
    message: Message,
}

/// What one batch came to.
struct Sent {
    rows: u64,
    /// Rows that could not be published.
    stuck: usize,
    /// The last row that was looked at; `None` at the end of the table.
    last: Option<i64>,
}

pub(super) async fn run(relay: &Relay) {
    let mut pauses = Pauses::new();
    let interval = Duration::from_millis(relay.config.relay.interval_ms);
    let (mut after, mut stuck) = (0, 0);
    while !relay.shutdown.is_requested() {
        if relay.limits.is_paused() {
            relay.shutdown.sleep(interval).await;
            continue;
        }
        let pause = match send_some(relay, after).await {
            Ok(sent) => {
                metrics::counter!("gream_outbox_sent_total").increment(sent.rows);
                stuck += sent.stuck;
                if sent.rows > 0 {
                    pauses = Pauses::new();
                }
                // Past what is stuck there may be rows that are not.
                after = sent.last.filter(|_| stuck > 0).unwrap_or(0);
                let pause = match sent.last {
                    Some(_) if sent.rows > 0 => Duration::ZERO,
                    None if stuck == 0 => interval,
                    _ => pauses.next_pause(),
                };
                if after == 0 {
                    stuck = 0;
                }
                pause
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox waits");
                (after, stuck) = (0, 0);
                pauses.next_pause()
            }
        };
        relay.shutdown.sleep(pause).await;
    }
}

/// Sends one batch of those after `after`.
async fn send_some(relay: &Relay, after: i64) -> Result<Sent, sqlx::Error> {
    let limit = Duration::from_millis(relay.config.database.statement_timeout_ms);
    let mut transaction = within(limit, relay.database.begin()).await?;
    let batch_max = relay.limits.batch_max(relay.config.relay.batch_max);
    let read = sqlx::query!(
        "SELECT outbox_id, exchange_name, routing_key, payload, traceparent FROM outbox
         WHERE outbox_id > ? ORDER BY outbox_id LIMIT ? FOR UPDATE SKIP LOCKED",
        after,
        batch_max
    )
    .fetch_all(&mut *transaction);
    let found = within(limit, read).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|rows| rows == batch_max);
    let last = found.last().map(|row| row.outbox_id).filter(|_| is_full);
    let rows: Vec<Row> = found
        .into_iter()
        .map(|row| {
            let trace = row.traceparent.as_deref().and_then(TraceContext::of_traceparent);
            let message = message(row.outbox_id, row.exchange_name, row.routing_key, row.payload);
            Row { outbox_id: row.outbox_id, message: message.in_trace(trace.as_ref()) }
        })
        .collect();
    if rows.is_empty() {
        return Ok(Sent { rows: 0, stuck: 0, last: None });
    }
    let looked_at = rows.len();
    let sent = publish(relay, rows).await;
    platform::halt::point("relay.published").await;
    if !sent.is_empty() {
        let mut delete = sqlx::QueryBuilder::new("DELETE FROM outbox WHERE outbox_id IN (");
        let mut ids = delete.separated(", ");
        for id in &sent {
            ids.push_bind(id);
        }
        ids.push_unseparated(")");
        within(limit, delete.build().execute(&mut *transaction)).await?;
    }
    within(limit, transaction.commit()).await?;
    Ok(Sent { rows: sent.len() as u64, stuck: looked_at - sent.len(), last })
}

/// Publishes rows, and returns the ids of those that the broker confirmed.
async fn publish(relay: &Relay, rows: Vec<Row>) -> Vec<i64> {
    stream::iter(rows)
        .map(|row| async move {
            match relay.publisher.publish(row.message).await {
                Ok(()) => Some(row.outbox_id),
                Err(error) => {
                    tracing::warn!(%error, outbox_id = row.outbox_id, "an outbox row stays");
                    None
                }
            }
        })
        .buffer_unordered(CONCURRENT_PUBLISHES)
        .filter_map(std::future::ready)
        .collect()
        .await
}

/// A row as a message. Commands must find a queue, and carry their way back; of events nobody need listen.
fn message(outbox_id: i64, exchange: String, routing_key: String, payload: String) -> Message {
    let came_from = origin(&routing_key);
    let mut message =
        Message { exchange, routing_key, message_id: format!("outbox-{outbox_id}"), ..Message::default() };
    if message.exchange == COMMANDS_EXCHANGE {
        if let Ok(envelope) = Envelope::decode(payload.as_bytes()) {
            message.message_id = envelope.id.to_string();
        }
        message.mandatory = true;
        message = message.with_header(HEADER_ORIGIN, &came_from);
    }
    Message { payload: payload.into_bytes(), ..message }
}
