//! From an outcome to the REST contract's answer.

use crate::envelope::{Failure, respond};
use axum::{
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use contracts::{CommandId, CommandState, Outcome, ResultCode};
use serde::Serialize;

/// [`contracts::client_journal::HEADER_COMMAND_ID`], as HTTP libraries spell it.
pub(crate) const COMMAND_ID: HeaderName = HeaderName::from_static("gream-command-id");

/// The answer to a request whose outcome this is.
pub(super) fn of_outcome(outcome: &Outcome) -> Result<Response, Failure> {
    match outcome.state {
        CommandState::Done => Ok(respond(200, ResultCode::Ok, &outcome.data)),
        CommandState::Rejected if outcome.code == ResultCode::InvalidInput => Err(Failure::invalid_fields(&[])),
        CommandState::Rejected => Err(outcome.code.into()),
        CommandState::Discarded => Err(ResultCode::CommandDiscarded.into()),
        // Not an outcome. Nobody sends these; if somebody does, the client hears what is true.
        CommandState::Accepted | CommandState::Executing | CommandState::Retrying | CommandState::Suspended => {
            Ok(pending(outcome.id, outcome.state))
        }
    }
}

/// 202, with the state and where to ask again.
pub(super) fn accepted(id: CommandId, state: CommandState, location: &str) -> Result<Response, Failure> {
    let mut response = pending(id, state);
    let location = HeaderValue::from_str(location).map_err(|_| ResultCode::Unexpected)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The same answer, with the header that names the command which the request became.
pub(super) fn naming(id: CommandId, mut answer: Response) -> Response {
    // A UUID is visible ASCII.
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        answer.headers_mut().insert(COMMAND_ID, value);
    }
    answer
}

/// What is told of a command that is not finished.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pending {
    command_id: CommandId,
    state: CommandState,
}

fn pending(command_id: CommandId, state: CommandState) -> Response {
    respond(202, ResultCode::Ok, Pending { command_id, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::{Fingerprint, UnixMs, UserId};
    use serde_json::json;

    fn outcome(state: CommandState, code: ResultCode) -> Outcome {
        let id = CommandId::derived(UserId(1), "a", "b");
        Outcome {
            id,
            fingerprint: Fingerprint([1; 32]),
            state,
            code,
            data: json!({"buyId": 9}),
            finished_at: UnixMs(1),
        }
    }

    #[test]
    fn each_end_has_its_answer() {
        let done = of_outcome(&outcome(CommandState::Done, ResultCode::Ok)).unwrap();
        assert_eq!(done.status(), 200);
        let code = |state, code| of_outcome(&outcome(state, code)).unwrap_err().code();
        assert_eq!(code(CommandState::Rejected, ResultCode::NotEnoughPoints), ResultCode::NotEnoughPoints);
        assert_eq!(code(CommandState::Rejected, ResultCode::InvalidInput), ResultCode::InvalidInput);
        assert_eq!(code(CommandState::Discarded, ResultCode::Ok), ResultCode::CommandDiscarded);
    }

    #[test]
    fn the_header_is_the_one_that_clients_look_for() {
        assert_eq!(contracts::client_journal::HEADER_COMMAND_ID.to_ascii_lowercase(), COMMAND_ID.as_str());
    }

    #[test]
    fn what_is_not_finished_says_where_to_ask() {
        let id = CommandId::derived(UserId(1), "a", "b");
        let response = accepted(id, CommandState::Retrying, "/api/commands/x?o=1").unwrap();
        assert_eq!(response.status(), 202);
        assert_eq!(response.headers()["location"], "/api/commands/x?o=1");
    }
}
