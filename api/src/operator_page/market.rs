//! A product's order book and its latest trades.

use super::{Desk, Refusal};
use crate::{
    products::{list, market},
    request::query::Page,
};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use contracts::{ProductId, UnixMs};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Price levels of a side.
const LEVELS: Page = Page { size: 20, offset: 0 };
/// Trades of a chart.
const TRADES: Page = Page { size: 100, offset: 0 };
/// Products that a search finds.
const PRODUCTS: i64 = 20;
const MAX_NAME_CHARS: usize = 120;

/// What is looked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    name: String,
}

#[derive(Serialize)]
pub(super) struct Product {
    id: i64,
    brand: String,
    name: String,
    price: i64,
}

#[derive(Serialize)]
struct Level {
    price: i64,
    quantity: i64,
}

#[derive(Serialize)]
struct Trade {
    id: i64,
    price: i64,
    at: UnixMs,
}

/// A product's market now.
#[derive(Serialize)]
pub(super) struct Market {
    at: UnixMs,
    product: Product,
    /// Lowest price first.
    sell: Vec<Level>,
    /// Highest price first.
    buy: Vec<Level>,
    /// Newest first.
    trades: Vec<Trade>,
}

impl From<list::Product> for Product {
    fn from(product: list::Product) -> Self {
        let list::Product { id, brand, name, price, .. } = product;
        Self { id, brand, name, price }
    }
}

/// Products by a part of their name.
pub(super) async fn products(
    State(desk): State<Arc<Desk>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<Product>>, Refusal> {
    let name: String = wanted.name.trim().chars().take(MAX_NAME_CHARS).collect();
    let found = desk.api.within(list::named_like(&desk.api.database, &name, PRODUCTS)).await?;
    Ok(Json(found.into_iter().map(Product::from).collect()))
}

/// Book and trades.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Path(id): Path<u64>) -> Result<Json<Market>, Refusal> {
    let (db, at, product) = (&desk.api.database, desk.api.clock.now(), ProductId(id));
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "there is no such product");
    if i64::try_from(id).is_err() {
        return Err(unknown());
    }
    let found = desk.api.within(list::by_id(db, id)).await?.ok_or_else(unknown)?;
    let sell = desk.api.within(market::on_sale(db, product, at, LEVELS)).await?;
    let buy = desk.api.within(market::wanted(db, product, at, LEVELS)).await?;
    let trades = desk.api.within(market::traded(db, product, TRADES)).await?;
    let trade = |trade: market::StoredTrade| Trade {
        id: trade.order_id,
        price: trade.final_price,
        at: UnixMs(trade.traded_at_ms),
    };
    Ok(Json(Market {
        at,
        product: found.into(),
        sell: sell.into_iter().map(|level| Level { price: level.sell_price, quantity: level.quantity }).collect(),
        buy: buy.into_iter().map(|level| Level { price: level.buy_price, quantity: level.quantity }).collect(),
        trades: trades.into_iter().map(trade).collect(),
    }))
}
