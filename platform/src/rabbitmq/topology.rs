//! Declares what `contracts::topology` describes, on a channel of its own that is thrown away afterwards: a refused
//! declaration (404, 406) closes the channel it was made on, and nothing else.

use contracts::topology::{Argument, EXCHANGES, Topology};
use lapin::{
    Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};
use std::time::Duration;

/// Why the topology is not as this process needs it.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// 406: something of that name exists, and is otherwise.
    #[error(
        "the broker has a queue or exchange of ours that was made otherwise than this version and configuration want it \
         ({0}). If the configuration is right (payment_worker.ladder_ms?), empty that queue and delete it: it is declared \
         anew by itself"
    )]
    Mismatch(String),
    /// Anything else.
    #[error("the topology could not be declared: {0}")]
    Broken(lapin::Error),
    /// No answer.
    #[error("the broker did not answer the declarations in time")]
    TimedOut,
}

impl From<lapin::Error> for DeclareError {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(reply)
                if *reply.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
            {
                Self::Mismatch(reply.get_message().to_string())
            }
            _ => Self::Broken(error),
        }
    }
}

/// Declares every exchange, queue and binding within `limit`. Repeating it changes nothing.
pub async fn declare(connection: &Connection, topology: &Topology, limit: Duration) -> Result<(), DeclareError> {
    tokio::time::timeout(limit, declare_all(connection, topology)).await.map_err(|_| DeclareError::TimedOut)?
}

async fn declare_all(connection: &Connection, topology: &Topology) -> Result<(), DeclareError> {
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
        for (exchange, key) in queue.bindings() {
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
    Ok(channel.close(200, "declared".into()).await?)
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
