//! The commands' rows: which are known, where they stand, how they ended.
//!
//! Promises: a final state is never left again. Doesn't: commit; except for the two short transactions at the end, the
//! statements run inside their caller's.

use super::{Foundation, again_on_contention, invalid};
use contracts::{CommandId, CommandState, Envelope, Fingerprint, Outcome, ResultCode, UnixMs};
use platform::{database::within, halt};
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;

/// What the inbox knows of a command.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Nothing.
    Fresh,
    /// It has not ended.
    Unfinished {
        /// Somebody may be at it at this moment: it is marked as executing.
        since: Option<UnixMs>,
    },
    /// It has.
    Ended(Outcome),
    /// Another body under this id has not ended.
    Superseded,
}

/// The rows, for the transactions that belong to no handler.
#[derive(Clone)]
pub(crate) struct Inbox {
    pool: MySqlPool,
    limit: Duration,
}

impl Inbox {
    pub(crate) fn new(foundation: &Foundation) -> Self {
        let limit = Duration::from_millis(foundation.config.database.statement_timeout_ms);
        Self { pool: foundation.database.clone(), limit }
    }

    /// Locks the command's row, if there is one: whoever comes with the same command waits until we commit.
    pub(crate) async fn lock(connection: &mut MySqlConnection, envelope: &Envelope) -> Result<Standing, sqlx::Error> {
        let found = sqlx::query!(
            "SELECT fingerprint, state, result_code, data, updated_at_ms FROM commands WHERE command_id = ? FOR UPDATE",
            &envelope.id.bytes()[..]
        )
        .fetch_optional(connection)
        .await?;
        let Some(row) = found else { return Ok(Standing::Fresh) };
        let state: CommandState =
            row.state.parse().map_err(|error: contracts::outcome::UnknownState| invalid(error))?;
        let fingerprint = Fingerprint(row.fingerprint.try_into().map_err(|_| invalid("a fingerprint is 32 bytes"))?);
        let at = UnixMs(row.updated_at_ms);
        if state.is_final() {
            let code = u32::try_from(row.result_code).ok().and_then(ResultCode::from_code);
            let code = code.ok_or_else(|| invalid("an unknown result code: upgrade this worker"))?;
            let data = serde_json::from_str(&row.data).map_err(invalid)?;
            return Ok(Standing::Ended(Outcome { id: envelope.id, fingerprint, state, code, data, finished_at: at }));
        }
        // A suspended command may come back edited: it has had no effect.
        if fingerprint != envelope.fingerprint && state != CommandState::Suspended {
            return Ok(Standing::Superseded);
        }
        Ok(Standing::Unfinished { since: (state == CommandState::Executing).then_some(at) })
    }

    /// Marks a locked command as executing.
    pub(crate) async fn executing(
        connection: &mut MySqlConnection,
        envelope: &Envelope,
        standing: &Standing,
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let (state, nothing) = (CommandState::Executing, serde_json::json!({}));
        Self::write(connection, envelope, standing, (state, ResultCode::Ok, &nothing), now).await
    }

    /// Ends a locked command.
    pub(crate) async fn end(
        connection: &mut MySqlConnection,
        envelope: &Envelope,
        standing: &Standing,
        outcome: &Outcome,
    ) -> Result<(), sqlx::Error> {
        let Outcome { state, code, data, finished_at, .. } = outcome;
        Self::write(connection, envelope, standing, (*state, *code, data), *finished_at).await
    }

    async fn write(
        connection: &mut MySqlConnection,
        envelope: &Envelope,
        standing: &Standing,
        (state, code, data): (CommandState, ResultCode, &serde_json::Value),
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let code = i32::try_from(code.code()).unwrap_or(i32::MAX);
        let (id, fingerprint, data) = (envelope.id.bytes(), envelope.fingerprint.0, data.to_string());
        if matches!(standing, Standing::Fresh) {
            // A plain insert: whoever inserted the same id meanwhile makes this fail, and the next run finds the row.
            sqlx::query!(
                "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts,
                                       accepted_at_ms, updated_at_ms)
                 VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
                &id[..],
                envelope.command.kind().as_str(),
                super::user_id(envelope.user),
                &fingerprint[..],
                state.as_str(),
                code,
                data,
                envelope.accepted_at.0,
                now.0
            )
            .execute(connection)
            .await?;
        } else {
            sqlx::query!(
                // Delivered again while executing, it is the same attempt: its worker ended, which is not its fault.
                "UPDATE commands SET attempts = attempts + IF(state = 'executing', 0, 1),
                                     kind = ?, user_id = ?, fingerprint = ?, state = ?, result_code = ?, data = ?,
                                     accepted_at_ms = ?, updated_at_ms = ?
                 WHERE command_id = ? AND state NOT IN ('done', 'rejected', 'discarded')",
                envelope.command.kind().as_str(),
                super::user_id(envelope.user),
                &fingerprint[..],
                state.as_str(),
                code,
                data,
                envelope.accepted_at.0,
                now.0,
                &id[..]
            )
            .execute(connection)
            .await?;
        }
        Ok(())
    }

    /// A transaction of its own: the command waits for its next attempt. Gives the outcome if it has ended meanwhile.
    pub(super) async fn retrying(
        &self,
        envelope: &Envelope,
        attempts: u32,
        now: UnixMs,
    ) -> Result<Option<Outcome>, sqlx::Error> {
        again_on_contention(|| self.try_retrying(envelope, attempts, now)).await
    }

    async fn try_retrying(
        &self,
        envelope: &Envelope,
        attempts: u32,
        now: UnixMs,
    ) -> Result<Option<Outcome>, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = Self::lock(&mut transaction, envelope).await?;
            if let Standing::Ended(outcome) = standing {
                return Ok(Some(outcome));
            }
            if matches!(standing, Standing::Superseded) {
                // The row is another body's, which is under way: what it was must not be forgotten.
                return Ok(None);
            }
            let (state, nothing) = (CommandState::Retrying, serde_json::json!({}));
            Self::write(&mut transaction, envelope, &standing, (state, ResultCode::Ok, &nothing), now).await?;
            sqlx::query!(
                "UPDATE commands SET attempts = ? WHERE command_id = ?",
                small(attempts),
                &envelope.id.bytes()[..]
            )
            .execute(&mut *transaction)
            .await?;
            halt::around("laddered.retrying", transaction.commit()).await?;
            Ok(None)
        })
        .await
    }

    /// A transaction of its own: the command lies in a dead-letter queue, unless it has ended. `envelope` is missing
    /// when only its id could be read.
    pub(super) async fn suspend(
        &self,
        id: CommandId,
        envelope: Option<&Envelope>,
        attempts: u32,
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let kind = envelope.map_or("unknown", |envelope| envelope.command.kind().as_str());
        let user = envelope.map_or(0, |envelope| super::user_id(envelope.user));
        let fingerprint = envelope.map_or(Fingerprint::UNKNOWN, |envelope| envelope.fingerprint).0;
        let accepted_at = envelope.map_or(now, |envelope| envelope.accepted_at);
        again_on_contention(|| async {
            let write = sqlx::query!(
                "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts,
                                       accepted_at_ms, updated_at_ms)
                 VALUES (?, ?, ?, ?, 'suspended', 0, '{}', ?, ?, ?)
                 ON DUPLICATE KEY UPDATE
                     attempts = IF(state IN ('done', 'rejected', 'discarded'), attempts, VALUES(attempts)),
                     updated_at_ms = IF(state IN ('done', 'rejected', 'discarded'), updated_at_ms, VALUES(updated_at_ms)),
                     state = IF(state IN ('done', 'rejected', 'discarded'), state, VALUES(state))",
                &id.bytes()[..],
                kind,
                user,
                &fingerprint[..],
                small(attempts),
                accepted_at.0,
                now.0
            )
            .execute(&self.pool);
            halt::around("laddered.suspend", within(self.limit, write)).await.map(drop)
        })
        .await
    }
}

fn small(attempts: u32) -> i16 {
    i16::try_from(attempts).unwrap_or(i16::MAX)
}
