//! Consuming: a connection that only consumes, with one channel a queue.
//!
//! One channel a queue, because then deliveries come in tag order, an ack may cover all before it, and closing the
//! channel gives exactly that queue's unacked messages back, in their old order.

use crate::config::RabbitConfig;
use futures_util::{Stream, StreamExt, stream};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions},
    types::FieldTable,
};
use std::{
    mem::ManuallyDrop,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Why nothing more will be delivered: build a new connection.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The connection or channel broke, or an operation on it failed.
    #[error("the consuming connection broke: {0}")]
    Broken(#[from] lapin::Error),
    /// The broker ended the consumer while the channel stayed up (queue deleted, node lost).
    #[error("the broker ended the consumer of {0:?}")]
    Ended(Arc<str>),
    /// An operation had no answer in time.
    #[error("the broker did not answer {0} in time")]
    TimedOut(&'static str),
}

impl ConsumerError {
    /// Whether the queue does not exist (404): somebody deleted it, and it must be declared again.
    pub fn is_missing_queue(&self) -> bool {
        matches!(self, ConsumerError::Broken(error) if super::is_not_found(error))
    }
}

/// One life of a consuming connection. Drop it to close it: everything unacked goes back.
pub struct ConsumingConnection {
    connection: Connection,
    limit: Duration,
}

/// A message, and the subscription it came from.
#[derive(Debug)]
pub struct Delivered {
    /// The queue that it came from.
    pub queue: Arc<str>,
    /// The message.
    pub delivery: Delivery,
}

/// A consumer of one queue.
pub struct Subscription {
    queue: Arc<str>,
    channel: Channel,
    limit: Duration,
}

/// The deliveries of a [`Subscription`]; the last item is always an error, because a stream that just ends would be
/// mistaken for an empty queue.
pub type Deliveries = Pin<Box<dyn Stream<Item = Result<Delivered, ConsumerError>> + Send>>;

impl ConsumingConnection {
    /// Connects under `name`.
    pub async fn open(config: &RabbitConfig, name: &str) -> Result<Self, ConsumerError> {
        let connection = super::connect(config, &format!("{name} consumer")).await?;
        Ok(Self { connection, limit: Duration::from_millis(config.connect_timeout_ms) })
    }

    /// Whether it still stands, as far as lapin knows.
    pub fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// How many messages of `queue` are in nobody's hands.
    pub async fn depth(&self, queue: &str) -> Result<u32, ConsumerError> {
        Ok(self.look(queue).await?.0)
    }

    /// How many consumers `queue` has.
    pub async fn consumers(&self, queue: &str) -> Result<u32, ConsumerError> {
        Ok(self.look(queue).await?.1)
    }

    async fn look(&self, queue: &str) -> Result<(u32, u32), ConsumerError> {
        let ask = async {
            // On a channel of its own, which a queue that does not exist closes.
            let channel = self.connection.create_channel().await?;
            let options = QueueDeclareOptions { passive: true, ..Default::default() };
            let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
            channel.close(200, "asked".into()).await?;
            Ok::<_, lapin::Error>((declared.message_count(), declared.consumer_count()))
        };
        Ok(tokio::time::timeout(self.limit, ask).await.map_err(|_| ConsumerError::TimedOut("queue.declare"))??)
    }

    /// Consumes `queue`, with at most `prefetch` unacked messages.
    pub async fn subscribe(&self, queue: &str, prefetch: u16) -> Result<(Subscription, Deliveries), ConsumerError> {
        let open = async {
            let channel = self.connection.create_channel().await?;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
            Ok::<_, lapin::Error>((channel, consumer))
        };
        let (channel, consumer) =
            tokio::time::timeout(self.limit, open).await.map_err(|_| ConsumerError::TimedOut("basic.consume"))??;
        let queue: Arc<str> = queue.into();
        let (of_delivery, of_end) = (queue.clone(), queue.clone());
        let consumer = ConsumerOfChannel { consumer: Some(consumer), channel: channel.clone(), limit: self.limit };
        let deliveries = consumer
            .map(move |delivery| Ok(Delivered { queue: of_delivery.clone(), delivery: delivery? }))
            .chain(stream::once(async move { Err(ConsumerError::Ended(of_end)) }));
        Ok((Subscription { queue, channel, limit: self.limit }, Box::pin(deliveries)))
    }
}

/// A consumer that ends with its channel, never before it.
///
/// lapin's own cancels itself when it is dropped. The broker then gives back what is still on its way to us at once, and
/// what we hold unacked only when the channel ends: younger messages would overtake older ones (shown by a test of ours).
struct ConsumerOfChannel {
    consumer: Option<Consumer>,
    channel: Channel,
    limit: Duration,
}

impl Stream for ConsumerOfChannel {
    type Item = Result<Delivery, lapin::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.consumer.as_mut().map_or(Poll::Ready(None), |consumer| consumer.poll_next_unpin(context))
    }
}

impl Drop for ConsumerOfChannel {
    fn drop(&mut self) {
        // Where the task below never runs, because the process is ending, it is not dropped at all.
        let consumer = ManuallyDrop::new(self.consumer.take());
        let (channel, limit) = (self.channel.clone(), self.limit);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // An error only says that channel or connection have ended already.
                drop(tokio::time::timeout(limit, channel.close(200, "given up".into())).await);
                drop(ManuallyDrop::into_inner(consumer));
            });
        }
    }
}

impl Subscription {
    /// Whether a delivery, or an end, of `queue` is this subscription's own: what an earlier one of the same queue left
    /// behind has tags that mean something else here.
    pub fn is_of(&self, queue: &Arc<str>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

    /// The queue.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Acks every message of this queue up to `tag`.
    ///
    /// After a reconnect the broker knows nothing of the tag and delivers again; the inbox makes that harmless.
    pub async fn ack_through(&self, tag: u64) -> Result<(), ConsumerError> {
        self.within("basic.ack", self.channel.basic_ack(tag, BasicAckOptions { multiple: true })).await
    }

    /// Acks one message.
    pub async fn ack(&self, tag: u64) -> Result<(), ConsumerError> {
        self.within("basic.ack", self.channel.basic_ack(tag, BasicAckOptions { multiple: false })).await
    }

    /// Gives one message back to the queue.
    pub async fn give_back(&self, tag: u64) -> Result<(), ConsumerError> {
        let options = BasicNackOptions { multiple: false, requeue: true };
        self.within("basic.nack", self.channel.basic_nack(tag, options)).await
    }

    /// Closes the channel: whatever is unacked goes back to the queue in its old order, and another consumer's turn comes.
    pub async fn close(&self) -> Result<(), ConsumerError> {
        self.within("channel.close", self.channel.close(200, "given up".into())).await
    }

    async fn within(
        &self,
        what: &'static str,
        operation: impl Future<Output = Result<(), lapin::Error>>,
    ) -> Result<(), ConsumerError> {
        Ok(tokio::time::timeout(self.limit, operation).await.map_err(|_| ConsumerError::TimedOut(what))??)
    }
}
