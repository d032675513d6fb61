//! The envelope in which a command travels, and the fingerprint of what was asked.
//!
//! Promises: what is decoded is what was encoded, in its fingerprint too, or a reason that a person can act on.

use crate::{
    command::Command,
    id::{CommandId, UserId},
    kind::{Kind, UnknownKind},
    time::UnixMs,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// The envelope version that this build writes and understands.
pub const ENVELOPE_VERSION: u32 = 1;

/// SHA-256 over what was asked: the same id with another fingerprint is another request under a used key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a command that no worker could read.
    pub const UNKNOWN: Self = Self([0; 32]);

    /// The fingerprint of `command`.
    pub fn of(command: &Command) -> Self {
        Self(Sha256::digest(command.canonical().as_bytes()).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(InvalidFingerprint);
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidFingerprint)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits")]
pub struct InvalidFingerprint;

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A command on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Envelope {
    /// Its identity, and its effect's.
    pub id: CommandId,
    /// [`ENVELOPE_VERSION`] of the build that wrote it.
    pub version: u32,
    /// Who asked; [`UserId::SYSTEM`] for the market's own.
    pub user: UserId,
    /// When the API accepted it.
    pub accepted_at: UnixMs,
    /// Met at or after this instant, it is rejected as expired. `None`: it stays valid.
    pub valid_until: Option<UnixMs>,
    /// What was asked, as a hash.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub fingerprint: Fingerprint,
    /// What is asked: the fields `kind` and `body`.
    #[serde(flatten)]
    pub command: Command,
}

impl Envelope {
    /// Wraps `command`, computing its fingerprint.
    pub fn new(
        id: CommandId,
        user: UserId,
        accepted_at: UnixMs,
        valid_until: Option<UnixMs>,
        command: Command,
    ) -> Self {
        let fingerprint = Fingerprint::of(&command);
        Self { id, version: ENVELOPE_VERSION, user, accepted_at, valid_until, fingerprint, command }
    }

    /// The message body.
    pub fn encode(&self) -> Vec<u8> {
        // Plain data with string keys: serialising it to memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a message body.
    ///
    /// # Errors
    /// Says why a worker cannot carry the message out, which is also why it becomes a dead letter.
    pub fn decode(body: &[u8]) -> Result<Self, Undecodable> {
        let head: Head =
            serde_json::from_slice(body).map_err(|e| Undecodable::Malformed { id: None, error: e.to_string() })?;
        if head.version != ENVELOPE_VERSION {
            return Err(Undecodable::UnknownVersion { id: Some(head.id), version: head.version });
        }
        if let Err(UnknownKind(kind)) = head.kind.parse::<Kind>() {
            return Err(Undecodable::UnknownKind { id: Some(head.id), kind });
        }
        let envelope: Envelope = serde_json::from_slice(body)
            .map_err(|e| Undecodable::Malformed { id: Some(head.id), error: e.to_string() })?;
        if envelope.fingerprint != Fingerprint::of(&envelope.command) {
            return Err(Undecodable::FingerprintMismatch { id: Some(head.id) });
        }
        Ok(envelope)
    }
}

/// The part of an envelope that every version shares, read first so that a newer message is told from a broken one.
#[derive(Deserialize)]
struct Head {
    id: CommandId,
    version: u32,
    kind: String,
}

/// Why a message body is no command that this build can carry out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not JSON, or not an envelope.
    #[error("not a command envelope: {error}")]
    Malformed {
        /// The command's id, where it could be read.
        id: Option<CommandId>,
        /// What the parser said.
        error: String,
    },
    /// A version of the envelope that this build does not know.
    #[error("envelope version {version} is unknown")]
    UnknownVersion {
        /// The command's id.
        id: Option<CommandId>,
        /// The version that was found.
        version: u32,
    },
    /// A kind that this build does not know.
    #[error("command kind {kind:?} is unknown")]
    UnknownKind {
        /// The command's id.
        id: Option<CommandId>,
        /// The kind that was found.
        kind: String,
    },
    /// The body was changed after it was accepted.
    #[error("the body does not match its fingerprint")]
    FingerprintMismatch {
        /// The command's id.
        id: Option<CommandId>,
    },
}

/// The id in a message body, whatever else can be made of it.
pub fn id_of(body: &[u8]) -> Option<CommandId> {
    Envelope::decode(body).map_or_else(|error| error.id(), |envelope| Some(envelope.id))
}

impl Undecodable {
    /// The command's id, where it could be read.
    pub fn id(&self) -> Option<CommandId> {
        match self {
            Undecodable::Malformed { id, .. }
            | Undecodable::UnknownVersion { id, .. }
            | Undecodable::UnknownKind { id, .. }
            | Undecodable::FingerprintMismatch { id } => *id,
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BarcodeHash, Picture, ProductId, Won};

    fn sample() -> Envelope {
        let command = Command::PlaceBuyBid {
            product: ProductId(3),
            price: Won(4_500),
            period_days: 7,
            deadline: UnixMs(1_800_000_000_000),
            coupon: None,
        };
        Envelope::new(CommandId::derived(UserId(1), "buy", "k"), UserId(1), UnixMs(5), Some(UnixMs(9)), command)
    }

    #[test]
    fn an_envelope_survives_the_wire() {
        let envelope = sample();
        assert_eq!(Envelope::decode(&envelope.encode()).unwrap(), envelope);
    }

    #[test]
    fn the_wire_form_is_what_an_operator_reads() {
        let json: serde_json::Value = serde_json::from_slice(&sample().encode()).unwrap();
        assert_eq!(json["kind"], "place_buy_bid");
        assert_eq!(json["version"], 1);
        assert_eq!(json["body"]["price"], 4500);
        assert_eq!(json["body"]["coupon"], serde_json::Value::Null);
    }

    #[test]
    fn every_kind_has_a_name_that_leads_back_to_it() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>(), Ok(kind));
        }
    }

    #[test]
    fn what_the_api_adds_does_not_change_the_fingerprint_and_what_the_client_asks_does() {
        let sell = |price, deadline, picture| Command::PlaceSellBid {
            product: ProductId(3),
            price: Won(price),
            period_days: 7,
            deadline: UnixMs(deadline),
            picture,
        };
        let picture = |key: &str| Picture { key: key.into(), sha256: "ab".into(), ..Picture::default() };
        let bid = |key, price, deadline| sell(price, deadline, picture(key));
        assert_eq!(Fingerprint::of(&bid("a", 1, 5)), Fingerprint::of(&bid("b", 1, 6)));
        assert_ne!(Fingerprint::of(&bid("a", 1, 5)), Fingerprint::of(&bid("a", 2, 5)));
        let read = Picture { barcode: Some(BarcodeHash([7; 32])), ..picture("a") };
        assert_eq!(Fingerprint::of(&bid("a", 1, 5)), Fingerprint::of(&sell(1, 5, read)));
        let [ending, later] = [9, 10].map(|end| Picture { expires_at: Some(UnixMs(end)), ..picture("a") });
        assert_ne!(Fingerprint::of(&bid("a", 1, 5)), Fingerprint::of(&sell(1, 5, ending.clone())));
        assert_ne!(Fingerprint::of(&sell(1, 5, later)), Fingerprint::of(&sell(1, 5, ending)));
    }

    #[test]
    fn a_picture_of_which_nothing_more_is_known_is_written_as_it_always_was() {
        let plain = Picture { key: "a".into(), sha256: "ab".into(), ..Picture::default() };
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"key":"a","sha256":"ab"}"#);
        let known = Picture { barcode: Some(BarcodeHash([0xab; 32])), expires_at: Some(UnixMs(5)), ..plain };
        let text = serde_json::to_string(&known).unwrap();
        assert!(text.contains(&"ab".repeat(32)), "{text}");
        assert_eq!(serde_json::from_str::<Picture>(&text).unwrap(), known);
    }

    #[test]
    fn what_cannot_be_carried_out_says_why_and_which() {
        let good = sample();
        let mut json: serde_json::Value = serde_json::from_slice(&good.encode()).unwrap();
        let decode = |json: &serde_json::Value| Envelope::decode(json.to_string().as_bytes()).unwrap_err();

        assert!(matches!(Envelope::decode(b"{"), Err(Undecodable::Malformed { id: None, .. })));
        json["body"]["price"] = 1.into();
        assert_eq!(decode(&json), Undecodable::FingerprintMismatch { id: Some(good.id) });
        json["body"]["price"] = "x".into();
        assert!(matches!(decode(&json), Undecodable::Malformed { id: Some(_), .. }));
        json["kind"] = "teleport".into();
        assert!(matches!(decode(&json), Undecodable::UnknownKind { id: Some(_), .. }));
        json["version"] = 2.into();
        assert!(matches!(decode(&json), Undecodable::UnknownVersion { version: 2, .. }));
    }
}
