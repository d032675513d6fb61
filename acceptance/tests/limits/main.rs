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

use acceptance::{
    Market,
    settings::{database, rabbitmq},
};
use platform::{Shutdown, config::RabbitConfig, rabbitmq::Publisher};
use std::time::Duration;

/// A publisher of this test's, on a topology like that of `market`. All on one channel, where messages can be mixed up.
async fn publisher(market: &Market) -> (Publisher, Shutdown) {
    let shutdown = Shutdown::new();
    let name = "limits".to_owned();
    let config = RabbitConfig { publish_channels: 1, ..rabbitmq(market.broker.url()) };
    let publisher = Publisher::start(config, market.topology(), name, &shutdown);
    tokio::time::timeout(Duration::from_secs(20), publisher.ready()).await.expect("it connects");
    (publisher, shutdown)
}
