//! Commands: what somebody asked for, in the envelope that travels on the queue.
//!
//! Plain JSON, so that an operator can read it in the RabbitMQ page. What must not be read there (bank account
//! numbers) is encrypted before it gets here.

use crate::{
    barcode::BarcodeHash,
    id::{BidId, CommandId, CouponId, ProductId, RefundId, UserId},
    money::Won,
    time::UnixMs,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// The envelope version that this build writes and understands.
pub const ENVELOPE_VERSION: u32 = 1;

/// Which side of the order book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Somebody wants to buy.
    Buy,
    /// Somebody wants to sell.
    Sell,
}

impl Side {
    /// The other side of the book.
    #[must_use]
    pub fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }

    /// As stored in the database and written in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
        }
    }
}

/// A gifticon's picture, stored before the command was sent, and what is known of the voucher in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Where the object store keeps it. Not part of the fingerprint: a retry stores the same picture elsewhere.
    pub key: String,
    /// SHA-256 of the file as it was sent, lower-case hex. Part of the fingerprint.
    pub sha256: String,
    /// What its barcode says, if one was read. Not part of the fingerprint: it follows from the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barcode: Option<BarcodeHash>,
    /// Exclusive end of the voucher's own validity, if the client said it. Part of the fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixMs>,
}

impl Picture {
    /// Its lines of a command's canonical form. A picture without an end has none: so it was before ends were told.
    fn canonical(&self) -> String {
        let Picture { sha256, expires_at, .. } = self;
        expires_at.map_or_else(|| sha256.clone(), |end| format!("{sha256}\n{}", end.0))
    }
}

/// What is asked. The tag is [`Kind`]; the body's fields are those of the variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Offer to buy at `price` or less until `deadline`.
    #[serde(rename_all = "snake_case")]
    PlaceBuyBid {
        /// What to buy.
        product: ProductId,
        /// The most that is paid, before the coupon.
        price: Won,
        /// As the client asked; the deadline was computed from it when the command was accepted.
        period_days: u32,
        /// Exclusive end of the bid.
        deadline: UnixMs,
        /// A coupon to reserve with the bid.
        coupon: Option<CouponId>,
    },
    /// Offer to sell at `price` or more until `deadline`.
    #[serde(rename_all = "snake_case")]
    PlaceSellBid {
        /// What is sold.
        product: ProductId,
        /// The least that is taken.
        price: Won,
        /// As the client asked; the deadline was computed from it when the command was accepted.
        period_days: u32,
        /// Exclusive end of the bid.
        deadline: UnixMs,
        /// The gifticon.
        picture: Picture,
    },
    /// Buy from the oldest open sell bid at exactly `price`.
    BuyNow {
        /// What to buy.
        product: ProductId,
        /// The price of the sell bid that the buyer saw.
        price: Won,
        /// A coupon to use.
        coupon: Option<CouponId>,
    },
    /// Sell to the oldest open buy bid at exactly `price`.
    SellNow {
        /// What is sold.
        product: ProductId,
        /// The price of the buy bid that the seller saw.
        price: Won,
        /// The gifticon.
        picture: Picture,
    },
    /// Take an open bid back.
    CancelBid {
        /// Which bid.
        bid: BidId,
        /// The side that the caller named in the path.
        side: Side,
    },
    /// Retire bids of one product whose deadline has passed. Sent by the scheduler.
    ExpireBids {
        /// The product they all belong to.
        product: ProductId,
        /// The bids, at most [`MAX_EXPIRED_PER_COMMAND`].
        bids: Vec<BidId>,
    },
    /// Confirm a charge at Toss and credit the points.
    ConfirmCharge {
        /// The order that `request` saved.
        order_id: String,
        /// Toss's key of the authenticated payment.
        payment_key: String,
        /// The amount, already compared with the saved order.
        amount: Won,
        /// The end of Toss's 10-minute window; afterwards only look-ups run.
        confirm_by: UnixMs,
    },
    /// Hold points that are to be paid back.
    RequestRefund {
        /// How many.
        point: Won,
        /// The bank's name, as the user wrote it.
        bank: String,
        /// The account number, encrypted (base64).
        account_cipher: String,
        /// The account number with all but its last digits hidden, for people.
        account_masked: String,
        /// A keyed hash of bank and account number: the same account gives the same value, so the fingerprint
        /// can tell a retry from another account although every encryption differs.
        account_hash: String,
    },
    /// Allocate a held refund to the user's charges, and the rest to a payout.
    ApproveRefund {
        /// Which refund.
        refund: RefundId,
    },
    /// Refuse a requested refund: its points are the user's again.
    RejectRefund {
        /// Which refund.
        refund: RefundId,
        /// Why, in words for the user; at most [`MAX_REASON_CHARS`].
        reason: String,
    },
    /// Pay one leg of an approved refund by a partial cancel at Toss. Sent by the relay after the approval committed.
    CancelCharge {
        /// Which refund.
        refund: RefundId,
        /// Which leg of it.
        leg: u32,
    },
    /// Look a charge's payment up, and bring our books to what Toss says. Sent by the API for a webhook (which is only a
    /// hint), and by the scheduler for charges that are stuck in between.
    FollowPayment {
        /// The order that `request` saved.
        order_id: String,
    },
    /// Take what a user owes from the points they have meanwhile. Sent by the scheduler.
    CollectDebt {
        /// Who owes.
        debtor: UserId,
    },
    /// A payout leg's transfer was made. Sent by an administrator, or by whatever else pays payout legs.
    ConfirmPayout {
        /// Which refund.
        refund: RefundId,
        /// Which leg of it.
        leg: u32,
    },
    /// A payout leg's transfer cannot be made: its points are the user's again.
    FailPayout {
        /// Which refund.
        refund: RefundId,
        /// Which leg of it.
        leg: u32,
        /// Why, in words for the user; at most [`MAX_REASON_CHARS`].
        reason: String,
    },
}

/// The longest reason for which a user is told no.
pub const MAX_REASON_CHARS: usize = 200;

/// The most bids that one [`Command::ExpireBids`] carries.
pub const MAX_EXPIRED_PER_COMMAND: usize = 100;

/// The tag of a [`Command`], alone: for names, metrics and stored rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the tag of the command of the same name")]
pub enum Kind {
    PlaceBuyBid,
    PlaceSellBid,
    BuyNow,
    SellNow,
    CancelBid,
    ExpireBids,
    ConfirmCharge,
    RequestRefund,
    ApproveRefund,
    RejectRefund,
    CancelCharge,
    FollowPayment,
    CollectDebt,
    ConfirmPayout,
    FailPayout,
}

impl Kind {
    /// Every kind, in the order of the way through the market.
    pub const ALL: [Kind; 15] = [
        Kind::PlaceBuyBid,
        Kind::PlaceSellBid,
        Kind::BuyNow,
        Kind::SellNow,
        Kind::CancelBid,
        Kind::ExpireBids,
        Kind::ConfirmCharge,
        Kind::RequestRefund,
        Kind::ApproveRefund,
        Kind::RejectRefund,
        Kind::CancelCharge,
        Kind::FollowPayment,
        Kind::CollectDebt,
        Kind::ConfirmPayout,
        Kind::FailPayout,
    ];

    /// The tag, as in JSON and in the `commands` table.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::PlaceBuyBid => "place_buy_bid",
            Kind::PlaceSellBid => "place_sell_bid",
            Kind::BuyNow => "buy_now",
            Kind::SellNow => "sell_now",
            Kind::CancelBid => "cancel_bid",
            Kind::ExpireBids => "expire_bids",
            Kind::ConfirmCharge => "confirm_charge",
            Kind::RequestRefund => "request_refund",
            Kind::ApproveRefund => "approve_refund",
            Kind::RejectRefund => "reject_refund",
            Kind::CancelCharge => "cancel_charge",
            Kind::FollowPayment => "follow_payment",
            Kind::CollectDebt => "collect_debt",
            Kind::ConfirmPayout => "confirm_payout",
            Kind::FailPayout => "fail_payout",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// A kind that this build does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown command kind {0:?}: it was sent by a newer version; upgrade this worker, then replay the dead letter")]
pub struct UnknownKind(pub String);

impl Command {
    /// The tag.
    pub fn kind(&self) -> Kind {
        match self {
            Command::PlaceBuyBid { .. } => Kind::PlaceBuyBid,
            Command::PlaceSellBid { .. } => Kind::PlaceSellBid,
            Command::BuyNow { .. } => Kind::BuyNow,
            Command::SellNow { .. } => Kind::SellNow,
            Command::CancelBid { .. } => Kind::CancelBid,
            Command::ExpireBids { .. } => Kind::ExpireBids,
            Command::ConfirmCharge { .. } => Kind::ConfirmCharge,
            Command::RequestRefund { .. } => Kind::RequestRefund,
            Command::ApproveRefund { .. } => Kind::ApproveRefund,
            Command::RejectRefund { .. } => Kind::RejectRefund,
            Command::CancelCharge { .. } => Kind::CancelCharge,
            Command::FollowPayment { .. } => Kind::FollowPayment,
            Command::CollectDebt { .. } => Kind::CollectDebt,
            Command::ConfirmPayout { .. } => Kind::ConfirmPayout,
            Command::FailPayout { .. } => Kind::FailPayout,
        }
    }

    /// What the client asked, and nothing that the API added: two requests mean the same exactly when these lines
    /// are equal. Left out on purpose: storage keys, computed deadlines, ciphertexts, the end of a confirm's window.
    fn canonical(&self) -> String {
        let kind = self.kind();
        match self {
            Command::PlaceBuyBid { product, price, period_days, coupon, .. } => {
                format!(
                    "{kind}\n{product}\n{price}\n{period_days}\n{}",
                    coupon.map_or(String::new(), |c| c.to_string())
                )
            }
            Command::PlaceSellBid { product, price, period_days, picture, .. } => {
                format!("{kind}\n{product}\n{price}\n{period_days}\n{}", picture.canonical())
            }
            Command::BuyNow { product, price, coupon } => {
                format!("{kind}\n{product}\n{price}\n{}", coupon.map_or(String::new(), |c| c.to_string()))
            }
            Command::SellNow { product, price, picture } => {
                format!("{kind}\n{product}\n{price}\n{}", picture.canonical())
            }
            Command::CancelBid { bid, side } => format!("{kind}\n{bid}\n{}", side.as_str()),
            Command::ExpireBids { product, bids } => {
                let bids: Vec<String> = bids.iter().map(ToString::to_string).collect();
                format!("{kind}\n{product}\n{}", bids.join(","))
            }
            Command::ConfirmCharge { order_id, payment_key, amount, .. } => {
                format!("{kind}\n{order_id}\n{payment_key}\n{amount}")
            }
            Command::RequestRefund { point, account_hash, .. } => format!("{kind}\n{point}\n{account_hash}"),
            Command::ApproveRefund { refund } => format!("{kind}\n{refund}"),
            Command::RejectRefund { refund, reason } => format!("{kind}\n{refund}\n{reason}"),
            Command::CancelCharge { refund, leg } | Command::ConfirmPayout { refund, leg } => {
                format!("{kind}\n{refund}\n{leg}")
            }
            Command::FailPayout { refund, leg, reason } => format!("{kind}\n{refund}\n{leg}\n{reason}"),
            Command::FollowPayment { order_id } => format!("{kind}\n{order_id}"),
            Command::CollectDebt { debtor } => format!("{kind}\n{debtor}"),
        }
    }
}

/// SHA-256 over what was asked: the same id with another fingerprint is another request under a used key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
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
