//! The caller's own bids and trades, newest first, by pages.

use crate::{
    auth::Caller,
    context::Shared,
    envelope::{Answer, Envelope, Failure},
    pictures::product_picture_address,
    request::Query,
    seoul::{local, local_end},
};
use axum::extract::State;
use contracts::UnixMs;
use serde::Serialize;
use sqlx::MySqlPool;
use utoipa::ToSchema;

/// Rows in an answer to a client that names no page.
const UNPAGED: i64 = 500;

/// Something the caller bought.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bought {
    order_id: i64,
    order_created_at: String,
    expected_price: i64,
    final_price: i64,
    product_id: i64,
    product_brand: String,
    product_name: String,
    gifticon_id: i64,
    gifticon_url: String,
}

/// An open buy bid of the caller's.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Buying {
    buy_id: i64,
    product_id: i64,
    product_brand: String,
    product_name: String,
    coupon_id: Option<i64>,
    coupon_name: Option<String>,
    price: i64,
    /// What the bid holds: the price after the coupon.
    discount_price: i64,
}

/// Something the caller sold.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sold {
    order_id: i64,
    traded_date: String,
    final_price: i64,
    product_id: i64,
    product_brand: String,
    product_name: String,
    /// The product's: what was sold is its buyer's alone. Misspelt as the front end reads it.
    #[serde(rename = "iamgeUrl")]
    image_url: String,
}

/// An open sell bid of the caller's.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Selling {
    sell_id: i64,
    sell_price: i64,
    bid_started_at: String,
    bid_deadline_at: String,
    product_id: i64,
    product_brand: String,
    product_name: String,
    gifticon_id: Option<i64>,
    gifticon_image_url: Option<String>,
}

/// What the caller bought, newest first.
#[utoipa::path(
    get,
    path = "/api/buy/history/end",
    operation_id = "bought",
    tag = "buying",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Bought>>)),
)]
pub(crate) async fn bought(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Vec<Bought>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let read = |db: MySqlPool| async move {
        sqlx::query!(
            "SELECT o.order_id, o.traded_at_ms, o.price, o.final_price, o.product_id, p.brand, p.name, o.gifticon_id
             FROM orders o JOIN products p ON p.product_id = o.product_id
             WHERE o.buyer_id = ? ORDER BY o.traded_at_ms DESC, o.order_id DESC LIMIT ? OFFSET ?",
            caller.user.0,
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    let rows = api.read(Some(caller.user), read).await?;
    let bought = rows.into_iter().map(|row| Bought {
        order_id: row.order_id,
        order_created_at: local(UnixMs(row.traded_at_ms)),
        expected_price: row.price,
        final_price: row.final_price,
        product_id: row.product_id,
        product_brand: row.brand,
        product_name: row.name,
        gifticon_id: row.gifticon_id,
        gifticon_url: api.gifticon_address(row.gifticon_id, caller.user),
    });
    Ok(Answer(bought.collect()))
}

/// The caller's open buy bids, newest first.
#[utoipa::path(
    get,
    path = "/api/buy/history/onprogress",
    operation_id = "buying",
    tag = "buying",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Buying>>)),
)]
pub(crate) async fn buying(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Vec<Buying>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let now = api.clock.now().0;
    let read = |db: MySqlPool| async move {
        sqlx::query_as!(
            Buying,
            "SELECT b.bid_id AS buy_id, b.product_id, p.brand AS product_brand, p.name AS product_name, b.coupon_id,
                    c.name AS coupon_name, b.price, b.hold AS discount_price
             FROM bids b JOIN products p ON p.product_id = b.product_id LEFT JOIN coupons c ON c.coupon_id = b.coupon_id
             WHERE b.user_id = ? AND b.state = 'open' AND b.side = 'buy' AND b.deadline_ms > ?
             ORDER BY b.placed_at_ms DESC, b.bid_id DESC LIMIT ? OFFSET ?",
            caller.user.0,
            now,
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    Ok(Answer(api.read(Some(caller.user), read).await?))
}

/// What the caller sold, newest first.
#[utoipa::path(
    get,
    path = "/api/sell/history/end",
    operation_id = "sold",
    tag = "selling",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Sold>>)),
)]
pub(crate) async fn sold(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Vec<Sold>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let read = |db: MySqlPool| async move {
        sqlx::query!(
            "SELECT o.order_id, o.traded_at_ms, o.final_price, o.product_id, p.brand, p.name, p.image_url
             FROM orders o JOIN products p ON p.product_id = o.product_id
             WHERE o.seller_id = ? ORDER BY o.traded_at_ms DESC, o.order_id DESC LIMIT ? OFFSET ?",
            caller.user.0,
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    let rows = api.read(Some(caller.user), read).await?;
    let sold = rows.into_iter().map(|row| Sold {
        order_id: row.order_id,
        traded_date: local(UnixMs(row.traded_at_ms)),
        final_price: row.final_price,
        product_id: row.product_id,
        product_brand: row.brand,
        product_name: row.name,
        image_url: product_picture_address(&api.config.http.public_url, &row.image_url),
    });
    Ok(Answer(sold.collect()))
}

/// The caller's open sell bids, newest first.
#[utoipa::path(
    get,
    path = "/api/sell/history/onprogress",
    operation_id = "selling",
    tag = "selling",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Selling>>)),
)]
pub(crate) async fn selling(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Vec<Selling>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let now = api.clock.now().0;
    let read = |db: MySqlPool| async move {
        sqlx::query!(
            "SELECT b.bid_id, b.price, b.placed_at_ms, b.deadline_ms, b.product_id, p.brand, p.name, b.gifticon_id
             FROM bids b JOIN products p ON p.product_id = b.product_id
             WHERE b.user_id = ? AND b.state = 'open' AND b.side = 'sell' AND b.deadline_ms > ?
             ORDER BY b.placed_at_ms DESC, b.bid_id DESC LIMIT ? OFFSET ?",
            caller.user.0,
            now,
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    let rows = api.read(Some(caller.user), read).await?;
    let selling = rows.into_iter().map(|row| Selling {
        sell_id: row.bid_id,
        sell_price: row.price,
        bid_started_at: local(UnixMs(row.placed_at_ms)),
        bid_deadline_at: local_end(UnixMs(row.deadline_ms)),
        product_id: row.product_id,
        product_brand: row.brand,
        product_name: row.name,
        gifticon_id: row.gifticon_id,
        gifticon_image_url: row.gifticon_id.map(|id| api.gifticon_address(id, caller.user)),
    });
    Ok(Answer(selling.collect()))
}
