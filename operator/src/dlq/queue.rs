//! Holding a dead-letter queue's messages for a while, and giving them back.
//!
//! A letter is held unacked by a consumer: nobody else gets it meanwhile, and whatever happens to us the broker has it.
//! They are given back by closing the channel: in their old order, where a `basic.nack` of many shuffles them (measured on
//! RabbitMQ 3.10). That costs a delivery in the queue's count, for which the policy `gream-dead-letters` sets a limit that
//! nobody reaches. So does the page's 'get messages': no way of reading a quorum queue leaves no trace.

use super::{DlqError, letter::Letter};
use contracts::topology::Role;
use futures_util::StreamExt;
use lapin::types::{AMQPValue, FieldTable};
use platform::rabbitmq::{ConsumingConnection, Deliveries, Subscription};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Letters of one queue that are held at a time. The rest is counted, and comes next time.
pub const HELD_MAX: u16 = 50_000;
/// The broker counts a message that somebody else is giving back, and may never send it: waited for no longer.
const QUIET: Duration = Duration::from_secs(2);

/// A busy quorum queue's channel keeps acks to itself until earlier ones are applied, and forgets them when it is closed:
/// what was acked would lie there again. So long it is left open after the last ack.
const ACKS_SETTLE: Duration = Duration::from_secs(2);

/// The letters of one queue, in our hands.
pub(crate) struct Held {
    /// To ack them by. Lent out without the rest, which may be sent to another thread but not shared between two.
    pub(crate) subscription: Subscription,
    /// Without them the channel would end.
    _kept_open: (Arc<ConsumingConnection>, Deliveries),
    /// Each with its delivery tag, oldest first.
    pub(crate) letters: Vec<(u64, Letter)>,
    /// There were so many more.
    pub(crate) unread: u64,
}

impl Held {
    /// Takes the letters that lie on a role's queue now; `None` when there are none.
    pub(crate) async fn take(connection: &Arc<ConsumingConnection>, role: Role) -> Result<Option<Self>, DlqError> {
        let queue = role.dead_letter_queue();
        let depth = connection.depth(&queue).await?;
        if depth == 0 {
            return Ok(None);
        }
        let wanted = u16::try_from(depth).unwrap_or(HELD_MAX).min(HELD_MAX);
        let (subscription, mut deliveries) = connection.subscribe(&queue, wanted).await?;
        let mut letters = Vec::with_capacity(usize::from(wanted));
        while letters.len() < usize::from(wanted) {
            let Ok(next) = tokio::time::timeout(QUIET, deliveries.next()).await else { break };
            let Some(delivered) = next else { break };
            let delivery = delivered?.delivery;
            let headers = delivery.properties.headers().as_ref().map(to_json).unwrap_or_default();
            letters.push((delivery.delivery_tag, Letter::read(role, headers, delivery.data)));
        }
        let unread = u64::from(depth).saturating_sub(letters.len() as u64);
        Ok(Some(Self { subscription, _kept_open: (connection.clone(), deliveries), letters, unread }))
    }

    /// Gives back what was not acked.
    pub(crate) async fn give_back(self) -> Result<(), DlqError> {
        Ok(self.subscription.close().await?)
    }

    /// The same after acks, which must not be lost with the channel. Where some are all the same, their letters lie there
    /// again: a second replay of them does nothing.
    pub(crate) async fn give_back_the_rest(self) -> Result<(), DlqError> {
        tokio::time::sleep(ACKS_SETTLE).await;
        self.give_back().await
    }
}

/// Headers as JSON. Tables and lists are the broker's own, and are told as text.
fn to_json(headers: &FieldTable) -> BTreeMap<String, Value> {
    headers.inner().iter().map(|(name, value)| (name.to_string(), value_to_json(value))).collect()
}

fn value_to_json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned().into(),
        AMQPValue::ShortString(text) => text.to_string().into(),
        AMQPValue::Boolean(flag) => (*flag).into(),
        AMQPValue::ShortShortInt(n) => (*n).into(),
        AMQPValue::ShortShortUInt(n) => (*n).into(),
        AMQPValue::ShortInt(n) => (*n).into(),
        AMQPValue::ShortUInt(n) => (*n).into(),
        AMQPValue::LongInt(n) => (*n).into(),
        AMQPValue::LongUInt(n) => (*n).into(),
        AMQPValue::LongLongInt(n) => (*n).into(),
        other => format!("{other:?}").into(),
    }
}

/// JSON as headers, without what the broker adds by itself.
pub(crate) fn to_headers(headers: &BTreeMap<String, Value>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers.iter().filter(|(name, _)| !is_the_brokers(name)) {
        let value = match (value.as_str(), value.as_i64(), value.as_bool()) {
            (Some(text), ..) => AMQPValue::LongString(text.into()),
            (_, Some(number), _) => AMQPValue::LongLongInt(number),
            (.., Some(flag)) => AMQPValue::Boolean(flag),
            _ => continue,
        };
        table.insert(name.as_str().into(), value);
    }
    table
}

fn is_the_brokers(name: &str) -> bool {
    name == "x-delivery-count" || name == "x-death" || name == "x-acquired-count"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_the_broker_s_own_do_not() {
        let mut table = FieldTable::default();
        table.insert("x-gream-reason".into(), AMQPValue::LongString("r".into()));
        table.insert("x-gream-attempts".into(), AMQPValue::LongLongInt(3));
        table.insert("flag".into(), AMQPValue::Boolean(true));
        table.insert("x-delivery-count".into(), AMQPValue::LongLongInt(7));
        table.insert("x-death".into(), AMQPValue::FieldArray(lapin::types::FieldArray::default()));
        let json = to_json(&table);
        assert_eq!(json["x-delivery-count"], 7);
        let back = to_headers(&json);
        assert_eq!(back.inner().len(), 3);
        assert_eq!(to_json(&back)["x-gream-attempts"], 3);
    }
}
