//! Outbox rows to the broker.
//!
//! Takes unsent rows (never 'id greater than': ids commit out of order), skipping those that another relay holds, and
//! deletes them once the broker confirmed. A relay that ends in between leaves them to the next one: at least once.

use super::Relay;
use contracts::{
    Envelope,
    dead_letter::HEADER_ORIGIN,
    topology::{COMMANDS_EXCHANGE, origin},
};
use futures_util::{StreamExt, stream};
use platform::{database::within, pause::Pauses, rabbitmq::Message};
use std::time::Duration;

/// Publishes in flight at a time.
const CONCURRENT_PUBLISHES: usize = 32;

struct Row {
    outbox_id: i64,
    message: Message,
}

pub(super) async fn run(relay: &Relay) {
    let mut pauses = Pauses::new();
    let interval = Duration::from_millis(relay.config.relay.interval_ms);
    while !relay.shutdown.is_requested() {
        let pause = match send_some(relay).await {
            Ok(sent) => {
                pauses = Pauses::new();
                metrics::counter!("gream_outbox_sent_total").increment(sent);
                if sent == u64::from(relay.config.relay.batch_max) { Duration::ZERO } else { interval }
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox waits");
                pauses.next_pause()
            }
        };
        relay.shutdown.sleep(pause).await;
    }
}

/// Sends one batch; how many rows left.
async fn send_some(relay: &Relay) -> Result<u64, sqlx::Error> {
    let limit = Duration::from_millis(relay.config.database.statement_timeout_ms);
    let mut transaction = within(limit, relay.database.begin()).await?;
    let batch_max = relay.config.relay.batch_max;
    let read = sqlx::query!(
        "SELECT outbox_id, exchange_name, routing_key, payload, created_at_ms FROM outbox
         ORDER BY outbox_id LIMIT ? FOR UPDATE SKIP LOCKED",
        batch_max
    )
    .fetch_all(&mut *transaction);
    let found = within(limit, read).await?;
    let Some(oldest) = found.iter().map(|row| row.created_at_ms).min() else {
        metrics::gauge!("gream_outbox_lag_seconds").set(0.0);
        return Ok(0);
    };
    let lag_ms = relay.clock.now().0.saturating_sub(oldest).max(0);
    metrics::gauge!("gream_outbox_lag_seconds").set(Duration::from_millis(lag_ms.unsigned_abs()).as_secs_f64());
    let rows = found.into_iter().map(|row| Row {
        outbox_id: row.outbox_id,
        message: message(row.outbox_id, row.exchange_name, row.routing_key, row.payload),
    });
    let sent: Vec<i64> = stream::iter(rows)
        .map(|row| async move {
            match relay.publisher.publish(&row.message).await {
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
        .await;
    platform::halt::point("relay.published").await;
    if sent.is_empty() {
        return Err(std::io::Error::other("no row could be published").into());
    }
    let mut delete = sqlx::QueryBuilder::new("DELETE FROM outbox WHERE outbox_id IN (");
    let mut ids = delete.separated(", ");
    for id in &sent {
        ids.push_bind(id);
    }
    ids.push_unseparated(")");
    within(limit, delete.build().execute(&mut *transaction)).await?;
    within(limit, transaction.commit()).await?;
    Ok(sent.len() as u64)
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
