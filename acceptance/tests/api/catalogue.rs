//! Products, pictures and markets, as anybody reads them.

use acceptance::{
    Market,
    visitor::{PNG, form, send, start_api},
    wait::becomes,
};
use serde_json::json;

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn an_administrator_adds_products_and_everybody_finds_them() {
    let market = Market::new("api_products").await;
    let (_api, visitor) = start_api(&market).await;
    let (admin, user) = (visitor.join_as_administrator(&market, "admin").await, visitor.join("alice").await);
    let coffee = [("brand", "스타벅스"), ("name", "아메리카노 100%"), ("description", "Tall"), ("price", "4500")];
    let latte = [("brand", "스타벅스"), ("name", "라떼_L"), ("description", ""), ("price", "5000")];
    admin.upload("/api/admin/products", &coffee, PNG).await.ok();
    admin.upload("/api/admin/products", &latte, PNG).await.ok();
    admin.upload("/api/admin/products", &coffee, PNG).await.refused(400, 2002);
    user.upload("/api/admin/products", &coffee, PNG).await.refused(403, 5000);
    visitor.upload("/api/admin/products", &coffee, PNG).await.refused(401, 1004);
    admin.upload("/api/admin/products", &latte, b"GIF89a").await.refused(400, 4003);
    send(admin.request("POST", "/api/admin/products").multipart(form(&latte, None))).await.refused(400, 5001);

    let all = visitor.get("/api/products").await.ok();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let found = async |query: &str| {
        let list = visitor.get(&format!("/api/products?{query}")).await.ok();
        list.as_array().unwrap().iter().map(|product| product["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found("name=%EC%95%84%EB%A9%94%EB%A6%AC").await, ["아메리카노 100%"]);
    // Wildcards of LIKE stand for themselves.
    assert_eq!(found("name=%25").await, ["아메리카노 100%"]);
    assert_eq!(found("name=_").await, ["라떼_L"]);
    assert_eq!(found("name=%7C").await, Vec::<serde_json::Value>::new());
    assert_eq!(found("brand=%EB%B2%85&name=L").await, ["라떼_L"]);
    assert_eq!(found("brand=nothing").await, Vec::<serde_json::Value>::new());

    let product = visitor.get(&format!("/api/products/{}", all[0]["id"])).await.ok();
    assert_eq!(product, all[0]);
    assert_eq!((product["price"].as_i64(), product["description"].as_str()), (Some(4500), Some("Tall")));
    let path = product["imageUrl"].as_str().unwrap().split_once("/api/").unwrap().1.to_owned();
    let picture = visitor.client.get(format!("{}/api/{path}", visitor.base)).send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/png");
    assert_eq!(picture.bytes().await.unwrap(), PNG);
}

#[tokio::test]
async fn price_levels_hold_only_bids_whose_deadline_has_not_passed() {
    let market = Market::new("api_levels").await;
    let (_api, visitor) = start_api(&market).await;
    let product = market.product(1).await;
    let now = market.now().0;
    let today = now - now % DAY_MS;
    for (id, side, price, state, deadline) in [
        (257, "sell", 500, "open", today + 3 * DAY_MS),
        (513, "sell", 500, "open", today + 3 * DAY_MS),
        (769, "sell", 400, "open", now - 1),
        (1025, "sell", 300, "traded", today + 3 * DAY_MS),
        (1281, "sell", 600, "open", today + 9 * DAY_MS),
        (1537, "buy", 100, "open", today + 9 * DAY_MS),
        (1793, "buy", 200, "open", today + 9 * DAY_MS),
    ] {
        let insert =
            "INSERT INTO bids (bid_id, side, product_id, user_id, price, hold, state, placed_at_ms, deadline_ms,
                                        command_id) VALUES (?, ?, ?, 1, ?, 0, ?, ?, ?, REPEAT('0', 16))";
        let insert = sqlx::query(insert).bind(id).bind(side).bind(product.0).bind(price).bind(state).bind(now);
        insert.bind(deadline).execute(&market.database).await.unwrap();
    }
    let sell = async |query: &str| visitor.get(&format!("/api/products/1/sell{query}")).await.ok();
    let (cheap, dear) = (json!({"sellPrice": 500, "quantity": 2}), json!({"sellPrice": 600, "quantity": 1}));
    assert_eq!(sell("").await, json!([cheap, dear]));
    assert_eq!(sell("?page=1&size=1").await, json!([dear]));
    assert_eq!(sell("?page=2&size=1").await, json!([]));
    let buy = visitor.get("/api/products/1/buy").await.ok();
    assert_eq!(buy, json!([{"buyPrice": 200, "quantity": 1}, {"buyPrice": 100, "quantity": 1}]));

    market.advance_clock(4 * DAY_MS);
    becomes("time passes for readers, too", json!([dear]), || sell("")).await;
    assert_eq!(visitor.get("/api/products/1/trade").await.ok(), json!([]));
    for path in ["", "/sell", "/buy", "/trade"] {
        visitor.get(&format!("/api/products/2{path}")).await.refused(404, 2001);
    }
}
