//! The whole life of a command, or of every command of a bid, an order, a payment, a refund or a user: one timeline each.
//!
//! Promises: read-only, and bounded ([`MAX_COMMANDS`], [`MAX_ROWS`]). Doesn't: know more than MySQL and the dead-letter
//! queues. Of a command without a row it can only say that no worker has met it; attempts that went well leave no note, nor
//! do events that were sent already.

mod life;
mod show;
mod subject;

pub use subject::{Subject, UnknownSubject};

use crate::{
    dlq::{DeadLetters, DlqError, Filter, LetterId},
    words,
};
use contracts::{CommandId, CommandState, UnixMs, UserId};
use platform::database::within;
use serde::Serialize;
use serde_json::Value;
use sqlx::MySqlPool;
use std::time::Duration;

/// Commands of one trace; the latest ones.
pub const MAX_COMMANDS: usize = 50;
/// Rows of each kind that are read for one command.
pub const MAX_ROWS: u32 = 200;

/// A trace.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// Of what.
    #[serde(serialize_with = "words::text")]
    pub subject: Subject,
    /// What it is, in a line or two.
    pub about: Vec<String>,
    /// Its commands, oldest first.
    pub commands: Vec<Life>,
    /// There are more, which are older.
    pub is_cut: bool,
}

/// A command's life.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// Which command.
    pub id: CommandId,
    /// What was asked; `None` while no worker has met it.
    pub kind: Option<String>,
    /// Who asked.
    pub user: Option<UserId>,
    /// Where it stands.
    pub state: CommandState,
    /// The name of its result code, where it has one.
    pub code: Option<&'static str>,
    /// What was answered.
    pub data: Value,
    /// How often it was attempted.
    pub attempts: i16,
    /// When it was accepted, as far as can be told.
    pub accepted_at: Option<UnixMs>,
    /// When its row changed last.
    pub updated_at: Option<UnixMs>,
    /// Where it is now, and what to do about it.
    pub whereabouts: String,
    /// What happened, oldest first.
    pub steps: Vec<Step>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When.
    pub at: UnixMs,
    /// What, in a word or two.
    pub what: String,
    /// More of it.
    pub detail: String,
    /// How long it took.
    pub took_ms: Option<i64>,
    /// Who did it, or saw it.
    pub by: Option<String>,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Nothing of that name.
    #[error("{0} is not known here. A command that was accepted and has no row yet is still on a queue: check its id")]
    Unknown(Subject),
    /// A number that several things have.
    #[error("{number} is the number of several things: say which, as {}", .choices.join(", "))]
    Ambiguous {
        /// The number.
        number: u64,
        /// How to say which.
        choices: Vec<String>,
    },
    /// MySQL.
    #[error("the database cannot be asked: {0}. Check database.url, and that `gream migrate` has run")]
    Database(#[from] sqlx::Error),
    /// RabbitMQ.
    #[error(transparent)]
    DeadLetters(#[from] DlqError),
}

/// Where traces are read from.
#[derive(Clone)]
pub struct Tracer {
    /// MySQL.
    pub database: MySqlPool,
    /// One question may take this long.
    pub limit: Duration,
    /// To look for suspended commands; without it their queue is only named.
    pub dead_letters: Option<DeadLetters>,
    /// The partitions' number.
    pub partitions: contracts::PartitionCount,
}

impl Tracer {
    /// The trace of a subject.
    pub async fn trace(&self, subject: &Subject) -> Result<Trace, TraceError> {
        let found = within(self.limit, subject::find(&self.database, subject)).await?;
        let found = found.into_one()?;
        let mut commands = Vec::new();
        let newest: Vec<CommandId> = found.commands.iter().rev().take(MAX_COMMANDS).copied().collect();
        for id in newest {
            commands.push(within(self.limit, life::read(&self.database, id)).await?);
        }
        commands.sort_by_key(|life: &Life| (life.accepted_at, life.id));
        self.find_suspended(&mut commands).await?;
        let is_cut = found.commands.len() > MAX_COMMANDS;
        Ok(Trace { subject: found.subject, about: found.about, commands, is_cut })
    }

    /// Which of the suspended ones really lie in a dead-letter queue: one look for all of them.
    async fn find_suspended(&self, commands: &mut [Life]) -> Result<(), TraceError> {
        let suspended = |life: &&mut Life| life.state == CommandState::Suspended;
        let ids: Vec<LetterId> = commands.iter_mut().filter(suspended).map(|life| LetterId::Command(life.id)).collect();
        let Some(dead_letters) = self.dead_letters.as_ref().filter(|_| !ids.is_empty()) else { return Ok(()) };
        let (letters, _) = dead_letters.look(&Filter { ids, ..Filter::default() }).await?;
        for life in commands.iter_mut().filter(suspended) {
            let found = letters.iter().find(|letter| letter.command == Some(life.id));
            life.whereabouts = match found {
                Some(letter) => format!(
                    "in dead.{}, for {}: {}. {}",
                    letter.role, letter.reason, letter.error, letter.next
                ),
                None => "suspended, but in no dead-letter queue at this moment: it is in the queue 'replay', on its way back, \
                         or in somebody's hands. If that stays so, run `gream audit`"
                    .to_owned(),
            };
        }
        Ok(())
    }
}
