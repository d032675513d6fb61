//! The guard rows: whoever holds a partition's row lock carries out its commands, and nobody else does.

use super::{OWNER_SEPARATOR, Store, WHOLE, literal};
use crate::bid::port::Guard;
use contracts::{CommandId, PartitionId, UnixMs};
use domain::market::Progress;
use platform::database::{Trouble, trouble};
use sqlx::{Row, mysql::MySqlRow};
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    /// Begins a transaction, locks `partitions`, and reads which of `commands` are known.
    ///
    /// A partition that another connection owned is taken over first, in a transaction of its own, so that the next
    /// one to wait for us can read whom to end.
    pub(super) async fn begin_and_lock(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
        commands: &[CommandId],
    ) -> Result<Guard, sqlx::Error> {
        loop {
            let mut sets = self.ask(begin_sql(partitions, commands)).await?.into_iter().skip(2);
            let guards = sets.next().unwrap_or_default();
            if self.take_over(&guards).await? {
                continue;
            }
            let partitions = guards.iter().map(progress).collect::<Result<_, _>>()?;
            let (mut finished, mut unfinished) = (BTreeMap::new(), BTreeSet::new());
            for row in sets.next().unwrap_or_default() {
                let known = super::row::known_command(&row)?;
                match known.outcome {
                    Some(outcome) => drop(finished.insert(known.id, outcome)),
                    None => drop(unfinished.insert(known.id)),
                }
            }
            return Ok(Guard { partitions, finished, unfinished });
        }
    }

    /// Writes our name into guard rows that carry another's, and commits; `false` when there was none.
    async fn take_over(&mut self, guards: &[MySqlRow]) -> Result<bool, sqlx::Error> {
        let mut others = Vec::new();
        for row in guards {
            let (partition, connection_id): (i16, i64) = (row.try_get(0)?, row.try_get(4)?);
            let (owner, server): (String, String) = (row.try_get(3)?, row.try_get(5)?);
            if owner != self.owner || u64::try_from(connection_id) != Ok(self.connection_id) || server != self.server {
                tracing::info!(partition, previous = owner, "taking the partition over");
                others.push(partition);
            }
        }
        if others.is_empty() {
            return Ok(false);
        }
        let ids = literal::list(others, |text, id| std::fmt::Write::write_fmt(text, format_args!("{id}")));
        let (owner, server) = (literal::Text(&self.owner).to_string(), literal::Text(&self.server).to_string());
        let connection_id = self.connection_id;
        self.end_whole(&format!(
            "UPDATE partitions SET epoch = epoch + 1, owner = {owner}, connection_id = {connection_id}, \
             connection_server = {server} WHERE partition_id IN ({ids})"
        ))
        .await?;
        metrics::counter!("gream_partition_takeovers_total").increment(1);
        Ok(true)
    }

    /// After a lock wait, outside a transaction: ends the connections of whoever stands still inside one. These are the
    /// owners of `partitions`, and all connections of workers that fell silent before `silent_since`: one of their
    /// lanes may hold the balances that we need, whatever partitions it was at. (Workers that left in order are not
    /// among them: their connections are gone, and others may have got the numbers. Nor are connections to another node of a
    /// cluster: locks are a node's own, and to this one the number is somebody else's.) What they had not committed is
    /// rolled back, and its messages come to somebody else; what they had, the inbox knows.
    pub(super) async fn end_those_that_stand_still(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
        silent_since: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let sets = self
            .ask_alone(format!(
                "SELECT owner, connection_id FROM partitions WHERE connection_server IN ({}, '') AND (partition_id IN ({}) OR EXISTS \
                 (SELECT 1 FROM worker_presence \
                  WHERE worker = SUBSTRING_INDEX(owner, '{OWNER_SEPARATOR}', 1) AND seen_at_ms < {}))",
                literal::Text(&self.server),
                ids(partitions),
                silent_since.0
            ))
            .await?;
        let mut ended = BTreeSet::new();
        for row in sets.into_iter().flatten() {
            let (owner, connection_id): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            // Our own former connection counts as a predecessor too: lost without a word, it may live on in the server.
            let is_ours = u64::try_from(connection_id) == Ok(self.connection_id);
            if is_ours || connection_id == 0 || !ended.insert(connection_id) {
                continue;
            }
            match self.ask(format!("KILL {connection_id}")).await {
                Ok(_) => {
                    tracing::warn!(owner, connection_id, "ended the connection of a predecessor that stood still");
                    metrics::counter!("gream_predecessors_ended_total").increment(1);
                }
                // 1094: it has ended by itself.
                Err(error) if trouble(&error) == Trouble::Defect => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn begin_sql(partitions: &BTreeSet<PartitionId>, commands: &[CommandId]) -> String {
    let (partitions, commands) = (ids(partitions), literal::command_ids(commands));
    format!(
        "START TRANSACTION; SAVEPOINT {WHOLE}; \
         SELECT partition_id, last_sequence, last_time_ms, owner, connection_id, connection_server FROM partitions \
         WHERE partition_id IN ({partitions}) ORDER BY partition_id FOR UPDATE; \
         SELECT command_id, fingerprint, state, result_code, data, updated_at_ms FROM commands WHERE command_id IN ({commands}) \
         ORDER BY command_id FOR UPDATE"
    )
}

fn ids(partitions: &BTreeSet<PartitionId>) -> String {
    literal::numbers(partitions.iter().map(|partition| u64::from(partition.0)))
}

fn progress(row: &MySqlRow) -> Result<(PartitionId, Progress), sqlx::Error> {
    let (partition, last_sequence): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
    let partition = u16::try_from(partition).map_err(super::row::invalid)?;
    let last_sequence = u64::try_from(last_sequence).map_err(super::row::invalid)?;
    Ok((PartitionId(partition), Progress { last_sequence, last_time: UnixMs(row.try_get(2)?) }))
}
