//! Charges: note what is to be paid, then have it confirmed once the browser returns from Toss's window.

use crate::{
    auth::Caller,
    commands::{Ask, Identity, Wishes},
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure},
    openapi::{answers::TossPayment, bodies},
    request::{JsonBody, Query},
    seoul::local,
};
use axum::{extract::State, response::Response};
use contracts::{Command, CommandId, MAX_PAYMENT_KEY_LENGTH, ResultCode, UnixMs, UserId, Won, is_payment_key};
use platform::database::is_duplicate;
use rand::RngCore;
use serde::Serialize;
use utoipa::ToSchema;

/// The only thing that can be paid for.
const CHARGE_POINT: &str = "CHARGE_POINT";
/// Toss takes no less by card.
const MIN_AMOUNT: i64 = 100;
/// More than this in one charge is refused here.
const MAX_AMOUNT: i64 = 100_000_000;
const MAX_FAILURE_CODE_CHARS: usize = 100;
const MAX_FAILURE_MESSAGE_CHARS: usize = 500;
/// Longer texts in the address are not read at all.
const MAX_QUERY_CHARS: usize = 2_000;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RequestedCharge)]
pub(crate) struct Requested {
    payment_amount: i64,
    payment_order_id: String,
    payment_order_name: String,
    user_login_id: String,
    user_nickname: String,
    payment_success_url: String,
    payment_fail_url: String,
    payment_created_at: String,
    payment_has_success: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FailedCharge)]
pub(crate) struct Failed {
    error_code: String,
    error_msg: String,
    order_id: String,
}

/// A charge's row.
struct Payment {
    user: UserId,
    amount: i64,
    state: String,
    created_at: UnixMs,
}

/// Notes a charge, so that what is confirmed later is what was asked for.
#[utoipa::path(
    post,
    path = "/api/payments/toss/request",
    operation_id = "request_charge",
    tag = "payments",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry the same charge")),
    request_body = bodies::ChargeWanted,
    responses((status = 200, description = "What Toss's window is opened with", body = Envelope<Requested>)),
)]
pub(crate) async fn request(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    JsonBody(mut fields): JsonBody,
) -> Result<Answer<Requested>, Failure> {
    let amount = fields.integer("amount", i64::MIN..=i64::MAX);
    let order_name = fields.any_text("orderName");
    if amount > MAX_AMOUNT {
        fields.refuse("amount", format!("{MAX_AMOUNT} 이하여야 합니다."));
    }
    fields.valid()?;
    match (order_name.as_str(), amount) {
        (CHARGE_POINT, MIN_AMOUNT..) => (),
        (CHARGE_POINT, 1..) => return Err(ResultCode::AmountTooSmall.into()),
        (CHARGE_POINT, _) => return Err(ResultCode::AmountNotPositive.into()),
        _ => return Err(ResultCode::UnsupportedOrder.into()),
    }
    let at = api.clock.now();
    let order_id = order_id(&wishes, caller.user, at);
    let payment = note(&api, &order_id, caller.user, amount, at).await?;
    requested(&api, &order_id, &payment).await
}

/// Also the order's name at Toss: 36 of its allowed 6 to 64 characters.
fn order_id(wishes: &Wishes, user: UserId, at: UnixMs) -> String {
    let id = if let Some(key) = &wishes.idempotency_key {
        CommandId::derived(user, "request_charge", key)
    } else {
        let mut random = [0; 10];
        rand::rng().fill_bytes(&mut random);
        CommandId::fresh(at, random)
    };
    id.to_string()
}

/// Saves the charge, or finds the one that the same key saved before.
async fn note(api: &Api, order_id: &str, user: UserId, amount: i64, at: UnixMs) -> Result<Payment, Failure> {
    let insert = sqlx::query!(
        "INSERT INTO payments (order_id, user_id, amount, order_name, state, attempt, cancelled_amount,
                               created_at_ms, updated_at_ms)
         VALUES (?, ?, ?, ?, 'requested', 0, 0, ?, ?)",
        order_id,
        user.0,
        amount,
        CHARGE_POINT,
        at.0,
        at.0
    );
    let insert = async {
        match insert.execute(&api.database).await {
            Err(error) if is_duplicate(&error) => Ok(false),
            result => result.map(|_| true),
        }
    };
    if api.within(insert).await? {
        return Ok(Payment { user, amount, state: "requested".to_owned(), created_at: at });
    }
    match find(api, order_id).await? {
        Some(payment) if payment.amount == amount => Ok(payment),
        _ => Err(ResultCode::KeyReused.into()),
    }
}

async fn find(api: &Api, order_id: &str) -> Result<Option<Payment>, Failure> {
    if !is_order_id(order_id) {
        return Ok(None);
    }
    let read = sqlx::query!("SELECT user_id, amount, state, created_at_ms FROM payments WHERE order_id = ?", order_id);
    let row = api.within(read.fetch_optional(&api.database)).await?;
    Ok(row.map(|row| Payment {
        user: UserId(row.user_id.unsigned_abs()),
        amount: row.amount,
        state: row.state,
        created_at: UnixMs(row.created_at_ms),
    }))
}

async fn requested(api: &Api, order_id: &str, payment: &Payment) -> Result<Answer<Requested>, Failure> {
    let read = sqlx::query!("SELECT login_id, nickname FROM users WHERE user_id = ?", payment.user.0);
    let user = api.within(read.fetch_one(&api.database)).await?;
    Ok(Answer(Requested {
        payment_amount: payment.amount,
        payment_order_id: order_id.to_owned(),
        payment_order_name: CHARGE_POINT.to_owned(),
        user_login_id: user.login_id,
        user_nickname: user.nickname,
        payment_success_url: api.config.http.payment_success_url.clone(),
        payment_fail_url: api.config.http.payment_fail_url.clone(),
        payment_created_at: local(payment.created_at),
        payment_has_success: payment.state == "done",
    }))
}

/// Confirms a charge, once the browser came back from Toss's window. However often it does, it is one command.
#[utoipa::path(
    get,
    path = "/api/payments/toss/success",
    operation_id = "confirm_charge",
    tag = "payments",
    params(("paymentKey" = String, Query, description = "Toss's", pattern = "^[!-~]{1,200}$"), ("orderId" = String, Query), ("amount" = i64, Query), ("paymentType" = Option<String>, Query)),
    responses((status = 200, description = "The points are there", body = Envelope<TossPayment>)),
)]
pub(crate) async fn success(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    Query(mut query): Query,
) -> Result<Response, Failure> {
    let message = format!("보이는 ASCII 문자 1자 이상 {MAX_PAYMENT_KEY_LENGTH}자 이하의 결제 키여야 합니다.");
    let payment_key = query.text_where("paymentKey", &message, is_payment_key);
    let order_id = query.any_text("orderId");
    let amount = query.integer("amount", i64::MIN..=i64::MAX);
    query.valid()?;

    let payment = find(&api, &order_id).await?.filter(|payment| payment.user == caller.user);
    let payment = payment.ok_or(ResultCode::PaymentNotFound)?;
    if payment.amount != amount {
        return Err(ResultCode::AmountMismatch.into());
    }
    let at = api.clock.now();
    let identity = Identity::ByNature(order_id.clone());
    let confirm_by = at.plus_ms(api.config.toss.confirm_window_ms);
    let command = Command::ConfirmCharge { order_id, payment_key, amount: Won(amount), confirm_by };
    api.submit(&wishes, Ask { user: caller.user, at, identity, command }).await
}

/// Notes that nothing was paid. Toss names its parameters otherwise than the front end does: both are taken.
#[utoipa::path(
    get,
    path = "/api/payments/toss/fail",
    operation_id = "fail_charge",
    tag = "payments",
    params(("orderId" = Option<String>, Query), ("errorCode" = Option<String>, Query), ("errorMsg" = Option<String>, Query), ("code" = Option<String>, Query), ("message" = Option<String>, Query)),
    responses((status = 200, description = "Noted", body = Envelope<Failed>)),
)]
pub(crate) async fn fail(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Failed>, Failure> {
    let mut either = |ours: &str, tosss: &str| {
        let text = query.optional_text(ours, MAX_QUERY_CHARS).or_else(|| query.optional_text(tosss, MAX_QUERY_CHARS));
        text.unwrap_or_default()
    };
    let (error_code, error_msg) = (either("errorCode", "code"), either("errorMsg", "message"));
    let order_id = query.optional_text("orderId", MAX_QUERY_CHARS).unwrap_or_default();
    query.valid()?;

    let payment = find(&api, &order_id).await?.filter(|payment| payment.user == caller.user);
    payment.ok_or(ResultCode::PaymentNotFound)?;
    let update = sqlx::query!(
        // Only a charge that nobody tried to confirm fails here: of the others Toss knows more than the browser.
        "UPDATE payments SET state = 'failed', failure_code = ?, failure_message = ?, updated_at_ms = ?
         WHERE order_id = ? AND state = 'requested'",
        cut(&error_code, MAX_FAILURE_CODE_CHARS),
        cut(&error_msg, MAX_FAILURE_MESSAGE_CHARS),
        api.clock.now().0,
        order_id
    );
    api.within(update.execute(&api.database)).await?;
    Ok(Answer(Failed { error_code, error_msg, order_id }))
}

/// As Toss allows it; others are nobody's, and the column would not take them.
pub(crate) fn is_order_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (6..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn cut(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_is_one_that_toss_takes() {
        let id = order_id(&Wishes::default(), UserId(1), UnixMs(1_700_000_000_000));
        assert!(is_order_id(&id), "{id}");
        let keyed = Wishes { idempotency_key: Some("k".to_owned()), ..Wishes::default() };
        assert_eq!(order_id(&keyed, UserId(1), UnixMs(1)), order_id(&keyed, UserId(1), UnixMs(2)));
        for wrong in ["", "short", "with space", "한글주문번호", &"a".repeat(65), "a'b\"c;--"] {
            assert!(!is_order_id(wrong), "{wrong}");
        }
    }

    #[test]
    fn failures_fit_their_columns() {
        assert_eq!(cut(&"가".repeat(600), MAX_FAILURE_MESSAGE_CHARS).chars().count(), 500);
    }
}
