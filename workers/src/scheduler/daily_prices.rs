//! Rolls new trades up into daily prices, product by product, so that a chart reads days and not trades.
//!
//! Whoever trades pays nothing for it: new trades are found by the index that orders have anyway, behind the last one
//! that is in a day. Repeating it changes nothing, and two schedulers do it one after the other: the product's row is
//! locked while its days are written. Until the next look, readers add the few trades that are missing themselves.

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
};
use contracts::{OrderId, ProductId, UnixMs, Won};
use domain::daily_price::{DailyPrice, SeoulDay, Trade, add};
use platform::database::within;
use sqlx::{MySql, Transaction};
use std::time::Duration;

/// Products looked at in one statement.
const PRODUCTS_A_LOOK: i64 = 500;
/// Trades of one product rolled up in one transaction.
const TRADES_A_TRANSACTION: usize = 5_000;

pub(super) async fn run(scheduler: &Scheduler) {
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let mut duty = Duty::new(scheduler, DutyName::DailyPrices, scheduler.config.scheduler.prices_interval_ms);
    let mut after = ProductId(0);
    while duty.begins().await {
        let rolled_up = go_on(scheduler, limit, &mut after).await;
        duty.ended(rolled_up).await;
    }
}

/// Every product behind `after`. After a failure the next run goes on where this one ended.
async fn go_on(scheduler: &Scheduler, limit: Duration, after: &mut ProductId) -> Result<Done, sqlx::Error> {
    let mut trades = 0;
    while let Some(last) = look(scheduler, limit, *after, &mut trades).await? {
        *after = last;
    }
    *after = ProductId(0);
    Ok(Done::items(trades))
}

/// Looks at the products behind `after`; the last one looked at, or `None` when there are no more.
async fn look(
    scheduler: &Scheduler,
    limit: Duration,
    after: ProductId,
    trades: &mut u64,
) -> Result<Option<ProductId>, sqlx::Error> {
    let read = sqlx::query!(
        r#"SELECT p.product_id,
                  (SELECT o.order_id FROM orders o WHERE o.product_id = p.product_id
                   ORDER BY o.order_id DESC LIMIT 1) AS "newest?: i64",
                  (SELECT d.last_order_id FROM daily_prices d WHERE d.product_id = p.product_id
                   ORDER BY d.seoul_day DESC LIMIT 1) AS "rolled_up?: i64"
           FROM products p WHERE p.product_id > ? ORDER BY p.product_id LIMIT ?"#,
        after.0,
        PRODUCTS_A_LOOK
    )
    .fetch_all(&scheduler.database);
    let rows = within(limit, read).await?;
    let last = rows.last().map(|row| ProductId(row.product_id.unsigned_abs()));
    for row in rows.into_iter().filter(|row| row.newest > row.rolled_up) {
        let product = ProductId(row.product_id.unsigned_abs());
        loop {
            let rolled_up = within(limit, roll_up(scheduler, product)).await?;
            *trades += rolled_up as u64;
            if rolled_up < TRADES_A_TRANSACTION {
                break;
            }
            if scheduler.shutdown.is_requested() {
                return Ok(None);
            }
        }
    }
    Ok(last)
}

/// Rolls up the product's next trades; how many.
async fn roll_up(scheduler: &Scheduler, product: ProductId) -> Result<usize, sqlx::Error> {
    let mut transaction = scheduler.database.begin().await?;
    sqlx::query_scalar!("SELECT product_id FROM products WHERE product_id = ? FOR UPDATE", product.0)
        .fetch_one(&mut *transaction)
        .await?;
    let last = last_day(&mut transaction, product).await?;
    let trades = trades_after(&mut transaction, product, last.map_or(OrderId(0), |day| day.last_order)).await?;
    for day in add(last, &trades) {
        write(&mut transaction, product, &day).await?;
    }
    transaction.commit().await?;
    Ok(trades.len())
}

async fn last_day(
    transaction: &mut Transaction<'_, MySql>,
    product: ProductId,
) -> Result<Option<DailyPrice>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT seoul_day, first_price, high_price, low_price, last_price, trades, last_order_id
         FROM daily_prices WHERE product_id = ? ORDER BY seoul_day DESC LIMIT 1",
        product.0
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.map(|row| DailyPrice {
        day: SeoulDay(row.seoul_day),
        open: Won(row.first_price),
        high: Won(row.high_price),
        low: Won(row.low_price),
        close: Won(row.last_price),
        volume: row.trades,
        last_order: OrderId(row.last_order_id.unsigned_abs()),
    }))
}

async fn trades_after(
    transaction: &mut Transaction<'_, MySql>,
    product: ProductId,
    after: OrderId,
) -> Result<Vec<Trade>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT order_id, price, traded_at_ms FROM orders WHERE product_id = ? AND order_id > ?
         ORDER BY order_id LIMIT ?",
        product.0,
        after.0,
        TRADES_A_TRANSACTION as u64
    )
    .fetch_all(&mut **transaction)
    .await?;
    let trade = |id: i64, price, at| Trade { order: OrderId(id.unsigned_abs()), price: Won(price), at: UnixMs(at) };
    Ok(rows.into_iter().map(|row| trade(row.order_id, row.price, row.traded_at_ms)).collect())
}

async fn write(
    transaction: &mut Transaction<'_, MySql>,
    product: ProductId,
    day: &DailyPrice,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO daily_prices (product_id, seoul_day, first_price, high_price, low_price, last_price, trades,
                                   last_order_id)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE high_price = VALUES(high_price), low_price = VALUES(low_price),
             last_price = VALUES(last_price), trades = VALUES(trades), last_order_id = VALUES(last_order_id)",
        product.0,
        day.day.0,
        day.open.0,
        day.high.0,
        day.low.0,
        day.close.0,
        day.volume,
        day.last_order.0
    )
    .execute(&mut **transaction)
    .await
    .map(drop)
}
