//! Replaying: letters go to the queue `replay`, each once the one before it is on its way, at a bounded rate.
//!
//! ```text
//! hold a queue ─► those that are meant ─► publish to `replay` ─► confirmed ─► ack ┐ up to IN_FLIGHT at once,
//!      ▲                                                                          │ begun in their order
//!      └── give the others back ◄── all done, or HOLD_MAX over, or stopped ◄──────┘
//! ```
//! Interrupted at any moment, a letter lies on its queue, on `replay`, or on both.

use super::{
    Actor, DeadLetters, DlqError, Filter, Letter, Prediction, facts, predict,
    queue::{Held, to_headers},
};
use contracts::{UnixMs, dead_letter::HEADER_ACTION, topology::REPLAY_QUEUE};
use futures_util::{StreamExt, TryStreamExt, stream, stream::FuturesUnordered};
use lapin::types::AMQPValue;
use platform::{
    Shutdown,
    rabbitmq::{Message, Publisher, Subscription},
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::watch, time::Instant};

/// Letters on their way at a time.
const IN_FLIGHT: usize = 64;
/// A queue is held no longer; then what is left goes back, and is taken anew. Well below RabbitMQ's `consumer_timeout`.
const HOLD_MAX: Duration = Duration::from_mins(10);
/// Letters whose facts are read at a time.
const READS_AT_ONCE: usize = 8;
/// The fastest replay.
pub(super) const MOST_PER_S: u32 = 10_000;

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Letters that were found to be meant.
    pub selected: u64,
    /// Of these, how many are on their way.
    pub replayed: u64,
}

/// What a replay came to.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// The action's number.
    pub action: i64,
    /// Letters that were found to be meant.
    pub selected: u64,
    /// Of these, how many are on their way.
    pub replayed: u64,
    /// Whether it was asked to stop before it was done.
    pub is_interrupted: bool,
    /// How long it took.
    pub took_ms: u64,
}

/// What a replay would come to.
#[derive(Clone, Debug, Serialize)]
pub struct DryRun {
    /// By prediction, how many letters.
    pub counts: BTreeMap<String, u64>,
    /// Each letter.
    pub letters: Vec<Predicted>,
    /// So many more were not looked into.
    pub unread: u64,
}

/// One letter's.
#[derive(Clone, Debug, Serialize)]
pub struct Predicted {
    /// Which letter.
    #[serde(serialize_with = "crate::words::text")]
    pub id: super::LetterId,
    /// What was asked.
    pub kind: String,
    /// Why it was set aside.
    pub reason: String,
    /// What a replay would come to.
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// One replay, as it runs.
struct Run<'a> {
    action: i64,
    filter: &'a Filter,
    /// What fails again meanwhile is not taken again.
    began: UnixMs,
    progress: &'a watch::Sender<Progress>,
    stop: &'a Shutdown,
    pace: tokio::time::Interval,
    left: usize,
}

impl DeadLetters {
    /// What a replay of these would come to. Nothing is changed.
    pub async fn dry_run(&self, filter: &Filter) -> Result<DryRun, DlqError> {
        let (letters, unread) = self.look(filter).await?;
        let now = self.clock.now();
        let predicted = stream::iter(letters)
            .map(|letter| async move {
                let facts = facts::read(&self.database, self.limit, &letter).await?;
                let prediction = predict(&letter, &facts, self.partitions, now);
                let Letter { kind, reason, .. } = letter.clone();
                Ok::<_, DlqError>(Predicted { id: letter.id(), kind, reason, prediction })
            })
            .buffered(READS_AT_ONCE);
        let letters: Vec<Predicted> = predicted.try_collect().await?;
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for letter in &letters {
            *counts.entry(letter.prediction.title()).or_default() += 1;
        }
        Ok(DryRun { counts, letters, unread })
    }

    /// Sends letters on their way, at most `per_s` a second, until all are or `stop` is requested.
    pub async fn replay(
        &self,
        filter: &Filter,
        actor: &Actor,
        per_s: u32,
        progress: &watch::Sender<Progress>,
        stop: &Shutdown,
    ) -> Result<Replayed, DlqError> {
        let publisher = self.publisher().await?;
        let started = Instant::now();
        let action = self.begin("replay", actor, filter).await?;
        let pace = tokio::time::interval(Duration::from_secs(1) / per_s.clamp(1, MOST_PER_S));
        let left = filter.at_most.unwrap_or(usize::MAX);
        let mut run = Run { action, filter, began: self.clock.now(), progress, stop, pace, left };
        let result = self.every_role(publisher, &mut run).await;
        let Progress { selected, replayed } = *progress.borrow();
        self.end(action, (selected, replayed), &result).await;
        result?;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Replayed { action, selected, replayed, is_interrupted: stop.is_requested(), took_ms })
    }

    async fn every_role(&self, publisher: &Publisher, run: &mut Run<'_>) -> Result<(), DlqError> {
        let connection = self.connect().await?;
        for role in run.filter.roles() {
            let mut is_first = true;
            while run.left > 0 && !run.stop.is_requested() {
                let Some(mut held) = Held::take(&connection, role).await? else { break };
                let began = run.began;
                // A letter of which nobody knows when it failed may be one that came back: it is taken once.
                let is_due = |letter: &Letter| letter.last_failed_at.map_or(is_first, |at| at < began);
                let (mut meant, others): (Vec<_>, Vec<_>) = std::mem::take(&mut held.letters)
                    .into_iter()
                    .partition(|(_, letter)| run.filter.means(letter) && is_due(letter));
                drop(others);
                meant.truncate(run.left);
                let is_done = meant.is_empty() || held.unread == 0;
                run.progress.send_modify(|progress| progress.selected = progress.replayed + meant.len() as u64);
                run.pace.reset();
                let sent = send(publisher, &held.subscription, meant, run).await;
                held.give_back_the_rest().await?;
                if sent? == Sent::All && is_done {
                    break;
                }
                is_first = false;
            }
        }
        Ok(())
    }
}

/// How far the letters of one hold came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    All,
    /// Time was over, or a stop was asked for.
    Some,
}

/// Sends letters to `replay`, each acked once its copy is confirmed. After an error none is begun any more, and what is on
/// its way is waited for.
async fn send(
    publisher: &Publisher,
    queue: &Subscription,
    letters: Vec<(u64, Letter)>,
    run: &mut Run<'_>,
) -> Result<Sent, DlqError> {
    let until = Instant::now() + HOLD_MAX;
    let mut waiting = letters.into_iter().peekable();
    let mut flying = FuturesUnordered::new();
    let mut failure = None;
    loop {
        let may_begin = waiting.peek().is_some()
            && flying.len() < IN_FLIGHT
            && failure.is_none()
            && !run.stop.is_requested()
            && Instant::now() < until;
        tokio::select! {
            biased;
            Some(done) = flying.next(), if !flying.is_empty() => match done {
                Ok(()) => {
                    run.left = run.left.saturating_sub(1);
                    run.progress.send_modify(|progress| progress.replayed += 1);
                    platform::halt::point("dlq.replayed").await;
                }
                Err(error) => failure = Some(error),
            },
            _ = run.pace.tick(), if may_begin => {
                if let Some((tag, letter)) = waiting.next() {
                    flying.push(send_one(publisher, queue, tag, letter, run.action));
                }
            }
            else => break,
        }
    }
    match failure {
        Some(error) => Err(error),
        None if waiting.peek().is_none() => Ok(Sent::All),
        None => Ok(Sent::Some),
    }
}

async fn send_one(
    publisher: &Publisher,
    queue: &Subscription,
    tag: u64,
    letter: Letter,
    action: i64,
) -> Result<(), DlqError> {
    let mut headers = to_headers(&letter.headers);
    headers.insert(HEADER_ACTION.into(), AMQPValue::LongLongInt(action));
    let message = Message {
        exchange: String::new(),
        routing_key: REPLAY_QUEUE.to_owned(),
        message_id: letter.command.map_or_else(|| letter.key.to_string(), |id| id.to_string()),
        payload: letter.body,
        reply_to: None,
        headers,
        mandatory: true,
    };
    publisher.publish(message).await?;
    Ok(queue.ack(tag).await?)
}
