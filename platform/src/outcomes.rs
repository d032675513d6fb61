//! Outcomes over Redis: from the worker that committed to the API instance that waits. An accelerator only.
//!
//! Promises: publishing never holds a worker up, and a subscriber knows whether it is connected (while it is not, the
//! API asks MySQL instead). Doesn't: promise delivery. The `commands` table is the truth.

use crate::{config::RedisConfig, pause::Pauses, redis_master, shutdown::Shutdown};
use contracts::{
    Outcome,
    outcome::{OutcomeBatch, reply_channel},
};
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// Batches that wait to be sent while Redis is slow; more are dropped, and found in MySQL.
const MAX_WAITING: usize = 1024;
/// A subscriber asks its server this often whether it is there: a peer that vanished without a word is silent like one
/// that has nothing to say.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Sends outcomes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OutcomePublisher(mpsc::Sender<Vec<(String, String)>>);

impl OutcomePublisher {
    /// Starts the task that holds the connection.
    pub fn start(config: RedisConfig) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        metrics::counter!("gream_outcomes_dropped_total").increment(0);
        tokio::spawn(send_all(config, receiver));
        Self(sender)
    }

    /// Hands over the outcomes of one commit, each with the instance that waits for it. Never waits.
    pub fn publish(&self, outcomes: impl IntoIterator<Item = (String, Outcome)>) {
        let mut by_instance: BTreeMap<String, OutcomeBatch> = BTreeMap::new();
        for (instance, outcome) in outcomes {
            by_instance.entry(instance).or_default().push(outcome);
        }
        let messages: Vec<(String, String)> = by_instance
            .into_iter()
            .filter_map(|(instance, batch)| Some((reply_channel(&instance), serde_json::to_string(&batch).ok()?)))
            .collect();
        if !messages.is_empty() && self.0.try_send(messages).is_err() {
            metrics::counter!("gream_outcomes_dropped_total").increment(1);
        }
    }
}

async fn send_all(config: RedisConfig, mut receiver: mpsc::Receiver<Vec<(String, String)>>) {
    let limit = Duration::from_millis(config.timeout_ms);
    let mut connection: Option<MultiplexedConnection> = None;
    let mut pauses = Pauses::new();
    let mut next_try = tokio::time::Instant::now();
    let mut is_away = false;
    loop {
        let messages = tokio::select! {
            messages = receiver.recv() => match messages {
                Some(messages) => messages,
                None => return,
            },
            // Whoever watches learns that Redis is back, though there be no outcome to send.
            () = tokio::time::sleep_until(next_try), if is_away => Vec::new(),
        };
        if connection.is_none() && tokio::time::Instant::now() >= next_try {
            connection = connect(&config, limit).await;
            next_try = tokio::time::Instant::now() + pauses.next_pause();
            is_away = connection.is_none();
            show_link("sends", !is_away);
        }
        if messages.is_empty() {
            continue;
        }
        let Some(open) = connection.as_mut() else {
            metrics::counter!("gream_outcomes_dropped_total").increment(1);
            continue;
        };
        let mut pipe = redis::pipe();
        for (channel, payload) in messages {
            pipe.publish(channel, payload).ignore();
        }
        if let Ok(Ok(())) = tokio::time::timeout(limit, pipe.query_async::<()>(open)).await {
            pauses = Pauses::new();
        } else {
            tracing::warn!("Redis is away; outcomes are found in MySQL meanwhile");
            is_away = true;
            show_link("sends", false);
            metrics::counter!("gream_outcomes_dropped_total").increment(1);
            connection = None;
        }
    }
}

/// Whether this process's link to Redis stands. A link that was never needed is not shown.
fn show_link(link: &'static str, stands: bool) {
    metrics::gauge!("gream_redis_link_up", "link" => link).set(if stands { 1.0 } else { 0.0 });
}

async fn connect(config: &RedisConfig, limit: Duration) -> Option<MultiplexedConnection> {
    let connect = async { redis_master::client(config).await?.get_multiplexed_async_connection().await };
    tokio::time::timeout(limit, connect).await.ok()?.ok()
}

/// Receives the outcomes of one API instance.
#[derive(Debug)]
pub struct OutcomeSubscriber {
    outcomes: mpsc::Receiver<Outcome>,
    connected: Arc<AtomicBool>,
}

impl OutcomeSubscriber {
    /// Starts the task that stays subscribed to the channel of `instance`.
    pub fn start(config: RedisConfig, instance: &str, shutdown: &Shutdown) -> Self {
        let (sender, outcomes) = mpsc::channel(MAX_WAITING);
        let connected = Arc::new(AtomicBool::new(false));
        tokio::spawn(receive_all(config, reply_channel(instance), sender, connected.clone(), shutdown.clone()));
        Self { outcomes, connected }
    }

    /// The next outcome; `None` once the process stops.
    pub async fn next(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }

    /// A flag that says whether outcomes can arrive at the moment.
    pub fn connected(&self) -> Arc<AtomicBool> {
        self.connected.clone()
    }
}

async fn receive_all(
    config: RedisConfig,
    channel: String,
    sender: mpsc::Sender<Outcome>,
    connected: Arc<AtomicBool>,
    shutdown: Shutdown,
) {
    let mut pauses = Pauses::new();
    show_link("receives", false);
    while !shutdown.is_requested() && !sender.is_closed() {
        match receive(&config, &channel, &sender, &connected, &shutdown).await {
            Ok(()) => pauses = Pauses::new(),
            Err(error) => tracing::warn!(%error, "not subscribed to outcomes; asking MySQL meanwhile"),
        }
        show_link("receives", false);
        if connected.swap(false, Ordering::Relaxed) {
            pauses = Pauses::new();
        }
        shutdown.sleep(pauses.next_pause()).await;
    }
}

/// One life of the subscription.
async fn receive(
    config: &RedisConfig,
    channel: &str,
    sender: &mpsc::Sender<Outcome>,
    connected: &AtomicBool,
    shutdown: &Shutdown,
) -> Result<(), redis::RedisError> {
    let limit = Duration::from_millis(config.timeout_ms);
    let subscribe = async {
        let mut pubsub = redis_master::client(config).await?.get_async_pubsub().await?;
        pubsub.subscribe(channel).await?;
        Ok::<_, redis::RedisError>(pubsub)
    };
    let timed_out = || redis::RedisError::from((redis::ErrorKind::Io, "Redis did not answer within redis.timeout_ms"));
    let pubsub = tokio::time::timeout(limit, subscribe).await.map_err(|_| timed_out())??;
    connected.store(true, Ordering::Relaxed);
    show_link("receives", true);
    let (mut questions, mut messages) = pubsub.split();
    let mut ask = tokio::time::interval_at(tokio::time::Instant::now() + ASK_EVERY, ASK_EVERY);
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            _ = ask.tick() => {
                let answer = questions.ping::<redis::Value>();
                tokio::time::timeout(limit, answer).await.map_err(|_| timed_out())??;
                continue;
            }
            () = shutdown.requested() => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        let Ok(batch) = serde_json::from_slice::<OutcomeBatch>(message.get_payload_bytes()) else {
            tracing::warn!("an outcome that this version cannot read; it is found in MySQL");
            continue;
        };
        for outcome in batch {
            if sender.send(outcome).await.is_err() {
                return Ok(());
            }
        }
    }
}
