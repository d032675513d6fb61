//! Finds charges that are stuck in between and debts that can be collected, and sends commands about them.
//!
//! ```text
//!  confirming, and nothing happened for `stuck_after_ms` ────────────┐
//!  awaiting_deposit, and not looked at for `deposit_look_ms` ────────┴─► FollowPayment
//!  somebody owes, and has points ──────────────────────────────────────► CollectDebt
//! ```
//! Also shows how much is owed, and how many differences between our books and Toss are open.

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
    send,
};
use contracts::{Command, CommandId, PartitionCount, UnixMs, UserId};
use domain::payment::State;
use platform::{database::within, rabbitmq::PublishError};
use std::{collections::BTreeSet, time::Duration};

/// Charges or debtors of one look.
const MAX_FOUND: u32 = 500;
/// Derived ids change this often: what is still stuck although its command has ended gets a new one.
const FOLLOW_BUCKET_MS: i64 = 3_600_000;
/// A debtor's points come and go.
const COLLECT_BUCKET_MS: i64 = 60_000;

#[derive(Debug, thiserror::Error)]
enum ChargesError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What was sent with ids of the present bucket already. Sent again, it would be answered from its outcome; or, before
/// there is one, have attempts and a dead letter of its own.
struct Sent {
    bucket_ms: i64,
    bucket: i64,
    ids: BTreeSet<CommandId>,
}

impl Sent {
    fn new(bucket_ms: i64) -> Self {
        Self { bucket_ms, bucket: 0, ids: BTreeSet::new() }
    }

    /// The bucket that ids derived now are of; those of another are forgotten.
    fn turn(&mut self, now: UnixMs) -> i64 {
        let bucket = now.0.div_euclid(self.bucket_ms);
        if bucket != self.bucket {
            (self.bucket, self.ids) = (bucket, BTreeSet::new());
        }
        bucket
    }
}

pub(super) async fn run(scheduler: &Scheduler, partitions: PartitionCount) {
    let mut duty = Duty::new(scheduler, DutyName::Charges, scheduler.config.scheduler.charges_interval_ms);
    let (mut follows, mut collects) = (Sent::new(FOLLOW_BUCKET_MS), Sent::new(COLLECT_BUCKET_MS));
    while duty.begins().await {
        let looked = look(scheduler, partitions, &mut follows, &mut collects).await;
        duty.ended(looked).await;
    }
}

async fn look(
    scheduler: &Scheduler,
    partitions: PartitionCount,
    follows: &mut Sent,
    collects: &mut Sent,
) -> Result<Done, ChargesError> {
    let now = scheduler.clock.now();
    let (hour, minute) = (follows.turn(now), collects.turn(now));
    let config = &scheduler.config.scheduler;
    let mut commands = 0;
    for (state, after_ms) in
        [(State::Confirming, config.stuck_after_ms), (State::AwaitingDeposit, config.deposit_look_ms)]
    {
        for order_id in untouched(scheduler, state, now.plus_ms(-after_ms).0).await? {
            let id = CommandId::derived(UserId::SYSTEM, "follow-stuck", &format!("{order_id}/{hour}"));
            let follow = Command::FollowPayment { order_id };
            commands += u64::from(send_once(scheduler, partitions, follows, id, follow).await?);
        }
    }
    for debtor in solvent_debtors(scheduler).await? {
        let id = CommandId::derived(UserId::SYSTEM, "collect-debt", &format!("{debtor}/{minute}"));
        commands += u64::from(send_once(scheduler, partitions, collects, id, Command::CollectDebt { debtor }).await?);
    }
    show(scheduler).await?;
    Ok(Done::items(commands))
}

/// Sends what was not sent before, and says whether it did; noted afterwards, because what was noted and not sent would wait for the next bucket.
async fn send_once(
    scheduler: &Scheduler,
    partitions: PartitionCount,
    sent: &mut Sent,
    id: CommandId,
    command: Command,
) -> Result<bool, PublishError> {
    if sent.ids.contains(&id) {
        return Ok(false);
    }
    let kind = command.kind();
    scheduler.publisher.publish(send::message(id, command, scheduler.clock.now(), partitions)).await?;
    sent.ids.insert(id);
    metrics::counter!("gream_scheduler_commands_total", "duty" => kind.as_str()).increment(1);
    Ok(true)
}

/// Charges in `state` to which nothing has happened since `before_ms`.
async fn untouched(scheduler: &Scheduler, state: State, before_ms: i64) -> Result<Vec<String>, sqlx::Error> {
    let read = sqlx::query_scalar!(
        "SELECT order_id FROM payments WHERE state = ? AND updated_at_ms <= ? ORDER BY updated_at_ms LIMIT ?",
        state.as_str(),
        before_ms,
        MAX_FOUND
    );
    within(limit(scheduler), read.fetch_all(&scheduler.database)).await
}

async fn solvent_debtors(scheduler: &Scheduler) -> Result<Vec<UserId>, sqlx::Error> {
    let read = sqlx::query_scalar!(
        "SELECT r.user_id FROM receivables r JOIN balances b ON b.user_id = r.user_id
         WHERE r.amount > 0 AND b.available > 0 ORDER BY r.amount DESC LIMIT ?",
        MAX_FOUND
    );
    let found = within(limit(scheduler), read.fetch_all(&scheduler.database)).await?;
    Ok(found.into_iter().map(|id| UserId(id.unsigned_abs())).collect())
}

async fn show(scheduler: &Scheduler) -> Result<(), sqlx::Error> {
    let read = sqlx::query!(
        r#"SELECT (SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM receivables WHERE amount > 0) AS "owed!: i64",
                  (SELECT COUNT(*) FROM differences WHERE gone_at_ms IS NULL) AS "differences!: i64""#
    );
    let row = within(limit(scheduler), read.fetch_one(&scheduler.database)).await?;
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; sums beyond 2^53 won are not owed")]
    metrics::gauge!("gream_receivables_won").set(row.owed as f64);
    metrics::gauge!("gream_differences_open").set(u32::try_from(row.differences).unwrap_or(u32::MAX));
    Ok(())
}

fn limit(scheduler: &Scheduler) -> Duration {
    Duration::from_millis(scheduler.config.database.statement_timeout_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_remembered_for_as_long_as_its_id_is_the_same() {
        let id = CommandId::derived(UserId::SYSTEM, "follow-stuck", "order-1/0");
        let mut sent = Sent::new(FOLLOW_BUCKET_MS);
        sent.turn(UnixMs(0));
        sent.ids.insert(id);
        for minute in 0..60 {
            assert_eq!(sent.turn(UnixMs(minute * COLLECT_BUCKET_MS)), 0);
            assert!(sent.ids.contains(&id), "minute {minute}");
        }
        assert_eq!(sent.turn(UnixMs(FOLLOW_BUCKET_MS)), 1);
        assert!(sent.ids.is_empty());
    }
}
