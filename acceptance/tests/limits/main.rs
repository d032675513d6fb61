//! The limits of RabbitMQ, lapin, sqlx and the databases that Gream is designed around: what our code does when it meets
//! them, and, where that is cheap, the limit itself, so that a newer version that moves it is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod attempts;
mod consuming;
mod database;
mod intake;
mod order;
mod publishing;
mod queue;
mod silence;
mod store;

use acceptance::Market;
use platform::{
    Secret, Shutdown,
    config::{DatabaseConfig, RabbitConfig},
    rabbitmq::Publisher,
};
use std::time::Duration;

/// The shipped settings, for code that runs inside a test.
fn rabbitmq(url: &str) -> RabbitConfig {
    RabbitConfig {
        url: Secret::new(url),
        heartbeat_s: 10,
        connect_timeout_ms: 5_000,
        publish_channels: 64,
        publish_timeout_ms: 20_000,
    }
}

fn database(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: Secret::new(url),
        pool_max: 1,
        acquire_timeout_ms: 2_000,
        statement_timeout_ms: 10_000,
        session_wait_timeout_s: 60,
        lock_wait_timeout_s: 2,
        replica_url: Secret::default(),
        replica_max_lag_ms: 2_000,
        replica_timeout_ms: 1_000,
        read_your_writes_ms: 4_000,
    }
}

/// A publisher of this test's, on a topology like that of `market`. All on one channel, where messages can be mixed up.
async fn publisher(market: &Market) -> (Publisher, Shutdown) {
    let shutdown = Shutdown::new();
    let name = "limits".to_owned();
    let config = RabbitConfig { publish_channels: 1, ..rabbitmq(market.broker.url()) };
    let publisher = Publisher::start(config, market.topology(), name, &shutdown);
    tokio::time::timeout(Duration::from_secs(20), publisher.ready()).await.expect("it connects");
    (publisher, shutdown)
}
