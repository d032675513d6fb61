//! RabbitMQ: one supervised connection to publish on, connections of their own to consume on, and the topology.
//!
//! Promises: a publish ends in bounded time, and `Ok` means that the broker has the message on a queue. A consumer
//! that stopped for whatever reason says so. Doesn't: use lapin's automatic recovery, which loses `basic.qos`, raises
//! no error on the consumer's stream, and hangs for ever when its tries run out (facts-stack.md).

mod consumer;
mod dead_letter;
mod nodes;
mod page;
mod publisher;
mod topology;
mod wave;

pub use consumer::{ConsumerError, ConsumingConnection, Delivered, Deliveries, Subscription};
pub use dead_letter::{Failure, announce_dead_letters, header_number, header_text, trace_of};
pub(crate) use nodes::fault;
pub use nodes::vhost_of;
pub use page::{InvalidPage, ManagementPage, PageError, QueueFigures, STATISTICS_AGE};
pub use publisher::{Message, PublishError, Publisher};
pub use topology::{DeclareError, declare};

use crate::config::RabbitConfig;
use lapin::{
    Connection, ConnectionProperties, ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
};
use std::time::Duration;

/// Connects to the first node that answers, each within `connect_timeout_ms`. The connection shows under `name` in the
/// RabbitMQ page.
pub(crate) async fn connect(config: &RabbitConfig, name: &str) -> Result<Connection, lapin::Error> {
    let nodes: Vec<&str> = nodes::listed(config.url.expose()).collect();
    let mut failure = std::io::Error::new(std::io::ErrorKind::NotFound, "rabbitmq.url names no node").into();
    for node in nodes::in_turn(&nodes, rand::random_range(0..nodes.len().max(1))) {
        match connect_to(node, config, name).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_to(node: &str, config: &RabbitConfig, name: &str) -> Result<Connection, lapin::Error> {
    let separator = if node.contains('?') { '&' } else { '?' };
    let url =
        format!("{node}{separator}heartbeat={}&connection_timeout={}", config.heartbeat_s, config.connect_timeout_ms);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let limit = Duration::from_millis(config.connect_timeout_ms);
    match tokio::time::timeout(limit, Connection::connect(&url, properties)).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no AMQP handshake in time").into()),
    }
}

/// 404: a queue or exchange does not exist. Somebody deleted it, and it must be declared again.
pub(crate) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(reply) if *reply.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}
