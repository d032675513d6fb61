//! Events: what happened, told to whoever is interested, after the fact.
//!
//! They leave through the outbox (the transaction that made them true) to the topic exchange `gream.events`, at least
//! once; `id` lets a consumer drop repeats.

use crate::{
    command::Side,
    id::{BidId, CommandId, OrderId, ProductId, RefundId, UserId},
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
        }
    }
}
