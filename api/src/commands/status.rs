//! `GET /api/commands/{id}`: where a command stands, for its owner or whoever holds its signed address.

use super::{
    address::{self, Address},
    lookup::{self, Row},
};
use crate::{
    auth::Caller,
    context::Shared,
    envelope::{Answer, Envelope, Failure},
    request::Query,
    seoul::local,
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use contracts::{CommandId, CommandState, Fingerprint, ResultCode, UnixMs};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use utoipa::ToSchema;

/// How a finished command was answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CommandOutcome)]
pub(crate) struct Outcome {
    http_status: u16,
    code: u32,
    message: &'static str,
    data: Value,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CommandStatus)]
pub(crate) struct Status {
    command_id: CommandId,
    state: CommandState,
    /// What was asked for; unknown until a worker has met it.
    kind: Option<String>,
    accepted_at: String,
    updated_at: Option<String>,
    attempts: i16,
    /// Present once the state is final.
    outcome: Option<Outcome>,
}

/// Where a command stands, for its owner or whoever holds its signed address.
#[utoipa::path(
    get,
    path = "/api/commands/{id}",
    operation_id = "command_status",
    tag = "commands",
    params(("id" = Uuid, Path), ("o" = Option<String>, Query, description = "With `t`, `f` and `s`: the signed address, as `Location` gave it", max_length = 64), ("t" = Option<String>, Query, max_length = 64), ("f" = Option<String>, Query, max_length = 64), ("s" = Option<String>, Query, max_length = 64)),
    responses((status = 200, description = "As far as it is known", body = Envelope<Status>)),
)]
pub(crate) async fn get(
    State(api): State<Shared>,
    Path(id): Path<String>,
    Query(mut query): Query,
    caller: Result<Caller, Failure>,
) -> Result<Answer<Status>, Failure> {
    let id: CommandId = id.parse().map_err(|_| Failure::invalid("id", "UUID여야 합니다."))?;
    let address = address::read(&api.signer, id, &mut query);
    // Without a genuine address it needs a login.
    let user = match (&address, caller) {
        (_, Ok(caller)) => Some(caller.user),
        (Some(_), Err(_)) => None,
        (None, Err(failure)) => return Err(failure),
    };
    let row = api.within(lookup::row(&api.database, id)).await?;
    if let (Some(row), Some(address)) = (&row, &address)
        && address.owner == row.user
        && !api.within(lookup::comes_from(&api.database, id, row.fingerprint, address.fingerprint)).await?
    {
        // The key was used for something else before; what came of that is not what this address was given out for.
        return Err(ResultCode::KeyReused.into());
    }
    match (row, address) {
        (Some(row), address)
            if user == Some(row.user) || address.is_some_and(|a| a.owner == row.user || is_unread(&row)) =>
        {
            if row.state.is_final() {
                // Whoever is told of it looks at what came of it next.
                api.reads.note_write(row.user, Duration::ZERO).await;
            }
            Ok(Answer(of_row(row)))
        }
        (None, Some(Address { accepted_at, .. })) => Ok(Answer(not_met(id, accepted_at))),
        _ => Err(ResultCode::CommandNotFound.into()),
    }
}

/// No worker could tell whose it is.
fn is_unread(row: &Row) -> bool {
    row.fingerprint == Fingerprint::UNKNOWN
}

fn of_row(row: Row) -> Status {
    let outcome = row.outcome().map(|outcome| {
        let code = if outcome.state == CommandState::Discarded { ResultCode::CommandDiscarded } else { outcome.code };
        let http_status = if code == ResultCode::Ok { StatusCode::OK.as_u16() } else { code.http_status() };
        Outcome { http_status, code: code.code(), message: code.message(), data: outcome.data }
    });
    Status {
        command_id: row.id,
        state: row.state,
        kind: Some(row.kind),
        accepted_at: local(row.accepted_at),
        updated_at: Some(local(row.updated_at)),
        attempts: row.attempts,
        outcome,
    }
}

fn not_met(id: CommandId, accepted_at: UnixMs) -> Status {
    Status {
        command_id: id,
        state: CommandState::Accepted,
        kind: None,
        accepted_at: local(accepted_at),
        updated_at: None,
        attempts: 0,
        outcome: None,
    }
}
