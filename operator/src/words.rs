//! How values that are words or bytes look in JSON.

#![allow(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "serde hands references of whole fields over"
)]

use contracts::{CommandState, ResultCode};
use serde::Serializer;
use std::fmt::Display;

/// As its text.
pub(crate) fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// As its text, or nothing.
pub(crate) fn perhaps<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// As their texts.
pub(crate) fn texts<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

/// A message's body: JSON as JSON, anything else as text.
pub(crate) fn body<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(json) => serde::Serialize::serialize(&json, serializer),
        Err(_) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
    }
}

/// A state's word.
pub(crate) fn state<S: Serializer>(state: &CommandState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

/// A result code's name.
pub(crate) fn code<S: Serializer>(code: &ResultCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.name())
}
