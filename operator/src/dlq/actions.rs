//! What people did, and why: the table `operator_actions`.

use super::{DlqError, facts::invalid};
use contracts::UnixMs;
use serde::Serialize;
use sqlx::MySqlPool;

/// Longest reason, and longest name.
const MAX_WHY_CHARS: usize = 500;
const MAX_WHO_CHARS: usize = 100;

/// Who acts, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    who: String,
    why: String,
}

impl Actor {
    /// Both are needed.
    ///
    /// # Errors
    /// Which one is missing or too long.
    pub fn new(who: &str, why: &str) -> Result<Self, DlqError> {
        let (who, why) = (who.trim(), why.trim());
        let fits = |text: &str, most: usize| (1..=most).contains(&text.chars().count());
        if !fits(who, MAX_WHO_CHARS) {
            return Err(DlqError::WithoutName);
        }
        if !fits(why, MAX_WHY_CHARS) {
            return Err(DlqError::WithoutReason);
        }
        Ok(Self { who: who.to_owned(), why: why.to_owned() })
    }

    /// Who.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Why.
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// One action, as it is remembered.
#[derive(Clone, Debug, Serialize)]
pub struct Action {
    /// Its number.
    pub id: i64,
    /// replay, edit, discard or restore.
    pub what: String,
    /// Who did it.
    pub who: String,
    /// Why.
    pub why: String,
    /// What it was to act on.
    pub selection: serde_json::Value,
    /// When it began.
    pub begun_at: UnixMs,
    /// When it ended; `None` while it runs, or when it was cut short.
    pub ended_at: Option<UnixMs>,
    /// How many letters it was to act on.
    pub selected: Option<i32>,
    /// On how many it did.
    pub acted_on: Option<i32>,
    /// Why it stopped.
    pub failure: Option<String>,
}

/// Writes down that an action begins; its number.
pub(crate) async fn begin(
    database: &MySqlPool,
    what: &str,
    actor: &Actor,
    selection: &impl Serialize,
    now: UnixMs,
) -> Result<i64, sqlx::Error> {
    let selection = serde_json::to_string(selection).map_err(invalid)?;
    let inserted = sqlx::query!(
        "INSERT INTO operator_actions (what, done_by, why, selection, begun_at_ms) VALUES (?, ?, ?, ?, ?)",
        what,
        actor.who,
        actor.why,
        selection,
        now.0
    )
    .execute(database)
    .await?;
    i64::try_from(inserted.last_insert_id()).map_err(invalid)
}

/// Writes down how it ended.
pub(crate) async fn end(
    database: &MySqlPool,
    action: i64,
    (selected, acted_on): (u64, u64),
    failure: Option<&str>,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let failure: Option<String> = failure.map(|failure| failure.chars().take(MAX_WHY_CHARS).collect());
    let count = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
    sqlx::query!(
        "UPDATE operator_actions SET ended_at_ms = ?, selected = ?, acted_on = ?, failure = ? WHERE action_id = ?",
        now.0,
        count(selected),
        count(acted_on),
        failure,
        action
    )
    .execute(database)
    .await
    .map(drop)
}

/// The latest ones.
pub(crate) async fn latest(database: &MySqlPool, at_most: u32) -> Result<Vec<Action>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT action_id, what, done_by, why, selection, begun_at_ms, ended_at_ms, selected, acted_on, failure
         FROM operator_actions ORDER BY action_id DESC LIMIT ?",
        at_most
    )
    .fetch_all(database)
    .await?;
    let actions = rows.into_iter().map(|row| Action {
        id: row.action_id,
        what: row.what,
        who: row.done_by,
        why: row.why,
        selection: serde_json::from_str(&row.selection).unwrap_or_default(),
        begun_at: UnixMs(row.begun_at_ms),
        ended_at: row.ended_at_ms.map(UnixMs),
        selected: row.selected,
        acted_on: row.acted_on,
        failure: row.failure,
    });
    Ok(actions.collect())
}
