//! Who else is a bid worker: each says so in `worker_presence`, and knows which partitions are its share.
//!
//! The broker gives a partition to whoever subscribed first, so the first worker of a fleet starts with all of them. It
//! gives up those that are another living worker's share; the guard rows keep the hand-over safe whoever is right.

use super::BidWorker;
use contracts::{PartitionCount, PartitionId};
use platform::{Config, database::within};
use std::time::Duration;
use tokio::{sync::watch, task::JoinHandle};

/// A worker that has not said anything for this many intervals is gone.
const SILENT_INTERVALS: i64 = 4;
/// Rows of workers that have been gone for this long are removed.
const FORGET_AFTER_MS: i64 = 3_600_000;

/// What signing off may take of a shutdown.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// How long a worker may say nothing before the others take it for gone.
pub(super) fn silent_after_ms(config: &Config) -> i64 {
    i64::try_from(config.bid_worker.presence_interval_ms).unwrap_or(i64::MAX).saturating_mul(SILENT_INTERVALS)
}

/// This worker's place among those alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    rank: u16,
    workers: u16,
}

impl Share {
    /// Alone: everything is ours.
    const ALONE: Share = Share { rank: 0, workers: 1 };

    /// Whether `partition` is in our share. Consecutive partitions go to one worker in blocks, so that every worker's
    /// lanes all have some.
    pub(super) fn contains(self, partition: PartitionId, count: PartitionCount) -> bool {
        let (partition, count) = (u32::from(partition.0), u32::from(count.get()));
        partition * u32::from(self.workers) / count == u32::from(self.rank)
    }

    fn of(name: &str, alive: &[String]) -> Share {
        let workers = u16::try_from(alive.len()).unwrap_or(u16::MAX);
        let rank = alive.iter().position(|other| other == name).and_then(|rank| u16::try_from(rank).ok());
        rank.map_or(Share::ALONE, |rank| Share { rank, workers })
    }
}

/// Starts saying that we are alive, and watching who else is.
pub(super) fn start(worker: &BidWorker) -> (watch::Receiver<Share>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(Share::ALONE);
    let worker = worker.clone();
    let task = tokio::spawn(async move {
        let interval = Duration::from_millis(worker.config.bid_worker.presence_interval_ms);
        loop {
            match look(&worker).await {
                Ok(share) => drop(sender.send_if_modified(|current| std::mem::replace(current, share) != share)),
                // Keep what we know: a wrong share costs speed, nothing else.
                Err(error) => tracing::debug!(%error, "cannot say that this worker is alive"),
            }
            if !worker.shutdown.sleep(interval).await {
                // Bounded: a database that says nothing must not hold the shutdown up.
                drop(within(LEAVE_LIMIT, leave(&worker)).await);
                return;
            }
        }
    });
    (receiver, task)
}

async fn look(worker: &BidWorker) -> Result<Share, sqlx::Error> {
    let now = worker.clock.now().0;
    let silent_after_ms = silent_after_ms(&worker.config);
    sqlx::query!(
        "INSERT INTO worker_presence (worker, role, seen_at_ms) VALUES (?, 'bid', ?)
         ON DUPLICATE KEY UPDATE seen_at_ms = VALUES(seen_at_ms)",
        worker.name,
        now
    )
    .execute(&worker.database)
    .await?;
    sqlx::query!("DELETE FROM worker_presence WHERE seen_at_ms < ?", now.saturating_sub(FORGET_AFTER_MS))
        .execute(&worker.database)
        .await?;
    let alive = sqlx::query_scalar!(
        "SELECT worker FROM worker_presence WHERE role = 'bid' AND seen_at_ms BETWEEN ? AND ? ORDER BY worker",
        now.saturating_sub(silent_after_ms),
        // Rows from further in the future are of workers that ended before the clock was set back.
        now.saturating_add(silent_after_ms)
    )
    .fetch_all(&worker.database)
    .await?;
    Ok(Share::of(&worker.name, &alive))
}

async fn leave(worker: &BidWorker) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM worker_presence WHERE worker = ?", worker.name).execute(&worker.database).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_in_exactly_one_share() {
        for workers in 1..=5_u16 {
            for count in [1, 2, 16, 255, 256] {
                let count = PartitionCount::new(count).unwrap();
                for partition in count.all() {
                    let owners =
                        (0..workers).filter(|rank| Share { rank: *rank, workers }.contains(partition, count)).count();
                    assert_eq!(owners, 1, "{workers} workers, {partition:?}");
                }
            }
        }
    }

    #[test]
    fn a_worker_that_is_not_listed_yet_takes_everything() {
        assert_eq!(Share::of("a", &["b".to_owned()]), Share::ALONE);
        assert_eq!(Share::of("b", &["a".to_owned(), "b".to_owned()]), Share { rank: 1, workers: 2 });
    }
}
