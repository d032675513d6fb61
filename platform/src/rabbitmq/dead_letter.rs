//! Setting a message aside: published to its role's dead-letter queue, with everything a person needs in its headers.

use super::{Message, PublishError, Publisher};
use crate::traces::TraceContext;
use contracts::{
    CommandId, DeadLetterReason, UnixMs,
    dead_letter::{
        HEADER_ATTEMPTS, HEADER_COMMAND_ID, HEADER_ERROR, HEADER_FIRST_FAILED_AT, HEADER_LAST_FAILED_AT, HEADER_NEXT,
        HEADER_ORIGIN, HEADER_REASON,
    },
    topology::{DEAD_EXCHANGE, Role, origin},
};
use lapin::{
    message::Delivery,
    types::{AMQPValue, FieldTable},
};

/// Longest error text in a header.
const MAX_ERROR_CHARS: usize = 500;

/// How and why a message failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why it is set aside.
    pub reason: DeadLetterReason,
    /// The last error.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed last.
    pub at: UnixMs,
    /// Its command, where that could be read.
    pub command: Option<CommandId>,
}

/// Dead letters of `role` are counted from zero on: a counter that begins with one shows no increase.
pub fn announce_dead_letters(role: Role) {
    for reason in DeadLetterReason::ALL {
        metrics::counter!("gream_dead_letters_total", "role" => role.as_str(), "reason" => reason.as_str())
            .increment(0);
    }
}

impl Publisher {
    /// Publishes `delivery`'s body, as it came, to the dead-letter queue of `role`. Ack the original only after `Ok`.
    pub async fn dead_letter(
        &self,
        role: Role,
        routing_key: &str,
        delivery: &Delivery,
        failure: &Failure,
    ) -> Result<(), PublishError> {
        let came_from = header_text(delivery, HEADER_ORIGIN).unwrap_or_else(|| origin(routing_key));
        let first_failed_at = header_number(delivery, HEADER_FIRST_FAILED_AT).unwrap_or(failure.at.0);
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        let mut text = |key: &str, value: &str| {
            headers.insert(key.into(), AMQPValue::LongString(value.into()));
        };
        text(HEADER_ORIGIN, &came_from);
        text(HEADER_REASON, failure.reason.as_str());
        text(HEADER_NEXT, failure.reason.next_step());
        text(HEADER_ERROR, &failure.error.chars().take(MAX_ERROR_CHARS).collect::<String>());
        if let Some(command) = failure.command {
            text(HEADER_COMMAND_ID, &command.to_string());
        }
        let mut number = |key: &str, value: i64| {
            headers.insert(key.into(), AMQPValue::LongLongInt(value));
        };
        number(HEADER_ATTEMPTS, i64::from(failure.attempts));
        number(HEADER_FIRST_FAILED_AT, first_failed_at);
        number(HEADER_LAST_FAILED_AT, failure.at.0);
        let message = Message {
            exchange: DEAD_EXCHANGE.to_owned(),
            routing_key: role.as_str().to_owned(),
            payload: delivery.data.clone(),
            message_id: failure.command.map_or_else(String::new, |id| id.to_string()),
            reply_to: None,
            headers,
            mandatory: true,
        };
        self.publish(message).await?;
        metrics::counter!("gream_dead_letters_total", "role" => role.as_str(), "reason" => failure.reason.as_str())
            .increment(1);
        tracing::error!(command = ?failure.command.map(|id| id.to_string()), reason = %failure.reason, error = failure.error,
            next = failure.reason.next_step(), "message set aside as a dead letter");
        Ok(())
    }
}

/// A header's text.
pub fn header_text(delivery: &Delivery, key: &str) -> Option<String> {
    match value(delivery.properties.headers().as_ref()?, key)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// The trace that the message is a part of.
pub fn trace_of(delivery: &Delivery) -> Option<TraceContext> {
    let headers = delivery.properties.headers().as_ref()?;
    TraceContext::read(|name| match value(headers, name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    })
}

/// A header's whole number, of whatever width it was sent in.
pub fn header_number(delivery: &Delivery, key: &str) -> Option<i64> {
    Some(match value(delivery.properties.headers().as_ref()?, key)? {
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::LongLongInt(n) => *n,
        _ => return None,
    })
}

fn value<'a>(headers: &'a FieldTable, key: &str) -> Option<&'a AMQPValue> {
    headers.inner().get(key)
}
