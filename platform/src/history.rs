//! What happened to a command beside its outcome, for people: one row a failed attempt, dead-letter visit, replay, or
//! deed of an operator's (table `command_history`).
//!
//! Promises: a note that cannot be written holds nobody up. Doesn't: decide anything; no worker ever reads it.

use crate::database::within;
use contracts::{CommandId, DeadLetterReason, UnixMs};
use sqlx::{MySqlPool, mysql::MySqlExecutor};
use std::time::Duration;

/// Longest detail, and longest name of who saw it.
const MAX_DETAIL_CHARS: usize = 500;
const MAX_NAME_CHARS: usize = 100;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// An attempt failed.
    Failed,
    /// It was published to a dead-letter queue.
    SetAside,
    /// It left the queue `replay` for where it belongs.
    Replayed,
    /// An operator made a new revision of its payload.
    Edited,
    /// An operator gave it up.
    Discarded,
    /// An operator brought it back to its dead-letter queue.
    Restored,
}

impl Happened {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Happened::Failed => "failed",
            Happened::SetAside => "set_aside",
            Happened::Replayed => "replayed",
            Happened::Edited => "edited",
            Happened::Discarded => "discarded",
            Happened::Restored => "restored",
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// To which command.
    pub command: CommandId,
    /// What.
    pub happened: Happened,
    /// When.
    pub at: UnixMs,
    /// How long an attempt took.
    pub took: Option<Duration>,
    /// The attempt's number.
    pub attempt: Option<u32>,
    /// The process, or the person, that did it or saw it.
    pub by: &'a str,
    /// Why it was set aside.
    pub reason: Option<DeadLetterReason>,
    /// The error, or what else there is to say.
    pub detail: &'a str,
    /// The operators' action that it was part of.
    pub action: Option<i64>,
}

impl<'a> Note<'a> {
    /// With nothing but what every note has.
    pub fn new(command: CommandId, happened: Happened, at: UnixMs, by: &'a str, detail: &'a str) -> Self {
        Self { command, happened, at, took: None, attempt: None, by, reason: None, detail, action: None }
    }
}

/// Writes a note, as part of the caller's transaction.
pub async fn write(executor: impl MySqlExecutor<'_>, note: &Note<'_>) -> Result<(), sqlx::Error> {
    let took_ms = note.took.map(|took| i32::try_from(took.as_millis()).unwrap_or(i32::MAX));
    let attempt = note.attempt.map(|attempt| i32::try_from(attempt).unwrap_or(i32::MAX));
    sqlx::query!(
        "INSERT INTO command_history (command_id, what, happened_at_ms, took_ms, attempt, seen_by, reason, detail, action_id)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &note.command.bytes()[..],
        note.happened.as_str(),
        note.at.0,
        took_ms,
        attempt,
        cut(note.by, MAX_NAME_CHARS),
        note.reason.map(DeadLetterReason::as_str),
        cut(note.detail, MAX_DETAIL_CHARS),
        note.action
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Writes a note if that is possible, within `limit`.
pub async fn try_write(pool: &MySqlPool, limit: Duration, note: &Note<'_>) {
    if let Err(error) = within(limit, write(pool, note)).await {
        tracing::warn!(command = %note.command, happened = note.happened.as_str(), %error, "its history has a gap");
    }
}

fn cut(text: &str, most_chars: usize) -> String {
    text.chars().take(most_chars).collect()
}
