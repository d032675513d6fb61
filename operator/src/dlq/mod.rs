//! Dead letters: listed, shown, replayed, edited, discarded, brought back.
//!
//! ```text
//!                     list, show, dry run: held unacked for a moment, given back
//!                    ┌──┐
//!  dead.bid …  ──────┴──┴──► replay ─► relay ─► where it belongs   (published and confirmed, then acked)
//!      ▲    │ edit: a revision in MySQL, which every later replay carries; then the letter itself
//!      │    └ discard: kept in MySQL, command discarded; then acked ──┐
//!      └──────────────── restore: published, then marked ◄────────────┘
//! ```
//! Promises: a letter is acked only after its copy is safe, so whoever is interrupted leaves it twice rather than not at
//! all, and twice is harmless: the inbox answers the second one. Every action is a row of `operator_actions`, written
//! before it begins. Doesn't: carry commands out, or call Toss; that is the workers' part, by the way a replay takes.

pub(crate) mod actions;
mod discard;
mod edit;
mod facts;
mod letter;
mod predict;
mod queue;
mod replay;
mod select;

pub use actions::{Action, Actor};
pub use discard::{Discarded, Refusal};
pub use edit::{Edited, ReviseError, revise};
pub use letter::{Letter, LetterId, LetterKey};
pub use predict::{ChargeFacts, Facts, LegFacts, Prediction, Row, predict};
pub use queue::HELD_MAX;
pub use replay::{DryRun, Predicted, Progress, Replayed};
pub use select::{Filter, Group, group};

pub(crate) use facts::{invalid, signed, word};

use contracts::{CommandId, CommandState, PartitionCount, UnixMs, topology::Role};
use platform::{
    Clock, Config,
    config::RabbitConfig,
    database::within,
    rabbitmq::{ConsumerError, ConsumingConnection, PublishError, Publisher},
};
use queue::Held;
use serde::Serialize;
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};

/// Why nothing, or no more, could be done.
#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    /// Who acts must say who they are.
    #[error("say who you are, in at most 100 characters: --as NAME")]
    WithoutName,
    /// Who acts must say why.
    #[error("say why, in at most 500 characters: --why REASON")]
    WithoutReason,
    /// Everything was meant, and that was not said.
    #[error("that means every dead letter: name some (see --help), or say --all")]
    Everything,
    /// Nothing is meant.
    #[error(
        "no dead letter is meant by {0}: see `gream dlq list`. It may have been replayed, or be in somebody's hands"
    )]
    NoLetter(String),
    /// Not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not a revision.
    #[error(transparent)]
    Revise(#[from] ReviseError),
    /// Only a suspended command may be edited.
    #[error("command {id} is {}, not suspended: only a suspended command has had no effect", .state.map_or("unknown", CommandState::as_str))]
    NotSuspended {
        /// Which.
        id: CommandId,
        /// Where it stands.
        state: Option<CommandState>,
    },
    /// MySQL.
    #[error("the database cannot be asked: {0}. Check database.url, and that `gream migrate` has run")]
    Database(#[from] sqlx::Error),
    /// Reading from RabbitMQ.
    #[error(
        "the dead letters cannot be read: {0}. What was held goes back to its queue; check rabbitmq.url and try again"
    )]
    Consumer(#[from] ConsumerError),
    /// Publishing to RabbitMQ.
    #[error("a letter could not be published: {0}. It still lies where it was; try again")]
    Publish(#[from] PublishError),
}

/// What there is.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// When it was looked.
    pub taken_at: UnixMs,
    /// By cause, the most frequent first.
    pub groups: Vec<Group>,
    /// How many there are in all groups.
    pub letters: u64,
    /// So many more lay there, and were not looked into: they are beyond [`HELD_MAX`], or in somebody else's hands.
    pub unread: u64,
}

/// One letter, with everything that is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The letter.
    pub letter: Letter,
    /// What a replay would come to.
    pub prediction: Prediction,
    /// Its command's state, as the inbox knows it.
    pub state: Option<CommandState>,
}

/// The dead letters of an installation. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    database: MySqlPool,
    limit: Duration,
    rabbitmq: RabbitConfig,
    publisher: Publisher,
    partitions: PartitionCount,
    clock: Clock,
    name: String,
}

impl DeadLetters {
    /// With a process's own connections; `name` is how it shows in the RabbitMQ page.
    pub fn new(
        config: &Config,
        (database, publisher): (MySqlPool, Publisher),
        partitions: PartitionCount,
        name: &str,
    ) -> Self {
        Self {
            database,
            limit: Duration::from_millis(config.database.statement_timeout_ms),
            rabbitmq: config.rabbitmq.clone(),
            publisher,
            partitions,
            clock: Clock::configured(&config.clock),
            name: name.to_owned(),
        }
    }

    /// What there is, by cause.
    pub async fn list(&self, filter: &Filter) -> Result<Listing, DlqError> {
        let (letters, unread) = self.look(filter).await?;
        let taken_at = self.clock.now();
        let groups = group(&letters, taken_at);
        Ok(Listing { taken_at, groups, letters: letters.len() as u64, unread })
    }

    /// The letters that are meant, and how many lay there unread. They stay where they are.
    pub async fn look(&self, filter: &Filter) -> Result<(Vec<Letter>, u64), DlqError> {
        let connection = self.connect().await?;
        let (mut letters, mut unread) = (Vec::new(), 0);
        for role in filter.roles() {
            let Some(mut held) = Held::take(&connection, role).await? else { continue };
            let found = std::mem::take(&mut held.letters);
            unread += held.unread;
            held.give_back().await?;
            letters.extend(found.into_iter().map(|(_, letter)| letter).filter(|letter| filter.means(letter)));
        }
        letters.truncate(filter.at_most.unwrap_or(usize::MAX));
        Ok((letters, unread))
    }

    /// Every letter that `id` names, and what is known of each.
    pub async fn show(&self, id: LetterId) -> Result<Vec<Shown>, DlqError> {
        let (letters, _) = self.look(&Filter::of(id)).await?;
        if letters.is_empty() {
            return Err(DlqError::NoLetter(id.to_string()));
        }
        let mut shown = Vec::with_capacity(letters.len());
        for letter in letters {
            let facts = facts::read(&self.database, self.limit, &letter).await?;
            let prediction = predict(&letter, &facts, self.partitions, self.clock.now());
            shown.push(Shown { letter, prediction, state: facts.row.map(|row| row.state) });
        }
        Ok(shown)
    }

    /// What people did, the latest first.
    pub async fn actions(&self, at_most: u32) -> Result<Vec<Action>, DlqError> {
        Ok(within(self.limit, actions::latest(&self.database, at_most)).await?)
    }

    async fn connect(&self) -> Result<Arc<ConsumingConnection>, DlqError> {
        Ok(Arc::new(ConsumingConnection::open(&self.rabbitmq, &self.name).await?))
    }

    /// Takes the letters of one command or key into our hands: its role's queue, and which of them they are.
    async fn hold(&self, id: LetterId) -> Result<(Held, Vec<(u64, Letter)>), DlqError> {
        let connection = self.connect().await?;
        for role in Role::ALL {
            let Some(mut held) = Held::take(&connection, role).await? else { continue };
            let (meant, others) = std::mem::take(&mut held.letters).into_iter().partition(|(_, letter)| letter.is(id));
            held.letters = others;
            let meant: Vec<(u64, Letter)> = meant;
            if !meant.is_empty() {
                return Ok((held, meant));
            }
            held.give_back().await?;
        }
        Err(DlqError::NoLetter(id.to_string()))
    }

    /// Waits for the publishing connection, in bounded time.
    async fn publisher(&self) -> Result<&Publisher, DlqError> {
        let limit = Duration::from_millis(self.rabbitmq.connect_timeout_ms.saturating_mul(2));
        match tokio::time::timeout(limit, self.publisher.ready()).await {
            Ok(()) => Ok(&self.publisher),
            Err(_) => Err(PublishError::Away.into()),
        }
    }

    /// Writes down that an action begins; its number.
    async fn begin(&self, what: &str, actor: &Actor, selection: &impl Serialize) -> Result<i64, DlqError> {
        let begun = actions::begin(&self.database, what, actor, selection, self.clock.now());
        Ok(within(self.limit, begun).await?)
    }

    /// Writes down how it ended: on how many letters it was to act, on how many it did.
    async fn end<T>(&self, action: i64, counts: (u64, u64), result: &Result<T, DlqError>) {
        let failure = result.as_ref().err().map(ToString::to_string);
        let end = actions::end(&self.database, action, counts, failure.as_deref(), self.clock.now());
        if let Err(error) = within(self.limit, end).await {
            // What was done is done; the row shows that it began.
            tracing::warn!(action, %error, "the end of an action could not be written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::Shutdown;
    use tokio::sync::watch;

    /// An HTTP handler may await what the command line does: never called, it need only compile.
    #[expect(dead_code, reason = "the compiler is the test")]
    fn every_action_can_be_awaited_on_any_thread(
        letters: &DeadLetters,
        (filter, actor, stop): (&Filter, &Actor, &Shutdown),
        progress: &watch::Sender<Progress>,
    ) {
        fn sent<T: Send>(_: T) {}
        let id = LetterId::Key(LetterKey([0; 8]));
        sent(letters.list(filter));
        sent(letters.show(id));
        sent(letters.dry_run(filter));
        sent(letters.replay(filter, actor, 1, progress, stop));
        sent(letters.discard(filter, actor, progress, stop));
        sent(letters.restore(id, actor));
        sent(letters.edit(CommandId::derived(contracts::UserId(1), "a", "b"), None, &serde_json::Value::Null, actor));
    }

    #[test]
    fn whoever_acts_says_who_and_why() {
        assert!(matches!(Actor::new(" ", "why"), Err(DlqError::WithoutName)));
        assert!(matches!(Actor::new("who", ""), Err(DlqError::WithoutReason)));
        assert!(matches!(Actor::new("who", &"x".repeat(501)), Err(DlqError::WithoutReason)));
        let actor = Actor::new(" who ", "why").unwrap();
        assert_eq!((actor.who(), actor.why()), ("who", "why"));
    }
}
