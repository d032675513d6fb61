//! What the caller was told: by pages, as a stream, and up to where it was read.
//!
//! ```text
//! notifier ─► MySQL (the truth, numbered per user without gaps)
//!         └─► Redis, a stream a user ─► hub: who has something newer? ─► stream: what comes next? (Redis, or MySQL) ─► client
//! ```

pub(crate) mod hub;
pub(crate) mod stream;
mod view;

use crate::{
    auth::Caller,
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure},
    request::{JsonBody, Query},
};
use axum::extract::State;
use contracts::UserId;
use serde::Serialize;
use sqlx::MySqlPool;
use utoipa::ToSchema;
use view::Notification;

/// Rows in an answer to a client that names no page.
const UNPAGED: i64 = 100;

/// A part of what the caller was told.
#[derive(Serialize, ToSchema)]
pub(crate) struct Notifications {
    /// How many the caller has not read, of all.
    unread: i64,
    notifications: Vec<Notification>,
}

/// What is left to read.
#[derive(Serialize, ToSchema)]
pub(crate) struct Unread {
    unread: i64,
}

/// Up to where the caller has read.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub(crate) struct ReadMark {
    /// The number of the last notification that was read. A mark never goes back.
    number: i64,
}

/// What the caller was told, newest first.
#[utoipa::path(
    get,
    path = "/api/notifications",
    operation_id = "notifications",
    tag = "notifications",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Notifications>)),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Notifications>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let read = |db: MySqlPool| async move {
        sqlx::query!(
            "SELECT number, payload FROM notifications WHERE user_id = ? ORDER BY number DESC LIMIT ? OFFSET ?",
            caller.user.0,
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    let rows = api.read(Some(caller.user), read).await?;
    let (unread, read_number) = api.unread(caller.user).await?;
    let seen = |number, payload: &str| view::of(number, payload, caller.user, read_number);
    let notifications = rows.iter().filter_map(|row| seen(row.number, &row.payload)).collect();
    Ok(Answer(Notifications { unread, notifications }))
}

/// Notes up to where the caller has read.
#[utoipa::path(
    post,
    path = "/api/notifications/read",
    operation_id = "read_notifications",
    tag = "notifications",
    request_body = ReadMark,
    responses((status = 200, description = "What is left", body = Envelope<Unread>)),
)]
pub(crate) async fn read(
    State(api): State<Shared>,
    caller: Caller,
    JsonBody(mut body): JsonBody,
) -> Result<Answer<Unread>, Failure> {
    let number = body.integer("number", 0..=i64::MAX >> 10);
    body.valid()?;
    let mark = sqlx::query!(
        "UPDATE notification_counters SET read_number = GREATEST(read_number, LEAST(last_number, ?)) WHERE user_id = ?",
        number,
        caller.user.0
    );
    api.within(mark.execute(&api.database)).await?;
    Ok(Answer(Unread { unread: api.unread(caller.user).await?.0 }))
}

impl Api {
    /// How many of its notifications a user has not read, and the last that it has. From the primary: whoever marked
    /// something as read looks at this next.
    async fn unread(&self, user: UserId) -> Result<(i64, i64), Failure> {
        // Numbers have no gaps, so nobody need count; those before the first that is kept are gone.
        let read = sqlx::query!(
            r#"SELECT last_number, read_number,
                      (SELECT MIN(n.number) FROM notifications n WHERE n.user_id = c.user_id) AS first_kept
             FROM notification_counters c WHERE c.user_id = ?"#,
            user.0
        );
        let Some(row) = self.within(read.fetch_optional(&self.database)).await? else { return Ok((0, 0)) };
        let unread = row.first_kept.map_or(0, |first| row.last_number - row.read_number.max(first - 1));
        Ok((unread, row.read_number))
    }
}
