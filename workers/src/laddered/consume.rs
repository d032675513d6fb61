//! Taking messages: one connection, at most `prefetch` commands at once, none while the gate to Toss is shut.
//!
//! Whatever breaks, the crew lets go of everything (the broker gives the unacked messages to the next one), waits a
//! growing moment, and rebuilds; the database first, for without it nothing may be taken.

use super::{CarryOut, Crew, Fault};
use futures_util::StreamExt;
use platform::{
    database,
    pause::Pauses,
    rabbitmq::{ConsumerError, ConsumingConnection, Delivered, PublishError},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// A crew with nothing to do looks this often at its connections and at the gate.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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

/// How much is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appetite {
    /// Up to `prefetch` at once.
    Full,
    /// One, to see whether Toss is back.
    OneProbe,
}

/// Why a subscription was left.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Shutdown,
    /// The gate has moved, or the one probe is done.
    LookAgain,
}

impl<H: CarryOut> Crew<H> {
    /// Runs until shutdown.
    pub(crate) async fn run(self: Arc<Self>) {
        let role = H::ROLE.as_str();
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
        loop {
            let appetite = if !H::STOPS_WITH_TOSS || self.gate.is_open() {
                Appetite::Full
            } else if let shut_for_ms @ 1.. = self.gate.shut_for_ms() {
                let pause = LOOK_EVERY.min(Duration::from_millis(shut_for_ms.unsigned_abs()));
                if !foundation.shutdown.sleep(pause).await {
                    return Ok(());
                }
                if !connection.is_connected() {
                    return Err(ConsumerError::TimedOut("heartbeats").into());
                }
                continue;
            } else {
                Appetite::OneProbe
            };
            if self.consume(&connection, appetite).await? == Left::Shutdown {
                return Ok(());
            }
        }
    }

    /// Takes messages until there is a reason to stop; then waits for those in hand, and closes the channel, which gives
    /// back what was sent here but not begun.
    async fn consume(
        self: &Arc<Self>,
        connection: &ConsumingConnection,
        appetite: Appetite,
    ) -> Result<Left, LifeError> {
        let prefetch = match appetite {
            Appetite::Full => self.foundation.config.payment_worker.prefetch,
            Appetite::OneProbe => 1,
        };
        let (subscription, mut deliveries) = connection.subscribe(H::ROLE.as_str(), prefetch).await?;
        let subscription = Arc::new(subscription);
        let mut in_hand: JoinSet<Result<(), LifeError>> = JoinSet::new();
        let left = loop {
            tokio::select! {
                biased;
                () = self.foundation.shutdown.requested() => break Ok(Left::Shutdown),
                Some(done) = in_hand.join_next() => {
                    if let Err(error) = flat(done) {
                        break Err(error);
                    }
                    if appetite == Appetite::OneProbe {
                        break Ok(Left::LookAgain);
                    }
                }
                next = deliveries.next(), if in_hand.len() < usize::from(prefetch) => match delivered(next) {
                    Ok(delivered) => {
                        let (crew, subscription) = (self.clone(), subscription.clone());
                        in_hand.spawn(async move { crew.handle(delivered, &subscription).await });
                    }
                    Err(error) => break Err(error),
                },
                () = tokio::time::sleep(LOOK_EVERY) => {
                    if !connection.is_connected() {
                        break Err(ConsumerError::TimedOut("heartbeats").into());
                    }
                }
            }
            if H::STOPS_WITH_TOSS && appetite == Appetite::Full && !self.gate.is_open() {
                tracing::warn!(role = H::ROLE.as_str(), "nothing more is taken until Toss is back");
                break Ok(Left::LookAgain);
            }
        };
        let left = self.drain(&mut in_hand, left).await?;
        subscription.close().await?;
        Ok(left)
    }

    /// Lets the commands in hand finish. The first error counts.
    async fn drain(
        &self,
        in_hand: &mut JoinSet<Result<(), LifeError>>,
        mut left: Result<Left, LifeError>,
    ) -> Result<Left, LifeError> {
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
