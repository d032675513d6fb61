//! The thin HTTP API: authenticate, validate, enqueue, answer; and queries.
//!
//! Promises: a command is answered with 2xx only once the broker has it; every answer is in the contract's envelope;
//! bad input never reaches a queue. Doesn't: decide anything about the market. That is the workers' part.
//!
//! ```text
//! server ─► layers ─► routes ─► users, products, history, pictures ───────────► MySQL (login by Kakao: and Kakao)
//!                        └────► buy, sell, payments, refunds, payouts, admin ─► commands ─► RabbitMQ
//!                                                                        ▲
//!                                              outcomes: Redis, or MySQL ┘
//! operators' port ─► operator_page ─► operator ─► MySQL, RabbitMQ
//! ```

mod admin;
mod administrators;
mod auth;
mod buy;
mod client_address;
mod commands;
mod conditional;
mod context;
mod coupons;
mod envelope;
mod history;
mod layers;
mod line;
mod notifications;
mod openapi;
pub mod operator_page;
mod payments;
mod payouts;
mod pictures;
mod products;
mod rate_limits;
mod recent;
mod refunds;
mod request;
mod request_id;
mod routes;
mod sell;
mod seoul;
mod server;
mod signature;
mod streams;
mod telemetry;
mod users;
mod webhooks;

pub use administrators::{AdministratorError, Created, create_administrator};
pub use operator_page::Watched;
pub use signature::UnusableSecret;
pub use users::kakao::InvalidKakaoOptions;

use axum::Router;
use context::Api;
use operator_page::Desk;
use platform::{
    Clock, Config, Shutdown,
    admin::{Check, check},
    pictures::PictureStore,
    rabbitmq::{InvalidPage, Publisher},
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
    /// What the operators' page watches.
    pub watched: Watched,
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
    /// No address either.
    #[error("database.replica_url cannot be read: {0}. Write it as mysql://user:password@host:port/database")]
    Replica(#[from] sqlx::Error),
    /// No client for Kakao can be made.
    #[error(transparent)]
    Kakao(#[from] InvalidKakaoOptions),
    /// No address of RabbitMQ's page.
    #[error("monitor.rabbitmq_page: {0}")]
    Page(#[from] InvalidPage),
    /// Argon2 does not work here.
    #[error("passwords cannot be hashed on this machine: is there memory (19 MiB a hash) and randomness?")]
    Passwords,
}

/// The API, ready to serve.
pub struct Server {
    api: Arc<Api>,
    desk: Arc<Desk>,
}

impl Server {
    /// # Errors
    /// When the configuration does not do.
    pub fn new(dependencies: Dependencies) -> Result<Self, ServeError> {
        let watched = dependencies.watched.clone();
        let api = Arc::new(Api::new(dependencies)?);
        let desk = Arc::new(Desk::new(api.clone(), watched)?);
        Ok(Self { api, desk })
    }

    /// The operators' page, for the operators' port; it answers while [`Server::serve`] runs.
    pub fn operator_page(&self) -> Router {
        operator_page::router(self.desk.clone())
    }

    /// Serves on `listener` until shutdown is requested, and lets the requests in flight finish.
    pub async fn serve(self, listener: TcpListener) {
        let api = self.api;
        let shutdown = api.shutdown.clone();
        let grace = Duration::from_millis(api.config.shutdown.grace_ms);
        tracing::info!(instance = api.instance, address = ?listener.local_addr().ok(), "serving");
        let served = server::run(listener, routes::router(api.clone()), &shutdown, grace);
        let beside = async { tokio::join!(commands::poll::run(api.clone()), api.reads.watch(&shutdown)) };
        tokio::select! {
            () = served => (),
            // These never end by themselves; they are dropped with the last answered request.
            _ = beside => (),
            () = auth::sessions::run(&api) => (),
            () = commands::vanished::run(api.clone()) => (),
            () = notifications::hub::run(&api) => (),
            () = products::stream::run(&api) => (),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    /// The least configuration that is accepted.
    pub(crate) fn variables() -> HashMap<String, String> {
        [
            ("GREAM__MODE", "test"),
            ("GREAM__DATABASE__URL", "mysql://u:p@127.0.0.1:9/gream"),
            ("GREAM__RABBITMQ__URL", "amqp://u:p@127.0.0.1:9/gream"),
            ("GREAM__REDIS__URL", "redis://127.0.0.1:9/0"),
            ("GREAM__AUTH__JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("GREAM__AUTH__ADDRESS_SECRET", "fedcba9876543210fedcba9876543210"),
            ("GREAM__ACCOUNT_CIPHER__KEY", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
            ("GREAM__TOSS__BASE_URL", "http://127.0.0.1:9"),
            ("GREAM__TOSS__SECRET_KEY", "test_sk_123456"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }
}
