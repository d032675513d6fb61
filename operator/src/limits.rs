//! Turning the limits of roles that run: pause and resume, how much in a batch, how many at once; and waiting until a
//! paused role holds nothing any more.
//!
//! Promises: each turn is a row of `operator_actions`, written before it. Processes follow within a second or two
//! (`platform::role_limits`). Doesn't: pause what is not paced by a role, such as the API.

use crate::dlq::{Actor, DlqError, actions};
use contracts::{
    PartitionCount, UnixMs,
    topology::{NOTIFIER_QUEUE, REPLAY_QUEUE, Role, bid_queue},
};
use platform::{
    config::RabbitConfig,
    database::within,
    rabbitmq::{ConsumerError, ConsumingConnection},
    role_limits::{InvalidLimit, RoleLimits, WorkerRole, read},
};
use serde::Serialize;
use sqlx::MySqlPool;
use std::time::Duration;

/// How often a draining role is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why nothing was turned.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// Who acts must say who they are, and why.
    #[error(transparent)]
    Actor(#[from] DlqError),
    /// The role cannot have it.
    #[error(transparent)]
    Invalid(#[from] InvalidLimit),
    /// MySQL.
    #[error("the database cannot be asked: {0}. Check database.url, and that `gream migrate` has run")]
    Database(#[from] sqlx::Error),
    /// RabbitMQ.
    #[error("the role's queues cannot be looked at: {0}. It is paused; check rabbitmq.url")]
    Consumer(#[from] ConsumerError),
    /// Somebody still consumes.
    #[error(
        "{role} is paused, but {consumers} consumers still hold its queues: a process that has not ended what it has in \
         hand, or that cannot read the database. Look again: gream limits pause {role} --drain-s …"
    )]
    NotDrained {
        /// Whose.
        role: WorkerRole,
        /// How many.
        consumers: u32,
    },
}

/// What is to be turned. What is left out stays as it is; `Some(None)` is what the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Pause it, or let it go on.
    pub is_paused: Option<bool>,
    /// How much in a batch.
    pub batch_max: Option<Option<u32>>,
    /// How many at once.
    pub concurrency: Option<Option<u16>>,
}

impl Turn {
    /// What it makes of `limits`.
    #[must_use]
    pub fn of(self, limits: RoleLimits) -> RoleLimits {
        RoleLimits {
            is_paused: self.is_paused.unwrap_or(limits.is_paused),
            batch_max: self.batch_max.unwrap_or(limits.batch_max),
            concurrency: self.concurrency.unwrap_or(limits.concurrency),
        }
    }
}

/// A role's limits, and who turned them last.
#[derive(Clone, Debug, Serialize)]
pub struct TurnedRole {
    /// Whose.
    pub role: WorkerRole,
    /// As they are.
    pub limits: RoleLimits,
    /// The last turn, if there was any.
    pub last: Option<LastTurn>,
}

/// Who turned a limit, why and when.
#[derive(Clone, Debug, Serialize)]
pub struct LastTurn {
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: UnixMs,
}

/// Every role's limits.
///
/// # Errors
/// When the database cannot be asked.
pub async fn limits(database: &MySqlPool, limit: Duration) -> Result<Vec<TurnedRole>, LimitsError> {
    Ok(turned(database, limit).await?)
}

pub(crate) async fn turned(database: &MySqlPool, limit: Duration) -> Result<Vec<TurnedRole>, sqlx::Error> {
    let mut all = Vec::with_capacity(WorkerRole::ALL.len());
    for role in WorkerRole::ALL {
        let last = sqlx::query!("SELECT changed_by, why, changed_at_ms FROM role_limits WHERE role = ?", role.as_str());
        let last = within(limit, last.fetch_optional(database)).await?;
        let last = last.map(|row| LastTurn { by: row.changed_by, why: row.why, at: UnixMs(row.changed_at_ms) });
        all.push(TurnedRole { role, limits: within(limit, read(database, role)).await?, last });
    }
    Ok(all)
}

/// Turns a role's limits; what they are now.
///
/// # Errors
/// When the role cannot have them, or the database cannot be asked.
pub async fn turn(
    database: &MySqlPool,
    limit: Duration,
    (role, turn): (WorkerRole, Turn),
    actor: &Actor,
    now: UnixMs,
) -> Result<RoleLimits, LimitsError> {
    turn.of(RoleLimits::default()).check(role)?;
    let selection = serde_json::json!({"role": role, "turn": turn});
    let action = within(limit, actions::begin(database, "limits", actor, &selection, now)).await?;
    let turned = within(limit, write(database, (role, turn), actor, now)).await;
    let failure = turned.as_ref().err().map(ToString::to_string);
    let counts = (1, u64::from(turned.is_ok()));
    within(limit, actions::end(database, action, counts, failure.as_deref(), now)).await?;
    Ok(turned?)
}

async fn write(
    database: &MySqlPool,
    (role, turn): (WorkerRole, Turn),
    actor: &Actor,
    now: UnixMs,
) -> Result<RoleLimits, sqlx::Error> {
    let mut transaction = database.begin().await?;
    // Two turns of one role at once: the second one turns what the first one left.
    sqlx::query!(
        "INSERT INTO role_limits (role, is_paused, changed_by, why, changed_at_ms) VALUES (?, FALSE, ?, ?, ?)
         ON DUPLICATE KEY UPDATE changed_by = VALUES(changed_by), why = VALUES(why), changed_at_ms = VALUES(changed_at_ms)",
        role.as_str(),
        actor.who(),
        actor.why(),
        now.0
    )
    .execute(&mut *transaction)
    .await?;
    let limits = turn.of(read(&mut *transaction, role).await?);
    sqlx::query!(
        "UPDATE role_limits SET is_paused = ?, batch_max = ?, concurrency = ? WHERE role = ?",
        limits.is_paused,
        limits.batch_max,
        limits.concurrency,
        role.as_str()
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(limits)
}

/// Waits until nobody consumes the queues of a paused role, which everybody does who has ended what they had in hand. A
/// scheduler has no queues: it is drained when it is paused.
///
/// # Errors
/// When somebody still does after `patience`.
pub async fn drained(
    rabbitmq: &RabbitConfig,
    role: WorkerRole,
    partitions: PartitionCount,
    patience: Duration,
) -> Result<(), LimitsError> {
    let queues: Vec<String> = match role {
        WorkerRole::Bid => partitions.all().map(bid_queue).collect(),
        WorkerRole::Payment => vec![Role::Payment.as_str().to_owned()],
        WorkerRole::Refund => vec![Role::Refund.as_str().to_owned()],
        WorkerRole::Relay => vec![REPLAY_QUEUE.to_owned()],
        WorkerRole::Notifier => vec![NOTIFIER_QUEUE.to_owned()],
        WorkerRole::Scheduler => return Ok(()),
    };
    let connection = ConsumingConnection::open(rabbitmq, "gream limits").await?;
    let end = tokio::time::Instant::now() + patience;
    loop {
        let mut consumers = 0;
        for queue in &queues {
            consumers += connection.consumers(queue).await?;
        }
        if consumers == 0 {
            return Ok(());
        }
        if tokio::time::Instant::now() >= end {
            return Err(LimitsError::NotDrained { role, consumers });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_turned_stays() {
        let before = RoleLimits { is_paused: true, batch_max: Some(7), concurrency: None };
        assert_eq!(Turn::default().of(before), before);
        let resumed = Turn { is_paused: Some(false), ..Turn::default() }.of(before);
        assert_eq!(resumed, RoleLimits { is_paused: false, ..before });
        let as_configured = Turn { batch_max: Some(None), concurrency: Some(Some(3)), ..Turn::default() }.of(before);
        assert_eq!(as_configured, RoleLimits { is_paused: true, batch_max: None, concurrency: Some(3) });
    }
}
