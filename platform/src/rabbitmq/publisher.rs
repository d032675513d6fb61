//! Publishing: persistent, mandatory, confirmed; on a connection that only publishes.
//!
//! Each routing key has a channel of its own, and goes over it in waves (see `wave`): a queue that cannot confirm, because
//! it has lost its quorum, holds up nobody else. Only beyond `publish_channels` keys some share one.

use super::{
    topology::{DeclareError, declare},
    wave::{Job, WAITING_MAX, Waves},
};
use crate::{config::RabbitConfig, pause::Pauses, shutdown::Shutdown, traces::TraceContext};
use contracts::topology::Topology;
use futures_util::StreamExt;
use lapin::{
    Connection, Event,
    types::{AMQPValue, FieldTable},
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};

/// How often the supervisor looks at its connection when no event comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What was found missing is declared again at most this often.
const DECLARE_EVERY: Duration = Duration::from_secs(1);

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

    /// Makes it a part of a trace, where there is one.
    #[must_use]
    pub fn in_trace(mut self, trace: Option<&TraceContext>) -> Self {
        for (name, value) in trace.into_iter().flat_map(TraceContext::headers) {
            self.headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        self
    }
}

/// Why a message may not be on a queue.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection at the moment; it is being rebuilt.
    #[error("the broker is away; it is being reconnected to")]
    Away,
    /// The broker asked publishers to stop (memory or disk alarm).
    #[error("the broker has blocked publishers (memory or disk alarm)")]
    Blocked,
    /// The channel stayed busy with earlier messages; this one was not sent.
    #[error("the publishing channel stayed busy for the whole publish_timeout_ms")]
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
    timeout: Duration,
}

/// One life of the publishing connection.
struct Link {
    connection: Arc<Connection>,
    channels: Mutex<Channels>,
    most_channels: usize,
    timeout: Duration,
    /// Somebody found a queue missing.
    incomplete: Arc<Notify>,
}

/// The tasks that publish, one a channel.
#[derive(Default)]
struct Channels {
    open: Vec<mpsc::Sender<Job>>,
    /// Those routing keys that came while there was room for another channel.
    of_key: HashMap<String, usize>,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the broker cannot be reached: {0}")]
    Connect(#[from] lapin::Error),
    #[error(transparent)]
    Declare(#[from] DeclareError),
}

impl Publisher {
    /// Starts the supervisor, which connects, declares the topology, and does so again whenever the connection is lost.
    pub fn start(config: RabbitConfig, topology: Topology, name: String, shutdown: &Shutdown) -> Self {
        let (sender, link) = watch::channel(None);
        let timeout = Duration::from_millis(config.publish_timeout_ms);
        let task = supervise(config, topology, format!("{name} publisher"), sender, shutdown.clone());
        // Not waited for at shutdown: others still publish while they finish.
        tokio::spawn(task);
        Self { link, timeout }
    }

    /// Whether a publish would be tried at all.
    pub fn is_ready(&self) -> bool {
        self.link.borrow().as_ref().is_some_and(|link| !link.is_blocked())
    }

    /// Waits until there is a connection with a declared topology.
    pub async fn ready(&self) {
        let mut link = self.link.clone();
        // The sender lives as long as the process; should it be gone, nothing will ever be ready.
        if link.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks the supervisor to declare the topology again, because a queue is missing. Doesn't wait for it: whoever
    /// asks tries again anyway.
    pub fn declare_again(&self) {
        if let Some(link) = self.link.borrow().as_ref() {
            link.incomplete.notify_one();
        }
    }

    /// Publishes, and waits for the broker's confirm: at most twice `publish_timeout_ms`, for the messages before it
    /// and for its own. A mandatory message that no queue takes is an error, after which the topology is declared
    /// again.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let link = self.link.borrow().clone().ok_or(PublishError::Away)?;
        if link.is_blocked() {
            return Err(PublishError::Blocked);
        }
        let (answer, fate) = oneshot::channel();
        let channel = link.channel_of(&message.routing_key);
        let job = Job { message, since: Instant::now(), answer };
        match channel.send_timeout(job, self.timeout).await {
            Ok(()) => (),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(PublishError::Busy),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(PublishError::Away),
        }
        let fate = fate.await.unwrap_or_else(|_| Err(PublishError::Unknown("its task has ended".to_owned())));
        if matches!(fate, Err(PublishError::Unroutable { .. })) {
            link.incomplete.notify_one();
        }
        fate
    }
}

impl Link {
    fn open(connection: Connection, config: &RabbitConfig) -> Self {
        Self {
            connection: Arc::new(connection),
            channels: Mutex::default(),
            most_channels: config.publish_channels.max(1),
            timeout: Duration::from_millis(config.publish_timeout_ms),
            incomplete: Arc::new(Notify::new()),
        }
    }

    fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Always the same one for a routing key.
    fn channel_of(&self, routing_key: &str) -> mpsc::Sender<Job> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channels = &mut *channels;
        let known = channels.of_key.get(routing_key).copied();
        let place = known.unwrap_or_else(|| {
            if channels.open.len() >= self.most_channels {
                return shared_place(routing_key, channels.open.len());
            }
            channels.open.push(self.start_waves());
            channels.of_key.insert(routing_key.to_owned(), channels.open.len() - 1);
            channels.open.len() - 1
        });
        channels.open[place].clone()
    }

    /// Starts a task that ends with the link, after those who still wait have their answers.
    fn start_waves(&self) -> mpsc::Sender<Job> {
        let (sender, jobs) = mpsc::channel(WAITING_MAX);
        let (connection, incomplete) = (self.connection.clone(), self.incomplete.clone());
        tokio::spawn(Waves { connection, jobs, timeout: self.timeout, incomplete }.run());
        sender
    }
}

/// Which of `channels` (at least one) a routing key uses that has none of its own.
fn shared_place(routing_key: &str, channels: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    routing_key.hash(&mut hasher);
    // Less than `channels`, which came from a `usize`.
    usize::try_from(hasher.finish() % channels as u64).unwrap_or(0)
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
                watch_link(&link, &sender, || declare(&link.connection, &topology, declare_limit(&config))).await;
                let _ = sender.send_replace(None);
                tracing::warn!(connection = name, "publishing connection is lost; reconnecting");
            }
            Err(error) => tracing::warn!(connection = name, %error, "cannot publish; trying again"),
        }
        metrics::counter!("gream_rabbitmq_reconnects_total", "connection" => "publisher").increment(1);
        if sender.is_closed() || (shutdown.is_requested() && sender.receiver_count() <= 1) {
            return;
        }
        tokio::time::sleep(pauses.next_pause()).await;
    }
}

async fn open(config: &RabbitConfig, topology: &Topology, name: &str) -> Result<Link, LinkError> {
    let connection = super::connect(config, name).await?;
    declare(&connection, topology, declare_limit(config)).await?;
    Ok(Link::open(connection, config))
}

/// Many small questions and answers.
fn declare_limit(config: &RabbitConfig) -> Duration {
    Duration::from_millis(config.connect_timeout_ms.saturating_mul(2))
}

/// Returns when the connection has ended, whether or not an event said so. Declares the topology again when somebody
/// found it incomplete.
async fn watch_link<F>(link: &Link, sender: &watch::Sender<Option<Arc<Link>>>, declare_again: impl Fn() -> F)
where
    F: Future<Output = Result<(), DeclareError>>,
{
    let mut events = std::pin::pin!(link.connection.events_listener());
    let mut next_declaration = Instant::now();
    loop {
        let incomplete = async {
            tokio::time::sleep_until(next_declaration).await;
            link.incomplete.notified().await;
        };
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => (),
            () = incomplete => {
                match declare_again().await {
                    Ok(()) => tracing::warn!("a queue was missing; the topology has been declared again"),
                    Err(error) => tracing::warn!(%error, "a queue is missing, and cannot be declared"),
                }
                next_declaration = Instant::now() + DECLARE_EVERY;
            }
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(reason, "the broker blocks publishers; new commands are refused");
                }
                Some(Event::ConnectionUnblocked) => tracing::info!("the broker takes messages again"),
                Some(_) => (),
                None => return,
            },
        }
        if !link.connection.status().connected() || sender.is_closed() {
            return;
        }
    }
}
