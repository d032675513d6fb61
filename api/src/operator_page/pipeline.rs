//! The pipeline live.

use super::{Desk, Refusal};
use axum::{Json, extract::State};
use operator::pipeline::Pipeline;
use std::sync::Arc;

/// As it is now.
pub(super) async fn show(State(desk): State<Arc<Desk>>) -> Result<Json<Pipeline>, Refusal> {
    Ok(Json(Pipeline::clone(&*desk.pipeline().await?)))
}
