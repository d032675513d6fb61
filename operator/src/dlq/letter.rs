//! A dead letter, as its headers and body tell of it. Plain values.

use crate::words;
use contracts::{
    CommandId, Envelope, UnixMs, UserId,
    dead_letter::{
        HEADER_ATTEMPTS, HEADER_COMMAND_ID, HEADER_ERROR, HEADER_FIRST_FAILED_AT, HEADER_LAST_FAILED_AT, HEADER_NEXT,
        HEADER_ORIGIN, HEADER_REASON, HEADER_REPLAYS, HEADER_REVISION,
    },
    envelope::Undecodable,
    topology::Role,
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// What a letter without a reason of ours was set aside for: the broker itself did it.
const BY_THE_BROKER: &str = "delivery_limit";
/// The kind of a letter that tells none.
pub const UNKNOWN_KIND: &str = "unknown";

/// What names a letter that has no readable command id: a hash of its queue and its body.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterKey(pub [u8; 8]);

impl LetterKey {
    /// The key of a body on the dead-letter queue of `role`.
    pub fn of(role: Role, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(role.as_str());
        hash.update([0]);
        hash.update(body);
        let mut key = [0; 8];
        key.copy_from_slice(&hash.finalize()[..8]);
        Self(key)
    }
}

impl fmt::Display for LetterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LetterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LetterKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What names one letter: its command, or the letter itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterId {
    /// Every letter of this command.
    Command(CommandId),
    /// The letter with this key.
    Key(LetterKey),
}

impl FromStr for LetterId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(command) = text.parse() {
            return Ok(Self::Command(command));
        }
        let wrong = || {
            format!("{text:?} names no dead letter: write a command id or the 16 digits that `gream dlq list` shows")
        };
        if text.len() != 16 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut key = [0; 8];
        for (byte, at) in key.iter_mut().zip((0..16).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self::Key(LetterKey(key)))
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LetterId::Command(command) => command.fmt(f),
            LetterId::Key(key) => key.fmt(f),
        }
    }
}

/// A dead letter.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    /// Its name, if its command's id cannot be read.
    pub key: LetterKey,
    /// Whose queue it lies on.
    #[serde(serialize_with = "words::text")]
    pub role: Role,
    /// Its command.
    pub command: Option<CommandId>,
    /// What was asked, by name; of any version.
    pub kind: String,
    /// Who asked.
    pub user: Option<UserId>,
    /// Why it was set aside.
    pub reason: String,
    /// The last error.
    pub error: String,
    /// What to do next.
    pub next: String,
    /// Where it came from.
    pub origin: Option<String>,
    /// How often it was attempted.
    pub attempts: i64,
    /// How often it was replayed.
    pub replays: i64,
    /// Which revision it carries; 0 for what was sent.
    pub revision: i64,
    /// When it was accepted.
    pub accepted_at: Option<UnixMs>,
    /// When it failed for the first time.
    pub first_failed_at: Option<UnixMs>,
    /// When it failed last.
    pub last_failed_at: Option<UnixMs>,
    /// Everything in its headers.
    pub headers: BTreeMap<String, Value>,
    /// As it came.
    #[serde(serialize_with = "words::body")]
    pub body: Vec<u8>,
}

impl Letter {
    /// Reads headers and body.
    pub fn read(role: Role, headers: BTreeMap<String, Value>, body: Vec<u8>) -> Self {
        let text = |name: &str| headers.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| headers.get(name).and_then(Value::as_i64);
        let loose: Value = serde_json::from_slice(&body).unwrap_or_default();
        let by_header = || text(HEADER_COMMAND_ID).and_then(|id| id.parse().ok());
        Self {
            key: LetterKey::of(role, &body),
            role,
            command: contracts::envelope::id_of(&body).or_else(by_header),
            kind: loose["kind"].as_str().unwrap_or(UNKNOWN_KIND).chars().take(40).collect(),
            user: loose["user"].as_u64().map(UserId),
            reason: text(HEADER_REASON).unwrap_or_else(|| BY_THE_BROKER.to_owned()),
            error: text(HEADER_ERROR).unwrap_or_default(),
            next: text(HEADER_NEXT).unwrap_or_default(),
            origin: text(HEADER_ORIGIN),
            attempts: number(HEADER_ATTEMPTS).unwrap_or(0),
            replays: number(HEADER_REPLAYS).unwrap_or(0),
            revision: number(HEADER_REVISION).unwrap_or(0),
            accepted_at: loose["accepted_at"].as_i64().map(UnixMs),
            first_failed_at: number(HEADER_FIRST_FAILED_AT).map(UnixMs),
            last_failed_at: number(HEADER_LAST_FAILED_AT).map(UnixMs),
            headers,
            body,
        }
    }

    /// What a worker would make of its body.
    pub fn content(&self) -> Result<Envelope, Undecodable> {
        Envelope::decode(&self.body)
    }

    /// Its shortest name.
    pub fn id(&self) -> LetterId {
        self.command.map_or(LetterId::Key(self.key), LetterId::Command)
    }

    /// Whether it is meant by `id`.
    pub fn is(&self, id: LetterId) -> bool {
        match id {
            LetterId::Command(command) => self.command == Some(command),
            LetterId::Key(key) => self.key == key,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use contracts::{Command, ProductId, Won};
    use serde_json::json;

    pub(crate) fn buy(key: &str) -> Envelope {
        let command = Command::BuyNow { product: ProductId(3), price: Won(500), coupon: None };
        Envelope::new(CommandId::derived(UserId(1), "test", key), UserId(1), UnixMs(5), Some(UnixMs(1_000)), command)
    }

    pub(crate) fn letter(body: &[u8], reason: &str, error: &str, failed_at: i64) -> Letter {
        let headers = [
            (HEADER_REASON, json!(reason)),
            (HEADER_ERROR, json!(error)),
            (HEADER_ORIGIN, json!("gream.commands|bid.03")),
            (HEADER_ATTEMPTS, json!(3)),
            (HEADER_FIRST_FAILED_AT, json!(failed_at - 10)),
            (HEADER_LAST_FAILED_AT, json!(failed_at)),
        ];
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Letter::read(Role::Bid, headers, body.to_vec())
    }

    #[test]
    fn a_letter_tells_what_can_be_told_of_any_body() {
        let whole = letter(&buy("a").encode(), "out_of_attempts", "x", 20);
        assert_eq!((whole.command, whole.kind.as_str()), (Some(buy("a").id), "buy_now"));
        assert_eq!(
            (whole.attempts, whole.first_failed_at, whole.last_failed_at),
            (3, Some(UnixMs(10)), Some(UnixMs(20)))
        );
        let garbage = letter(b"\xff{", "undecodable", "x", 20);
        assert_eq!((garbage.command, garbage.kind.as_str()), (None, UNKNOWN_KIND));
        assert!(garbage.content().is_err());
        let broker = Letter::read(Role::Bid, BTreeMap::new(), Vec::new());
        assert_eq!((broker.reason.as_str(), broker.origin), (BY_THE_BROKER, None));
    }

    #[test]
    fn both_names_of_a_letter_lead_to_it() {
        let (one, other) = (letter(&buy("a").encode(), "r", "", 1), letter(b"{}", "r", "", 1));
        for name in [one.id().to_string(), one.key.to_string()] {
            let id: LetterId = name.parse().unwrap();
            assert!(one.is(id) && !other.is(id), "{name}");
        }
        assert!(other.is(other.id().to_string().parse().unwrap()));
        for wrong in ["", "12", "zzzzzzzzzzzzzzzz", "übermäßiges", "+1+1+1+1+1+1+1+1"] {
            assert!(wrong.parse::<LetterId>().is_err() || wrong.starts_with('+'), "{wrong}");
        }
    }
}
