//! What a user sees of an event: never who was on the other side of a trade.

use crate::seoul::{local, local_end};
use contracts::{
    UnixMs, UserId,
    event::{Caused, Event},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Something that the caller was told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notification {
    /// Counts up from 1 without gaps, for each user.
    pub(crate) number: i64,
    /// What happened.
    #[schema(example = "trade.made")]
    pub(crate) kind: &'static str,
    /// When.
    at: String,
    read: bool,
    /// By kind: `orderId`, `productId`, `price`, `side`, `buyId` or `sellId`, `paymentOrderId`, `amount`, `refundId`, …
    data: Value,
}

/// A stored event as `user` may see it; nothing where this version cannot read it.
pub(super) fn of(number: i64, payload: &str, user: UserId, read_number: i64) -> Option<Notification> {
    let event = serde_json::from_str::<Caused>(payload).ok()?.event;
    let at = local(event.at());
    Some(Notification { number, kind: event.routing_key(), at, read: number <= read_number, data: data(&event, user) })
}

/// Whether a stored event happened after `instant`.
pub(super) fn is_after(payload: &str, instant: UnixMs) -> bool {
    serde_json::from_str::<Caused>(payload).is_ok_and(|caused| caused.event.at() > instant)
}

fn data(event: &Event, user: UserId) -> Value {
    match event {
        Event::TradeMade { order, product, buyer, price, .. } => {
            let side = if *buyer == user { "buy" } else { "sell" };
            json!({"orderId": order, "productId": product, "price": price, "side": side})
        }
        Event::BidExpired { bid, side, product, .. } => {
            json!({"bidId": bid, "side": side, "productId": product})
        }
        Event::ChargeConfirmed { order_id, amount, .. } => json!({"paymentOrderId": order_id, "amount": amount}),
        Event::RefundPaid { refund, amount, .. } | Event::RefundRejected { refund, amount, .. } => {
            json!({"refundId": refund, "amount": amount})
        }
        Event::PayoutReturned { refund, leg, amount, .. } => {
            json!({"refundId": refund, "leg": leg, "amount": amount})
        }
        Event::GifticonExpiring { gifticon, product, expires_at, .. } => {
            json!({"gifticonId": gifticon, "productId": product, "usableUntil": local_end(*expires_at)})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::{CommandId, OrderId, ProductId, Won};

    #[test]
    fn nobody_learns_who_was_on_the_other_side() {
        let (buyer, seller) = (UserId(777_001), UserId(777_002));
        let (order, product, price, at) = (OrderId(1), ProductId(2), Won(3), UnixMs(0));
        let event = Event::TradeMade { order, product, buyer, seller, price, at };
        let payload =
            serde_json::to_string(&Caused { command_id: CommandId::derived(buyer, "a", "b"), event }).unwrap();
        for (user, side) in [(buyer, "buy"), (seller, "sell")] {
            let seen = of(1, &payload, user, 0).unwrap();
            assert_eq!(seen.data["side"], side);
            let text = serde_json::to_string(&seen).unwrap();
            assert!(!text.contains("77700"), "{text}");
        }
    }
}
