//! The bodies of requests, for the document alone: handlers read fields one by one, so that every mistake is told at
//! once.
#![expect(dead_code, reason = "described, never made")]

use utoipa::ToSchema;

/// Who is new.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SignUp {
    #[schema(pattern = "^[a-zA-Z0-9]{4,20}$", example = "alice2024")]
    login_id: String,
    /// Letters, digits, 한글.
    #[schema(pattern = "^[a-zA-Z0-9가-힣ㄱ-ㅣ]{2,20}$", example = "앨리스")]
    nickname: String,
    /// With a lower-case letter and a digit among them.
    #[schema(pattern = "^[a-zA-Z0-9@#$%^&+=!]{8,30}$", example = "abcdefg1")]
    password: String,
}

/// Who is back.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct LogIn {
    #[schema(example = "alice2024")]
    login_id: String,
    #[schema(example = "abcdefg1")]
    password: String,
}

/// Points to be paid back.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RefundWanted {
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 1000)]
    point: i64,
    #[schema(min_length = 1, max_length = 40, example = "국민")]
    bank: String,
    /// Digits and dashes.
    #[schema(pattern = "^[0-9][0-9-]{0,29}$", example = "110-123-456789")]
    account_number: String,
}

/// What Toss tells of a payment or of a deposit; only whose it is is believed. Of the second kind there is no `eventType`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct TossWebhook {
    #[schema(example = "PAYMENT_STATUS_CHANGED")]
    event_type: Option<String>,
    created_at: Option<String>,
    /// A Payment.
    data: Option<serde_json::Value>,
    order_id: Option<String>,
    secret: Option<String>,
    status: Option<String>,
    transaction_key: Option<String>,
}

/// Why a user is not paid.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Refusal {
    /// For the user to read.
    #[schema(min_length = 1, max_length = 200, example = "예금주가 다릅니다.")]
    reason: String,
}

/// A bid to buy.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BuyBid {
    /// Whole won.
    #[schema(minimum = 1, maximum = 100_000_000, example = 4500)]
    price: i64,
    /// Days, this one included not; the bid ends with the last of them in Seoul.
    #[schema(minimum = 1, maximum = 60, example = 7)]
    period: Option<i64>,
    /// One of the caller's own.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    coupon_id: Option<i64>,
}

/// A purchase at once.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BuyNow {
    /// Of the sell bid that the caller saw.
    #[schema(minimum = 1, maximum = 100_000_000, example = 4500)]
    price: i64,
    /// One of the caller's own.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    coupon_id: Option<i64>,
}

/// A bid to sell.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SellBid {
    /// Whole won.
    #[schema(minimum = 1, maximum = 100_000_000, example = 4500)]
    price: i64,
    /// Days.
    #[schema(minimum = 1, maximum = 60, example = 7)]
    period: Option<i64>,
    /// The gifticon's own validity, if the client knows it: its last day in Seoul.
    #[schema(format = Date)]
    expires_on: Option<String>,
    /// The gifticon's picture: PNG, JPEG or WebP.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A sale at once.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SellNow {
    /// Of the buy bid that the caller saw.
    #[schema(minimum = 1, maximum = 100_000_000, example = 4500)]
    price: i64,
    /// The gifticon's own validity, if the client knows it: its last day in Seoul.
    #[schema(format = Date)]
    expires_on: Option<String>,
    /// The gifticon's picture: PNG, JPEG or WebP.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A charge to come.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ChargeWanted {
    /// Whole won, at least 100.
    #[schema(minimum = 100, maximum = 100_000_000, example = 10_000)]
    amount: i64,
    #[schema(pattern = "^CHARGE_POINT$", example = "CHARGE_POINT")]
    order_name: String,
}

/// A product to be offered.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewProduct {
    #[schema(min_length = 1, max_length = 60, example = "스타벅스")]
    brand: String,
    #[schema(min_length = 1, max_length = 120, example = "아메리카노")]
    name: String,
    #[schema(max_length = 2000)]
    description: Option<String>,
    #[schema(minimum = 1, maximum = 100_000_000, example = 4500)]
    price: i64,
    /// PNG, JPEG or WebP.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A coupon to be given.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewCoupon {
    #[schema(min_length = 4, max_length = 30, example = "환영 쿠폰")]
    name: String,
    /// Per cent, or won.
    #[schema(pattern = "^(RATE|FIX)$", example = "RATE")]
    discount_type: String,
    /// At most 100 per cent, or the highest price.
    #[schema(minimum = 1, maximum = 100_000_000, example = 10)]
    discount: i64,
    #[schema(example = "alice2024")]
    user_login_id: String,
}
