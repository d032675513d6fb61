//! From a delivery to its end: decoded, carried out, and then acked, sent along the ladder, or set aside.

use super::{CarryOut, Crew, Ending, Fault, consume::LifeError};
use contracts::{
    DeadLetterReason, Envelope, Outcome, UnixMs,
    dead_letter::{HEADER_ATTEMPTS, HEADER_ERROR, HEADER_FIRST_FAILED_AT, HEADER_LAST_FAILED_AT, HEADER_ORIGIN},
    envelope::Undecodable,
    topology::{RETRY_EXCHANGE, RETRY_JITTER_PERCENT, Role, origin, retry_queue},
};
use domain::retry::{self, Retry};
use futures_util::FutureExt;
use lapin::{
    message::Delivery,
    types::{AMQPValue, FieldTable},
};
use platform::{
    halt,
    history::{self, Happened, Note},
    rabbitmq::{Delivered, Failure, Message, Subscription, header_number, header_text, trace_of},
    traces,
};
use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

/// Longest error text in a header.
const MAX_ERROR_CHARS: usize = 500;

/// A message, and what it says; or why nothing can be done with it.
pub(super) struct Arrived {
    pub(super) delivery: Delivery,
    pub(super) content: Result<Envelope, (DeadLetterReason, Undecodable)>,
}

impl Arrived {
    pub(super) fn read(delivered: Delivered, role: Role) -> Self {
        let content = read(&delivered.delivery, role);
        Self { delivery: delivered.delivery, content }
    }
}

/// A failed attempt, as the next one or a person is told of it.
struct Failed {
    attempts: u32,
    error: String,
    at: UnixMs,
}

impl<H: CarryOut> Crew<H> {
    /// One delivery, to its end. An error means that it stays unacked and everything is let go of.
    pub(super) async fn handle(&self, arrived: Arrived, subscription: &Subscription) -> Result<(), LifeError> {
        halt::point("laddered.arrived").await;
        let Arrived { delivery, content } = arrived;
        match content {
            Ok(envelope) => {
                let name = envelope.command.kind().as_str();
                let span =
                    tracing::info_span!("command", command = %envelope.id, otel.name = name, otel.kind = "consumer");
                // Each attempt has the same parent: the ladder copies the message's headers.
                traces::follow(span, trace_of(&delivery), self.carry_out(&delivery, &envelope)).await?;
            }
            Err((reason, error)) => {
                let failed = Failed { attempts: 1, error: error.to_string(), at: self.now() };
                self.set_aside(&delivery, Err(&error), reason, failed).await?;
            }
        }
        halt::point("laddered.before_ack").await;
        subscription.ack(delivery.delivery_tag).await?;
        Ok(())
    }

    async fn carry_out(&self, delivery: &Delivery, envelope: &Envelope) -> Result<(), LifeError> {
        // The code is ours, but a panic in it must not take the crew down with it: it is one command's defect.
        let started = Instant::now();
        let ending = match AssertUnwindSafe(self.handler.carry_out(envelope)).catch_unwind().await {
            Ok(Ok(ending)) => ending,
            Ok(Err(Fault::Away(error))) => return Err(LifeError::Database(error)),
            Ok(Err(Fault::Defect(error))) => Ending::Again { error, window: None },
            Err(_) => Ending::Again { error: "the worker panicked; the log has the place".to_owned(), window: None },
        };
        let attempts = header_number(delivery, HEADER_ATTEMPTS).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        match ending {
            Ending::Ended(outcome) => self.tell(delivery, envelope, outcome),
            Ending::Superseded => {
                tracing::warn!(command = %envelope.id, "another body under this id is under way; its outcome is this id's");
            }
            Ending::Later { error } => self.park(delivery, envelope, attempts, error).await?,
            // It failed while Toss was failing everybody: that says nothing about this command.
            Ending::Again { error, .. } if !self.gate.is_open() => {
                self.park(delivery, envelope, attempts, error).await?;
            }
            Ending::Again { error, window } => {
                let failed = Failed { attempts: attempts.saturating_add(1), error, at: self.now() };
                self.note_failure(envelope, &failed, started).await;
                match retry::next(failed.attempts, &self.ladder_ms, failed.at, window) {
                    Retry::After { step_ms } => self.send_along(delivery, envelope, step_ms, failed).await?,
                    Retry::GiveUp => {
                        self.set_aside(delivery, Ok(envelope), DeadLetterReason::OutOfAttempts, failed).await?;
                    }
                }
            }
            Ending::Person { error } => {
                let failed = Failed { attempts: attempts.saturating_add(1), error, at: self.now() };
                self.note_failure(envelope, &failed, started).await;
                self.set_aside(delivery, Ok(envelope), DeadLetterReason::NeedsAPerson, failed).await?;
            }
        }
        Ok(())
    }

    /// The outcome is committed; whoever waits for it learns of it.
    fn tell(&self, delivery: &Delivery, envelope: &Envelope, outcome: Outcome) {
        metrics::counter!("gream_commands_total", "kind" => envelope.command.kind().as_str(),
            "state" => outcome.state.as_str(), "code" => outcome.code.name())
        .increment(1);
        if let Some(instance) = reply_to(delivery) {
            self.foundation.outcomes.publish([(instance, outcome)]);
        }
    }

    /// Waits on a rung without an attempt being counted. Where nothing is consumed while the gate is shut, the shortest
    /// will do: the message waits on its queue then. Elsewhere it is the one that outlasts the gate's pause.
    async fn park(
        &self,
        delivery: &Delivery,
        envelope: &Envelope,
        attempts: u32,
        error: String,
    ) -> Result<(), LifeError> {
        let pause_ms = if H::STOPS_WITH_TOSS { 0 } else { self.gate.pause_ms() };
        let outlasting = self.ladder_ms.iter().copied().filter(|step_ms| i64::from(*step_ms) >= pause_ms).min();
        let Some(step_ms) = outlasting.or_else(|| self.ladder_ms.iter().copied().max()) else {
            return Err(Fault::Defect("payment_worker.ladder_ms is empty".to_owned()).into());
        };
        self.send_along(delivery, envelope, step_ms, Failed { attempts, error, at: self.now() }).await
    }

    /// Publishes the message to the retry queue of a rung. The caller acks the original.
    async fn send_along(
        &self,
        delivery: &Delivery,
        envelope: &Envelope,
        step_ms: u32,
        failed: Failed,
    ) -> Result<(), LifeError> {
        let ended = match self.inbox.retrying(envelope, failed.attempts, failed.at).await.map_err(Fault::from) {
            Ok(ended) => ended,
            Err(Fault::Away(error)) => return Err(error.into()),
            // A row that this build cannot read: it must not hold up everybody else's commands.
            Err(Fault::Defect(error)) => {
                let failed = Failed { error, ..failed };
                return self.set_aside(delivery, Ok(envelope), DeadLetterReason::NeedsAPerson, failed).await;
            }
        };
        if let Some(outcome) = ended {
            // Another delivery of it has ended it meanwhile.
            self.tell(delivery, envelope, outcome);
            return Ok(());
        }
        let pick = rand::random_range(0..RETRY_JITTER_PERCENT.len());
        let message = Message {
            exchange: RETRY_EXCHANGE.to_owned(),
            routing_key: retry_queue(H::ROLE, step_ms, pick),
            payload: delivery.data.clone(),
            message_id: envelope.id.to_string(),
            reply_to: reply_to(delivery),
            headers: headers(delivery, H::ROLE, &failed),
            mandatory: true,
        };
        halt::around("laddered.send_along", self.foundation.publisher.publish(message)).await?;
        metrics::counter!("gream_retries_total", "role" => H::ROLE.as_str(), "step_ms" => step_ms.to_string())
            .increment(1);
        tracing::info!(command = %envelope.id, attempts = failed.attempts, step_ms, error = failed.error, "tried again later");
        Ok(())
    }

    /// Marks the command suspended and publishes the dead letter. The caller acks the original.
    async fn set_aside(
        &self,
        delivery: &Delivery,
        content: Result<&Envelope, &Undecodable>,
        reason: DeadLetterReason,
        failed: Failed,
    ) -> Result<(), LifeError> {
        let command = content.map_or_else(Undecodable::id, |envelope| Some(envelope.id));
        if let Some(id) = command {
            self.inbox.suspend(id, content.ok(), failed.attempts, failed.at).await?;
        }
        let failure = Failure { reason, error: failed.error, attempts: failed.attempts, at: failed.at, command };
        let dead_letter = self.foundation.publisher.dead_letter(H::ROLE, H::ROLE.as_str(), delivery, &failure);
        halt::around("laddered.set_aside", dead_letter).await?;
        if let Some(id) = command {
            let note = Note::new(id, Happened::SetAside, failure.at, &self.foundation.name, &failure.error);
            self.note(&Note { attempt: Some(failure.attempts), reason: Some(reason), ..note }).await;
        }
        Ok(())
    }

    async fn note_failure(&self, envelope: &Envelope, failed: &Failed, started: Instant) {
        let note = Note::new(envelope.id, Happened::Failed, failed.at, &self.foundation.name, &failed.error);
        self.note(&Note { took: Some(started.elapsed()), attempt: Some(failed.attempts), ..note }).await;
    }

    async fn note(&self, note: &Note<'_>) {
        let limit = Duration::from_millis(self.foundation.config.database.statement_timeout_ms);
        history::try_write(&self.foundation.database, limit, note).await;
    }

    fn now(&self) -> UnixMs {
        self.foundation.clock.now()
    }
}

fn read(delivery: &Delivery, role: Role) -> Result<Envelope, (DeadLetterReason, Undecodable)> {
    let envelope = Envelope::decode(&delivery.data).map_err(|error| (reason(&error), error))?;
    let kind = envelope.command.kind();
    if Role::of(kind) == role {
        return Ok(envelope);
    }
    let error = format!("a {kind} does not belong on queue {role}");
    Err((DeadLetterReason::WrongQueue, Undecodable::Malformed { id: Some(envelope.id), error }))
}

fn reason(error: &Undecodable) -> DeadLetterReason {
    match error {
        Undecodable::UnknownKind { .. } => DeadLetterReason::UnknownKind,
        Undecodable::UnknownVersion { .. } => DeadLetterReason::UnknownVersion,
        Undecodable::Malformed { .. } | Undecodable::FingerprintMismatch { .. } => DeadLetterReason::Undecodable,
    }
}

/// The API instance that waits for the outcome.
fn reply_to(delivery: &Delivery) -> Option<String> {
    delivery.properties.reply_to().as_ref().map(ToString::to_string)
}

/// The message's own headers, and how it fared.
fn headers(delivery: &Delivery, role: Role, failed: &Failed) -> FieldTable {
    let mut headers = delivery.properties.headers().clone().unwrap_or_default();
    let came_from = header_text(delivery, HEADER_ORIGIN).unwrap_or_else(|| origin(role.as_str()));
    let first_failed_at = header_number(delivery, HEADER_FIRST_FAILED_AT).unwrap_or(failed.at.0);
    let error: String = failed.error.chars().take(MAX_ERROR_CHARS).collect();
    for (name, text) in [(HEADER_ORIGIN, came_from), (HEADER_ERROR, error)] {
        headers.insert(name.into(), AMQPValue::LongString(text.into()));
    }
    let numbers = [
        (HEADER_ATTEMPTS, i64::from(failed.attempts)),
        (HEADER_FIRST_FAILED_AT, first_failed_at),
        (HEADER_LAST_FAILED_AT, failed.at.0),
    ];
    for (name, number) in numbers {
        headers.insert(name.into(), AMQPValue::LongLongInt(number));
    }
    headers
}
