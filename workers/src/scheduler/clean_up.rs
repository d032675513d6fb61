//! Cleans away what is over, now and then and a little at a time: it competes with users for the database.

use super::{Scheduler, doomed_pictures, ended_sessions, old_webhooks};
use platform::{pause::Pauses, pictures::StoreError};
use std::time::Duration;

/// Between two batches of one round.
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub(super) enum CleanUpError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Pictures(#[from] StoreError),
}

pub(super) async fn run(scheduler: &Scheduler) {
    tokio::join!(
        now_and_then(scheduler, "ended sessions", || ended_sessions::delete_some(scheduler)),
        now_and_then(scheduler, "old webhooks", || old_webhooks::delete_some(scheduler)),
        now_and_then(scheduler, "pictures to destroy", || doomed_pictures::destroy_some(scheduler)),
    );
}

/// Runs `some` until there is no more, and again after each interval.
async fn now_and_then<F>(scheduler: &Scheduler, what: &'static str, some: impl Fn() -> F)
where
    F: Future<Output = Result<bool, CleanUpError>>,
{
    let interval = Duration::from_millis(scheduler.config.scheduler.clean_up_interval_ms);
    let mut pauses = Pauses::new();
    while !scheduler.shutdown.is_requested() {
        let pause = match some().await {
            Ok(is_more) => {
                pauses = Pauses::new();
                if is_more { BETWEEN_BATCHES } else { interval }
            }
            Err(error) => {
                tracing::warn!(%error, what, "the clean-up waits");
                pauses.next_pause()
            }
        };
        scheduler.shutdown.sleep(pause).await;
    }
}
