//! `GET /api/users/points`.

use crate::{
    auth::Caller,
    context::Shared,
    envelope::{Answer, Envelope, Failure},
};
use axum::extract::State;
use serde::Serialize;
use sqlx::MySqlPool;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct Points {
    point: i64,
}

/// The caller's available points.
#[utoipa::path(
    get,
    path = "/api/users/points",
    operation_id = "points",
    tag = "users",
    responses((status = 200, description = "What may be spent", body = Envelope<Points>)),
)]
pub(crate) async fn get(State(api): State<Shared>, caller: Caller) -> Result<Answer<Points>, Failure> {
    let read = |db: MySqlPool| async move {
        sqlx::query_scalar!("SELECT available FROM balances WHERE user_id = ?", caller.user.0).fetch_optional(&db).await
    };
    let point = api.read(Some(caller.user), read).await?.unwrap_or(0);
    Ok(Answer(Points { point }))
}
