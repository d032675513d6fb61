//! A command's life, or those of whatever has commands, by id.

use super::{Desk, Refusal};
use axum::{
    Json,
    extract::{Path, State},
};
use operator::{
    masked,
    trace::{Subject, Trace, UnknownSubject},
};
use std::sync::Arc;

/// The trace of a command's id, `bid:N`, `order:N`, `refund:N`, `user:N` or `payment:ORDER_ID`.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Path(subject): Path<String>) -> Result<Json<Trace>, Refusal> {
    let subject: Subject = subject.trim().parse().map_err(|error: UnknownSubject| Refusal::bad(error.to_string()))?;
    let (tracer, _hand) = desk.tracer();
    let mut trace = tracer.trace(&subject).await?;
    for life in &mut trace.commands {
        life.data = masked(life.data.take());
    }
    Ok(Json(trace))
}
