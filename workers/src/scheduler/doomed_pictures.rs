//! Destroys the pictures that a transaction noted in `pictures_to_destroy`.
//!
//! Promises: a row goes only after its picture; whatever is interrupted is done again, and doing it twice changes nothing.

use super::{Scheduler, clean_up::CleanUpError};
use platform::database::within;
use std::time::Duration;

/// Pictures destroyed in one go.
const BATCH: usize = 100;

/// Destroys some; whether there may be more.
pub(super) async fn destroy_some(scheduler: &Scheduler) -> Result<bool, CleanUpError> {
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let read = sqlx::query_scalar!(
        "SELECT picture_key FROM pictures_to_destroy ORDER BY picture_key LIMIT ?",
        u32::try_from(BATCH).unwrap_or(u32::MAX)
    );
    let keys = within(limit, read.fetch_all(&scheduler.database)).await?;
    for key in &keys {
        scheduler.pictures.delete(key).await?;
        let forget = sqlx::query!("DELETE FROM pictures_to_destroy WHERE picture_key = ?", key);
        within(limit, forget.execute(&scheduler.database)).await?;
        metrics::counter!("gream_scheduler_cleaned_total", "duty" => "doomed_pictures").increment(1);
    }
    Ok(keys.len() == BATCH)
}
