//! Cleans away what is over, now and then and a little at a time: it competes with users for the database.

use super::{Scheduler, ended_sessions, old_notifications, old_webhooks};
use platform::pause::Pauses;
use std::time::Duration;

/// Between two batches of one round.
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);

/// Each of them until there is no more, and again after each interval.
pub(super) async fn run(scheduler: &Scheduler) {
    tokio::join!(
        now_and_then(scheduler, "ended sessions", || ended_sessions::delete_some(scheduler)),
        now_and_then(scheduler, "old webhooks", || old_webhooks::delete_some(scheduler)),
        now_and_then(scheduler, "old notifications", || old_notifications::delete_some(scheduler)),
    );
}

async fn now_and_then<F>(scheduler: &Scheduler, what: &str, clean_some: impl Fn() -> F)
where
    F: Future<Output = Result<bool, sqlx::Error>>,
{
    let interval = Duration::from_millis(scheduler.config.scheduler.clean_up_interval_ms);
    let mut pauses = Pauses::new();
    while !scheduler.shutdown.is_requested() {
        let pause = match clean_some().await {
            Ok(is_more) => {
                pauses = Pauses::new();
                if is_more { BETWEEN_BATCHES } else { interval }
            }
            Err(error) => {
                tracing::warn!(what, %error, "what is over waits to be cleaned up");
                pauses.next_pause()
            }
        };
        scheduler.shutdown.sleep(pause).await;
    }
}
