//! The relay: what committed transactions left in the outbox goes to the broker, and replayed dead letters go back to
//! where they came from.
//!
//! Promises: nothing leaves the outbox before the broker confirmed it; nothing leaves the queue `replay` before it is on
//! another queue. So both are at least once. Any number of relays may run. Doesn't: keep the order of outbox rows across
//! relays; consumers tell repeats and order by what is in the payload.

mod outbox;
mod replay;

use contracts::PartitionCount;
use platform::{Clock, Config, Shutdown, rabbitmq::Publisher, role_limits::TurnedLimits};
use sqlx::MySqlPool;
use std::sync::Arc;

/// What the relay needs.
#[derive(Clone)]
pub struct Relay {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// The outbox.
    pub database: MySqlPool,
    /// Where things go.
    pub publisher: Publisher,
    /// What operators have turned.
    pub limits: TurnedLimits,
    /// When to stop.
    pub shutdown: Shutdown,
    /// This process, as it shows in the RabbitMQ page.
    pub name: String,
}

impl Relay {
    /// Runs both duties until shutdown.
    pub async fn run(self, partitions: PartitionCount) {
        tokio::join!(outbox::run(&self), replay::run(&self, partitions));
    }
}
