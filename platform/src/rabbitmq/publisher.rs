//! Publishing: persistent, mandatory, confirmed; on a connection that only publishes.
//!
//! Each channel carries one mandatory message at a time. Pipelined on one channel, lapin pairs returned messages with
//! the wrong confirms (facts-stack.md), and an unroutable command would look accepted.

use crate::{config::RabbitConfig, pause::Pauses, shutdown::Shutdown};
use contracts::topology::Topology;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// `delivery_mode`: survives a broker's restart.
const PERSISTENT: u8 = 2;

/// What is published.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The exchange; empty for the default one.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The body.
    pub payload: Vec<u8>,
    /// The command or event id.
    pub message_id: String,
    /// The API instance that waits for the outcome.
    pub reply_to: Option<String>,
    /// Headers.
    pub headers: FieldTable,
    /// Whether it is an error when no queue takes it. Commands: yes. Events: nobody may be listening.
    pub mandatory: bool,
}

impl Message {
    /// Adds a header of text.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.into(), AMQPValue::LongString(value.into()));
        self
    }
}

/// Why a message may not be on a queue.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection at the moment; it is being rebuilt.
    #[error("the broker is away; it is being reconnected to")]
    Away,
    /// The broker asked publishers to stop (memory or disk alarm).
    #[error("the broker has blocked publishers (memory or disk alarm)")]
    Blocked,
    /// Every channel stayed busy.
    #[error("every publishing channel stayed busy for the whole publish_timeout_ms")]
    Busy,
    /// The broker refused it: the queue is full.
    #[error("the broker refused the message: its queue is full")]
    Refused,
    /// No queue is bound to this key.
    #[error("no queue takes {exchange:?} / {routing_key:?}: declare the topology")]
    Unroutable {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// No confirm in time, or the connection broke while waiting: it may or may not be on a queue.
    #[error("the outcome of the publish is unknown: {0}")]
    Unknown(String),
}

/// Publishes on a supervised connection. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    link: watch::Receiver<Option<Arc<Link>>>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

/// One life of the publishing connection.
struct Link {
    connection: Connection,
    idle: Mutex<Vec<Channel>>,
    blocked: AtomicBool,
}

impl Publisher {
    /// Starts the supervisor, which connects, declares the topology, and does so again whenever the connection is lost.
    pub fn start(config: RabbitConfig, topology: Topology, name: String, shutdown: &Shutdown) -> Self {
        let (sender, link) = watch::channel(None);
        let permits = Arc::new(Semaphore::new(config.publish_channels));
        let timeout = Duration::from_millis(config.publish_timeout_ms);
        let task = supervise(config, topology, format!("{name} publisher"), sender, shutdown.clone());
        // Not waited for at shutdown: others still publish while they finish.
        tokio::spawn(task);
        Self { link, permits, timeout }
    }

    /// Whether a publish would be tried at all.
    pub fn is_ready(&self) -> bool {
        self.link.borrow().as_ref().is_some_and(|link| !link.blocked.load(Ordering::Relaxed))
    }

    /// Waits until there is a connection with a declared topology.
    pub async fn ready(&self) {
        let mut link = self.link.clone();
        // The sender lives as long as the process; should it be gone, nothing will ever be ready.
        if link.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Publishes, and waits for the broker's confirm.
    pub async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        let link = self.link.borrow().clone().ok_or(PublishError::Away)?;
        if link.blocked.load(Ordering::Relaxed) {
            return Err(PublishError::Blocked);
        }
        let permit =
            tokio::time::timeout(self.timeout, self.permits.acquire()).await.map_err(|_| PublishError::Busy)?;
        let result = tokio::time::timeout(self.timeout, link.publish(message)).await;
        drop(permit);
        result.unwrap_or_else(|_| Err(PublishError::Unknown("no confirm within publish_timeout_ms".to_owned())))
    }
}

impl Link {
    /// A channel that an earlier publish left clean, or a new one. A channel whose publish ended in any other way, or
    /// was cancelled, is never put back.
    async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        let unknown = |error: lapin::Error| PublishError::Unknown(error.to_string());
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let channel = if let Some(channel) = idle.filter(|channel| channel.status().connected()) {
            channel
        } else {
            let channel = self.connection.create_channel().await.map_err(|_| PublishError::Away)?;
            channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|_| PublishError::Away)?;
            channel
        };
        let options = BasicPublishOptions { mandatory: message.mandatory, ..Default::default() };
        let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
        let confirm = channel
            .basic_publish(exchange, key, options, &message.payload, properties(message))
            .await
            .map_err(unknown)?;
        let verdict = match confirm.await.map_err(unknown)? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(PublishError::Unroutable {
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
            }),
            Confirmation::Nack(_) => Err(PublishError::Refused),
            // Confirms were asked for on this channel; without one nothing is known.
            Confirmation::NotRequested => Err(PublishError::Unknown("the channel gives no confirms".to_owned())),
        };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        verdict
    }
}

fn properties(message: &Message) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(message.message_id.as_str().into())
        .with_headers(message.headers.clone());
    match &message.reply_to {
        Some(reply_to) => properties.with_reply_to(reply_to.as_str().into()),
        None => properties,
    }
}

/// Connects, keeps the link in `sender` while it lives, and starts over. Ends when shutdown has been asked for and
/// nobody holds the publisher any more.
async fn supervise(
    config: RabbitConfig,
    topology: Topology,
    name: String,
    sender: watch::Sender<Option<Arc<Link>>>,
    shutdown: Shutdown,
) {
    let mut pauses = Pauses::new();
    loop {
        match open(&config, &topology, &name).await {
            Ok(link) => {
                pauses = Pauses::new();
                let link = Arc::new(link);
                let _ = sender.send_replace(Some(link.clone()));
                tracing::info!(connection = name, "publishing connection is up");
                watch_link(&link, &sender).await;
                let _ = sender.send_replace(None);
                tracing::warn!(connection = name, "publishing connection is lost; reconnecting");
            }
            Err(error) => tracing::warn!(connection = name, %error, "cannot reach the broker; trying again"),
        }
        metrics::counter!("gream_rabbitmq_reconnects_total", "connection" => "publisher").increment(1);
        if sender.is_closed() || (shutdown.is_requested() && sender.receiver_count() <= 1) {
            return;
        }
        tokio::time::sleep(pauses.next_pause()).await;
    }
}

async fn open(config: &RabbitConfig, topology: &Topology, name: &str) -> Result<Link, lapin::Error> {
    let connection = super::connect(config, name).await?;
    let limit = Duration::from_millis(config.connect_timeout_ms.saturating_mul(2));
    match tokio::time::timeout(limit, super::declare(&connection, topology)).await {
        Ok(declared) => declared?,
        Err(_) => return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no topology in time").into()),
    }
    Ok(Link { connection, idle: Mutex::default(), blocked: AtomicBool::new(false) })
}

/// Returns when the connection has ended, whether or not an event said so.
async fn watch_link(link: &Link, sender: &watch::Sender<Option<Arc<Link>>>) {
    const LOOK_EVERY: Duration = Duration::from_millis(500);
    let mut events = std::pin::pin!(link.connection.events_listener());
    loop {
        match tokio::time::timeout(LOOK_EVERY, events.next()).await {
            Ok(Some(Event::ConnectionBlocked(reason))) => {
                tracing::warn!(reason, "the broker blocks publishers; new commands are refused");
                link.blocked.store(true, Ordering::Relaxed);
            }
            Ok(Some(Event::ConnectionUnblocked)) => link.blocked.store(false, Ordering::Relaxed),
            Ok(None) => return,
            Ok(Some(_)) | Err(_) => (),
        }
        if !link.connection.status().connected() || sender.is_closed() {
            return;
        }
    }
}
