//! The way of a command through the API: identify, admit, register for the outcome, publish, wait, answer.
//!
//! ```text
//! submit ──► admit ──► register ──► publish ──► wait ──► outcome ──────────► 200, or the code's status
//!              │ behind    │ full       │ not confirmed       │ none in time
//!              ▼           ▼            ▼                     ▼
//!          503, 429       503          503            look once ─► 202 and where to ask
//! ```

pub(crate) mod address;
mod answer;
mod backlog;
pub(crate) mod lookup;
pub(crate) mod poll;
pub(crate) mod status;
pub(crate) mod vanished;
pub(crate) mod waiters;
mod wishes;

pub(crate) use answer::COMMAND_ID;
pub(crate) use wishes::{PREFERENCE_APPLIED, Wishes};

use crate::{context::Api, envelope::Failure};
use axum::{
    extract::MatchedPath,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use backlog::{Full, Limits};
use contracts::{
    Command, CommandId, CommandState, Envelope, Fingerprint, Kind, Outcome, UnixMs, UserId,
    dead_letter::HEADER_ORIGIN,
    topology::{COMMANDS_EXCHANGE, Role, origin, routing_key},
};
use platform::{
    rabbitmq::{Message, PublishError},
    traces::TraceContext,
};
use rand::RngCore;
use std::time::{Duration, Instant};
use waiters::Waiter;

/// No client waits longer, whatever it prefers.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// What is left of `http.request_timeout_ms` for everything but the wait.
const BESIDE_THE_WAIT: Duration = Duration::from_secs(5);
/// While the process stops, a wait is cut to this.
const WAIT_WHILE_STOPPING: Duration = Duration::from_secs(2);

/// What makes a repeated request the same command.
pub(crate) enum Identity {
    /// The client's `Idempotency-Key`; without one every request is a command of its own.
    ByClient,
    /// The thing itself: it can be asked for only once, however often somebody clicks.
    ByNature(String),
    /// As [`Identity::ByClient`], found out before ([`Wishes::command_id`]) because something is named after the command.
    Known(CommandId),
}

/// Somebody asks for something.
pub(crate) struct Ask {
    pub(crate) user: UserId,
    pub(crate) at: UnixMs,
    pub(crate) identity: Identity,
    pub(crate) command: Command,
}

impl Api {
    /// Sends a command on its way and answers as soon as its outcome, or the client's patience, allows.
    pub(crate) async fn submit(&self, wishes: &Wishes, ask: Ask) -> Result<Response, Failure> {
        let kind = ask.command.kind();
        let id = command_id(wishes, &ask);
        let Some(routing_key) = routing_key(&ask.command, self.partitions) else {
            return Err(Failure::invalid("id", "존재할 수 없는 식별자입니다."));
        };
        let valid_until = self.valid_for_ms(kind).map(|ms| ask.at.plus_ms(ms));
        let envelope = Envelope::new(id, ask.user, ask.at, valid_until, ask.command);

        self.admit(&envelope, &routing_key)?;
        // Every log line from here on names it.
        tracing::Span::current().record("command", tracing::field::display(id));
        let wait = self.wait(wishes, kind);
        self.reads.note_write(envelope.user, wait).await;
        let waiter = if wait.is_zero() { None } else { Some(self.register(id)?) };
        // Its outcome is told also where nobody waits: what was heard of need not be looked up, nor counted as under way.
        self.publish(&envelope, &routing_key, true).await?;
        count_accepted(kind);
        tracing::debug!(command = %id, %kind, "accepted");

        // From here on there is a command, and every answer names it.
        let answer = self.answer(&envelope, waiter, wait).await;
        let answer = answer::naming(id, answer.unwrap_or_else(IntoResponse::into_response));
        Ok(wishes.applied(wait, answer))
    }

    /// Sends a command of the market's own on its way; nobody waits for it.
    pub(crate) async fn send(&self, id: CommandId, command: Command) -> Result<(), Failure> {
        let at = self.clock.now();
        let routing_key = routing_key(&command, self.partitions).ok_or(contracts::ResultCode::Unexpected)?;
        let envelope = Envelope::new(id, UserId::SYSTEM, at, None, command);
        let kind = envelope.command.kind();
        self.accepted.note(id, (Role::of(kind), UserId::SYSTEM), &routing_key, at);
        self.publish(&envelope, &routing_key, false).await?;
        count_accepted(kind);
        Ok(())
    }

    async fn answer(&self, envelope: &Envelope, waiter: Option<Waiter>, wait: Duration) -> Result<Response, Failure> {
        let Some(waiter) = waiter else { return self.accepted(envelope, CommandState::Accepted) };
        let began = Instant::now();
        let outcome = waiter.outcome(self.patience(wait)).await;
        let kind = envelope.command.kind().as_str();
        metrics::histogram!("gream_command_wait_seconds", "kind" => kind).record(began.elapsed());
        match outcome {
            Some(outcome) => self.answer_of(&outcome, envelope).await,
            None => self.look_once(envelope).await,
        }
    }

    async fn answer_of(&self, outcome: &Outcome, envelope: &Envelope) -> Result<Response, Failure> {
        if self.comes_from(outcome.fingerprint, envelope).await? {
            answer::of_outcome(outcome)
        } else {
            Err(contracts::ResultCode::KeyReused.into())
        }
    }

    async fn comes_from(&self, found: Fingerprint, envelope: &Envelope) -> Result<bool, Failure> {
        self.within(lookup::comes_from(&self.database, envelope.id, found, envelope.fingerprint)).await
    }

    /// Prices age; payments and refunds do not.
    fn valid_for_ms(&self, kind: Kind) -> Option<i64> {
        match kind {
            Kind::BuyNow | Kind::SellNow => Some(self.config.commands.instant_valid_ms),
            Kind::PlaceBuyBid | Kind::PlaceSellBid | Kind::CancelBid | Kind::ExpireBids => {
                Some(self.config.commands.bid_valid_ms)
            }
            Kind::ConfirmCharge
            | Kind::RequestRefund
            | Kind::ApproveRefund
            | Kind::RejectRefund
            | Kind::CancelCharge
            | Kind::ConfirmPayout
            | Kind::FailPayout
            | Kind::FollowPayment
            | Kind::CollectDebt => None,
        }
    }

    fn wait(&self, wishes: &Wishes, kind: Kind) -> Duration {
        let http = &self.config.http;
        let usual_ms = if Role::of(kind) == Role::Bid { http.bid_wait_ms } else { http.payment_wait_ms };
        let longest = Duration::from_millis(http.request_timeout_ms).saturating_sub(BESIDE_THE_WAIT).min(LONGEST_WAIT);
        wishes.wait.unwrap_or(Duration::from_millis(usual_ms)).min(longest)
    }

    /// Resolves when it is time to stop waiting.
    async fn patience(&self, wait: Duration) {
        let stopping = async {
            self.shutdown.requested().await;
            tokio::time::sleep(WAIT_WHILE_STOPPING).await;
        };
        tokio::select! { () = tokio::time::sleep(wait) => (), () = stopping => () }
    }

    /// Refuses what would only wait behind too much else; see [`backlog`].
    fn admit(&self, envelope: &Envelope, routing_key: &str) -> Result<(), Failure> {
        let commands = &self.config.commands;
        let limits = Limits { of_role: commands.max_unresolved, of_user: commands.max_unresolved_per_user };
        let whose = (Role::of(envelope.command.kind()), envelope.user);
        self.accepted.admit(envelope.id, whose, routing_key, self.clock.now(), limits).map_err(|full| {
            let (reason, failure) = match full {
                Full::Pipeline => ("pipeline_behind", Failure::not_accepted(envelope.id)),
                Full::User => ("users_share", Failure::too_many(Duration::ZERO)),
            };
            metrics::counter!("gream_commands_refused_total", "reason" => reason).increment(1);
            failure
        })
    }

    fn register(&self, id: CommandId) -> Result<Waiter, Failure> {
        self.waiters.register(id).ok_or_else(|| {
            metrics::counter!("gream_commands_refused_total", "reason" => "waiters_full").increment(1);
            self.accepted.is_not_accepted(id);
            Failure::not_accepted(id)
        })
    }

    async fn publish(&self, envelope: &Envelope, routing_key: &str, reply: bool) -> Result<(), Failure> {
        let message = Message {
            exchange: COMMANDS_EXCHANGE.to_owned(),
            routing_key: routing_key.to_owned(),
            payload: envelope.encode(),
            message_id: envelope.id.to_string(),
            reply_to: reply.then(|| self.instance.clone()),
            mandatory: true,
            ..Message::default()
        };
        let message =
            message.with_header(HEADER_ORIGIN, &origin(routing_key)).in_trace(TraceContext::current().as_ref());
        self.publisher.publish(message).await.map_err(|error| {
            let reason = reason(&error);
            self.accepted.is_not_accepted(envelope.id);
            metrics::counter!("gream_commands_refused_total", "reason" => reason).increment(1);
            tracing::warn!(command = %envelope.id, %error, "not accepted: the client is told 503");
            Failure::not_accepted(envelope.id)
        })
    }

    /// Nobody told the outcome in time: perhaps it was lost on the way, so the truth is asked once.
    async fn look_once(&self, envelope: &Envelope) -> Result<Response, Failure> {
        match self.within(lookup::row(&self.database, envelope.id)).await {
            Ok(Some(row)) => match row.outcome() {
                Some(outcome) => self.answer_of(&outcome, envelope).await,
                None if !self.comes_from(row.fingerprint, envelope).await? => {
                    Err(contracts::ResultCode::KeyReused.into())
                }
                None => self.accepted(envelope, row.state),
            },
            // It is on its queue, whatever the database says at the moment.
            Ok(None) | Err(_) => self.accepted(envelope, CommandState::Accepted),
        }
    }

    fn accepted(&self, envelope: &Envelope, state: CommandState) -> Result<Response, Failure> {
        answer::accepted(envelope.id, state, &address::location(&self.signer, envelope))
    }
}

/// The command that a request would become, for a client that cannot be served at the moment. `None` for those that are
/// none, and for those whose id follows from a thing that has to be looked up.
pub(crate) fn wanted(parts: &Parts, user: UserId, at: UnixMs) -> Option<CommandId> {
    let path = parts.extensions.get::<MatchedPath>()?;
    let kind = match (parts.method.as_str(), path.as_str()) {
        ("POST", "/api/buy/{id}") => Kind::PlaceBuyBid,
        ("POST", "/api/buy/{id}/now") => Kind::BuyNow,
        ("POST", "/api/sell/{id}") => Kind::PlaceSellBid,
        ("POST", "/api/sell/{id}/now") => Kind::SellNow,
        ("DELETE", "/api/buy/bid/{id}" | "/api/sell/bid/{id}") => Kind::CancelBid,
        ("POST", "/api/users/points/refunds") => Kind::RequestRefund,
        _ => return None,
    };
    Some(Wishes::read(&parts.headers).ok()?.command_id(user, kind, at))
}

fn command_id(wishes: &Wishes, ask: &Ask) -> CommandId {
    let kind = ask.command.kind();
    match &ask.identity {
        Identity::ByNature(key) => CommandId::derived(ask.user, kind.as_str(), key),
        Identity::ByClient => wishes.command_id(ask.user, kind, ask.at),
        Identity::Known(id) => *id,
    }
}

impl Wishes {
    /// The id of what a user asks for: derived from the `Idempotency-Key`, or fresh, and then another each time.
    pub(crate) fn command_id(&self, user: UserId, kind: Kind, at: UnixMs) -> CommandId {
        if let Some(key) = &self.idempotency_key {
            return CommandId::derived(user, kind.as_str(), key);
        }
        let mut random = [0; 10];
        rand::rng().fill_bytes(&mut random);
        CommandId::fresh(at, random)
    }
}

fn count_accepted(kind: Kind) {
    metrics::counter!("gream_commands_accepted_total", "kind" => kind.as_str()).increment(1);
}

fn reason(error: &PublishError) -> &'static str {
    match error {
        PublishError::Away => "broker_away",
        PublishError::Blocked => "broker_blocked",
        PublishError::Busy => "channels_busy",
        PublishError::Refused => "queue_full",
        PublishError::Unroutable { .. } => "unroutable",
        PublishError::Unknown(_) => "unconfirmed",
    }
}
