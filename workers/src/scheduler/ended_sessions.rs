//! Deletes sessions that ended by themselves, now and then and a few at a time: it competes with users for the database.
//! A session that was logged out of stays until then: it takes no room worth a second index.

use super::Scheduler;
use platform::{database::within, pause::Pauses};
use std::time::Duration;

/// Rows deleted in one statement: few, so that a login never waits for them.
const BATCH: u64 = 500;
/// Between two batches of one round.
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);
/// A session is kept for so long after its end, because processes' clocks differ.
const KEPT_MS: i64 = 3_600_000;

/// Deletes until there is no more, and again after each interval.
pub(super) async fn run(scheduler: &Scheduler) {
    let interval = Duration::from_millis(scheduler.config.scheduler.clean_up_interval_ms);
    let mut pauses = Pauses::new();
    while !scheduler.shutdown.is_requested() {
        let pause = match delete_some(scheduler).await {
            Ok(is_more) => {
                pauses = Pauses::new();
                if is_more { BETWEEN_BATCHES } else { interval }
            }
            Err(error) => {
                tracing::warn!(%error, "ended sessions wait");
                pauses.next_pause()
            }
        };
        scheduler.shutdown.sleep(pause).await;
    }
}

/// Deletes some; whether there may be more.
async fn delete_some(scheduler: &Scheduler) -> Result<bool, sqlx::Error> {
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let delete = sqlx::query!(
        "DELETE FROM sessions WHERE expires_at_ms < ? ORDER BY expires_at_ms LIMIT ?",
        scheduler.clock.now().plus_ms(-KEPT_MS).0,
        BATCH
    );
    let deleted = within(limit, delete.execute(&scheduler.database)).await?.rows_affected();
    metrics::counter!("gream_scheduler_cleaned_total", "duty" => "ended_sessions").increment(deleted);
    Ok(deleted >= BATCH)
}
