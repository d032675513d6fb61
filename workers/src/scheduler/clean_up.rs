//! Cleans away what is over, now and then and a little at a time: it competes with users for the database.

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
    ended_sessions, old_history, old_notifications, old_webhooks,
};
use std::time::Duration;

/// Between two batches of one round.
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);

/// Each of them until there is no more, and again after each interval.
pub(super) async fn run(scheduler: &Scheduler) {
    tokio::join!(
        now_and_then(scheduler, DutyName::EndedSessions, || ended_sessions::delete_some(scheduler)),
        now_and_then(scheduler, DutyName::OldWebhooks, || old_webhooks::delete_some(scheduler)),
        now_and_then(scheduler, DutyName::OldNotifications, || old_notifications::delete_some(scheduler)),
        now_and_then(scheduler, DutyName::OldHistory, || old_history::delete_some(scheduler)),
        now_and_then(scheduler, DutyName::DiscardedLetters, || old_history::delete_some_discarded(scheduler)),
    );
}

async fn now_and_then<F>(scheduler: &Scheduler, name: DutyName, clean_some: impl Fn() -> F)
where
    F: Future<Output = Result<Done, sqlx::Error>>,
{
    let mut duty = Duty::new(scheduler, name, scheduler.config.scheduler.clean_up_interval_ms);
    while duty.begins().await {
        let cleaned = clean_some().await;
        duty.ended(cleaned).await;
    }
}

/// What a batch came to, of which at most `batch` are deleted at once.
pub(super) fn deleted(rows: u64, batch: u64) -> Done {
    Done { items: rows, more_after: (rows >= batch).then_some(BETWEEN_BATCHES), ..Done::default() }
}
