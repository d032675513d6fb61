//! Events: what happened, told to whoever is interested, after the fact.
//!
//! They leave through the outbox (the transaction that made them true) to the topic exchange `gream.events`, at least
//! once; [`Event::key`] lets a consumer drop repeats.

use crate::{
    command::Side,
    id::{BidId, CommandId, GifticonId, OrderId, ProductId, RefundId, UserId},
    money::Won,
    time::UnixMs,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A buyer and a seller met.
    TradeMade {
        /// The trade.
        order: OrderId,
        /// What was traded.
        product: ProductId,
        /// Who bought.
        buyer: UserId,
        /// Who sold.
        seller: UserId,
        /// The price before the coupon.
        price: Won,
        /// When.
        at: UnixMs,
    },
    /// A bid's deadline passed and its hold was released.
    BidExpired {
        /// The bid.
        bid: BidId,
        /// Its side.
        side: Side,
        /// Its product.
        product: ProductId,
        /// Whose it was.
        user: UserId,
        /// When it was retired.
        at: UnixMs,
    },
    /// Points were credited.
    ChargeConfirmed {
        /// The payment's order id.
        order_id: String,
        /// Who was credited.
        user: UserId,
        /// How much.
        amount: Won,
        /// When.
        at: UnixMs,
    },
    /// A refund has ended, and this much of it was paid.
    RefundPaid {
        /// The refund.
        refund: RefundId,
        /// Whose.
        user: UserId,
        /// How much.
        amount: Won,
        /// When.
        at: UnixMs,
    },
    /// An administrator refused a refund; its points are the user's again.
    RefundRejected {
        /// The refund.
        refund: RefundId,
        /// Whose.
        user: UserId,
        /// How much.
        amount: Won,
        /// When.
        at: UnixMs,
    },
    /// A part of a refund could not be transferred; its points are the user's again.
    PayoutReturned {
        /// The refund.
        refund: RefundId,
        /// Which leg of it.
        leg: u32,
        /// Whose.
        user: UserId,
        /// How much.
        amount: Won,
        /// When.
        at: UnixMs,
    },
    /// A bought gifticon that its owner has not looked at can soon not be used any more.
    GifticonExpiring {
        /// The gifticon.
        gifticon: GifticonId,
        /// What it is good for.
        product: ProductId,
        /// Whose it is.
        user: UserId,
        /// The first instant at which it cannot be used.
        expires_at: UnixMs,
        /// When this was noticed.
        at: UnixMs,
    },
}

/// An event on the wire: the event's own fields beside the command that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Caused {
    /// Which command caused it.
    pub command_id: CommandId,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Event {
    /// The routing key on `gream.events`.
    pub fn routing_key(&self) -> &'static str {
        match self {
            Event::TradeMade { .. } => "trade.made",
            Event::BidExpired { .. } => "bid.expired",
            Event::ChargeConfirmed { .. } => "charge.confirmed",
            Event::RefundPaid { .. } => "refund.paid",
            Event::RefundRejected { .. } => "refund.rejected",
            Event::PayoutReturned { .. } => "payout.returned",
            Event::GifticonExpiring { .. } => "gifticon.expiring",
        }
    }

    /// Which event it is: what happened once has one key, however often it is told.
    pub fn key(&self) -> String {
        let of = self.routing_key();
        match self {
            Event::TradeMade { order, .. } => format!("{of}:{order}"),
            Event::BidExpired { bid, .. } => format!("{of}:{bid}"),
            Event::ChargeConfirmed { order_id, .. } => format!("{of}:{order_id}"),
            Event::RefundPaid { refund, .. } | Event::RefundRejected { refund, .. } => format!("{of}:{refund}"),
            Event::PayoutReturned { refund, leg, .. } => format!("{of}:{refund}:{leg}"),
            Event::GifticonExpiring { gifticon, .. } => format!("{of}:{gifticon}"),
        }
    }

    /// Whom it concerns, each once, in ascending order.
    pub fn users(&self) -> Vec<UserId> {
        match self {
            Event::TradeMade { buyer, seller, .. } => {
                let mut users = vec![*buyer, *seller];
                users.sort_unstable();
                users.dedup();
                users
            }
            Event::BidExpired { user, .. }
            | Event::ChargeConfirmed { user, .. }
            | Event::RefundPaid { user, .. }
            | Event::RefundRejected { user, .. }
            | Event::PayoutReturned { user, .. }
            | Event::GifticonExpiring { user, .. } => vec![*user],
        }
    }

    /// When it happened.
    pub fn at(&self) -> UnixMs {
        match self {
            Event::TradeMade { at, .. }
            | Event::BidExpired { at, .. }
            | Event::ChargeConfirmed { at, .. }
            | Event::RefundPaid { at, .. }
            | Event::RefundRejected { at, .. }
            | Event::PayoutReturned { at, .. }
            | Event::GifticonExpiring { at, .. } => *at,
        }
    }
}
