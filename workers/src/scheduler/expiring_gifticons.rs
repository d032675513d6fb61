//! Tells buyers of gifticons that can soon not be used any more, once each, by an event.
//!
//! Nobody knows whether a gifticon was used; whoever never looked at its barcode certainly did not. So only they are told.

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
};
use crate::laddered::insert_event;
use contracts::{CommandId, GifticonId, ProductId, UnixMs, UserId, event::Event};
use platform::database::within;
use std::time::Duration;

/// Gifticons of one transaction: few, so that nobody who trades waits for them.
const BATCH: u32 = 100;
/// Between two batches of one round.
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 86_400_000;

pub(super) async fn run(scheduler: &Scheduler) {
    let mut duty =
        Duty::new(scheduler, DutyName::ExpiringGifticons, scheduler.config.notifications.expiring_interval_ms);
    while duty.begins().await {
        let told = tell_some(scheduler).await;
        let done = |told: usize| Done {
            more_after: (told == BATCH as usize).then_some(BETWEEN_BATCHES),
            ..Done::items(told as u64)
        };
        duty.ended(told.map(done)).await;
    }
}

/// One batch: the events, and that they were told, in one transaction; how many.
async fn tell_some(scheduler: &Scheduler) -> Result<usize, sqlx::Error> {
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let now = scheduler.clock.now();
    let until = now.plus_ms(i64::from(scheduler.config.notifications.expiring_days) * DAY_MS);
    let mut transaction = within(limit, scheduler.database.begin()).await?;
    let read = sqlx::query!(
        r#"SELECT g.gifticon_id, g.product_id, o.buyer_id, g.expires_at_ms AS "expires_at_ms!"
         FROM gifticons g JOIN orders o ON o.gifticon_id = g.gifticon_id
         WHERE g.expiry_told_at_ms IS NULL AND g.expires_at_ms > ? AND g.expires_at_ms <= ?
           AND NOT EXISTS (SELECT 1 FROM gifticon_reveals r WHERE r.gifticon_id = g.gifticon_id AND r.user_id = o.buyer_id)
         ORDER BY g.expires_at_ms LIMIT ?"#,
        now.0,
        until.0,
        BATCH
    );
    let due = within(limit, read.fetch_all(&mut *transaction)).await?;
    for row in &due {
        let mark = sqlx::query!(
            "UPDATE gifticons SET expiry_told_at_ms = ? WHERE gifticon_id = ? AND expiry_told_at_ms IS NULL",
            now.0,
            row.gifticon_id
        );
        // Another scheduler may have been faster.
        if within(limit, mark.execute(&mut *transaction)).await?.rows_affected() == 1 {
            let gifticon = GifticonId(row.gifticon_id.unsigned_abs());
            let event = Event::GifticonExpiring {
                gifticon,
                product: ProductId(row.product_id.unsigned_abs()),
                user: UserId(row.buyer_id.unsigned_abs()),
                expires_at: UnixMs(row.expires_at_ms),
                at: now,
            };
            let id = CommandId::derived(UserId::SYSTEM, "gifticon-expiring", &gifticon.to_string());
            within(limit, insert_event(&mut transaction, id, event, now)).await?;
        }
    }
    within(limit, transaction.commit()).await?;
    Ok(due.len())
}
