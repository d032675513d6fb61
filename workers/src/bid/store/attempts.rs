//! Commands that have not ended: attempts that are counted before they begin, and commands that are set aside.
//!
//! An attempt is counted only for a command that workers seem to end with, and taken back when the worker outlived it: a
//! database or broker that goes away again and again is no fault of a command's.

use super::{
    Store,
    literal::{self, Hex, ms},
};
use contracts::{CommandId, Envelope, Fingerprint, UnixMs};

/// How an unfinished row's attempts change.
#[derive(Clone, Copy)]
enum Attempts {
    /// These came to an end.
    Add(u32),
    /// One begins. A command that was set aside and sent again starts over.
    Begin,
}

impl Store {
    /// Marks a command suspended, unless it has ended. `envelope` is missing when only its id could be read; `attempts`
    /// are those that were not counted before they began.
    pub(in crate::bid) async fn suspend(
        &mut self,
        id: CommandId,
        envelope: Option<&Envelope>,
        attempts: u32,
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        self.unfinished_row(id, envelope, "suspended", Attempts::Add(attempts), now).await
    }

    /// Counts an attempt before it begins; `false`, and nothing is counted, when there were `most` already.
    pub(in crate::bid) async fn begin_attempt(
        &mut self,
        envelope: &Envelope,
        most: u32,
        now: UnixMs,
    ) -> Result<bool, sqlx::Error> {
        let id = Hex(&envelope.id.bytes()).to_string();
        let sql = format!("SELECT attempts FROM commands WHERE command_id = {id} AND state = 'executing'");
        let sets = self.ask_alone(sql).await?;
        let begun = match sets.first().and_then(|rows| rows.first()) {
            Some(row) => u32::try_from(sqlx::Row::try_get::<i16, _>(row, 0)?).map_err(super::row::invalid)?,
            None => 0,
        };
        if begun >= most {
            return Ok(false);
        }
        self.unfinished_row(envelope.id, Some(envelope), "executing", Attempts::Begin, now).await?;
        Ok(true)
    }

    /// Takes back attempts that ended with their connections, but not with their worker.
    pub(in crate::bid) async fn take_back_attempts(&mut self, commands: &[CommandId]) -> Result<(), sqlx::Error> {
        let ids = literal::command_ids(commands);
        self.ask_alone(format!(
            "UPDATE commands SET attempts = attempts - 1 \
             WHERE command_id IN ({ids}) AND state = 'executing' AND attempts > 0"
        ))
        .await
        .map(drop)
    }

    async fn unfinished_row(
        &mut self,
        id: CommandId,
        envelope: Option<&Envelope>,
        state: &str,
        attempts: Attempts,
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let kind = envelope.map_or("unknown", |envelope| envelope.command.kind().as_str());
        let user = envelope.map_or(0, |envelope| envelope.user.0);
        let fingerprint = envelope.map_or(Fingerprint::UNKNOWN, |envelope| envelope.fingerprint).0;
        let accepted_at = envelope.map_or(now, |envelope| envelope.accepted_at);
        let (first, next) = match attempts {
            Attempts::Add(count) => (count, "attempts + VALUES(attempts)"),
            Attempts::Begin => (1, "IF(state = 'suspended', 1, attempts + 1)"),
        };
        self.ask_alone(format!(
            "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, \
             accepted_at_ms, updated_at_ms) VALUES ({}, '{kind}', {user}, {}, '{state}', 0, '{{}}', {first}, {}, {}) \
             ON DUPLICATE KEY UPDATE \
             attempts = IF(state IN ('done', 'rejected', 'discarded'), attempts, {next}), \
             updated_at_ms = IF(state IN ('done', 'rejected', 'discarded'), updated_at_ms, VALUES(updated_at_ms)), \
             state = IF(state IN ('done', 'rejected', 'discarded'), state, VALUES(state))",
            Hex(&id.bytes()),
            Hex(&fingerprint),
            ms(accepted_at),
            ms(now)
        ))
        .await
        .map(drop)
    }
}
