//! Waves: whatever is ready is published together on one channel, and all of its confirms are awaited together.
//!
//! Promises: each message learns its own fate in bounded time, unless its wave breaks off: then all of it stay unknown. A
//! confirm for each message alone would cost the broker and us twice as much (docs/performance.md).
//!
//! Pipelined on one channel, lapin pairs returned messages with the wrong confirms (facts-stack.md): an unroutable
//! command would look accepted. But the broker returns a message before it confirms it, and every confirm that lapin
//! reads takes one waiting return along. So once *all* confirms of a wave are there, all of its returns are too, on
//! whichever confirms; nobody is told anything before. A wave that breaks off leaves all of its messages unknown.
//!
//! ```text
//! jobs ──► wave ──► publish all ──► all confirms ──► judge ──► answers
//!            │ no channel              │ error, or none in time
//!            ▼                         ▼
//!          Away                     Unknown, and a new channel for the next wave
//! ```

use super::publisher::{Message, PublishError};
use futures_util::future::try_join_all;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

/// `delivery_mode`: survives a broker's restart.
const PERSISTENT: u8 = 2;
/// Messages in one wave.
const WAVE_MAX: usize = 256;
/// Messages that wait for the next waves of a channel.
pub(super) const WAITING_MAX: usize = 1_024;

/// What became of a message.
pub(super) type Fate = Result<(), PublishError>;

/// A message on its way, and who waits for its fate.
pub(super) struct Job {
    pub(super) message: Message,
    pub(super) since: Instant,
    pub(super) answer: oneshot::Sender<Fate>,
}

/// A channel, and the waves that go over it, one at a time.
pub(super) struct Waves {
    pub(super) connection: Arc<Connection>,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) timeout: Duration,
    /// Told when an exchange is found missing.
    pub(super) incomplete: Arc<Notify>,
}

impl Waves {
    /// Runs until nobody can send any more.
    pub(super) async fn run(mut self) {
        // Put back only after a clean wave: of any other, confirms or returns may still be on their way.
        let mut clean: Option<Channel> = None;
        let mut ready = Vec::with_capacity(WAVE_MAX);
        while self.jobs.recv_many(&mut ready, WAVE_MAX).await > 0 {
            let (wave, answers) = self.still_wanted(&mut ready);
            if wave.is_empty() {
                continue;
            }
            let published = tokio::time::timeout(self.timeout, self.publish(clean.take(), &wave)).await;
            let fates = match published {
                Ok(Ok((channel, confirms))) => {
                    clean = Some(channel);
                    judge(&wave, confirms)
                }
                Ok(Err(error)) => vec![Err(error); wave.len()],
                Err(_) => {
                    vec![Err(PublishError::Unknown("no confirm within publish_timeout_ms".to_owned())); wave.len()]
                }
            };
            for (answer, fate) in answers.into_iter().zip(fates) {
                // Whoever asked may have gone; the message is where it is.
                let _ = answer.send(fate);
            }
        }
    }

    /// Those who gave up are left out; those who have waited too long are told so: theirs were not sent.
    fn still_wanted(&self, ready: &mut Vec<Job>) -> (Vec<Message>, Vec<oneshot::Sender<Fate>>) {
        let mut wave = (Vec::with_capacity(ready.len()), Vec::with_capacity(ready.len()));
        for Job { message, since, answer } in ready.drain(..) {
            if since.elapsed() > self.timeout {
                let _ = answer.send(Err(PublishError::Busy));
            } else if !answer.is_closed() {
                wave.0.push(message);
                wave.1.push(answer);
            }
        }
        metrics::histogram!("gream_publish_wave_messages").record(u32::try_from(wave.0.len()).unwrap_or(u32::MAX));
        wave
    }

    async fn publish(
        &self,
        clean: Option<Channel>,
        wave: &[Message],
    ) -> Result<(Channel, Vec<Confirmation>), PublishError> {
        let unknown = |error: lapin::Error| {
            if super::is_not_found(&error) {
                self.incomplete.notify_one();
            }
            PublishError::Unknown(error.to_string())
        };
        let channel = match clean.filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.open().await.map_err(|_| PublishError::Away)?,
        };
        let mut confirms = Vec::with_capacity(wave.len());
        for message in wave {
            let options = BasicPublishOptions { mandatory: message.mandatory, ..Default::default() };
            let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
            let publish = channel.basic_publish(exchange, key, options, &message.payload, properties(message));
            confirms.push(publish.await.map_err(unknown)?);
        }
        let confirms = try_join_all(confirms).await.map_err(unknown)?;
        Ok((channel, confirms))
    }

    async fn open(&self) -> Result<Channel, lapin::Error> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }
}

/// The fate of each message, from all the confirms of its wave. Two messages with one id on one way share a return:
/// both are then called unroutable, which only makes one of them come again.
fn judge(wave: &[Message], confirms: Vec<Confirmation>) -> Vec<Fate> {
    let mut returned = HashSet::new();
    let mut fates = Vec::with_capacity(wave.len());
    for confirm in confirms {
        let (fate, message) = match confirm {
            Confirmation::Ack(message) => (Ok(()), message),
            Confirmation::Nack(message) => (Err(PublishError::Refused), message),
            // Confirms were asked for on this channel; without one nothing is known.
            Confirmation::NotRequested => {
                (Err(PublishError::Unknown("the channel gives no confirms".to_owned())), None)
            }
        };
        returned.extend(message.map(way_back));
        fates.push(fate);
    }
    for (fate, message) in fates.iter_mut().zip(wave) {
        let way = (message.exchange.clone(), message.routing_key.clone(), message.message_id.clone());
        if returned.contains(&way) {
            *fate = Err(PublishError::Unroutable {
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
            });
        }
    }
    fates
}

/// Exchange, routing key and id of a returned message.
fn way_back(returned: BasicReturnMessage) -> (String, String, String) {
    let delivery = returned.delivery;
    let id = delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    (delivery.exchange.to_string(), delivery.routing_key.to_string(), id)
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
