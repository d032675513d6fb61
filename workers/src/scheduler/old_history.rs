//! Deletes what is remembered of commands that went wrong, and discarded dead letters, when nobody can use them any more.

use super::{Scheduler, clean_up, duty::Done};
use contracts::dead_letter::HISTORY_KEPT_MS;
use platform::database::within;
use std::time::Duration;

/// Rows deleted in one statement.
const BATCH: u64 = 500;

/// Deletes some of the history.
pub(super) async fn delete_some(scheduler: &Scheduler) -> Result<Done, sqlx::Error> {
    let delete = sqlx::query!(
        "DELETE FROM command_history WHERE happened_at_ms < ? ORDER BY happened_at_ms LIMIT ?",
        scheduler.clock.now().plus_ms(-HISTORY_KEPT_MS).0,
        BATCH
    );
    let deleted = within(limit(scheduler), delete.execute(&scheduler.database)).await?.rows_affected();
    Ok(clean_up::deleted(deleted, BATCH))
}

/// Deletes some discarded letters.
pub(super) async fn delete_some_discarded(scheduler: &Scheduler) -> Result<Done, sqlx::Error> {
    let delete = sqlx::query!(
        "DELETE FROM discarded_letters WHERE keep_until_ms < ? ORDER BY keep_until_ms LIMIT ?",
        scheduler.clock.now().0,
        BATCH
    );
    let deleted = within(limit(scheduler), delete.execute(&scheduler.database)).await?.rows_affected();
    Ok(clean_up::deleted(deleted, BATCH))
}

fn limit(scheduler: &Scheduler) -> Duration {
    Duration::from_millis(scheduler.config.database.statement_timeout_ms)
}
