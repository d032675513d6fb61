//! What carrying a batch out asks of the world around it: a store with locks and transactions, and the time.
//!
//! [`super::store::Store`] is MySQL; the simulation has one in memory. What both must do is written as tests that both
//! pass (`workers/tests/simulation/conformance.rs`).

use contracts::{CommandId, Envelope, Outcome, PartitionId, UnixMs};
use domain::market::{Changes, Loaded, Needs, Progress};
use platform::database::{Trouble, is_duplicate, is_lock_wait, trouble};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A connection to the store, with at most one transaction open.
pub trait BidStore {
    /// Begins a transaction, locks the guard rows of `partitions` in their order, and reads which of `commands` are known.
    fn lock(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
        commands: &[CommandId],
    ) -> impl Future<Output = Result<Guard, StoreError>> + Send;

    /// Reads what is in `needs`, and locks claims, coupons and balances of it. Part of the transaction.
    fn load(
        &mut self,
        needs: &Needs,
        partitions: &BTreeMap<PartitionId, Progress>,
    ) -> impl Future<Output = Result<Loaded, StoreError>> + Send;

    /// Writes and commits. [`StoreError::Away`] leaves open whether it happened.
    fn commit(
        &mut self,
        changes: &Changes,
        finished: &[Finished<'_>],
        now: UnixMs,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Leaves whatever transaction is open.
    fn roll_back(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends the transactions of whoever stands still inside one: the owners of `partitions`, and workers that have said nothing since
    /// `silent_since`.
    fn end_predecessors(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
        silent_since: UnixMs,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The time.
    fn now(&self) -> UnixMs;

    /// Lets some of it pass.
    fn pause(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// What the first round trip found.
#[derive(Debug, Default)]
pub struct Guard {
    /// The locked partitions.
    pub partitions: BTreeMap<PartitionId, Progress>,
    /// Commands that have ended already.
    pub finished: BTreeMap<CommandId, Outcome>,
    /// Commands that have a row and have not ended: a dead letter that was replayed, or an attempt that was counted.
    pub unfinished: BTreeSet<CommandId>,
}

/// A command of this batch and how it ended.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The command.
    pub envelope: &'a Envelope,
    /// Its outcome.
    pub outcome: &'a Outcome,
    /// Whether the inbox has an unfinished row of it.
    pub has_row: bool,
}

/// Why a batch was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away. Nothing is known to have happened.
    #[error("the database is away: {0}")]
    Away(String),
    /// Somebody else holds what we need; try again.
    #[error("contention: {error}")]
    Contention {
        /// What the database said.
        error: String,
        /// What it means.
        cause: Contention,
    },
    /// The batch itself cannot be carried out.
    #[error("{0}")]
    Defect(String),
}

/// Kinds of contention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contention {
    /// Two transactions waited for each other.
    Deadlock,
    /// Somebody has held a lock for as long as we wait.
    LockWait,
    /// The same command id at the same moment on two partitions: the second look finds it in the inbox.
    Duplicate,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_contended = |cause| StoreError::Contention { error: error.to_string(), cause };
        match trouble(&error) {
            Trouble::Away => StoreError::Away(error.to_string()),
            Trouble::Contention if is_lock_wait(&error) => is_contended(Contention::LockWait),
            Trouble::Contention => is_contended(Contention::Deadlock),
            Trouble::Defect if is_duplicate(&error) => is_contended(Contention::Duplicate),
            Trouble::Defect => StoreError::Defect(error.to_string()),
        }
    }
}
