//! A product's market: price levels of its open bids, and its trades.

use crate::{
    auth::Reader,
    context::Shared,
    envelope::{Answer, Envelope, Failure},
    request::{PathId, Query, query::Page},
    seoul::local,
};
use axum::extract::State;
use contracts::{ProductId, UnixMs};
use serde::Serialize;
use sqlx::MySqlPool;
use utoipa::ToSchema;

/// Trades in an answer to a client that names no page.
const UNPAGED_TRADES: i64 = 100;

/// Sell bids of one price.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SellLevel {
    pub(crate) sell_price: i64,
    pub(crate) quantity: i64,
}

/// Buy bids of one price.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuyLevel {
    pub(crate) buy_price: i64,
    pub(crate) quantity: i64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "these are the contract's names")]
pub(crate) struct Trade {
    id: i64,
    final_price: i64,
    trade_date: String,
}

// Levels are grouped by `book_price`, as the index `bids_book` is ordered: the answer ends with the page's last level,
// however deep the book is.

/// What is offered, lowest price first. A bid past its deadline is not on offer, whether or not it was retired yet.
#[utoipa::path(
    get,
    path = "/api/products/{id}/sell",
    operation_id = "sell_levels",
    tag = "products",
    params(("id" = u64, Path, description = "The product"), ("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Open sell bids by price", body = Envelope<Vec<SellLevel>>)),
)]
pub(crate) async fn sell_levels(
    State(api): State<Shared>,
    reader: Reader,
    id: PathId,
    Query(mut query): Query,
) -> Result<Answer<Vec<SellLevel>>, Failure> {
    let page = query.levels_page();
    query.valid()?;
    let product = api.product(id).await?;
    let now = api.clock.now();
    let read = |db: MySqlPool| async move { on_sale(&db, product, now, page).await };
    Ok(Answer(api.read(reader.user(), read).await?))
}

/// A page of the sell side.
pub(crate) async fn on_sale(
    db: &MySqlPool,
    product: ProductId,
    now: UnixMs,
    page: Page,
) -> Result<Vec<SellLevel>, sqlx::Error> {
    sqlx::query_as!(
        SellLevel,
        r#"SELECT book_price AS "sell_price!", COUNT(*) AS quantity FROM bids
             WHERE product_id = ? AND side = 'sell' AND state = 'open' AND deadline_ms > ?
             GROUP BY book_price ORDER BY book_price LIMIT ? OFFSET ?"#,
        product.0,
        now.0,
        page.size,
        page.offset
    )
    .fetch_all(db)
    .await
}

/// What is wanted, highest price first; likewise only what is open.
#[utoipa::path(
    get,
    path = "/api/products/{id}/buy",
    operation_id = "buy_levels",
    tag = "products",
    params(("id" = u64, Path, description = "The product"), ("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Open buy bids by price", body = Envelope<Vec<BuyLevel>>)),
)]
pub(crate) async fn buy_levels(
    State(api): State<Shared>,
    reader: Reader,
    id: PathId,
    Query(mut query): Query,
) -> Result<Answer<Vec<BuyLevel>>, Failure> {
    let page = query.levels_page();
    query.valid()?;
    let product = api.product(id).await?;
    let now = api.clock.now();
    let read = |db: MySqlPool| async move { wanted(&db, product, now, page).await };
    Ok(Answer(api.read(reader.user(), read).await?))
}

/// A page of the buy side.
pub(crate) async fn wanted(
    db: &MySqlPool,
    product: ProductId,
    now: UnixMs,
    page: Page,
) -> Result<Vec<BuyLevel>, sqlx::Error> {
    sqlx::query_as!(
        BuyLevel,
        r#"SELECT -book_price AS "buy_price!: i64", COUNT(*) AS quantity FROM bids
             WHERE product_id = ? AND side = 'buy' AND state = 'open' AND deadline_ms > ?
             GROUP BY book_price ORDER BY book_price LIMIT ? OFFSET ?"#,
        product.0,
        now.0,
        page.size,
        page.offset
    )
    .fetch_all(db)
    .await
}

/// A trade, as it is stored.
pub(crate) struct StoredTrade {
    pub(crate) order_id: i64,
    pub(crate) final_price: i64,
    pub(crate) traded_at_ms: i64,
}

/// The last trades. A product's orders are numbered by one sequence, so the newest has the highest number.
#[utoipa::path(
    get,
    path = "/api/products/{id}/trade",
    operation_id = "product_trades",
    tag = "products",
    params(("id" = u64, Path, description = "The product"), ("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Trade>>)),
)]
pub(crate) async fn trades(
    State(api): State<Shared>,
    reader: Reader,
    id: PathId,
    Query(mut query): Query,
) -> Result<Answer<Vec<Trade>>, Failure> {
    let page = query.page(UNPAGED_TRADES);
    query.valid()?;
    let product = api.product(id).await?;
    let read = |db: MySqlPool| async move { traded(&db, product, page).await };
    let rows = api.read(reader.user(), read).await?;
    let trade = |id, final_price, at| Trade { id, final_price, trade_date: local(UnixMs(at)) };
    Ok(Answer(rows.into_iter().map(|row| trade(row.order_id, row.final_price, row.traded_at_ms)).collect()))
}

/// A page of a product's trades, the newest first.
pub(crate) async fn traded(db: &MySqlPool, product: ProductId, page: Page) -> Result<Vec<StoredTrade>, sqlx::Error> {
    sqlx::query_as!(
        StoredTrade,
        "SELECT order_id, final_price, traded_at_ms FROM orders WHERE product_id = ?
             ORDER BY order_id DESC LIMIT ? OFFSET ?",
        product.0,
        page.size,
        page.offset
    )
    .fetch_all(db)
    .await
}
