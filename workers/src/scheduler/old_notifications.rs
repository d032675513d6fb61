//! Deletes notifications that are older than `notifications.kept_days`. Their numbers are not given again.

use super::{Scheduler, clean_up, duty::Done};
use platform::database::within;
use std::time::Duration;

/// Rows deleted in one statement: few, so that the notifier never waits for them.
const BATCH: u64 = 500;
const DAY_MS: i64 = 86_400_000;

/// Deletes some.
pub(super) async fn delete_some(scheduler: &Scheduler) -> Result<Done, sqlx::Error> {
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let kept_ms = i64::from(scheduler.config.notifications.kept_days) * DAY_MS;
    let delete = sqlx::query!(
        "DELETE FROM notifications WHERE created_at_ms < ? ORDER BY created_at_ms LIMIT ?",
        scheduler.clock.now().plus_ms(-kept_ms).0,
        BATCH
    );
    let deleted = within(limit, delete.execute(&scheduler.database)).await?.rows_affected();
    Ok(clean_up::deleted(deleted, BATCH))
}
