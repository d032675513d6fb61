//! Deletes sessions that ended by themselves.
//! A session that was logged out of stays until then: it takes no room worth a second index.

use super::{Scheduler, clean_up, duty::Done};
use platform::database::within;
use std::time::Duration;

/// Rows deleted in one statement: few, so that a login never waits for them.
const BATCH: u64 = 500;
/// A session is kept for so long after its end, because processes' clocks differ.
const KEPT_MS: i64 = 3_600_000;

/// Deletes some.
pub(super) async fn delete_some(scheduler: &Scheduler) -> Result<Done, sqlx::Error> {
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let delete = sqlx::query!(
        "DELETE FROM sessions WHERE expires_at_ms < ? ORDER BY expires_at_ms LIMIT ?",
        scheduler.clock.now().plus_ms(-KEPT_MS).0,
        BATCH
    );
    let deleted = within(limit, delete.execute(&scheduler.database)).await?.rows_affected();
    Ok(clean_up::deleted(deleted, BATCH))
}
