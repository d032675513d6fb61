//! `GET /api/notifications/stream`: what the caller is told, as it happens.
//!
//! Promises: each notification once and in the order of its numbers, from the one after `Last-Event-ID` on, whatever
//! becomes of Redis; nothing after the session's or the token's end was noticed, which takes `session_check_ms` at most.
//! Each client is sent what it takes: the next page is read when there is room.

use super::view;
use crate::{
    auth::Caller,
    context::{Api, Shared},
    envelope::Failure,
    streams::{self, Gone, Writer, places::Full, places::Place},
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{Response, sse::Event},
};
use contracts::{ResultCode, UserId};
use platform::user_streams::Entry;
use serde_json::json;
use std::time::Duration;

/// The number of the last event that the client has.
const LAST_EVENT_ID: &str = "last-event-id";
const DAY_MS: i64 = 86_400_000;
/// Notifications read at a time.
const PAGE: i64 = 50;
/// A stream that could not be served tries again after this.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Where a user has as many streams as it may have, another one is worth trying later.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What the caller is told, as it happens (server-sent events).
///
/// Each event's `id` is the notification's number, its `event` the kind, its `data` as in the list. The first event is
/// `ready`. With the header `Last-Event-ID` the stream begins after that number, else with what comes next. `end` says
/// that login is needed.
#[utoipa::path(
    get,
    path = "/api/notifications/stream",
    operation_id = "notification_stream",
    tag = "notifications",
    params(("Last-Event-ID" = Option<String>, Header, description = "The number after which to begin")),
    responses((status = 200, description = "Events", content_type = "text/event-stream", body = String)),
)]
pub(crate) async fn get(State(api): State<Shared>, caller: Caller, headers: HeaderMap) -> Result<Response, Failure> {
    let newest = api.last_number(caller.user).await?;
    let after = match headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?").trim()) {
        None | Some("") => newest,
        Some(text) => {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { text.parse().unwrap_or(i64::MAX) } else { -1 };
            if number < 0 {
                return Err(Failure::invalid("Last-Event-ID", "숫자로 된 식별자여야 합니다."));
            }
            // What nobody was told yet cannot be skipped.
            number.min(newest)
        }
    };
    let place = api.hub.join(caller.user, newest).map_err(|full| match full {
        Full::OfOne => Failure::too_many(RETRY_AFTER),
        Full::Everybody => Failure::away(),
    })?;
    let settings = &api.config.notifications;
    let (writer, response) =
        streams::open(Duration::from_millis(settings.send_timeout_ms), Duration::from_millis(settings.heartbeat_ms));
    let task = Task { api: api.clone(), caller, place, writer, after };
    api.shutdown.spawn(task.run(newest));
    Ok(response)
}

/// One client.
struct Task {
    api: Shared,
    caller: Caller,
    place: Place<UserId, i64>,
    writer: Writer,
    /// The last number that was sent.
    after: i64,
}

impl Task {
    async fn run(mut self, newest: i64) {
        let ready =
            Event::default().id(self.after.to_string()).event("ready").data(json!({"newest": newest}).to_string());
        // Whoever is gone needs no more.
        if self.writer.send(ready).await.is_ok() {
            drop(self.follow().await);
        }
    }

    async fn follow(&mut self) -> Result<(), Gone> {
        let mut check = tokio::time::interval(Duration::from_millis(self.api.config.notifications.session_check_ms));
        loop {
            let pause =
                if *self.place.newest.borrow_and_update() > self.after { self.send_next().await? } else { None };
            let wait = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None if *self.place.newest.borrow() > self.after => (),
                    // The sender lives as long as the place.
                    None => drop(self.place.newest.changed().await),
                }
            };
            tokio::select! {
                biased;
                () = self.api.shutdown.requested() => return Ok(()),
                () = self.writer.left() => return Ok(()),
                _ = check.tick() => {
                    if self.is_over().await {
                        return self.writer.send(Event::default().event("end").data(r#"{"reason":"login required"}"#)).await;
                    }
                }
                () = wait => (),
            }
        }
    }

    /// Sends a page; how long to wait before the next one, where there could be none.
    async fn send_next(&mut self) -> Result<Option<Duration>, Gone> {
        let Ok(page) = self.api.next_notifications(self.caller.user, self.after).await else {
            return Ok(Some(TRY_AGAIN));
        };
        if page.is_empty() {
            // Pruned, or not there yet.
            return Ok(Some(TRY_AGAIN));
        }
        for (number, payload) in page {
            if let Some(seen) = view::of(number, &payload, self.caller.user, 0) {
                let data = serde_json::to_string(&seen).map_err(|_| Gone)?;
                self.writer.send(Event::default().id(number.to_string()).event(seen.kind).data(data)).await?;
            }
            self.after = number;
        }
        Ok(None)
    }

    /// Whether the session or the token ended. A database that cannot say does not end streams.
    async fn is_over(&self) -> bool {
        if self.api.clock.now() >= self.caller.token_ends {
            return true;
        }
        let session = self.api.session(self.caller.session).await;
        session.is_err_and(|failure| failure.code() == ResultCode::LoginRequired)
    }
}

impl Api {
    /// The number of a user's last notification.
    async fn last_number(&self, user: UserId) -> Result<i64, Failure> {
        let read = sqlx::query_scalar!("SELECT last_number FROM notification_counters WHERE user_id = ?", user.0);
        Ok(self.within(read.fetch_optional(&self.database)).await?.unwrap_or(0))
    }

    /// What comes after number `after`: from Redis, if it has it without a gap. What is older than is kept may still be
    /// there, so MySQL is asked whether that is.
    async fn next_notifications(&self, user: UserId, after: i64) -> Result<Vec<Entry>, Failure> {
        let kept_ms = i64::from(self.config.notifications.kept_days) * DAY_MS;
        let oldest = self.clock.now().plus_ms(-kept_ms);
        if let Some(entries) = self.user_streams.after(user, after, PAGE).await
            && entries.first().is_some_and(|(number, payload)| *number == after + 1 && view::is_after(payload, oldest))
        {
            let whole = (after + 1..).zip(&entries).take_while(|(wanted, (number, _))| wanted == number).count();
            return Ok(entries.into_iter().take(whole).collect());
        }
        let read = sqlx::query!(
            "SELECT number, payload FROM notifications WHERE user_id = ? AND number > ? ORDER BY number LIMIT ?",
            user.0,
            after,
            PAGE
        );
        let rows = self.within(read.fetch_all(&self.database)).await?;
        Ok(rows.into_iter().map(|row| (row.number, row.payload)).collect())
    }
}
