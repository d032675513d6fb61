//! The thin HTTP API: authenticate, validate, enqueue, answer; and queries.
//!
//! Promises: a command is answered with 2xx only once the broker has it; every answer is in the contract's envelope;
//! bad input never reaches a queue. Doesn't: decide anything about the market. That is the workers' part.
//!
//! ```text
//! server ─► layers ─► routes ─► users, products, history, pictures ───────────► MySQL
//!                        └────► buy, sell, payments, refunds, admin ─► commands ─► RabbitMQ
//!                                                                        ▲
//!                                              outcomes: Redis, or MySQL ┘
//! ```

mod admin;
mod administrators;
mod auth;
mod buy;
mod commands;
mod context;
mod envelope;
mod history;
mod layers;
mod payments;
mod pictures;
mod products;
mod recent;
mod refunds;
mod request;
mod routes;
mod sell;
mod seoul;
mod server;
mod signature;
mod telemetry;
mod users;

pub use administrators::{AdministratorError, Created, create_administrator};
pub use signature::UnusableSecret;

use context::Api;
use platform::{
    Clock, Config, Shutdown,
    admin::{Check, check},
    pictures::PictureStore,
    rabbitmq::Publisher,
};
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// What the API works with.
#[derive(Clone)]
pub struct Dependencies {
    /// The configuration, as checked at start.
    pub config: Arc<Config>,
    /// The injected clock.
    pub clock: Clock,
    /// The primary.
    pub database: MySqlPool,
    /// Commands leave through it.
    pub publisher: Publisher,
    /// Keeps pictures.
    pub pictures: PictureStore,
    /// Says when to stop.
    pub shutdown: Shutdown,
}

/// Why the API cannot start. Start-up's checks of the configuration catch each of these earlier.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No such number of partitions.
    #[error("partitions.count must be between 1 and 256")]
    PartitionCount,
    /// No key.
    #[error("account_cipher.key is not 64 hexadecimal digits")]
    CipherKey,
    /// No key either.
    #[error(transparent)]
    Secret(#[from] UnusableSecret),
    /// Argon2 does not work here.
    #[error("passwords cannot be hashed on this machine: is there memory (19 MiB a hash) and randomness?")]
    Passwords,
}

/// Serves on `listener` until shutdown is requested, and lets the requests in flight finish.
pub async fn serve(dependencies: Dependencies, listener: TcpListener) -> Result<(), ServeError> {
    let shutdown = dependencies.shutdown.clone();
    let grace = Duration::from_millis(dependencies.config.shutdown.grace_ms);
    let api = Arc::new(Api::new(dependencies)?);
    tracing::info!(instance = api.instance, address = ?listener.local_addr().ok(), "serving");
    let served = server::run(listener, routes::router(api.clone()), &shutdown, grace);
    tokio::select! {
        () = served => (),
        // Never ends by itself; it is dropped with the last answered request.
        () = commands::poll::run(api) => (),
    }
    Ok(())
}

/// What readiness asks. Redis is not asked: everything goes on, slower, without it.
pub fn checks(dependencies: &Dependencies) -> Vec<Check> {
    let (database, publisher) = (dependencies.database.clone(), dependencies.publisher.clone());
    vec![
        check("database", move || {
            let database = database.clone();
            async move { platform::database::is_ready(&database).await }
        }),
        check("broker", move || {
            let publisher = publisher.clone();
            async move { publisher.is_ready() }
        }),
    ]
}
