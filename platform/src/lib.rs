//! The connections to the outside: configuration, clock, telemetry, MySQL, RabbitMQ, Redis, pictures, shutdown.
//!
//! Promises: every connection recovers by itself, every wait has an end, no secret is ever printed.
//! Doesn't: know what a command means. The rules are in `domain`, their use in `api` and `workers`.

pub mod admin;
pub mod cipher;
pub mod clock;
pub mod config;
pub mod counters;
pub mod database;
pub mod gauges;
pub mod halt;
pub mod history;
pub mod outcomes;
pub mod pause;
pub mod pictures;
pub mod rabbitmq;
mod redis_master;
pub mod role_limits;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod traces;
pub mod user_streams;
pub mod writers;

pub use clock::Clock;
pub use config::Config;
pub use secret::Secret;
pub use shutdown::Shutdown;

/// Installs ring as the process's one TLS provider. Call it first thing in `main`: reqwest is built without a default.
pub fn install_tls_provider() {
    // An error only says that a provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}
