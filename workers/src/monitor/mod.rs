//! The monitor: looks at what nobody's own metrics can tell, because those who should tell may be gone. How long commands
//! have been waiting, what the outbox holds, which bids are past their deadline, which of the scheduler's duties are late.
//!
//! ```text
//! RabbitMQ's page ──► queues ──┐
//!                              ├──► /metrics of the relay's process ──► Prometheus ──► deploy/prometheus/gream.rules.yml
//! MySQL ──► books, duties ─────┘
//! ```
//! Promises: changes nothing; runs beside each relay, not in the scheduler, which it watches; says when it cannot see
//! (`gream_monitor_sees`), for then what it showed last stays. Any number may run: they show the same.
//! Doesn't: judge. What is bad enough to tell somebody stands in the alert rules.

mod books;
mod duties;
mod oldest;
mod queues;

use platform::{Clock, Config, Shutdown};
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};

/// What the monitor needs.
#[derive(Clone)]
pub struct Monitor {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// What it looks at.
    pub database: MySqlPool,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl Monitor {
    /// Looks until shutdown.
    pub async fn run(self) {
        tokio::join!(queues::run(&self), self.watch_database());
    }

    async fn watch_database(&self) {
        let mut duties = duties::Watch::new();
        loop {
            let seen = async {
                books::look(self).await?;
                duties.look(self).await
            };
            let seen = seen.await;
            if let Err(error) = &seen {
                tracing::warn!(%error, "the monitor cannot read the database");
            }
            sees("database", seen.is_ok());
            if !self.pause().await {
                return;
            }
        }
    }

    async fn pause(&self) -> bool {
        self.shutdown.sleep(Duration::from_millis(self.config.monitor.interval_ms)).await
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.config.database.statement_timeout_ms)
    }
}

fn sees(what: &'static str, does: bool) {
    metrics::gauge!("gream_monitor_sees", "what" => what).set(if does { 1.0 } else { 0.0 });
}
