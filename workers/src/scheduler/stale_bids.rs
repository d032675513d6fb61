//! Finds open bids whose deadline has passed, by index and in bounded batches, and sends commands that retire them.
//!
//! All deadlines fall at midnight in Seoul, so the commands are paced below the users' traffic.

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
    send,
};
use contracts::{
    BidId, Command, CommandId, PartitionCount, ProductId, UnixMs, UserId, command::MAX_EXPIRED_PER_COMMAND,
};
use platform::{
    database::within,
    rabbitmq::{Message, PublishError},
};
use std::{collections::BTreeMap, time::Duration};

/// A bid that a command was sent for is not sent again before this has passed; by then the command was met, or lost.
const SEND_AGAIN_AFTER_MS: i64 = 60_000;
/// Most stale bids of one look, those included that a command is under way for: they must not hide the others.
const MAX_LOOKED_AT: u32 = 50_000;
/// Derived ids change this often: a bid that is open although its command has ended gets a new one.
const ID_BUCKET_MS: i64 = 600_000;

#[derive(Debug, thiserror::Error)]
enum StaleBidsError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

pub(super) async fn run(scheduler: &Scheduler, partitions: PartitionCount) {
    let mut duty = Duty::new(scheduler, DutyName::StaleBids, scheduler.config.scheduler.interval_ms);
    let mut sent: BTreeMap<BidId, UnixMs> = BTreeMap::new();
    while duty.begins().await {
        let looked = look(scheduler, partitions, &mut sent).await;
        duty.ended(looked).await;
    }
}

/// One look. Its lag is that of the oldest bid that is still open, be its command under way or not.
async fn look(
    scheduler: &Scheduler,
    partitions: PartitionCount,
    sent: &mut BTreeMap<BidId, UnixMs>,
) -> Result<Done, StaleBidsError> {
    let now = scheduler.clock.now();
    sent.retain(|_, at| now.ms_since(*at) < SEND_AGAIN_AFTER_MS);
    let under_way = u32::try_from(sent.len()).unwrap_or(u32::MAX);
    let looked_at = scheduler.config.scheduler.batch_max.saturating_add(under_way).min(MAX_LOOKED_AT);
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let read = sqlx::query!(
        "SELECT bid_id, product_id, deadline_ms FROM bids WHERE state = 'open' AND deadline_ms <= ?
         ORDER BY deadline_ms, product_id, bid_id LIMIT ?",
        now.0,
        looked_at
    )
    .fetch_all(&scheduler.database);
    let found = within(limit, read).await?;
    metrics::gauge!("gream_stale_bids_found").set(u32::try_from(found.len()).unwrap_or(u32::MAX));
    let oldest_ms = found.first().map_or(0, |row| now.0.saturating_sub(row.deadline_ms));
    let lag = Some(Duration::from_millis(oldest_ms.unsigned_abs()));
    let mut stale: BTreeMap<ProductId, Vec<BidId>> = BTreeMap::new();
    for row in found {
        let (bid, product) = (BidId(row.bid_id.unsigned_abs()), ProductId(row.product_id.unsigned_abs()));
        if !sent.contains_key(&bid) {
            stale.entry(product).or_default().push(bid);
        }
    }
    let pace = Duration::from_secs(1) / scheduler.config.scheduler.max_commands_per_s.max(1);
    let mut commands = 0;
    for (product, mut bids) in stale {
        // Two schedulers that found the same bids make the same command of them.
        bids.sort_unstable();
        for bids in bids.chunks(MAX_EXPIRED_PER_COMMAND) {
            scheduler.publisher.publish(message(product, bids, now, partitions)).await?;
            sent.extend(bids.iter().map(|bid| (*bid, now)));
            commands += 1;
            metrics::counter!("gream_scheduler_commands_total", "duty" => "stale_bids").increment(1);
            if !scheduler.shutdown.sleep(pace).await {
                return Ok(Done { items: commands, lag, ..Done::default() });
            }
        }
    }
    Ok(Done { items: commands, lag, ..Done::default() })
}

fn message(product: ProductId, bids: &[BidId], now: UnixMs, partitions: PartitionCount) -> Message {
    let listed: Vec<String> = bids.iter().map(ToString::to_string).collect();
    let bucket = now.0.div_euclid(ID_BUCKET_MS);
    let id = CommandId::derived(UserId::SYSTEM, "expire-bids", &format!("{product}/{bucket}/{}", listed.join(",")));
    send::message(id, Command::ExpireBids { product, bids: bids.to_vec() }, now, partitions)
}
