//! Taking messages: one connection, at most `prefetch` commands at once (or what operators have turned that to), none
//! while the role is paused or the gate to Toss is shut.
//!
//! When the gate has opened again, a crew whose commands all call Toss begins with one at a time, takes many more
//! messages than that, and carries those out first whose deadline is nearest. Nearest of what it has taken: a queue of
//! RabbitMQ's cannot be sorted, so an urgent command behind a longer backlog than all crews' windows together waits
//! until they have come to it. Commands wait on the queue in the order in which they were accepted, which is nearly the
//! order of their deadlines; what came back over the retry ladder is what the window is for.
//!
//! Whatever breaks, the crew lets go of everything (the broker gives the unacked messages to the next one), waits a
//! growing moment, and rebuilds; the database first, for without it nothing may be taken.

use super::{CarryOut, Crew, Fault, settle::Arrived};
use contracts::UnixMs;
use futures_util::StreamExt;
use platform::{
    database,
    pause::Pauses,
    rabbitmq::{ConsumerError, ConsumingConnection, Delivered, Deliveries, PublishError, Subscription},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// A crew with nothing to do looks this often at its connections and at the gate.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One that is paused, or waits for the gate to open, looks this often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// After an outage so many times `prefetch` are taken, to find the nearest deadlines among them.
const DEADLINE_WINDOW: u16 = 16;
/// How long messages are gathered before the first of them is chosen.
const GATHER: Duration = Duration::from_millis(200);
/// What commands in hand get, beyond a call's own limits, when a life ends.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// Why everything is let go of.
#[derive(Debug, thiserror::Error)]
pub(super) enum LifeError {
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error("the database is away: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database does not answer")]
    DatabaseSilent,
    #[error("a message could not be published: {0}")]
    Publish(#[from] PublishError),
    #[error("a task broke: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Messages that were taken and not begun, nearest deadline first. The tag tells those of one instant apart.
type Waiting = BTreeMap<(UnixMs, u64), Arrived>;

/// Commands under way.
type InHand = JoinSet<Result<(), LifeError>>;

/// How many messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    /// No more than are carried out at once: whatever else there is may go to other crews.
    Narrow,
    /// Many more.
    Wide,
}

/// Why a subscription was left.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Shutdown,
    /// The gate has moved, or a limit was turned.
    LookAgain,
}

impl<H: CarryOut> Crew<H> {
    /// Runs until shutdown.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::select! {
            () = self.work() => (),
            () = self.gate.watch() => (),
        }
    }

    async fn work(self: &Arc<Self>) {
        let role = H::ROLE.as_str();
        metrics::counter!("gream_crew_restarts_total", "role" => role).increment(0);
        for step_ms in &self.ladder_ms {
            metrics::counter!("gream_retries_total", "role" => role, "step_ms" => step_ms.to_string()).increment(0);
        }
        let mut pauses = Pauses::new();
        while !self.foundation.shutdown.is_requested() {
            let started = Instant::now();
            match self.live().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(role, %error, "the crew lets go of everything and reconnects");
                    metrics::counter!("gream_crew_restarts_total", "role" => role).increment(1);
                    if matches!(&error, LifeError::Consumer(error) if error.is_missing_queue()) {
                        self.foundation.publisher.declare_again();
                    }
                }
            }
            if started.elapsed() > LOOK_EVERY * 10 {
                pauses = Pauses::new();
            }
            self.foundation.shutdown.sleep(pauses.next_pause()).await;
        }
    }

    /// Connects and works until shutdown (`Ok`) or until something breaks.
    async fn live(self: &Arc<Self>) -> Result<(), LifeError> {
        let foundation = &self.foundation;
        if !database::is_ready(&foundation.database).await {
            return Err(LifeError::DatabaseSilent);
        }
        tokio::select! {
            () = foundation.publisher.ready() => (),
            () = foundation.shutdown.requested() => return Ok(()),
        }
        let name = format!("{} {}", foundation.name, H::ROLE);
        let connection = ConsumingConnection::open(&foundation.config.rabbitmq, &name).await?;
        tracing::info!(role = H::ROLE.as_str(), "the crew is up");
        // What others have found out holds for this crew too.
        self.gate.look().await;
        loop {
            if foundation.limits.is_paused() || (H::STOPS_WITH_TOSS && !self.gate.is_open()) {
                if !foundation.shutdown.sleep(LOOK_AGAIN_AFTER).await {
                    return Ok(());
                }
                if !connection.is_connected() {
                    return Err(ConsumerError::TimedOut("heartbeats").into());
                }
            } else if self.consume(&connection).await? == Left::Shutdown {
                return Ok(());
            }
        }
    }

    /// Takes messages until there is a reason to stop; then waits for those in hand, and closes the channel, which gives
    /// back what was sent here but not begun.
    async fn consume(self: &Arc<Self>, connection: &ConsumingConnection) -> Result<Left, LifeError> {
        let limits = self.foundation.limits.now();
        let at_once = self.foundation.limits.concurrency(self.foundation.config.payment_worker.prefetch);
        self.gate.reach(usize::from(at_once));
        let window = if H::STOPS_WITH_TOSS && self.gate.is_ramping() { Window::Wide } else { Window::Narrow };
        let taken = match window {
            Window::Narrow => at_once,
            Window::Wide => at_once.saturating_mul(DEADLINE_WINDOW),
        };
        let (subscription, mut deliveries) = connection.subscribe(H::ROLE.as_str(), taken).await?;
        let subscription = Arc::new(subscription);
        let mut waiting = Waiting::new();
        if window == Window::Wide {
            gather::<H>(&mut deliveries, &mut waiting).await?;
        }
        let mut in_hand = InHand::new();
        let left = loop {
            self.begin_nearest(&mut waiting, &mut in_hand, &subscription, usize::from(at_once));
            // Once everything goes at its usual pace, what was taken is done in its order, and the rest given back.
            let is_done = window == Window::Wide && !self.gate.is_ramping();
            if is_done && waiting.is_empty() && in_hand.is_empty() {
                break Ok(Left::LookAgain);
            }
            tokio::select! {
                biased;
                () = self.foundation.shutdown.requested() => break Ok(Left::Shutdown),
                Some(done) = in_hand.join_next() => {
                    if let Err(error) = flat(done) {
                        break Err(error);
                    }
                }
                next = deliveries.next(), if !is_done && waiting.len() < usize::from(taken) => match delivered(next) {
                    Ok(delivered) => wait::<H>(&mut waiting, delivered),
                    Err(error) => break Err(error),
                },
                () = tokio::time::sleep(LOOK_EVERY) => {
                    if !connection.is_connected() {
                        break Err(ConsumerError::TimedOut("heartbeats").into());
                    }
                }
            }
            if H::STOPS_WITH_TOSS && !self.gate.is_open() {
                tracing::warn!(role = H::ROLE.as_str(), "nothing more is taken until Toss is back");
                break Ok(Left::LookAgain);
            }
            if self.foundation.limits.now() != limits {
                break Ok(Left::LookAgain);
            }
        };
        let left = self.drain(&mut in_hand, left).await?;
        subscription.close().await?;
        Ok(left)
    }

    /// Begins as many of those that wait as may be under way, nearest deadline first.
    fn begin_nearest(
        self: &Arc<Self>,
        waiting: &mut Waiting,
        in_hand: &mut InHand,
        subscription: &Arc<Subscription>,
        at_once: usize,
    ) {
        let most = if H::STOPS_WITH_TOSS { self.gate.allowed().min(at_once) } else { at_once };
        while in_hand.len() < most
            && let Some((_, arrived)) = waiting.pop_first()
        {
            let (crew, subscription) = (self.clone(), subscription.clone());
            in_hand.spawn(async move { crew.handle(arrived, &subscription).await });
        }
    }

    /// Lets the commands in hand finish. The first error counts.
    async fn drain(&self, in_hand: &mut InHand, mut left: Result<Left, LifeError>) -> Result<Left, LifeError> {
        let toss = &self.foundation.config.toss;
        let limit = Duration::from_millis(toss.connect_timeout_ms.saturating_add(toss.read_timeout_ms)) + DRAIN_SLACK;
        let drained = tokio::time::timeout(limit, async {
            while let Some(done) = in_hand.join_next().await {
                if let (Ok(_), Err(error)) = (&left, flat(done)) {
                    left = Err(error);
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(commands = in_hand.len(), "commands in hand did not end in time; they are delivered again");
        }
        left
    }
}

fn flat(done: Result<Result<(), LifeError>, tokio::task::JoinError>) -> Result<(), LifeError> {
    done?
}

fn delivered(next: Option<Result<Delivered, ConsumerError>>) -> Result<Delivered, LifeError> {
    match next {
        Some(delivered) => Ok(delivered?),
        None => Err(ConsumerError::Ended("the crew's".into()).into()),
    }
}

/// What is there at once.
async fn gather<H: CarryOut>(deliveries: &mut Deliveries, waiting: &mut Waiting) -> Result<(), LifeError> {
    let end = Instant::now() + GATHER;
    while let Ok(next) = tokio::time::timeout_at(end, deliveries.next()).await {
        wait::<H>(waiting, delivered(next)?);
    }
    Ok(())
}

fn wait<H: CarryOut>(waiting: &mut Waiting, delivered: Delivered) {
    let arrived = Arrived::read(delivered, H::ROLE);
    // What cannot be read is set aside at once.
    let deadline = arrived.content.as_ref().map_or(UnixMs(0), H::deadline);
    waiting.insert((deadline, arrived.delivery.delivery_tag), arrived);
}
