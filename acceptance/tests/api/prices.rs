//! Daily prices: the same whether the scheduler has rolled the trades up or the reader adds them.

use acceptance::{Market, Visitor, visitor::start_api, wait::becomes};
use contracts::ProductId;
use domain::{daily_price::SeoulDay, deadline::DAY_MS};
use serde_json::{Value, json};

/// Trades of a product, as the bid worker numbers them: (number, price, when).
async fn traded(market: &Market, product: ProductId, trades: &[(i64, i64, i64)]) {
    for (number, price, at) in trades {
        let sql = "INSERT INTO orders (order_id, product_id, buyer_id, seller_id, gifticon_id, price, final_price, fee,
                                       command_id, traded_at_ms) VALUES (?, ?, 1, 2, ?, ?, 0, 0, REPEAT('0', 16), ?)";
        let insert = sqlx::query(sql).bind(number).bind(product.0).bind(number).bind(price).bind(at);
        insert.execute(&market.database).await.unwrap();
    }
}

/// As the database reckons days.
async fn date(market: &Market, day: SeoulDay) -> String {
    let sql = "SELECT CAST(DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL ? DAY), '%Y-%m-%d') AS CHAR)";
    sqlx::query_scalar(sql).bind(day.0).fetch_one(&market.database).await.unwrap()
}

async fn chart(visitor: &Visitor, query: &str) -> Value {
    visitor.get(&format!("/api/products/1/prices{query}")).await.ok()
}

fn day(date: &str, [open, high, low, close, volume]: [i64; 5]) -> Value {
    json!({"date": date, "open": open, "high": high, "low": low, "close": close, "volume": volume})
}

#[tokio::test]
async fn days_end_at_midnight_in_seoul_and_are_rolled_up_once() {
    let mut market = Market::new("api_prices").await;
    market.set("GREAM__SCHEDULER__PRICES_INTERVAL_MS", 200);
    let (_api, visitor) = start_api(&market).await;
    let (product, other) = (market.product(1).await, market.product(2).await);
    let today = SeoulDay::of(market.now());
    let (midnight, yesterday) = (today.begins_at().0, today.before(1).begins_at().0);
    let long_ago = today.before(40).begins_at().0;
    traded(
        &market,
        product,
        &[(1, 50, long_ago), (2, 500, yesterday), (3, 900, yesterday + 1), (4, 400, midnight - 1), (5, 700, midnight)],
    )
    .await;
    traded(&market, other, &[(6, 1, yesterday)]).await;

    let (date, eve) = (date(&market, today).await, date(&market, today.before(1)).await);
    let (first, second) = (day(&eve, [500, 900, 400, 400, 3]), day(&date, [700, 700, 700, 700, 1]));
    let expected = json!([first, second]);
    assert_eq!(chart(&visitor, "").await, expected, "added by the reader");
    assert_eq!(chart(&visitor, "?days=1").await, json!([second]));
    let old = day(&self::date(&market, today.before(40)).await, [50, 50, 50, 50, 1]);
    assert_eq!(chart(&visitor, "?days=41").await, json!([old, first, second]));
    assert_eq!(chart(&visitor, "?days=40").await, expected);

    let _schedulers = (market.worker(&["scheduler"]).await, market.worker(&["scheduler"]).await);
    let rolled_up = || market.number("SELECT CAST(COALESCE(SUM(trades), 0) AS SIGNED) FROM daily_prices");
    becomes("all trades are rolled up", 6, rolled_up).await;
    assert_eq!(chart(&visitor, "").await, expected, "rolled up");
    assert_eq!(chart(&visitor, "?days=1").await, json!([second]));
    assert_eq!(chart(&visitor, "?days=41").await, json!([old, first, second]));

    traded(&market, product, &[(7, 650, midnight + 5), (8, 800, midnight + 5), (9, 750, midnight + 9)]).await;
    let second = day(&date, [700, 800, 650, 750, 4]);
    assert_eq!(chart(&visitor, "").await, json!([first, second]));
    becomes("the new ones are rolled up, too", 9, rolled_up).await;
    assert_eq!(chart(&visitor, "").await, json!([first, second]));

    market.advance_clock(2 * DAY_MS);
    becomes("days pass", json!([second]), || chart(&visitor, "?days=3")).await;
    visitor.get("/api/products/3/prices").await.refused(404, 2001);
    for wrong in ["0", "-1", "367", "x"] {
        visitor.get(&format!("/api/products/1/prices?days={wrong}")).await.refused(400, 5001);
    }
}
