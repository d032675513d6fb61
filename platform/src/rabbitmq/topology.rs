//! Declares what `contracts::topology` describes, on a channel of its own that is thrown away afterwards: a refused
//! declaration (404, 406) closes the channel it was made on.

use contracts::topology::{Argument, EXCHANGES, Topology};
use lapin::{
    Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// Declares every exchange, queue and binding. Repeating it changes nothing.
///
/// # Errors
/// 406 when a queue exists with other arguments: remove it (after emptying it), or correct the configuration.
pub async fn declare(connection: &Connection, topology: &Topology) -> Result<(), lapin::Error> {
    let channel = connection.create_channel().await?;
    for (name, kind) in EXCHANGES {
        let kind = if kind == "topic" { ExchangeKind::Topic } else { ExchangeKind::Direct };
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?;
    }
    for queue in topology.queues() {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let name = queue.name.as_str();
        channel.queue_declare(name.into(), options, arguments(&queue.arguments)).await?;
        if let Some(exchange) = queue.exchange {
            let key = queue.routing_key.as_str();
            channel
                .queue_bind(
                    name.into(),
                    exchange.into(),
                    key.into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
    }
    channel.close(200, "declared".into()).await
}

fn arguments(pairs: &[(&'static str, Argument)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Number(number) => AMQPValue::LongLongInt(i64::from(*number)),
            Argument::Flag(flag) => AMQPValue::Boolean(*flag),
        };
        table.insert((*key).into(), value);
    }
    table
}
