//! Result codes: what the front end reads in `code`, with their HTTP status and message.
//!
//! Source: the REST contract. Its codes keep their meaning for ever; new ones may be added in each family.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

macro_rules! result_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $http:literal, $message:literal;)*) => {
        /// Why a request or command ended as it did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ResultCode { $($(#[$doc])* $name,)* }

        impl ResultCode {
            /// Every code, ascending.
            pub const ALL: &[ResultCode] = &[$(ResultCode::$name,)*];

            /// The number in the envelope's `code`.
            pub fn code(self) -> u32 { match self { $(ResultCode::$name => $code,)* } }

            /// The HTTP status of an answer with this code.
            pub fn http_status(self) -> u16 { match self { $(ResultCode::$name => $http,)* } }

            /// The Korean message in the envelope.
            pub fn message(self) -> &'static str { match self { $(ResultCode::$name => $message,)* } }

            /// The name, for metrics and reports.
            pub fn name(self) -> &'static str { match self { $(ResultCode::$name => stringify!($name),)* } }
        }
    };
}

result_codes! {
    /// All went well.
    Ok = 0, 200, "정상 처리 되었습니다";
    /// Choose another login id.
    LoginIdTaken = 1000, 409, "중복된 로그인ID를 입력하셨습니다.";
    /// Choose another nickname.
    NicknameTaken = 1001, 409, "중복된 닉네임을 입력하셨습니다.";
    /// No such user, or the password is wrong: the contract does not tell the two apart.
    UserNotFound = 1002, 404, "유저를 찾을 수 없습니다.";
    /// Log in again.
    InvalidToken = 1003, 401, "유효하지 않은 토큰입니다.";
    /// Send the token headers.
    LoginRequired = 1004, 401, "로그인이 필요합니다.";
    /// Renew the access token.
    AccessTokenExpired = 1005, 401, "만료된 Access Token";
    /// Log in again.
    RefreshTokenExpired = 1006, 401, "만료된 Refresh Token";
    /// Charge points first.
    NotEnoughPoints = 1007, 403, "유저의 포인트가 부족합니다";
    /// No such refund, or it does not await this: it was decided or ended before.
    RefundNotFound = 1008, 404, "환급 정보가 없습니다.";
    /// Spend the points or ask for a refund before withdrawing.
    PointsLeft = 1009, 409, "보유한 포인트를 모두 사용하거나 환급받은 후 탈퇴할 수 있습니다.";
    /// Cancel the open bids before withdrawing.
    BidsOpen = 1010, 409, "진행 중인 입찰을 모두 취소한 후 탈퇴할 수 있습니다.";
    /// Wait until charges and refunds have ended before withdrawing.
    MoneyInWork = 1011, 409, "진행 중인 충전과 환급이 끝난 후 탈퇴할 수 있습니다.";
    /// Make another administrator before the last one withdraws.
    LastAdministrator = 1012, 409, "마지막 관리자는 탈퇴할 수 없습니다. 다른 관리자를 먼저 등록해 주세요.";
    /// Begin the login by Kakao anew.
    KakaoRefused = 1013, 401, "카카오 로그인에 실패했습니다. 다시 시도해 주세요.";
    /// Log in by password; an operator may set `kakao.client_id`.
    KakaoOff = 1014, 404, "카카오 로그인을 사용할 수 없습니다.";
    /// Money that Toss took back had been spent already. Charge points, which repay it, before a refund or leaving.
    DebtOpen = 1016, 409, "회수되지 않은 충전 금액이 있습니다. 포인트를 충전하여 상환한 후 이용해 주세요.";
    /// The search found nothing. No call answers it: an empty list says so.
    NoResult = 2000, 404, "검색 결과가 없습니다.";
    /// No such product.
    ProductNotFound = 2001, 404, "해당 상품은 존재하지 않습니다.";
    /// Choose another product name.
    ProductNameTaken = 2002, 400, "중복된 상품명을 입력하셨습니다.";
    /// Somebody was faster. No call answers it: the sell bid is not found then.
    AlreadySold = 3000, 409, "구매 요청 대상 상품이 이미 판매되었습니다.";
    /// No such open buy bid.
    BuyBidNotFound = 3001, 404, "해당 구매 입찰 건은 존재하지 않습니다.";
    /// The deadline has passed.
    DeadlinePassed = 3002, 409, "요청 상품의 등록 기한이 마감되었습니다.";
    /// Cancel one of the open bids on this product first.
    TooManyOpenBids = 3003, 409, "해당 상품에 등록할 수 있는 입찰 수를 초과하였습니다.";
    /// Somebody was faster. No call answers it: the buy bid is not found then.
    AlreadyBought = 4000, 409, "판매 요청 대상 상품이 이미 구매되었습니다.";
    /// No such open sell bid.
    SellBidNotFound = 4001, 404, "해당 판매 입찰 건은 존재하지 않습니다.";
    /// No such gifticon.
    GifticonNotFound = 4002, 404, "해당 기프티콘은 존재하지 않습니다.";
    /// The file is no PNG, JPEG or WebP picture.
    PictureNotRecognised = 4003, 400, "지원되지 않는 이미지 형식입니다.";
    /// The voucher with this barcode is on offer already, or was sold. Cancel that offer first, if it is yours.
    GifticonAlreadyOffered = 4004, 409, "이미 등록되었거나 판매된 기프티콘입니다.";
    /// The voucher's own validity has ended: it cannot be sold any more.
    GifticonExpired = 4005, 409, "유효기간이 지난 기프티콘입니다.";
    /// Send a picture in which the barcode is whole, upright and sharp.
    BarcodeNotReadable = 4006, 400, "바코드를 인식할 수 없습니다. 바코드가 선명하게 보이는 이미지를 사용해 주세요.";
    /// Send a picture of fewer pixels.
    PictureTooLarge = 4007, 400, "이미지의 가로, 세로 크기가 너무 큽니다.";
    /// The caller may not do this.
    Forbidden = 5000, 403, "해당 요청에 대한 권한이 없습니다.";
    /// `data` lists the fields and what is wrong with each.
    InvalidInput = 5001, 400, "유효하지 않은 입력값";
    /// Report it with the time and the command id.
    Unexpected = 5002, 500, "알 수 없는 에러가 발생했습니다.";
    /// Use a sort order that the list knows.
    BadSortOrder = 5003, 400, "유효하지 않은 정렬 기준입니다.";
    /// Use a new Idempotency-Key for another request.
    KeyReused = 5004, 422, "동일한 Idempotency-Key로 다른 요청이 접수되었습니다.";
    /// Repeat the request, with the same Idempotency-Key, after Retry-After seconds.
    NotAccepted = 5005, 503, "요청을 접수하지 못했습니다. 잠시 후 다시 시도해 주세요.";
    /// Use a method that the path knows.
    MethodNotAllowed = 5006, 405, "지원되지 않는 HTTP 메서드입니다.";
    /// Send less.
    BodyTooLarge = 5007, 413, "요청 본문이 너무 큽니다.";
    /// Send the content type that the route takes.
    UnsupportedMediaType = 5008, 415, "지원되지 않는 Content-Type입니다.";
    /// Wait Retry-After seconds.
    TooManyRequests = 5009, 429, "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.";
    /// The command was met after its `valid_until`. Send it again if it is still wanted.
    CommandExpired = 5010, 409, "요청의 유효 시간이 지났습니다.";
    /// No such path.
    PathNotFound = 5011, 404, "존재하지 않는 경로입니다.";
    /// No such command, or not the caller's.
    CommandNotFound = 5012, 404, "해당 요청을 찾을 수 없습니다.";
    /// An operator gave the command up; ask support for the reason.
    CommandDiscarded = 5013, 409, "운영자에 의해 취소된 요청입니다.";
    /// No such coupon, or not the caller's.
    CouponNotFound = 6000, 404, "해당 쿠폰은 존재하지 않습니다.";
    /// The coupon is reserved or used.
    CouponNotAvailable = 6001, 409, "쿠폰의 상태 변경에 실패했습니다.";
    /// No coupon in use. No call answers it: none asks for one in use.
    CouponInUseNotFound = 6002, 404, "사용 중인 쿠폰이 존재하지 않습니다.";
    /// `RATE` or `FIX`.
    CouponTypeNotFound = 6003, 404, "해당 쿠폰 유형은 존재하지 않습니다.";
    /// 1 to 100 per cent.
    BadRate = 6004, 409, "할인율이 유효하지 않습니다.";
    /// A fixed discount must not exceed the price.
    BadFixedDiscount = 6005, 409, "할인 금액이 유효하지 않습니다.";
    /// Send the picture again.
    UploadFailed = 7000, 500, "이미지 업로드에 실패했습니다.";
    /// Only `CHARGE_POINT`.
    UnsupportedOrder = 8000, 400, "지원되지 않는 주문입니다.";
    /// More than 0 won.
    AmountNotPositive = 8001, 400, "0원 이상의 금액만 충전가능합니다.";
    /// The amount differs from the one requested.
    AmountMismatch = 8002, 400, "이전 결제요청 금액과 일치하지 않습니다.";
    /// No such payment.
    PaymentNotFound = 8003, 404, "관련된 토스결제데이터가 존재하지 않습니다.";
    /// Toss refused or failed.
    TossFailed = 8004, 500, "토스 최종요청에 대한 토스 서버 응답장애가 발생하였습니다.";
    /// At least 100 won.
    AmountTooSmall = 8005, 400, "100원 이상의 금액만 충전가능합니다.";
}

impl ResultCode {
    /// The code with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.code() == code)
    }

    /// The HTTP status by its Spring name, as the envelope's `status`.
    pub fn status_name(self) -> &'static str {
        status_name(self.http_status())
    }
}

/// The Spring name of an HTTP status that this API answers with.
pub fn status_name(http_status: u16) -> &'static str {
    match http_status {
        200 => "OK",
        202 => "ACCEPTED",
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        409 => "CONFLICT",
        413 => "PAYLOAD_TOO_LARGE",
        415 => "UNSUPPORTED_MEDIA_TYPE",
        422 => "UNPROCESSABLE_ENTITY",
        429 => "TOO_MANY_REQUESTS",
        503 => "SERVICE_UNAVAILABLE",
        _ => "INTERNAL_SERVER_ERROR",
    }
}

/// In schemas: a number, one of the known ones.
impl PartialSchema for ResultCode {
    fn schema() -> RefOr<Schema> {
        let known = Self::ALL.iter().map(|code| code.code());
        ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(known)).into()
    }
}

impl ToSchema for ResultCode {}

impl Serialize for ResultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.code())
    }
}

impl<'de> Deserialize<'de> for ResultCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = u32::deserialize(deserializer)?;
        Self::from_code(code).ok_or_else(|| serde::de::Error::custom(format!("unknown result code {code}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_every_status_has_a_name() {
        assert!(ResultCode::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        for code in ResultCode::ALL {
            assert_eq!(ResultCode::from_code(code.code()), Some(*code));
            assert!(code.http_status() == 500 || code.status_name() != "INTERNAL_SERVER_ERROR", "{code:?}");
        }
    }
}
