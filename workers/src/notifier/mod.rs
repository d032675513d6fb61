//! The notifier: events become users' notifications.
//!
//! Promises: each event becomes one notification of each user whom it concerns, numbered without gaps per user, before it
//! is acked; repeats of an event change nothing. MySQL is the truth; then the user's stream in Redis is told, if it is
//! there. Doesn't: promise the order of events (the outbox does not either); the payload says when each happened.

mod store;

use contracts::{
    DeadLetterReason,
    event::Caused,
    topology::{NOTIFIER_QUEUE, Role},
};
use futures_util::{FutureExt, StreamExt};
use platform::{
    Clock, Config, Shutdown,
    database::{Trouble, trouble},
    pause::Pauses,
    rabbitmq::{
        ConsumerError, ConsumingConnection, Delivered, Deliveries, Failure, PublishError, Publisher, Subscription,
    },
    role_limits::TurnedLimits,
    user_streams::UserStreams,
};
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};
use store::Note;

/// Unacked events at a time: two batches, so that one waits while the other is booked.
const BATCHES_AT_HAND: usize = 2;
/// A notifier with nothing to do looks this often whether its connection still stands.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Failures of one event, alone, before it becomes a dead letter.
const MAX_ATTEMPTS: u32 = 3;

/// What the notifier needs.
pub struct Notifier {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// Where notifications are kept.
    pub database: MySqlPool,
    /// Where dead letters go.
    pub publisher: Publisher,
    /// What operators have turned.
    pub limits: TurnedLimits,
    /// When to stop.
    pub shutdown: Shutdown,
    /// This process, as it shows in the RabbitMQ page.
    pub name: String,
}

#[derive(Debug, thiserror::Error)]
enum NotifierError {
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error("a dead letter could not be published: {0}")]
    Publish(#[from] PublishError),
    #[error("notifications could not be written: {0}")]
    Database(#[from] sqlx::Error),
}

impl Notifier {
    /// Runs until shutdown.
    pub async fn run(self) {
        let streams = UserStreams::new(self.config.redis.clone(), self.database.clone());
        let mut pauses = Pauses::new();
        while !self.shutdown.is_requested() {
            match self.live(&streams, &mut pauses).await {
                // Paused, or time to stop.
                Ok(()) => continue,
                Err(error) => {
                    tracing::warn!(%error, "notifications wait; trying again");
                    if matches!(&error, NotifierError::Consumer(error) if error.is_missing_queue()) {
                        self.publisher.declare_again();
                    }
                }
            }
            self.shutdown.sleep(pauses.next_pause()).await;
        }
    }

    /// One life of the consumer.
    async fn live(&self, streams: &UserStreams, pauses: &mut Pauses) -> Result<(), NotifierError> {
        tokio::select! {
            () = self.publisher.ready() => (),
            () = self.shutdown.requested() => return Ok(()),
        }
        while self.limits.is_paused() {
            if !self.shutdown.sleep(LOOK_EVERY).await {
                return Ok(());
            }
        }
        let connection = ConsumingConnection::open(&self.config.rabbitmq, &format!("{} notifier", self.name)).await?;
        let configured = u32::try_from(self.config.notifications.batch_max).unwrap_or(u32::MAX);
        let batch_max = usize::try_from(self.limits.batch_max(configured)).unwrap_or(usize::MAX);
        let prefetch = u16::try_from(batch_max * BATCHES_AT_HAND).unwrap_or(u16::MAX);
        let (subscription, mut deliveries) = connection.subscribe(NOTIFIER_QUEUE, prefetch).await?;
        let turned = self.limits.now();
        // A turned limit begins a new life.
        while self.limits.now() == turned {
            let first = tokio::select! {
                () = self.shutdown.requested() => break,
                first = deliveries.next() => first,
                () = tokio::time::sleep(LOOK_EVERY) => {
                    if connection.is_connected() { continue }
                    return Err(ConsumerError::TimedOut("heartbeats").into());
                }
            };
            let Some(first) = first else { return Err(ConsumerError::Ended(NOTIFIER_QUEUE.into()).into()) };
            let batch = ready(first?, &mut deliveries, batch_max);
            self.carry_out(streams, &subscription, &batch).await?;
            *pauses = Pauses::new();
        }
        Ok(subscription.close().await?)
    }

    /// Books a batch, tells Redis, and acks.
    async fn carry_out(
        &self,
        streams: &UserStreams,
        subscription: &Subscription,
        batch: &[Delivered],
    ) -> Result<(), NotifierError> {
        let mut notes = Vec::with_capacity(batch.len());
        for delivered in batch {
            match serde_json::from_slice::<Caused>(&delivered.delivery.data) {
                Ok(caused) => notes.push((delivered, Note::of(&caused.event, &delivered.delivery.data))),
                Err(error) => self.set_aside(delivered, DeadLetterReason::Undecodable, error.to_string(), 1).await?,
            }
        }
        let together: Vec<Note> = notes.iter().map(|(_, note)| note.clone()).collect();
        match self.book(streams, &together).await {
            Ok(()) => (),
            // One of them is to blame: each alone.
            Err(error) if trouble(&error) == Trouble::Defect => {
                for (delivered, note) in &notes {
                    self.book_alone(streams, delivered, note).await?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(last) = batch.last() {
            subscription.ack_through(last.delivery.delivery_tag).await?;
        }
        Ok(())
    }

    async fn book_alone(&self, streams: &UserStreams, delivered: &Delivered, note: &Note) -> Result<(), NotifierError> {
        let mut attempts = 1;
        loop {
            match self.book(streams, std::slice::from_ref(note)).await {
                Ok(()) => return Ok(()),
                Err(error) if trouble(&error) != Trouble::Defect => return Err(error.into()),
                Err(error) if attempts >= MAX_ATTEMPTS => {
                    let reason = DeadLetterReason::OutOfAttempts;
                    return Ok(self.set_aside(delivered, reason, error.to_string(), attempts).await?);
                }
                Err(_) => attempts += 1,
            }
        }
    }

    async fn book(&self, streams: &UserStreams, notes: &[Note]) -> Result<(), sqlx::Error> {
        let limit = Duration::from_millis(self.config.database.statement_timeout_ms);
        let booked = store::book(&self.database, limit, self.clock.now(), notes).await?;
        platform::halt::point("notifier.committed").await;
        metrics::counter!("gream_notifications_total").increment(booked.fresh);
        let settings = &self.config.notifications;
        let kept = Duration::from_secs(settings.stream_kept_s);
        if !booked.entries.is_empty() {
            // Whoever reads finds in MySQL what Redis does not have.
            streams.append(&booked.entries, settings.stream_length_max, kept).await;
        }
        Ok(())
    }

    async fn set_aside(
        &self,
        delivered: &Delivered,
        reason: DeadLetterReason,
        error: String,
        attempts: u32,
    ) -> Result<(), PublishError> {
        let failure = Failure { reason, error, attempts, at: self.clock.now(), command: None };
        self.publisher.dead_letter(Role::Notifier, NOTIFIER_QUEUE, &delivered.delivery, &failure).await
    }
}

/// What is there already, behind the first.
fn ready(first: Delivered, deliveries: &mut Deliveries, batch_max: usize) -> Vec<Delivered> {
    let mut batch = vec![first];
    while batch.len() < batch_max {
        // An error comes again: it is the stream's last item, and acks fail on a channel that ended.
        let Some(Some(Ok(delivered))) = deliveries.next().now_or_never() else { break };
        batch.push(delivered);
    }
    batch
}
