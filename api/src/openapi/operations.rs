//! Who may call each operation, and every code that it may be refused with. The words come from
//! [`contracts::ResultCode`].

use contracts::ResultCode::{
    self, AccessTokenExpired, AmountMismatch, AmountNotPositive, AmountTooSmall, BadFixedDiscount, BadRate,
    BadSortOrder, BarcodeNotReadable, BidsOpen, BodyTooLarge, BuyBidNotFound, CommandDiscarded, CommandExpired,
    CommandNotFound, CouponNotAvailable, CouponNotFound, CouponTypeNotFound, DeadlinePassed, DebtOpen, Forbidden,
    GifticonAlreadyOffered, GifticonExpired, GifticonNotFound, InvalidInput, InvalidToken, KakaoOff, KakaoRefused,
    KeyReused, LastAdministrator, LoginIdTaken, LoginRequired, MoneyInWork, NicknameTaken, NotAccepted,
    NotEnoughPoints, PathNotFound, PaymentNotFound, PictureNotRecognised, PictureTooLarge, PointsLeft,
    ProductNameTaken, ProductNotFound, RefreshTokenExpired, RefundNotFound, SellBidNotFound, TooManyOpenBids,
    TooManyRequests, TossFailed, Unexpected, UnsupportedMediaType, UnsupportedOrder, UploadFailed, UserNotFound,
};

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Anybody,
    /// Whoever holds a signed address, or its owner.
    Holder,
    User,
    Administrator,
}

/// What the handler's own description cannot say.
pub(super) struct Operation {
    /// Its `operationId`.
    pub(super) id: &'static str,
    pub(super) access: Access,
    /// Whether it becomes a command, which may be answered later.
    pub(super) is_command: bool,
    /// Beside those that follow from the above.
    codes: &'static [&'static [ResultCode]],
}

/// A database that is away, a limit that is reached, a defect: possible everywhere.
const ALWAYS: &[ResultCode] = &[Unexpected, NotAccepted];
const LOGIN: &[ResultCode] = &[InvalidToken, LoginRequired, AccessTokenExpired, RefreshTokenExpired];
/// One user has too many under way: see `commands.max_unresolved_per_user`.
const COMMAND: &[ResultCode] = &[InvalidInput, KeyReused, CommandDiscarded, TooManyRequests];
/// Of operations that take fields in the address.
const FIELDS: &[ResultCode] = &[InvalidInput];
const JSON: &[ResultCode] = &[InvalidInput, BodyTooLarge, UnsupportedMediaType];
const UPLOAD: &[ResultCode] =
    &[InvalidInput, BodyTooLarge, UnsupportedMediaType, PictureNotRecognised, PictureTooLarge, UploadFailed];
/// Of a gifticon that is offered.
const VOUCHER: &[ResultCode] = &[BarcodeNotReadable, GifticonAlreadyOffered, GifticonExpired];
const PRODUCT: &[ResultCode] = &[InvalidInput, ProductNotFound];
/// What the market answers to any bid.
const BID: &[ResultCode] = &[CommandExpired, UserNotFound, DeadlinePassed];
const PAYING: &[ResultCode] = &[NotEnoughPoints, CouponNotFound, CouponNotAvailable, BadFixedDiscount];

const fn query(id: &'static str, access: Access, codes: &'static [&'static [ResultCode]]) -> Operation {
    Operation { id, access, is_command: false, codes }
}

const fn command(id: &'static str, access: Access, codes: &'static [&'static [ResultCode]]) -> Operation {
    Operation { id, access, is_command: true, codes }
}

/// In the order of the routes.
pub(super) const ALL: &[Operation] = &[
    query("sign_up", Access::Anybody, &[JSON, &[LoginIdTaken, NicknameTaken, TooManyRequests]]),
    query("log_in", Access::Anybody, &[JSON, &[UserNotFound, TooManyRequests]]),
    query("log_out", Access::User, &[]),
    query("log_in_by_kakao", Access::Anybody, &[FIELDS, &[KakaoRefused, KakaoOff, TooManyRequests]]),
    query("begin_kakao_login", Access::Anybody, &[&[KakaoOff]]),
    query("withdraw", Access::User, &[&[PointsLeft, BidsOpen, MoneyInWork, LastAdministrator, DebtOpen]]),
    query("points", Access::User, &[]),
    query("notifications", Access::User, &[FIELDS]),
    query("read_notifications", Access::User, &[JSON]),
    query("notification_stream", Access::User, &[FIELDS, &[TooManyRequests]]),
    command("request_refund", Access::User, &[JSON, &[NotEnoughPoints, CommandExpired, DebtOpen, UserNotFound]]),
    query("own_refunds", Access::User, &[FIELDS]),
    query("own_refund", Access::User, &[FIELDS, &[RefundNotFound]]),
    query("list_products", Access::Anybody, &[FIELDS, &[BadSortOrder]]),
    query("product", Access::Anybody, &[PRODUCT]),
    query("product_trades", Access::Anybody, &[PRODUCT]),
    query("sell_levels", Access::Anybody, &[PRODUCT]),
    query("buy_levels", Access::Anybody, &[PRODUCT]),
    query("daily_prices", Access::Anybody, &[PRODUCT]),
    query("product_stream", Access::Anybody, &[PRODUCT]),
    query("like", Access::User, &[PRODUCT]),
    query("dislike", Access::User, &[PRODUCT]),
    query("liked", Access::User, &[FIELDS]),
    command("place_buy_bid", Access::User, &[JSON, PRODUCT, BID, PAYING, &[TooManyOpenBids]]),
    command("cancel_buy_bid", Access::User, &[BID, &[BuyBidNotFound, Forbidden]]),
    command("buy_now", Access::User, &[JSON, PRODUCT, BID, PAYING, &[SellBidNotFound]]),
    query("bought", Access::User, &[FIELDS]),
    query("buying", Access::User, &[FIELDS]),
    command("place_sell_bid", Access::User, &[UPLOAD, VOUCHER, PRODUCT, BID, &[TooManyOpenBids]]),
    command("cancel_sell_bid", Access::User, &[BID, &[SellBidNotFound]]),
    command("sell_now", Access::User, &[UPLOAD, VOUCHER, PRODUCT, BID, &[BuyBidNotFound]]),
    query("sold", Access::User, &[FIELDS]),
    query("selling", Access::User, &[FIELDS]),
    query("coupons", Access::User, &[FIELDS]),
    query("used_coupons", Access::User, &[FIELDS]),
    query(
        "grant_coupon",
        Access::Administrator,
        &[JSON, &[UserNotFound, CouponTypeNotFound, BadRate, BadFixedDiscount, KeyReused]],
    ),
    query("request_charge", Access::User, &[JSON, COMMAND, &[UnsupportedOrder, AmountNotPositive, AmountTooSmall]]),
    command("confirm_charge", Access::User, &[&[PaymentNotFound, AmountMismatch, CommandExpired, TossFailed]]),
    query("fail_charge", Access::User, &[FIELDS, &[PaymentNotFound]]),
    query("toss_webhook", Access::Anybody, &[JSON, &[TooManyRequests]]),
    query("refunds", Access::Administrator, &[FIELDS]),
    command("approve_refund", Access::Administrator, &[&[RefundNotFound, CommandExpired, DebtOpen]]),
    command("reject_refund", Access::Administrator, &[JSON, &[RefundNotFound, CommandExpired]]),
    query("payouts", Access::Administrator, &[FIELDS]),
    query("reveal_payout_account", Access::Administrator, &[FIELDS, &[RefundNotFound, DebtOpen]]),
    command("confirm_payout", Access::Administrator, &[&[RefundNotFound, CommandExpired]]),
    command("fail_payout", Access::Administrator, &[JSON, &[RefundNotFound, CommandExpired]]),
    query("add_product", Access::Administrator, &[UPLOAD, &[ProductNameTaken]]),
    query("command_status", Access::Holder, &[FIELDS, &[CommandNotFound, KeyReused]]),
    query("product_picture", Access::Anybody, &[&[PathNotFound]]),
    query("gifticon_picture", Access::Anybody, &[FIELDS, &[Forbidden, GifticonNotFound]]),
];

impl Operation {
    /// The operation of this name.
    pub(super) fn named(id: &str) -> Option<&'static Self> {
        ALL.iter().find(|operation| operation.id == id)
    }

    /// Every code that it may be refused with, ascending.
    pub(super) fn codes(&self) -> Vec<ResultCode> {
        let by_access: &[&[ResultCode]] = match self.access {
            Access::Anybody => &[],
            Access::Holder | Access::User => &[LOGIN],
            Access::Administrator => &[LOGIN, &[Forbidden]],
        };
        let by_kind: &[&[ResultCode]] = if self.is_command { &[COMMAND] } else { &[] };
        let mut codes: Vec<ResultCode> =
            [&[ALWAYS], by_access, by_kind, self.codes].concat().into_iter().flatten().copied().collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// ARCHITECTURE.md says why.
    const NEVER: [ResultCode; 4] =
        [ResultCode::NoResult, ResultCode::AlreadySold, ResultCode::AlreadyBought, ResultCode::CouponInUseNotFound];
    /// Of calls that succeed, and of those that no operation knows.
    const BESIDE_OPERATIONS: [ResultCode; 2] = [ResultCode::Ok, ResultCode::MethodNotAllowed];

    #[test]
    fn every_code_is_answered_somewhere_or_known_to_be_answered_nowhere() {
        let answered: BTreeSet<ResultCode> = ALL.iter().flat_map(Operation::codes).collect();
        let others: BTreeSet<ResultCode> =
            ResultCode::ALL.iter().copied().filter(|code| !answered.contains(code)).collect();
        assert_eq!(others, NEVER.into_iter().chain(BESIDE_OPERATIONS).collect());
    }
}
