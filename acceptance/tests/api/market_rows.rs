//! The rows of the REST contract about buying, selling and administration, one by one: each field of each answer, and
//! each refusal.

use acceptance::{
    Market, Visitor,
    process::Process,
    visitor::{PNG, form, send, start_api},
};
use serde_json::{Value, json};

const UNKNOWN: &str = "9007199254740991";

/// Somebody who buys, somebody who sells, an administrator, and product 1.
struct Stage {
    market: Market,
    visitor: Visitor,
    buyer: Visitor,
    seller: Visitor,
    admin: Visitor,
    _processes: [Process; 2],
}

async fn stage(test: &str) -> Stage {
    let market = Market::new(test).await;
    let (api, visitor) = start_api(&market).await;
    let worker = market.worker(&["bid", "relay"]).await;
    let (buyer, seller) = (visitor.join("buyer").await, visitor.join("seller").await);
    let admin = visitor.join_as_administrator(&market, "admin").await;
    market.product(1).await;
    Stage { market, visitor, buyer, seller, admin, _processes: [api, worker] }
}

/// The answer's fields are exactly these.
#[track_caller]
fn has_fields(row: &Value, fields: &[&str]) {
    let mut found: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = fields.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

/// `2024-01-30T12:34:56.123`, with so many digits behind the point.
#[track_caller]
fn is_local(instant: &Value, digits: usize) {
    let text = instant.as_str().unwrap();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, format!("0000-00-00T00:00:00.{}", "0".repeat(digits)));
}

#[tokio::test]
async fn buying() {
    let Stage { market, visitor, buyer, seller, _processes, .. } = stage("rows_buying").await;
    let place = async |path: &str, body: Value| buyer.post(path, &body).await;
    for (path, body, status, code) in [
        ("/api/buy/1", json!({"price": 100_001}), 403, 1007),
        ("/api/buy/2", json!({"price": 10}), 404, 2001),
        ("/api/buy/1", json!({"price": 10, "couponId": 77}), 404, 6000),
        ("/api/buy/1", json!({"price": 0}), 400, 5001),
        ("/api/buy/1", json!({}), 400, 5001),
        ("/api/buy/1", json!({"price": 10, "period": 61}), 400, 5001),
        ("/api/buy/1/now", json!({"price": 10}), 404, 4001),
        ("/api/buy/2/now", json!({"price": 10}), 404, 2001),
        ("/api/buy/1/now", json!({"price": "ten"}), 400, 5001),
    ] {
        place(path, body).await.refused(status, code);
    }
    // What an input field holds, sent as it is.
    let bid = place("/api/buy/1", json!({"price": "4500", "period": "3", "couponId": ""})).await.ok();
    assert_eq!(bid, json!({"price": 4500, "buyId": bid["buyId"]}));
    let kept = "SELECT deadline_ms - (placed_at_ms + 32400000) DIV 86400000 * 86400000 + 32400000 FROM bids";
    assert_eq!(market.number(kept).await, 4 * 86_400_000, "the end of the third day after today");

    let progress = buyer.get("/api/buy/history/onprogress").await.ok();
    let expected = json!([{"buyId": bid["buyId"], "productId": 1, "productBrand": "brand", "productName": "product 1",
                           "couponId": null, "couponName": null, "price": 4500, "discountPrice": 4500}]);
    assert_eq!(progress, expected);
    assert_eq!(seller.get("/api/buy/history/onprogress").await.ok(), json!([]));

    let path = format!("/api/buy/bid/{}", bid["buyId"]);
    seller.delete(&path).await.refused(403, 5000);
    visitor.delete(&path).await.refused(401, 1004);
    assert_eq!(buyer.delete(&path).await.ok(), json!({"buyId": bid["buyId"]}));
    buyer.delete(&path).await.refused(404, 3001);
    buyer.delete(&format!("/api/buy/bid/{UNKNOWN}")).await.refused(404, 3001);

    seller.upload("/api/sell/1", &[("price", "100001")], PNG).await.ok();
    seller.upload("/api/sell/1", &[("price", "700")], PNG).await.ok();
    place("/api/buy/1/now", json!({"price": 100_001})).await.refused(403, 1007);
    let order = place("/api/buy/1/now", json!({"price": 700})).await.ok();
    assert_eq!(order, json!({"orderId": order["orderId"], "expectedPrice": 700, "finalPrice": 700}));
    let end = buyer.get("/api/buy/history/end").await.ok();
    has_fields(
        &end[0],
        &[
            "orderId",
            "orderCreatedAt",
            "expectedPrice",
            "finalPrice",
            "productId",
            "productBrand",
            "productName",
            "gifticonId",
            "gifticonUrl",
        ],
    );
    is_local(&end[0]["orderCreatedAt"], 3);
    assert_eq!((&end[0]["orderId"], &end[0]["productBrand"]), (&order["orderId"], &json!("brand")));
    assert!(end[0]["gifticonId"].is_u64() && end[0]["gifticonUrl"].is_string());
    for path in ["/api/buy/history/end", "/api/buy/history/onprogress"] {
        visitor.get(path).await.refused(401, 1004);
    }
    visitor.post("/api/buy/1", &json!({"price": 1})).await.refused(401, 1004);
    visitor.post("/api/buy/1/now", &json!({"price": 1})).await.refused(401, 1004);
    market.audit_holds().await;
}

#[tokio::test]
async fn selling() {
    let Stage { market, visitor, buyer, seller, _processes, .. } = stage("rows_selling").await;
    for (path, fields, status, code) in [
        ("/api/sell/1", &[("price", "0")][..], 400, 5001),
        ("/api/sell/1", &[("period", "3")], 400, 5001),
        ("/api/sell/1", &[("price", "10"), ("period", "61")], 400, 5001),
        ("/api/sell/2", &[("price", "10")], 404, 2001),
        ("/api/sell/1/now", &[("price", "10")], 404, 3001),
        ("/api/sell/2/now", &[("price", "10")], 404, 2001),
        ("/api/sell/1/now", &[], 400, 5001),
    ] {
        seller.upload(path, fields, PNG).await.refused(status, code);
    }
    for path in ["/api/sell/1", "/api/sell/1/now"] {
        let without_file = seller.request("POST", path).multipart(form(&[("price", "10")], None));
        send(without_file).await.refused(400, 5001);
        visitor.upload(path, &[("price", "10")], PNG).await.refused(401, 1004);
    }
    let bid = seller.upload("/api/sell/1", &[("price", "900"), ("period", "")], PNG).await.ok();
    assert_eq!(bid, json!({"price": 900, "sellId": bid["sellId"]}));
    let progress = seller.get("/api/sell/history/onprogress").await.ok();
    has_fields(
        &progress[0],
        &[
            "sellId",
            "sellPrice",
            "bidStartedAt",
            "bidDeadlineAt",
            "productId",
            "productBrand",
            "productName",
            "gifticonId",
            "gifticonImageUrl",
        ],
    );
    assert_eq!((&progress[0]["sellId"], progress[0]["sellPrice"].as_i64()), (&bid["sellId"], Some(900)));
    is_local(&progress[0]["bidStartedAt"], 3);
    is_local(&progress[0]["bidDeadlineAt"], 9);

    let path = format!("/api/sell/bid/{}", bid["sellId"]);
    buyer.delete(&path).await.refused(404, 4001);
    buyer.delete(&format!("/api/buy/bid/{}", bid["sellId"])).await.refused(404, 3001);
    visitor.delete(&path).await.refused(401, 1004);
    assert_eq!(seller.delete(&path).await.ok(), json!({"sellId": bid["sellId"]}));
    seller.delete(&path).await.refused(404, 4001);
    seller.delete(&format!("/api/sell/bid/{UNKNOWN}")).await.refused(404, 4001);

    buyer.post("/api/buy/1", &json!({"price": 800})).await.ok();
    let order = seller.upload("/api/sell/1/now", &[("price", "800")], PNG).await.ok();
    assert_eq!(order, json!({"orderId": order["orderId"], "price": 800}));
    let end = seller.get("/api/sell/history/end").await.ok();
    has_fields(
        &end[0],
        &["orderId", "tradedDate", "finalPrice", "productId", "productBrand", "productName", "iamgeUrl"],
    );
    is_local(&end[0]["tradedDate"], 3);
    assert_eq!((&end[0]["orderId"], end[0]["finalPrice"].as_i64()), (&order["orderId"], Some(800)));
    let trades = visitor.get("/api/products/1/trade").await.ok();
    has_fields(&trades[0], &["id", "finalPrice", "tradeDate"]);
    is_local(&trades[0]["tradeDate"], 3);
    for path in ["/api/sell/history/end", "/api/sell/history/onprogress"] {
        visitor.get(path).await.refused(401, 1004);
    }
    market.audit_holds().await;
}

#[tokio::test]
async fn a_picture_that_cannot_be_stored_is_the_servers_fault_and_sends_nothing() {
    let mut market = Market::new("rows_upload").await;
    // A file where the folder of gifticons should be made.
    let folder = market.folder().join("blocked");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("gifticons"), "in the way").unwrap();
    market.set("GREAM__PICTURES__FOLDER", folder.to_str().unwrap());
    let (_api, visitor) = start_api(&market).await;
    let seller = visitor.join("seller").await;
    market.product(1).await;
    for path in ["/api/sell/1", "/api/sell/1/now"] {
        seller.upload(path, &[("price", "10")], PNG).await.refused(500, 7000);
    }
}

#[tokio::test]
async fn administration() {
    let Stage { market, visitor, buyer, admin, _processes, .. } = stage("rows_administration").await;
    let product = [("brand", "brand"), ("name", "latte"), ("description", "hot"), ("price", "4500")];
    assert_eq!(admin.upload("/api/admin/products", &product, PNG).await.ok(), json!({}));
    admin.upload("/api/admin/products", &product, PNG).await.refused(400, 2002);
    for missing in ["brand", "name", "price"] {
        let fields: Vec<_> = product.iter().filter(|(name, _)| *name != missing).copied().collect();
        let answer = admin.upload("/api/admin/products", &fields, PNG).await;
        answer.refused(400, 5001);
        assert_eq!(answer.data()[0]["field"], missing);
    }

    let refunds = "/api/admin/refunds";
    assert_eq!(admin.get(refunds).await.ok(), json!([]));
    let _refunds = market.worker(&["refund"]).await;
    let wanted = json!({"point": 3_000, "bank": "국민", "accountNumber": "110-123-456789"});
    assert_eq!(
        buyer.post("/api/users/points/refunds", &wanted).await.ok(),
        json!({"refundPoint": 3_000, "userPoint": 97_000})
    );
    let too_much = json!({"point": 97_001, "bank": "국민", "accountNumber": "110-123-456789"});
    buyer.post("/api/users/points/refunds", &too_much).await.refused(403, 1007);
    let waiting = admin.get(refunds).await.ok();
    has_fields(&waiting[0], &["refundId", "userId", "refundPoint", "refundBank", "refundAccountNumber"]);
    assert_eq!(waiting[0]["refundPoint"], 3_000);
    assert_eq!(
        (&waiting[0]["refundBank"], &waiting[0]["refundAccountNumber"]),
        (&json!("국민"), &json!("***-***-**6789"))
    );
    let approve = format!("/api/admin/refund/{}", waiting[0]["refundId"]);
    buyer.delete(&approve).await.refused(403, 5000);
    visitor.delete(&approve).await.refused(401, 1004);
    assert_eq!(admin.delete(&approve).await.ok(), json!({}));
    assert_eq!(admin.get(refunds).await.ok(), json!([]));
    admin.delete("/api/admin/refund/77").await.refused(404, 1008);
    admin.delete(&format!("/api/admin/refund/{UNKNOWN}")).await.refused(404, 1008);

    for path in [refunds, "/api/admin/refund/1"] {
        let method = if path == refunds { "GET" } else { "DELETE" };
        send(buyer.request(method, path)).await.refused(403, 5000);
        send(visitor.request(method, path)).await.refused(401, 1004);
    }
    buyer.upload("/api/admin/products", &product, PNG).await.refused(403, 5000);
    buyer.post("/api/admin/coupon", &json!({})).await.refused(403, 5000);
}
