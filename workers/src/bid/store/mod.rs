//! The bid worker's SQL: one connection, a transaction of five round trips, whatever the batch's size.
//!
//! 1. begin, lock the guard rows, read which commands are known;
//! 2. read products, windows of the book, bids, open counts;
//! 3. lock the claims on vouchers that are offered with a barcode, then coupons, then balances, each in its keys' order;
//! 4. write everything, and find the transaction whole;
//! 5. commit.
//!
//! Why the last two are not one packet: a node of Galera ends a transaction that another node's got ahead of, at any moment. Where that
//! falls between two statements of one packet, MariaDB (10.11) says nothing: what follows in the packet runs outside the
//! transaction, and `COMMIT` succeeds. So nothing on this connection commits by itself (`autocommit = 0`), a savepoint from the
//! first packet must still be there at the end of the last ([`WHOLE`]), and the commit comes alone, where an error is an answer.
//!
//! Promises: all bulk SQL of the house is in this folder, as text of numbers and hexadecimal only. Locks are taken in
//! one order everywhere (guard rows, known commands, claims, coupons, balances), so batches of different lanes cannot deadlock.

mod attempts;
mod literal;
mod lock;
mod read;
mod row;
mod write;

use super::port::{BidStore, Finished, Guard, StoreError};
use contracts::{CommandId, PartitionId, UnixMs};
use domain::market::{Changes, Loaded, Needs, Progress};
use futures_util::TryStreamExt;
use platform::{Clock, config::DatabaseConfig, database::OwnConnection};
use sqlx::{AssertSqlSafe, Connection, Either, MySqlConnection, MySqlPool, mysql::MySqlRow};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Between a worker's name and its lane's number, in `partitions.owner`.
const OWNER_SEPARATOR: char = '/';

/// The savepoint that lives as long as the transaction: to release it is to find out whether this one is still the one that
/// took the locks.
const WHOLE: &str = "whole";

/// A lane's own connection.
pub struct Store {
    connection: MySqlConnection,
    /// The server's id of it, which a successor may `KILL`.
    connection_id: u64,
    /// Which server that is: to any other one the id means something else.
    server: String,
    /// Where it was connected to.
    node: String,
    /// This worker and lane, as in `partitions.owner`.
    owner: String,
    limit: Duration,
    clock: Clock,
}

impl Store {
    /// Connects.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn connect(
        config: &DatabaseConfig,
        pool: &MySqlPool,
        clock: &Clock,
        worker: &str,
        lane: u16,
    ) -> Result<Self, sqlx::Error> {
        let OwnConnection { connection, id, server, node } = platform::database::connect(config, pool).await?;
        let owner = format!("{worker}{OWNER_SEPARATOR}{lane}");
        let limit = Duration::from_millis(config.statement_timeout_ms);
        let mut store = Self { connection, connection_id: id, server, node, owner, limit, clock: clock.clone() };
        store.ask("SET SESSION autocommit = 0".to_owned()).await?;
        Ok(store)
    }

    /// Whether it is with the server that takes the writes, which `pool` follows.
    pub(super) fn is_with(&self, pool: &MySqlPool) -> bool {
        self.node == platform::database::node_of(pool)
    }

    /// Keeps an idle connection alive, and notices that the database went away while there was nothing to do.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        platform::database::within(self.limit, self.connection.ping()).await
    }

    /// Writes and commits, all of it or nothing; an error where the transaction is no longer the one that took the locks.
    async fn end_whole(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.ask(format!("{sql}; RELEASE SAVEPOINT {WHOLE}")).await?;
        self.ask("COMMIT".to_owned()).await.map(drop)
    }

    /// A statement in a transaction of its own.
    async fn ask_alone(&mut self, sql: String) -> Result<Vec<Vec<MySqlRow>>, sqlx::Error> {
        let sets = self.ask(sql).await?;
        self.ask("COMMIT".to_owned()).await?;
        Ok(sets)
    }

    /// Sends statements in one packet; one list of rows for each of them, in order.
    async fn ask(&mut self, sql: String) -> Result<Vec<Vec<MySqlRow>>, sqlx::Error> {
        let work = async {
            let mut sets = vec![Vec::new()];
            let mut stream = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
            while let Some(item) = stream.try_next().await? {
                match item {
                    Either::Left(_) => sets.push(Vec::new()),
                    Either::Right(row) => {
                        if let Some(set) = sets.last_mut() {
                            set.push(row);
                        }
                    }
                }
            }
            // The last statement's end opened a list for which nothing follows.
            sets.pop();
            Ok(sets)
        };
        platform::database::within(self.limit, work).await
    }
}

impl BidStore for Store {
    async fn lock(&mut self, partitions: &BTreeSet<PartitionId>, commands: &[CommandId]) -> Result<Guard, StoreError> {
        Ok(self.begin_and_lock(partitions, commands).await?)
    }

    async fn load(
        &mut self,
        needs: &Needs,
        partitions: &BTreeMap<PartitionId, Progress>,
    ) -> Result<Loaded, StoreError> {
        Ok(self.read(needs, partitions).await?)
    }

    async fn commit(&mut self, changes: &Changes, finished: &[Finished<'_>], now: UnixMs) -> Result<(), StoreError> {
        Ok(self.write_and_commit(changes, finished, now).await?)
    }

    async fn roll_back(&mut self) -> Result<(), StoreError> {
        Ok(self.ask("ROLLBACK".to_owned()).await.map(drop)?)
    }

    async fn end_predecessors(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
        silent_since: UnixMs,
    ) -> Result<(), StoreError> {
        Ok(self.end_those_that_stand_still(partitions, silent_since).await?)
    }

    fn now(&self) -> UnixMs {
        self.clock.now()
    }

    async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}
