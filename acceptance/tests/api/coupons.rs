//! Coupons: granted by administrators, reserved with a bid, used with the trade, returned when the bid ends otherwise;
//! and the ledger that tells of every step.

use acceptance::{
    Market, Visitor,
    visitor::{PNG, send, start_api},
    wait::becomes,
};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

/// Grants a coupon to alice; its id.
async fn granted(admin: &Visitor, alice: &Visitor, name: &str, discount_type: &str, discount: i64) -> Value {
    let body = json!({"name": name, "discountType": discount_type, "discount": discount, "userLoginId": "alice"});
    assert_eq!(admin.post("/api/admin/coupon", &body).await.ok(), json!({}));
    let coupons = alice.get("/api/coupons").await.ok();
    coupons[0]["id"].clone()
}

async fn names(visitor: &Visitor, path: &str) -> Vec<String> {
    let coupons = visitor.get(path).await.ok();
    coupons.as_array().unwrap().iter().map(|coupon| coupon["name"].as_str().unwrap().to_owned()).collect()
}

/// What the ledger of coupons says of one, and what each step was about.
async fn steps(market: &Market, coupon: &Value) -> Vec<String> {
    let sql = "SELECT CAST(CONCAT(step, ' ', SUBSTRING_INDEX(reference, ':', 1)) AS CHAR) FROM coupon_entries
               WHERE coupon_id = ? ORDER BY entry_id";
    sqlx::query_scalar(sql).bind(coupon.as_i64()).fetch_all(&market.database).await.unwrap()
}

#[tokio::test]
async fn a_repeated_grant_is_one_coupon() {
    let market = Market::new("api_coupons_again").await;
    let (_api, visitor) = start_api(&market).await;
    let admin = visitor.join_as_administrator(&market, "admin").await;
    let alice = visitor.join("alice").await;
    let grant = |discount: i64| {
        let body = json!({"name": "환영 쿠폰", "discountType": "FIX", "discount": discount, "userLoginId": "alice"});
        send(admin.request("POST", "/api/admin/coupon").header("Idempotency-Key", "welcome").json(&body))
    };
    grant(500).await.ok();
    grant(500).await.ok();
    grant(600).await.refused(422, 5004);
    assert_eq!(alice.get("/api/coupons").await.ok().as_array().unwrap().len(), 1);
    market.audit_holds().await;
}

#[tokio::test]
async fn an_administrator_grants_coupons_and_their_owner_sees_them() {
    let market = Market::new("api_coupons").await;
    let (_api, visitor) = start_api(&market).await;
    let (admin, alice) = (visitor.join_as_administrator(&market, "admin").await, visitor.join("alice").await);
    let path = "/api/admin/coupon";
    let good = json!({"name": "환영 쿠폰", "discountType": "RATE", "discount": 10, "userLoginId": "alice"});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    alice.post(path, &good).await.refused(403, 5000);
    visitor.post(path, &good).await.refused(401, 1004);
    for (field, wrong) in [
        ("name", json!("abc")),
        ("name", json!("x".repeat(31))),
        ("name", json!(null)),
        ("discount", json!(0)),
        ("discount", json!(-10)),
        ("discount", json!("ten")),
        ("discountType", json!(null)),
        ("userLoginId", json!(null)),
    ] {
        let answer = admin.post(path, &with(field, wrong)).await;
        answer.refused(400, 5001);
        assert_eq!(answer.data()[0]["field"], field);
    }
    admin.post(path, &with("discountType", json!("HALF"))).await.refused(404, 6003);
    admin.post(path, &with("discount", json!(101))).await.refused(409, 6004);
    let fixed = json!({"name": "too much", "discountType": "FIX", "discount": 100_000_001, "userLoginId": "alice"});
    admin.post(path, &fixed).await.refused(409, 6005);
    for nobody in ["nobody", "한글아이디", "a' OR '1'='1"] {
        admin.post(path, &with("userLoginId", json!(nobody))).await.refused(404, 1002);
    }
    assert_eq!(alice.get("/api/coupons").await.ok(), json!([]));

    assert_eq!(admin.post(path, &good).await.ok(), json!({}));
    admin
        .post(path, &json!({"name": "천원 쿠폰", "discountType": "FIX", "discount": "1000", "userLoginId": "alice"}))
        .await
        .ok();
    let mut coupons = alice.get("/api/coupons").await.ok();
    for coupon in coupons.as_array_mut().unwrap() {
        assert!(coupon.as_object_mut().unwrap().remove("id").unwrap().is_i64());
    }
    let expected = json!([{"name": "천원 쿠폰", "discountType": "FIX", "discount": 1000},
                          {"name": "환영 쿠폰", "discountType": "RATE", "discount": 10}]);
    assert_eq!(coupons, expected);
    assert_eq!(names(&alice, "/api/coupons?page=1&size=1").await, ["환영 쿠폰"]);
    assert_eq!(alice.get("/api/coupons/used").await.ok(), json!([]));
    assert_eq!(admin.get("/api/coupons").await.ok(), json!([]), "they are alice's");
    visitor.get("/api/coupons").await.refused(401, 1004);
    visitor.get("/api/coupons/used").await.refused(401, 1004);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_coupon_goes_with_its_bid_and_comes_back_or_is_used() {
    let market = Market::new("api_coupon_way").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "relay", "scheduler"]).await;
    let (admin, alice) = (visitor.join_as_administrator(&market, "admin").await, visitor.join("alice").await);
    let bob = visitor.join("bobby").await;
    market.product(1).await;
    let coupon = granted(&admin, &alice, "third off", "RATE", 33).await;
    let buy = async |who: &Visitor, price: i64| {
        who.post("/api/buy/1", &json!({"price": price, "couponId": coupon, "period": 1})).await
    };

    buy(&bob, 1_000).await.refused(404, 6000);
    let bid = buy(&alice, 1_000).await.ok();
    assert_eq!((bid["price"].as_i64(), alice.points().await), (Some(1_000), 100_000 - 670));
    let product = json!({"productId": 1, "productBrand": "brand", "productName": "product 1"});
    let mut expected = json!({"buyId": bid["buyId"], "couponId": coupon, "couponName": "third off", "price": 1000,
                              "discountPrice": 670});
    expected.as_object_mut().unwrap().extend(product.as_object().unwrap().clone());
    assert_eq!(alice.get("/api/buy/history/onprogress").await.ok(), json!([expected]));
    assert_eq!(names(&alice, "/api/coupons").await, Vec::<String>::new(), "it is taken");
    assert_eq!(names(&alice, "/api/coupons/used").await, Vec::<String>::new());
    buy(&alice, 1_000).await.refused(409, 6001);

    alice.delete(&format!("/api/buy/bid/{}", bid["buyId"])).await.ok();
    assert_eq!((names(&alice, "/api/coupons").await, alice.points().await), (vec!["third off".to_owned()], 100_000));

    buy(&alice, 2_000).await.ok();
    market.advance_clock(3 * DAY_MS);
    // Their logins have expired too; and log-ins are counted.
    let (alice, bob) = (visitor.log_in("alice").await, visitor.log_in("bobby").await);
    becomes("the bid has expired", 100_000, || alice.points()).await;
    assert_eq!(names(&alice, "/api/coupons").await, ["third off"]);

    buy(&alice, 3_000).await.ok();
    bob.upload("/api/sell/1/now", &[("price", "3000")], PNG).await.ok();
    assert_eq!((alice.points().await, bob.points().await), (100_000 - 2_010, 103_000));
    assert_eq!(names(&alice, "/api/coupons/used").await, ["third off"]);
    assert_eq!(names(&alice, "/api/coupons").await, Vec::<String>::new());
    let bought = alice.get("/api/buy/history/end").await.ok();
    assert_eq!((bought[0]["expectedPrice"].as_i64(), bought[0]["finalPrice"].as_i64()), (Some(3_000), Some(2_010)));
    buy(&alice, 1_000).await.refused(409, 6001);
    let way =
        ["granted user", "reserved bid", "returned bid", "reserved bid", "returned bid", "reserved bid", "used order"];
    assert_eq!(steps(&market, &coupon).await, way);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_coupon_is_used_at_once_with_buy_now() {
    let market = Market::new("api_coupon_now").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let (admin, alice) = (visitor.join_as_administrator(&market, "admin").await, visitor.join("alice").await);
    let bob = visitor.join("bobby").await;
    market.product(1).await;
    let coupon = granted(&admin, &alice, "five hundred", "FIX", 500).await;
    bob.upload("/api/sell/1", &[("price", "499")], PNG).await.ok();
    bob.upload("/api/sell/1", &[("price", "800")], PNG).await.ok();
    let now = async |price: i64, coupon: &Value| {
        alice.post("/api/buy/1/now", &json!({"price": price, "couponId": coupon})).await
    };
    now(499, &coupon).await.refused(409, 6005);
    alice.post("/api/buy/1", &json!({"price": 499, "couponId": coupon})).await.refused(409, 6005);
    now(800, &json!(9_999)).await.refused(404, 6000);
    now(801, &coupon).await.refused(404, 4001);
    assert_eq!(names(&alice, "/api/coupons").await, ["five hundred"], "a refusal takes nothing");
    let order = now(800, &coupon).await.ok();
    assert_eq!((order["expectedPrice"].as_i64(), order["finalPrice"].as_i64()), (Some(800), Some(300)));
    assert!(order["orderId"].is_i64());
    assert_eq!((alice.points().await, bob.points().await), (99_700, 100_800));
    assert_eq!(names(&alice, "/api/coupons/used").await, ["five hundred"]);
    now(499, &coupon).await.refused(409, 6001);
    assert_eq!(steps(&market, &coupon).await, ["granted user", "used order"]);
    // What it cost is in the ledger of points.
    let cost = "SELECT amount FROM ledger_entries WHERE account = 'coupon_cost' AND reason = 'trade'";
    assert_eq!(market.number(cost).await, -500);
    market.audit_holds().await;
}
