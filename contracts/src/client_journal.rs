//! The clients' journal: what the market day was told, one JSON line an answer, written before the client uses it.
//!
//! The audit holds it against the database: whatever a client was told must be what is stored.

use crate::{
    id::{CommandId, UserId},
    kind::Kind,
    outcome::CommandState,
    time::UnixMs,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The response header that names the command which a request became. Absent when it became none.
pub const HEADER_COMMAND_ID: &str = "Gream-Command-Id";

/// One line: one answer about one accepted command. A command that was asked about twice has two lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Which command.
    pub id: CommandId,
    /// Its kind.
    #[serde(with = "kind_as_word")]
    pub kind: Kind,
    /// Who asked.
    pub user: UserId,
    /// When the request was sent, by the client's own clock.
    pub sent_at: UnixMs,
    /// What the client was told: a final state, or where the command stood.
    pub state: CommandState,
    /// The envelope's `code`.
    pub code: u32,
    /// The envelope's `data`; null while the state is not final.
    pub data: Value,
}

mod kind_as_word {
    use crate::kind::Kind;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_the_file() {
        let line = Line {
            id: CommandId::derived(UserId(1), "buy", "k"),
            kind: Kind::BuyNow,
            user: UserId(1),
            sent_at: UnixMs(5),
            state: CommandState::Rejected,
            code: 4001,
            data: serde_json::json!({}),
        };
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.contains(r#""kind":"buy_now","user":1"#), "{text}");
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
