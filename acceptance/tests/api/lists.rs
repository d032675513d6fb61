//! Likes, and lists by pages and in an order.

use acceptance::{
    Market, Visitor,
    visitor::{PASSWORD, start_api},
};
use serde_json::{Value, json};

#[tokio::test]
async fn products_are_liked_once_and_disliked_once_however_often_it_is_said() {
    let market = Market::new("api_likes").await;
    let (_api, visitor) = start_api(&market).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    for id in 1..=3 {
        market.product(id).await;
    }
    let like = async |id: u64| alice.post(&format!("/api/products/{id}/like"), &json!({})).await;
    for id in [1, 2, 2, 1] {
        let told = like(id).await.ok();
        assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()), "{told}");
        assert_eq!(told.as_object().unwrap().len(), 1, "{told}");
    }
    let liked = alice.get("/api/products/likes").await.ok();
    let second = json!({"productId": 2, "productBrand": "brand", "productName": "product 2", "productImageUrl": "",
                        "productDescription": "", "productPrice": 1000});
    assert_eq!((liked.as_array().unwrap().len(), &liked[0]), (2, &second), "{liked}");
    assert_eq!(alice.get("/api/products/likes?page=1&size=1").await.ok(), json!([liked[1]]));
    assert_eq!(bob.get("/api/products/likes").await.ok(), json!([]));
    let log_in = async || alice.post("/api/users/login", &json!({"loginId": "alice", "password": PASSWORD})).await.ok();
    assert_eq!(log_in().await["likeProductIds"], json!([2, 1]));

    let dislike = async |id: u64| alice.delete(&format!("/api/products/{id}/dislike")).await;
    for id in [2, 2, 3] {
        assert!(dislike(id).await.ok()["message"].is_string());
    }
    assert_eq!(log_in().await["likeProductIds"], json!([1]));
    like(4).await.refused(404, 2001);
    dislike(4).await.refused(404, 2001);
    visitor.post("/api/products/1/like", &json!({})).await.refused(401, 1004);
    visitor.delete("/api/products/1/dislike").await.refused(401, 1004);
    visitor.get("/api/products/likes").await.refused(401, 1004);
    alice.post("/api/products/x/like", &json!({})).await.refused(400, 5001);
}

#[tokio::test]
async fn every_list_comes_whole_or_by_pages() {
    let market = Market::new("api_pages").await;
    let (_api, visitor) = start_api(&market).await;
    let (alice, admin) = (visitor.join("alice").await, visitor.join_as_administrator(&market, "admin").await);
    let _worker = market.worker(&["bid", "relay"]).await;
    for id in 1..=3 {
        market.product(id).await;
        alice.post(&format!("/api/products/{id}/like"), &json!({})).await.ok();
        let coupon =
            json!({"name": format!("coupon {id}"), "discountType": "FIX", "discount": 1, "userLoginId": "alice"});
        admin.post("/api/admin/coupon", &coupon).await.ok();
    }
    let png = acceptance::visitor::PNG;
    for price in ["100", "200", "300"] {
        admin.upload("/api/sell/1", &[("price", price)], png).await.ok();
        alice.post("/api/buy/1/now", &json!({"price": price})).await.ok();
        alice.upload("/api/sell/2", &[("price", price)], png).await.ok();
        admin.post("/api/buy/2/now", &json!({"price": price})).await.ok();
        alice.post("/api/buy/3", &json!({"price": price})).await.ok();
        alice.upload("/api/sell/1", &[("price", &format!("9{price}"))], png).await.ok();
    }
    for (path, key) in [
        ("/api/products?", "id"),
        ("/api/products/1/trade?", "id"),
        ("/api/products/3/buy?", "buyPrice"),
        ("/api/products/1/sell?", "sellPrice"),
        ("/api/products/likes?", "productId"),
        ("/api/coupons?", "id"),
        ("/api/buy/history/end?", "orderId"),
        ("/api/buy/history/onprogress?", "buyId"),
        ("/api/sell/history/end?", "orderId"),
        ("/api/sell/history/onprogress?", "sellId"),
    ] {
        let keys = async |query: &str| -> Vec<Value> {
            let list = alice.get(&format!("{path}{query}")).await.ok();
            list.as_array().unwrap().iter().map(|row| row[key].clone()).collect()
        };
        let all = keys("").await;
        assert_eq!(all.len(), 3, "{path}");
        assert_eq!(keys("page=0").await, all, "{path}");
        assert_eq!(keys("size=2").await, all[..2], "{path}");
        assert_eq!(keys("page=1&size=2").await, all[2..], "{path}");
        assert_eq!(keys("page=2&size=2").await, Vec::<Value>::new(), "{path}");
        for wrong in ["page=-1", "page=x", "size=0", "size=101", "page=1001&size=100", "page=99999999999999999999"] {
            alice.get(&format!("{path}{wrong}")).await.refused(400, 5001);
        }
    }
}

#[tokio::test]
async fn products_come_in_the_order_that_was_asked_for() {
    let market = Market::new("api_sort").await;
    let (_api, visitor) = start_api(&market).await;
    for (id, brand, name, price) in [(1, "나무", "라떼", 300), (2, "가온", "모카", 100), (3, "다솜", "녹차", 300)]
    {
        let sql = "INSERT INTO products (product_id, brand, name, description, price, image_url, created_at_ms)
                   VALUES (?, ?, ?, '', ?, '', 0)";
        sqlx::query(sql).bind(id).bind(brand).bind(name).bind(price).execute(&market.database).await.unwrap();
    }
    for (sort, expected) in [
        ("", [1, 2, 3]),
        ("?sort=", [1, 2, 3]),
        ("?sort=id", [1, 2, 3]),
        ("?sort=id,desc", [3, 2, 1]),
        ("?sort=price", [2, 1, 3]),
        ("?sort=price,asc", [2, 1, 3]),
        ("?sort=price,desc", [1, 3, 2]),
        ("?sort=name", [3, 1, 2]),
        ("?sort=name,desc", [2, 1, 3]),
        ("?sort=brand", [2, 1, 3]),
        ("?sort=brand,desc", [3, 1, 2]),
    ] {
        assert_eq!(ids(&visitor, sort).await, expected, "{sort}");
    }
    assert_eq!(ids(&visitor, "?sort=price&page=1&size=2").await, [3]);
    for wrong in ["?sort=colour", "?sort=price,up", "?sort=price,desc,name", "?sort=price%3BDROP", "?sort=,desc"] {
        visitor.get(&format!("/api/products{wrong}")).await.refused(400, 5003);
    }
}

async fn ids(visitor: &Visitor, query: &str) -> Vec<i64> {
    let list = visitor.get(&format!("/api/products{query}")).await.ok();
    list.as_array().unwrap().iter().map(|product| product["id"].as_i64().unwrap()).collect()
}
