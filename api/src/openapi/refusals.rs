//! The answers that are no 200: one description a status, from the codes that have it.

use contracts::{CommandState, ResultCode, result_code::status_name};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The answers to calls that end with one of `codes`, by their HTTP status.
pub(super) fn responses(codes: &[ResultCode]) -> BTreeMap<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<ResultCode>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.http_status()).or_default().push(*code);
    }
    by_status.into_iter().map(|(status, codes)| (status.to_string(), response(status, &codes))).collect()
}

fn response(status: u16, codes: &[ResultCode]) -> Value {
    let line = |code: &ResultCode| format!("- `{}` {} ({})", code.code(), code.message(), code.name());
    let description = codes.iter().map(line).collect::<Vec<_>>().join("\n");
    let numbers: Vec<u32> = codes.iter().map(|code| code.code()).collect();
    let messages: Vec<&str> = codes.iter().map(|code| code.message()).collect();
    let schema = envelope(status, &json!(numbers), &json!(messages), &data(status, codes));
    let mut response = json!({"description": description, "content": {"application/json": {"schema": schema}}});
    if codes.iter().any(|code| matches!(code, ResultCode::NotAccepted | ResultCode::TooManyRequests)) {
        response["headers"]["Retry-After"] =
            json!({"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}});
    }
    response
}

/// 202: the command is durable, and not carried out yet.
pub(super) fn accepted() -> Value {
    let states: Vec<&str> =
        [CommandState::Accepted, CommandState::Executing, CommandState::Retrying, CommandState::Suspended]
            .into_iter()
            .map(CommandState::as_str)
            .collect();
    let data = json!({
        "type": "object",
        "required": ["commandId", "state"],
        "properties": {"commandId": {"type": "string", "format": "uuid"}, "state": {"enum": states}},
    });
    let schema = envelope(202, &json!([ResultCode::Ok.code()]), &json!([ResultCode::Ok.message()]), &data);
    json!({
        "description": "Accepted, not finished within the wait. Ask at `Location`.",
        "content": {"application/json": {"schema": schema}},
        "headers": {
            "Location": {"description": "Where to ask how it stands.", "schema": {"type": "string"}},
            "Gream-Command-Id": {"description": "The command.", "schema": {"type": "string", "format": "uuid"}},
        },
    })
}

fn envelope(status: u16, codes: &Value, messages: &Value, data: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["status", "code", "message", "data"],
        "properties": {
            "status": {"const": status_name(status)},
            "code": {"enum": codes},
            "message": {"enum": messages},
            "data": data,
        },
    })
}

/// `{}`, but a list of mistakes where fields are at fault, and the command's id where it may be on its queue.
fn data(status: u16, codes: &[ResultCode]) -> Value {
    let nothing = json!({"type": "object", "maxProperties": 0});
    let mistakes = json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["field", "message"],
            "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
        },
    });
    match (status, codes) {
        (503, _) => json!({"type": "object", "properties": {"commandId": {"type": "string", "format": "uuid"}}}),
        (_, [ResultCode::InvalidInput]) => mistakes,
        (_, codes) if codes.contains(&ResultCode::InvalidInput) => json!({"anyOf": [mistakes, nothing]}),
        _ => nothing,
    }
}
