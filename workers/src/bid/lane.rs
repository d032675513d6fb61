//! A lane: one connection to the broker, one to the database, and every lanes-th partition.
//!
//! It drains what is ready, carries it out, acks, publishes the outcomes, and starts over. Whatever breaks, it lets go of
//! everything (the broker gives the unacked messages to the next one, in order), waits a growing moment, and rebuilds.

use super::{
    BidWorker,
    batch::{self, Rules},
    intake::Taken,
    port::StoreError,
    presence::{self, Share},
    store::Store,
    suspects::Verdict,
};
use contracts::{CommandId, Envelope, Outcome, PartitionCount, PartitionId, topology::bid_queue};
use futures_util::{FutureExt, StreamExt, stream::SelectAll};
use platform::{
    pause::Pauses,
    rabbitmq::{ConsumerError, ConsumingConnection, Delivered, Deliveries, PublishError, Subscription, trace_of},
    traces,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::Instant};

/// How long a lane waits before it subscribes again to a partition that it gave up: others go first.
const STEP_BACK: Duration = Duration::from_secs(3);
/// A paused lane looks this often whether it still is.
const WHILE_PAUSED: Duration = Duration::from_millis(200);
/// A lane with nothing to do looks this often whether its connections still stand.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A lane, with what it is made of.
pub(super) struct Lane {
    pub(super) worker: BidWorker,
    pub(super) number: u16,
    pub(super) partitions: Vec<PartitionId>,
    pub(super) count: PartitionCount,
    pub(super) share: watch::Receiver<Share>,
}

/// Why a lane must be rebuilt.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaneError {
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    #[error("the database is away: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a dead letter could not be published: {0}")]
    DeadLetter(#[from] PublishError),
    #[error("another node of the database takes the writes now")]
    WriterMoved,
}

/// One life of a lane's connections.
pub(super) struct Life<'a> {
    pub(super) store: Store,
    connection: ConsumingConnection,
    subscriptions: BTreeMap<String, (PartitionId, Subscription)>,
    deliveries: SelectAll<Deliveries>,
    /// Partitions that were given up, and when to queue up for them again.
    stepped_back: BTreeMap<PartitionId, Instant>,
    /// Partitions that messages came from: those where the broker made us the active one.
    active: BTreeSet<PartitionId>,
    /// Commands whose attempt was counted when it began, and that have not been settled. Outlives this life: when the
    /// worker does too, these attempts are taken back.
    pub(super) counted: &'a mut Vec<CommandId>,
}

impl Life<'_> {
    /// Whether both connections still stand.
    async fn check(&mut self) -> Result<(), LaneError> {
        self.store.ping().await?;
        if self.connection.is_connected() { Ok(()) } else { Err(ConsumerError::TimedOut("heartbeats").into()) }
    }

    /// While the process still runs: whoever comes next gets what was not begun, in its old order.
    async fn give_up_all(&mut self) -> Result<(), LaneError> {
        for (_, subscription) in std::mem::take(&mut self.subscriptions).values() {
            subscription.close().await?;
        }
        (self.deliveries, self.stepped_back, self.active) = (SelectAll::new(), BTreeMap::new(), BTreeSet::new());
        Ok(())
    }
}

impl Lane {
    /// Runs until shutdown.
    pub(super) async fn run(self) {
        let (mut pauses, mut counted) = (Pauses::new(), Vec::new());
        for counter in ["gream_bid_lane_restarts_total", "gream_bid_batch_contentions_total"] {
            metrics::counter!(counter).increment(0);
        }
        while !self.worker.shutdown.is_requested() {
            let started = Instant::now();
            match self.live(&mut counted).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(lane = self.number, %error, "the lane lets go of everything and reconnects");
                    metrics::counter!("gream_bid_lane_restarts_total").increment(1);
                    if matches!(&error, LaneError::Consumer(error) if error.is_missing_queue()) {
                        self.worker.publisher.declare_again();
                    }
                }
            }
            if started.elapsed() > LOOK_EVERY * 10 {
                pauses = Pauses::new();
            }
            self.worker.shutdown.sleep(pauses.next_pause()).await;
        }
    }

    /// Connects and works until shutdown (`Ok`) or until something breaks.
    async fn live(&self, counted: &mut Vec<CommandId>) -> Result<(), LaneError> {
        let worker = &self.worker;
        // The database first: without it nothing may be taken from a queue.
        let mut store =
            Store::connect(&worker.config.database, &worker.database, &worker.clock, &worker.name, self.number).await?;
        if !counted.is_empty() {
            store.take_back_attempts(counted).await?;
            counted.clear();
        }
        tokio::select! {
            () = worker.publisher.ready() => (),
            () = worker.shutdown.requested() => return Ok(()),
        }
        let name = format!("{} lane {}", worker.name, self.number);
        let connection = ConsumingConnection::open(&worker.config.rabbitmq, &name).await?;
        let mut life = Life {
            store,
            connection,
            subscriptions: BTreeMap::new(),
            deliveries: SelectAll::new(),
            stepped_back: BTreeMap::new(),
            active: BTreeSet::new(),
            counted,
        };
        while self.may_take(&mut life).await? {
            for partition in &self.partitions {
                self.subscribe(&mut life, *partition).await?;
            }
            tracing::info!(lane = self.number, partitions = self.partitions.len(), "the lane is up");
            while let Some(taken) = self.take(&mut life).await? {
                self.settle(&mut life, taken).await?;
                self.keep_to_share(&mut life).await?;
                if !life.store.is_with(&worker.database) {
                    return Err(LaneError::WriterMoved);
                }
            }
            life.give_up_all().await?;
        }
        Ok(())
    }

    /// Waits while the role is paused; whether there is anything to take then, or it is time to stop.
    async fn may_take(&self, life: &mut Life<'_>) -> Result<bool, LaneError> {
        while self.worker.limits.is_paused() && self.worker.shutdown.sleep(WHILE_PAUSED).await {
            life.check().await?;
        }
        Ok(!self.worker.shutdown.is_requested())
    }

    async fn subscribe(&self, life: &mut Life<'_>, partition: PartitionId) -> Result<(), LaneError> {
        let queue = bid_queue(partition);
        let (subscription, deliveries) =
            life.connection.subscribe(&queue, self.worker.config.bid_worker.prefetch).await?;
        life.subscriptions.insert(queue, (partition, subscription));
        life.deliveries.push(deliveries);
        Ok(())
    }

    /// The next batch (perhaps empty, after a look at the connections); `None` when it is time to stop, or to pause.
    async fn take(&self, life: &mut Life<'_>) -> Result<Option<Vec<Taken>>, LaneError> {
        if self.worker.limits.is_paused() {
            return Ok(None);
        }
        let first = tokio::select! {
            biased;
            () = self.worker.shutdown.requested() => return Ok(None),
            next = life.deliveries.next() => next,
            () = tokio::time::sleep(LOOK_EVERY) => {
                life.check().await?;
                return Ok(Some(Vec::new()));
            }
        };
        let mut batch = Vec::new();
        self.add(life, &mut batch, first)?;
        let config = &self.worker.config.bid_worker;
        let linger = tokio::time::sleep(Duration::from_millis(config.linger_ms));
        tokio::pin!(linger);
        let batch_max = self.batch_max();
        while batch.len() < batch_max {
            let next = if let Some(ready) = life.deliveries.next().now_or_never() {
                ready
            } else {
                tokio::select! { next = life.deliveries.next() => next, () = &mut linger => break }
            };
            self.add(life, &mut batch, next)?;
        }
        metrics::histogram!("gream_bid_batch_items").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        Ok(Some(batch))
    }

    fn batch_max(&self) -> usize {
        let configured = u32::try_from(self.worker.config.bid_worker.batch_max).unwrap_or(u32::MAX);
        usize::try_from(self.worker.limits.batch_max(configured)).unwrap_or(usize::MAX)
    }

    fn add(
        &self,
        life: &mut Life<'_>,
        batch: &mut Vec<Taken>,
        next: Option<Result<Delivered, ConsumerError>>,
    ) -> Result<(), LaneError> {
        match next {
            // Deliveries that were on their way when their partition was given up go back with its channel.
            Some(Ok(delivered)) => {
                let current = life.subscriptions.get(&*delivered.queue);
                if let Some((partition, _)) = current.filter(|(_, subscription)| subscription.is_of(&delivered.queue)) {
                    life.active.insert(*partition);
                    batch.push(Taken::read(delivered, self.count));
                }
                Ok(())
            }
            // The end of a channel that we closed ourselves.
            Some(Err(ConsumerError::Ended(queue)))
                if !life.subscriptions.get(&*queue).is_some_and(|(_, subscription)| subscription.is_of(&queue)) =>
            {
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(ConsumerError::Ended("every queue".into()).into()),
        }
    }

    /// Carries a batch out and acks it.
    async fn settle(&self, life: &mut Life<'_>, taken: Vec<Taken>) -> Result<(), LaneError> {
        let mut answers: Vec<(String, Outcome)> = Vec::new();
        // Repeated messages run alone; the others together, in the order in which they came.
        for run in taken.chunk_by(|a, b| !a.is_repeated() && !b.is_repeated()) {
            self.settle_run(life, run, &mut answers).await?;
            life.counted.clear();
        }
        let mut last_tags: BTreeMap<&str, u64> = BTreeMap::new();
        for one in &taken {
            last_tags.insert(&one.delivered.queue, one.delivered.delivery.delivery_tag);
        }
        platform::halt::point("bid.before_ack").await;
        for (queue, tag) in last_tags {
            if let Some((_, subscription)) = life.subscriptions.get(queue) {
                subscription.ack_through(tag).await?;
            }
        }
        platform::halt::point("bid.acked").await;
        self.worker.outcomes.publish(answers);
        Ok(())
    }

    /// A run of messages that may share a transaction: those that are no commands are set aside, the others carried
    /// out.
    async fn settle_run(
        &self,
        life: &mut Life<'_>,
        run: &[Taken],
        answers: &mut Vec<(String, Outcome)>,
    ) -> Result<(), LaneError> {
        let mut commands: Vec<(&Taken, &Envelope)> = Vec::new();
        for taken in run {
            match &taken.content {
                Ok(envelope) if taken.is_suspicious() && !self.may_begin(life, taken, envelope).await? => (),
                Ok(envelope) => commands.push((taken, envelope)),
                Err((reason, error)) => {
                    let verdict = Verdict { reason: *reason, error: error.to_string(), attempts: 1, counted: 0 };
                    self.set_aside(life, taken, None, verdict).await?;
                }
            }
        }
        // Halves that are still to be done, the next one last.
        let mut waiting: Vec<&[(&Taken, &Envelope)]> = vec![&commands];
        while let Some(part) = waiting.pop() {
            if part.is_empty() {
                continue;
            }
            let started = Instant::now();
            match self.carry_out(life, part).await {
                Ok(outcomes) => {
                    let told = part.iter().zip(outcomes);
                    answers
                        .extend(told.filter_map(|((taken, _), outcome)| Some((taken.reply_to()?.to_owned(), outcome))));
                }
                Err(error @ (StoreError::Away(_) | StoreError::Contention { .. })) => return Err(error.into()),
                Err(StoreError::Defect(error)) if part.len() > 1 => {
                    tracing::warn!(
                        error,
                        commands = part.len(),
                        "a batch failed; halving it until the guilty one stands alone"
                    );
                    let (first, second) = part.split_at(part.len() / 2);
                    waiting.push(second);
                    waiting.push(first);
                }
                Err(StoreError::Defect(error)) => {
                    self.note_failure(part[0].1, 1, &error, started).await;
                    self.attempt_alone(life, part[0], error, answers).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn carry_out(
        &self,
        life: &mut Life<'_>,
        part: &[(&Taken, &Envelope)],
    ) -> Result<Vec<Outcome>, StoreError> {
        let envelopes: Vec<&Envelope> = part.iter().map(|(_, envelope)| *envelope).collect();
        let rules = Rules {
            limits: self.worker.market_limits(),
            partitions: self.count,
            silent_after_ms: presence::silent_after_ms(&self.worker.config),
        };
        let (started, began) = (Instant::now(), SystemTime::now());
        let result = batch::carry_out(&mut life.store, &rules, &envelopes).await;
        metrics::histogram!("gream_bid_batch_seconds").record(started.elapsed().as_secs_f64());
        if let Ok(outcomes) = &result {
            for (envelope, outcome) in envelopes.iter().zip(outcomes) {
                metrics::counter!("gream_commands_total", "kind" => envelope.command.kind().as_str(),
                    "state" => outcome.state.as_str(), "code" => outcome.code.name())
                .increment(1);
            }
            record_traces(part, began);
        }
        result
    }

    /// Gives up active partitions of others' shares, and queues up again for those given up a while ago.
    async fn keep_to_share(&self, life: &mut Life<'_>) -> Result<(), LaneError> {
        let share = *self.share.borrow();
        let surplus: Vec<PartitionId> =
            life.active.iter().copied().filter(|partition| !share.contains(*partition, self.count)).collect();
        for partition in surplus {
            life.active.remove(&partition);
            if let Some((_, subscription)) = life.subscriptions.remove(&bid_queue(partition)) {
                tracing::info!(%partition, "giving the partition up to the worker whose share it is");
                subscription.close().await?;
                life.stepped_back.insert(partition, Instant::now() + STEP_BACK);
            }
        }
        let now = Instant::now();
        let due: Vec<PartitionId> =
            life.stepped_back.iter().filter(|(_, at)| **at <= now).map(|(partition, _)| *partition).collect();
        for partition in due {
            life.stepped_back.remove(&partition);
            self.subscribe(life, partition).await?;
        }
        Ok(())
    }
}

/// A batch is a part of many traces: each command that is in one shows it there.
fn record_traces(part: &[(&Taken, &Envelope)], began: SystemTime) {
    if !traces::are_sent() {
        return;
    }
    for (taken, envelope) in part {
        if let Some(trace) = trace_of(&taken.delivered.delivery) {
            traces::record(&trace, envelope.command.kind().as_str(), began, &[("batch.commands", part.len())]);
        }
    }
}
