//! `GET /api/users/points`.

use crate::{
    auth::Caller,
    context::Shared,
    envelope::{Answer, Failure},
};
use axum::extract::State;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Points {
    point: i64,
}

/// The caller's available points.
pub(crate) async fn get(State(api): State<Shared>, caller: Caller) -> Result<Answer<Points>, Failure> {
    let read = sqlx::query_scalar!("SELECT available FROM balances WHERE user_id = ?", caller.user.0);
    let point = api.within(read.fetch_optional(&api.database)).await?.unwrap_or(0);
    Ok(Answer(Points { point }))
}
