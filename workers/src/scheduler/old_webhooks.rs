//! Deletes webhooks that Toss will not repeat any more.

use super::{Scheduler, clean_up, duty::Done};
use platform::database::within;
use std::time::Duration;

/// Rows deleted in one statement: few, so that a webhook never waits for them.
const BATCH: u64 = 500;
/// Toss's last repeat comes within four days; afterwards a webhook would be looked into again, which harms nobody.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Deletes some.
pub(super) async fn delete_some(scheduler: &Scheduler) -> Result<Done, sqlx::Error> {
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let delete = sqlx::query!(
        "DELETE FROM toss_webhooks WHERE received_at_ms < ? ORDER BY received_at_ms LIMIT ?",
        scheduler.clock.now().plus_ms(-KEPT_MS).0,
        BATCH
    );
    let deleted = within(limit, delete.execute(&scheduler.database)).await?.rows_affected();
    Ok(clean_up::deleted(deleted, BATCH))
}
