//! Coupons: the caller's own, and how administrators grant them. Bids reserve and use them: that is the market's part.

use crate::{
    auth::{Administrator, Caller},
    commands::Wishes,
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure, Nothing},
    openapi::bodies,
    request::{Fields, JsonBody, Query},
};
use axum::extract::State;
use contracts::{CommandId, ResultCode, UserId, Won};
use domain::coupon::{CouponState, CouponStep, Discount, ImpossibleDiscount};
use platform::database::is_duplicate;
use serde::Serialize;
use sqlx::MySqlPool;
use std::time::Duration;
use utoipa::ToSchema;

/// Coupons in an answer to a client that names no page, the newest first.
const UNPAGED: i64 = 500;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 4..=30;
const MAX_TYPE_CHARS: usize = 30;

/// A coupon, as its owner sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Coupon {
    id: i64,
    name: String,
    discount_type: String,
    discount: i64,
}

/// The caller's coupons that may be used with a bid.
#[utoipa::path(
    get,
    path = "/api/coupons",
    operation_id = "coupons",
    tag = "coupons",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Coupon>>)),
)]
pub(crate) async fn available(
    api: State<Shared>,
    caller: Caller,
    query: Query,
) -> Result<Answer<Vec<Coupon>>, Failure> {
    list(&api, caller.user, CouponState::Available, query).await
}

/// The caller's coupons that a trade used up.
#[utoipa::path(
    get,
    path = "/api/coupons/used",
    operation_id = "used_coupons",
    tag = "coupons",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Coupon>>)),
)]
pub(crate) async fn used(api: State<Shared>, caller: Caller, query: Query) -> Result<Answer<Vec<Coupon>>, Failure> {
    list(&api, caller.user, CouponState::Used, query).await
}

async fn list(
    api: &Api,
    user: UserId,
    state: CouponState,
    Query(mut query): Query,
) -> Result<Answer<Vec<Coupon>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let read = |db: MySqlPool| async move {
        sqlx::query_as!(
            Coupon,
            "SELECT coupon_id AS id, name, discount_type, discount FROM coupons
             WHERE user_id = ? AND state = ? ORDER BY coupon_id DESC LIMIT ? OFFSET ?",
            user.0,
            state.as_str(),
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    Ok(Answer(api.read(Some(user), read).await?))
}

/// What an administrator asks for.
struct Grant {
    name: String,
    discount: Discount,
    login_id: String,
}

/// Gives a user a coupon.
#[utoipa::path(
    post,
    path = "/api/admin/coupon",
    operation_id = "grant_coupon",
    tag = "administrators",
    request_body = bodies::NewCoupon,
    responses((status = 200, description = "The user has it", body = Envelope<Nothing>)),
)]
pub(crate) async fn grant(
    State(api): State<Shared>,
    Administrator(administrator): Administrator,
    wishes: Wishes,
    JsonBody(fields): JsonBody,
) -> Result<Answer<Nothing>, Failure> {
    let grant = read_grant(fields, Won(api.config.market.max_price))?;
    let user = find_user(&api, &grant.login_id).await?;
    let by = administrator.user;
    let id = wishes.idempotency_key.map(|key| CommandId::derived(by, "grant_coupon", &key));
    if !api.within(insert(&api, &grant, user, by, id)).await? && !is_same(&api, &grant, user, id).await? {
        return Err(ResultCode::KeyReused.into());
    }
    api.reads.note_write(user, Duration::ZERO).await;
    Ok(Answer(Nothing {}))
}

/// First what is no input at all, then an unknown type, then a discount that its type does not allow.
fn read_grant(mut fields: Fields, max_price: Won) -> Result<Grant, Failure> {
    let message = format!("{}자 이상 {}자 이하여야 합니다.", NAME_CHARS.start(), NAME_CHARS.end());
    let name = fields.text_where("name", &message, |name| {
        NAME_CHARS.contains(&name.trim().chars().count()) && !name.chars().any(char::is_control)
    });
    let discount_type = fields.line("discountType", MAX_TYPE_CHARS);
    let discount = fields.integer("discount", 1..=i64::MAX);
    let login_id = fields.any_text("userLoginId");
    fields.valid()?;
    let discount = match discount_type.as_str() {
        "RATE" => Discount::rate(discount),
        "FIX" => Discount::fix(Won(discount), max_price),
        _ => return Err(ResultCode::CouponTypeNotFound.into()),
    };
    let discount = discount.map_err(|impossible| match impossible {
        ImpossibleDiscount::Rate => ResultCode::BadRate,
        ImpossibleDiscount::Fix => ResultCode::BadFixedDiscount,
    })?;
    Ok(Grant { name: name.trim().to_owned(), discount, login_id })
}

async fn find_user(api: &Api, login_id: &str) -> Result<UserId, Failure> {
    // Nobody's, and the column takes no other text.
    if !login_id.is_ascii() {
        return Err(ResultCode::UserNotFound.into());
    }
    let read = sqlx::query_scalar!("SELECT user_id FROM users WHERE login_id = ?", login_id);
    let user = api.within(read.fetch_optional(&api.database)).await?.ok_or(ResultCode::UserNotFound)?;
    Ok(UserId(user.unsigned_abs()))
}

fn as_stored(discount: Discount) -> (&'static str, i64) {
    match discount {
        Discount::Rate(per_cent) => ("RATE", i64::from(per_cent)),
        Discount::Fix(amount) => ("FIX", amount.0),
    }
}

/// Whether the coupon that was granted with the same key is the same.
async fn is_same(api: &Api, grant: &Grant, user: UserId, id: Option<CommandId>) -> Result<bool, Failure> {
    let read = sqlx::query!(
        "SELECT user_id, name, discount_type, discount FROM coupons WHERE grant_id = ?",
        id.map(|id| id.bytes().to_vec())
    );
    let found = api.within(read.fetch_optional(&api.database)).await?;
    let stored = as_stored(grant.discount);
    Ok(found.is_some_and(|coupon| {
        coupon.user_id.unsigned_abs() == user.0
            && coupon.name == grant.name
            && (coupon.discount_type.as_str(), coupon.discount) == stored
    }))
}

/// Writes the coupon and the beginning of its ledger; `false` when the same key granted one before.
async fn insert(
    api: &Api,
    grant: &Grant,
    user: UserId,
    by: UserId,
    id: Option<CommandId>,
) -> Result<bool, sqlx::Error> {
    let ((discount_type, amount), at) = (as_stored(grant.discount), api.clock.now());
    let mut transaction = api.database.begin().await?;
    let inserted = sqlx::query!(
        "INSERT INTO coupons (user_id, name, discount_type, discount, state, created_at_ms, grant_id)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        user.0,
        grant.name,
        discount_type,
        amount,
        CouponStep::Granted.leads_to().as_str(),
        at.0,
        id.map(|id| id.bytes().to_vec())
    )
    .execute(&mut *transaction)
    .await;
    let inserted = match inserted {
        Err(error) if is_duplicate(&error) => return Ok(false),
        result => result?,
    };
    sqlx::query!(
        "INSERT INTO coupon_entries (coupon_id, step, reference, command_id, created_at_ms) VALUES (?, ?, ?, NULL, ?)",
        inserted.last_insert_id(),
        CouponStep::Granted.as_str(),
        format!("user:{by}"),
        at.0
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(changed: &[(&str, Value)]) -> Result<Grant, Failure> {
        let mut body = json!({"name": "환영 쿠폰", "discountType": "RATE", "discount": 10, "userLoginId": "alice"});
        for (field, value) in changed {
            body[*field] = value.clone();
        }
        let Value::Object(object) = body else { panic!("an object") };
        read_grant(Fields::json(object), Won(1_000))
    }

    fn code(changed: &[(&str, Value)]) -> ResultCode {
        read(changed).err().map_or(ResultCode::Ok, |failure| failure.code())
    }

    #[test]
    fn mistakes_come_before_types_and_types_before_discounts() {
        assert_eq!(code(&[]), ResultCode::Ok);
        for (field, wrong) in [
            ("name", json!("abc")),
            ("name", json!("x".repeat(31))),
            ("name", json!("   a   ")),
            ("name", json!("abc\ndef")),
            ("discountType", json!(null)),
            ("discountType", json!("")),
            ("discount", json!(0)),
            ("discount", json!(-1)),
            ("discount", json!(1.5)),
            ("userLoginId", json!(null)),
        ] {
            assert_eq!(
                code(&[("discount", json!(5_000)), (field, wrong.clone())]),
                ResultCode::InvalidInput,
                "{wrong}"
            );
        }
        assert_eq!(
            code(&[("discountType", json!("rate")), ("discount", json!(5_000))]),
            ResultCode::CouponTypeNotFound
        );
        assert_eq!(code(&[("discount", json!(101))]), ResultCode::BadRate);
        assert_eq!(code(&[("discountType", json!("FIX")), ("discount", json!(1_001))]), ResultCode::BadFixedDiscount);
        let fixed = read(&[("discountType", json!("FIX")), ("discount", json!("1000"))]).ok().unwrap();
        assert_eq!(fixed.discount, Discount::Fix(Won(1_000)));
    }
}
