//! A product's daily prices, for charts: closed days from their table, and what was traded since the scheduler's last
//! look from the trades themselves.

use crate::{
    auth::Reader,
    context::Shared,
    envelope::{Answer, Envelope, Failure},
    request::{PathId, Query},
    seoul::local_date,
};
use axum::extract::State;
use contracts::{OrderId, ProductId, UnixMs, Won};
use domain::daily_price::{DailyPrice, SeoulDay, Trade, add};
use serde::Serialize;
use sqlx::MySqlPool;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The longest chart.
const MAX_DAYS: i64 = 366;
const DEFAULT_DAYS: i64 = 30;
/// Trades added by a reader. More are missing only when no scheduler has run for long; then the chart ends early.
const MAX_TRADES_ADDED: i64 = 5_000;

/// One day on which the product was traded. Prices are those before coupons.
#[derive(Serialize, ToSchema)]
#[schema(as = PricesOfDay)]
pub(crate) struct Day {
    date: String,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i64,
}

/// Of the last N days in Seoul, today included, those with trades; oldest first.
#[utoipa::path(
    get,
    path = "/api/products/{id}/prices",
    operation_id = "daily_prices",
    tag = "products",
    params(("id" = u64, Path, description = "The product"), ("days" = Option<i64>, Query, minimum = 1, maximum = 366)),
    responses((status = 200, description = "Oldest first", body = Envelope<Vec<Day>>)),
)]
pub(crate) async fn daily(
    State(api): State<Shared>,
    reader: Reader,
    id: PathId,
    Query(mut query): Query,
) -> Result<Answer<Vec<Day>>, Failure> {
    let days = query.optional_integer("days", 1..=MAX_DAYS).unwrap_or(DEFAULT_DAYS);
    query.valid()?;
    let product = api.product(id).await?;
    let from = SeoulDay::of(api.clock.now()).before(days - 1);
    let prices = api.read(reader.user(), |db: MySqlPool| async move { daily_prices(&db, product, days).await }).await?;
    Ok(Answer(prices.into_iter().filter(|price| price.day >= from).map(day).collect()))
}

fn day(price: DailyPrice) -> Day {
    Day {
        date: local_date(price.day.begins_at()),
        open: price.open.0,
        high: price.high.0,
        low: price.low.0,
        close: price.close.0,
        volume: price.volume,
    }
}

/// At least the last `days` days with trades, oldest first.
async fn daily_prices(database: &MySqlPool, product: ProductId, days: i64) -> Result<Vec<DailyPrice>, sqlx::Error> {
    let rolled_up = rolled_up(database, product, days).await?;
    // Read before the trades: one that is rolled up in between counts once.
    let last = rolled_up.last().copied();
    let trades = trades_after(database, product, last.map_or(OrderId(0), |day| day.last_order)).await?;
    let mut days: BTreeMap<SeoulDay, DailyPrice> = rolled_up.into_iter().map(|day| (day.day, day)).collect();
    days.extend(add(last, &trades).into_iter().map(|day| (day.day, day)));
    Ok(days.into_values().collect())
}

/// The last `days` days that are rolled up, oldest first.
async fn rolled_up(database: &MySqlPool, product: ProductId, days: i64) -> Result<Vec<DailyPrice>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT seoul_day, first_price, high_price, low_price, last_price, trades, last_order_id
         FROM daily_prices WHERE product_id = ? ORDER BY seoul_day DESC LIMIT ?",
        product.0,
        days
    )
    .fetch_all(database)
    .await?;
    let days = rows.into_iter().rev().map(|row| DailyPrice {
        day: SeoulDay(row.seoul_day),
        open: Won(row.first_price),
        high: Won(row.high_price),
        low: Won(row.low_price),
        close: Won(row.last_price),
        volume: row.trades,
        last_order: OrderId(row.last_order_id.unsigned_abs()),
    });
    Ok(days.collect())
}

async fn trades_after(database: &MySqlPool, product: ProductId, after: OrderId) -> Result<Vec<Trade>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT order_id, price, traded_at_ms FROM orders WHERE product_id = ? AND order_id > ?
         ORDER BY order_id LIMIT ?",
        product.0,
        after.0,
        MAX_TRADES_ADDED
    )
    .fetch_all(database)
    .await?;
    let trade = |id: i64, price, at| Trade { order: OrderId(id.unsigned_abs()), price: Won(price), at: UnixMs(at) };
    Ok(rows.into_iter().map(|row| trade(row.order_id, row.price, row.traded_at_ms)).collect())
}
