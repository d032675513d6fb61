//! The `data` of finished commands, as the workers' rules make it. The workers write it, the API passes it on as it is,
//! so these are for the document alone; generated calls hold the two together (`make fuzz-api`).
#![expect(dead_code, reason = "described, never made")]

use utoipa::ToSchema;

/// An open buy bid.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BuyBidPlaced {
    price: i64,
    buy_id: i64,
}

/// A buy bid that is no more.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BuyBidCancelled {
    buy_id: i64,
}

/// A purchase.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BoughtNow {
    order_id: i64,
    expected_price: i64,
    /// After the coupon.
    final_price: i64,
}

/// An open sell bid.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SellBidPlaced {
    price: i64,
    sell_id: i64,
}

/// A sell bid that is no more.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SellBidCancelled {
    sell_id: i64,
}

/// A sale.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SoldNow {
    order_id: i64,
    price: i64,
}

/// Points that are held until an administrator approves.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RefundRequested {
    refund_point: i64,
    /// What is left to spend.
    user_point: i64,
}

/// Toss's Payment object, as it came: with these fields and whatever else Toss sends.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct TossPayment {
    payment_key: String,
    order_id: String,
    order_name: String,
    status: String,
    total_amount: i64,
    balance_amount: i64,
    currency: Option<String>,
    method: Option<String>,
    requested_at: Option<String>,
    approved_at: Option<String>,
}
