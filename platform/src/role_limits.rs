//! Limits that operators turn while a role runs: whether it takes anything, and how much at once (table `role_limits`).
//!
//! Promises: what is turned reaches every process within [`LOOK_EVERY`] and a statement. Nothing is taken before the limits
//! were read once; while MySQL is away, the last known hold. Doesn't: stop a process (that is SIGTERM's), or write the
//! table; that is `operator`'s.

use crate::{Shutdown, database::within};
use serde::Serialize;
use sqlx::{MySqlPool, mysql::MySqlExecutor};
use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};
use tokio::sync::watch;

/// How often a process looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a worker process can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerRole {
    /// The order book's partitions.
    Bid,
    /// Charges.
    Payment,
    /// Refunds.
    Refund,
    /// The outbox and replays.
    Relay,
    /// What users are told.
    Notifier,
    /// Deadlines, and what else becomes due.
    Scheduler,
}

/// The name is no role's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such role: bid, payment, refund, relay, notifier or scheduler")]
pub struct NoSuchRole;

impl WorkerRole {
    /// Every one.
    pub const ALL: [Self; 6] = [Self::Bid, Self::Payment, Self::Refund, Self::Relay, Self::Notifier, Self::Scheduler];

    /// As in the table and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bid => "bid",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Relay => "relay",
            Self::Notifier => "notifier",
            Self::Scheduler => "scheduler",
        }
    }

    /// The largest batch that may be turned to: commands of a transaction, rows of a look. `None`: it has no batches.
    pub fn most_in_a_batch(self) -> Option<u32> {
        match self {
            Self::Bid => Some(2_000),
            Self::Relay | Self::Notifier => Some(1_000),
            Self::Payment | Self::Refund | Self::Scheduler => None,
        }
    }

    /// The most commands at once, in one process, that may be turned to. `None`: what it does at once is made at its start.
    pub fn most_at_once(self) -> Option<u16> {
        match self {
            Self::Payment | Self::Refund => Some(256),
            Self::Bid | Self::Relay | Self::Notifier | Self::Scheduler => None,
        }
    }
}

impl Display for WorkerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WorkerRole {
    type Err = NoSuchRole;
    fn from_str(text: &str) -> Result<Self, NoSuchRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(NoSuchRole)
    }
}

/// What was turned; a limit that was not is the configuration's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoleLimits {
    /// Nothing more is taken; what is in hand is ended.
    pub is_paused: bool,
    /// Commands of a transaction, or rows of a look.
    pub batch_max: Option<u32>,
    /// Commands at once in each process.
    pub concurrency: Option<u16>,
}

/// A limit that a role cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// Out of range, or none at all.
    #[error("{role} has no such batch: {}", range(.role.most_in_a_batch(), "a batch of it"))]
    Batch {
        /// Whose.
        role: WorkerRole,
    },
    /// Out of range, or none at all.
    #[error("{role} cannot do so many at once: {}", range(.role.most_at_once().map(u32::from), "what it does at once"))]
    Concurrency {
        /// Whose.
        role: WorkerRole,
    },
}

fn range(most: Option<u32>, what: &str) -> String {
    match most {
        Some(most) => format!("{what} is between 1 and {most}"),
        None => format!("{what} is not to be turned; start or end processes instead"),
    }
}

impl RoleLimits {
    /// Whether `role` can have these.
    ///
    /// # Errors
    /// Which one it can't have.
    pub fn check(&self, role: WorkerRole) -> Result<(), InvalidLimit> {
        let fits = |limit: Option<u32>, most: Option<u32>| limit.is_none_or(|limit| limit >= 1 && Some(limit) <= most);
        if !fits(self.batch_max, role.most_in_a_batch()) {
            return Err(InvalidLimit::Batch { role });
        }
        if !fits(self.concurrency.map(u32::from), role.most_at_once().map(u32::from)) {
            return Err(InvalidLimit::Concurrency { role });
        }
        Ok(())
    }
}

/// One role's limits, as they are at the moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TurnedLimits {
    known: watch::Receiver<Option<RoleLimits>>,
}

impl TurnedLimits {
    /// Looks at them from now on, until shutdown.
    pub fn watch(role: WorkerRole, database: MySqlPool, limit: Duration, shutdown: &Shutdown) -> Self {
        let (sender, known) = watch::channel(None);
        shutdown.spawn(look(role, database, limit, shutdown.clone(), sender));
        Self { known }
    }

    /// As they are. `None`: they were not read yet.
    pub fn now(&self) -> Option<RoleLimits> {
        *self.known.borrow()
    }

    /// Whether nothing may be taken at the moment.
    pub fn is_paused(&self) -> bool {
        self.now().is_none_or(|limits| limits.is_paused)
    }

    /// The batch in force, where `configured` is what the configuration says.
    pub fn batch_max(&self, configured: u32) -> u32 {
        self.now().and_then(|limits| limits.batch_max).unwrap_or(configured)
    }

    /// How many at once, where `configured` is what the configuration says.
    pub fn concurrency(&self, configured: u16) -> u16 {
        self.now().and_then(|limits| limits.concurrency).unwrap_or(configured)
    }
}

async fn look(
    role: WorkerRole,
    database: MySqlPool,
    limit: Duration,
    shutdown: Shutdown,
    sender: watch::Sender<Option<RoleLimits>>,
) {
    loop {
        match within(limit, read(&database, role)).await {
            Ok(limits) => {
                metrics::gauge!("gream_role_paused", "role" => role.as_str()).set(if limits.is_paused {
                    1.0
                } else {
                    0.0
                });
                let is_new = sender.send_if_modified(|known| {
                    let is_new = *known != Some(limits);
                    *known = Some(limits);
                    is_new
                });
                if is_new && limits != RoleLimits::default() {
                    tracing::info!(%role, paused = limits.is_paused, batch_max = limits.batch_max,
                        concurrency = limits.concurrency, "limits that operators have turned");
                }
            }
            Err(error) => tracing::debug!(%role, %error, "the limits cannot be read; what was last known holds"),
        }
        if !shutdown.sleep(LOOK_EVERY).await {
            return;
        }
    }
}

/// A role's limits. What is not stored was never turned.
///
/// # Errors
/// When the database cannot be asked, or a newer version wrote something else.
pub async fn read(database: impl MySqlExecutor<'_>, role: WorkerRole) -> Result<RoleLimits, sqlx::Error> {
    let read = sqlx::query!(
        r#"SELECT is_paused AS "is_paused: bool", batch_max, concurrency FROM role_limits WHERE role = ?"#,
        role.as_str()
    );
    let Some(row) = read.fetch_optional(database).await? else { return Ok(RoleLimits::default()) };
    let batch_max = row.batch_max.and_then(|limit| u32::try_from(limit).ok());
    let concurrency = row.concurrency.and_then(|limit| u16::try_from(limit).ok());
    let limits = RoleLimits { is_paused: row.is_paused, batch_max, concurrency };
    limits.check(role).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_the_limits_that_it_can_keep() {
        let batch = |limit| RoleLimits { batch_max: Some(limit), ..RoleLimits::default() };
        let at_once = |limit| RoleLimits { concurrency: Some(limit), ..RoleLimits::default() };
        for role in WorkerRole::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(RoleLimits { is_paused: true, ..RoleLimits::default() }.check(role), Ok(()));
            for (limits, most) in [(batch(1), role.most_in_a_batch()), (at_once(1), role.most_at_once().map(u32::from))]
            {
                assert_eq!(limits.check(role).is_ok(), most.is_some(), "{role}");
            }
            assert!(batch(0).check(role).is_err() && at_once(0).check(role).is_err());
        }
        assert!(batch(2_000).check(WorkerRole::Bid).is_ok());
        let told = batch(2_001).check(WorkerRole::Bid).unwrap_err().to_string();
        assert_eq!(told, "bid has no such batch: a batch of it is between 1 and 2000");
        let told = at_once(2).check(WorkerRole::Bid).unwrap_err().to_string();
        assert!(told.ends_with("not to be turned; start or end processes instead"), "{told}");
    }
}
