//! Commands: what somebody asked for.
//!
//! Plain JSON, so that an operator can read it in the RabbitMQ page. What must not be read there (bank account
//! numbers) is encrypted before it gets here.

use crate::{
    barcode::BarcodeHash,
    id::{BidId, CouponId, ProductId, RefundId, UserId},
    kind::Kind,
    money::Won,
    time::UnixMs,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    pub(crate) fn canonical(&self) -> String {
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
