//! The kinds of commands, by name.

use std::{fmt, str::FromStr};

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
