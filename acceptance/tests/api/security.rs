//! A walk past every door: each route with no token, a forged, an expired, a refresh token, another user's; and other
//! people's bids, coupons, charges, pictures and commands.
//!
//! Which routes there are is read from the API's own document (in which every route is: a test of `api` sees to that),
//! so a route that nobody thought of here fails the test.

use acceptance::{
    Market, Visitor,
    visitor::{Answer, PNG, send, start_api},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Anybody.
    Open,
    /// Whoever holds a signed address.
    Signed,
    User,
    Administrator,
}

/// Every route: its method and template, who may come in, and an address to try.
const DOORS: &[(&str, &str, Door, &str)] = &[
    ("POST", "/api/users/signup", Door::Open, "/api/users/signup"),
    ("POST", "/api/users/login", Door::Open, "/api/users/login"),
    ("POST", "/api/users/logout", Door::User, "/api/users/logout"),
    ("GET", "/api/users/oauth/kakao", Door::Open, "/api/users/oauth/kakao"),
    ("GET", "/api/users/oauth/kakao/start", Door::Open, "/api/users/oauth/kakao/start"),
    ("DELETE", "/api/users/me", Door::User, "/api/users/me"),
    ("GET", "/api/users/points", Door::User, "/api/users/points"),
    ("GET", "/api/notifications", Door::User, "/api/notifications"),
    ("POST", "/api/notifications/read", Door::User, "/api/notifications/read"),
    ("GET", "/api/notifications/stream", Door::User, "/api/notifications/stream"),
    ("POST", "/api/users/points/refunds", Door::User, "/api/users/points/refunds"),
    ("GET", "/api/users/points/refunds", Door::User, "/api/users/points/refunds"),
    ("GET", "/api/users/points/refunds/{id}", Door::User, "/api/users/points/refunds/1"),
    ("GET", "/api/products", Door::Open, "/api/products"),
    ("GET", "/api/products/{id}", Door::Open, "/api/products/1"),
    ("GET", "/api/products/{id}/trade", Door::Open, "/api/products/1/trade"),
    ("GET", "/api/products/{id}/sell", Door::Open, "/api/products/1/sell"),
    ("GET", "/api/products/{id}/buy", Door::Open, "/api/products/1/buy"),
    ("GET", "/api/products/{id}/prices", Door::Open, "/api/products/1/prices"),
    // Its answer has no end; of a product that nobody has, it is refused at once.
    ("GET", "/api/products/{id}/stream", Door::Open, "/api/products/999/stream"),
    ("POST", "/api/products/{id}/like", Door::User, "/api/products/1/like"),
    ("DELETE", "/api/products/{id}/dislike", Door::User, "/api/products/1/dislike"),
    ("GET", "/api/products/likes", Door::User, "/api/products/likes"),
    ("POST", "/api/buy/{id}", Door::User, "/api/buy/1"),
    ("DELETE", "/api/buy/bid/{id}", Door::User, "/api/buy/bid/256"),
    ("POST", "/api/buy/{id}/now", Door::User, "/api/buy/1/now"),
    ("GET", "/api/buy/history/end", Door::User, "/api/buy/history/end"),
    ("GET", "/api/buy/history/onprogress", Door::User, "/api/buy/history/onprogress"),
    ("DELETE", "/api/sell/bid/{id}", Door::User, "/api/sell/bid/256"),
    ("GET", "/api/sell/history/end", Door::User, "/api/sell/history/end"),
    ("GET", "/api/sell/history/onprogress", Door::User, "/api/sell/history/onprogress"),
    ("GET", "/api/coupons", Door::User, "/api/coupons"),
    ("GET", "/api/coupons/used", Door::User, "/api/coupons/used"),
    ("POST", "/api/admin/coupon", Door::Administrator, "/api/admin/coupon"),
    ("POST", "/api/payments/toss/request", Door::User, "/api/payments/toss/request"),
    ("GET", "/api/payments/toss/success", Door::User, "/api/payments/toss/success"),
    ("GET", "/api/payments/toss/fail", Door::User, "/api/payments/toss/fail"),
    ("POST", "/api/payments/toss/webhook", Door::Open, "/api/payments/toss/webhook"),
    ("GET", "/api/admin/refunds", Door::Administrator, "/api/admin/refunds"),
    ("DELETE", "/api/admin/refund/{id}", Door::Administrator, "/api/admin/refund/1"),
    ("POST", "/api/admin/refund/{id}/reject", Door::Administrator, "/api/admin/refund/1/reject"),
    ("GET", "/api/admin/payouts", Door::Administrator, "/api/admin/payouts"),
    ("POST", "/api/admin/payouts/{refund}/{leg}/account", Door::Administrator, "/api/admin/payouts/1/1/account"),
    ("POST", "/api/admin/payouts/{refund}/{leg}/made", Door::Administrator, "/api/admin/payouts/1/1/made"),
    ("POST", "/api/admin/payouts/{refund}/{leg}/failed", Door::Administrator, "/api/admin/payouts/1/1/failed"),
    ("POST", "/api/admin/products", Door::Administrator, "/api/admin/products"),
    // By a token too, of the command's owner.
    ("GET", "/api/commands/{id}", Door::User, "/api/commands/019aabbc-0000-7000-8000-000000000000"),
    ("GET", "/api/pictures/{name}", Door::Open, "/api/pictures/00000000000000000000000000000000.png"),
    ("GET", "/api/gifticons/{id}/picture", Door::Signed, "/api/gifticons/256/picture"),
    ("POST", "/api/sell/{id}", Door::User, "/api/sell/1"),
    ("POST", "/api/sell/{id}/now", Door::User, "/api/sell/1/now"),
];

#[tokio::test]
async fn every_route_has_its_door() {
    let market = Market::new("security_routes").await;
    let (_api, visitor) = start_api(&market).await;
    let document: Value =
        reqwest::get(format!("{}/api/openapi.json", visitor.base)).await.unwrap().json().await.unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let routes: BTreeSet<(String, String)> = paths
        .flat_map(|(path, calls)| calls.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())))
        .collect();
    let known: BTreeSet<(String, String)> =
        DOORS.iter().map(|(method, template, ..)| ((*method).to_owned(), (*template).to_owned())).collect();
    assert!(routes.len() > 30, "{routes:?}");
    assert_eq!(routes, known, "say in DOORS who may come in");
}

async fn knock(visitor: &Visitor, method: &str, path: &str) -> Answer {
    send(visitor.request(method, path)).await
}

/// Every door that needs a login answers so.
async fn all_refuse(visitor: &Visitor, what: &str, status: u16, code: u64) {
    for (method, _, door, path) in DOORS.iter().copied() {
        if [Door::User, Door::Administrator].contains(&door) {
            let answer = knock(visitor, method, path).await;
            assert!(answer.is(status, code), "{what}: {method} {path}: {} {}", answer.status, answer.body);
            assert_eq!(answer.header("access-token"), "", "{what}: {method} {path} gave a token");
        }
    }
}

fn with(visitor: &Visitor, access: Option<&str>, refresh: Option<&str>) -> Visitor {
    Visitor { access: access.map(ToOwned::to_owned), refresh: refresh.map(ToOwned::to_owned), ..visitor.clone() }
}

/// A token like ours with another signature.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other: String = signature.chars().rev().collect();
    format!("{signed}.{other}")
}

#[tokio::test]
async fn no_door_opens_to_whom_it_should_not() {
    let market = Market::new("security_doors").await;
    let (_api, visitor) = start_api(&market).await;
    market.product(1).await;
    let (alice, mallory) = (visitor.join("alice").await, visitor.join("mallory").await);
    let (access, refresh) = (alice.access.as_deref().unwrap(), alice.refresh.as_deref().unwrap());

    for (method, _, door, path) in DOORS.iter().copied() {
        match door {
            // What is open is not closed by bad tokens.
            Door::Open => {
                for somebody in [&visitor, &with(&visitor, Some("Bearer a.b.c"), None)] {
                    let answer = knock(somebody, method, path).await;
                    assert!(![401, 403].contains(&answer.status), "{method} {path}: {}", answer.body);
                }
            }
            Door::Signed => {
                knock(&visitor, method, path).await.refused(403, 5000);
                knock(&alice, method, path).await.refused(403, 5000);
            }
            Door::User => (),
            Door::Administrator => knock(&alice, method, path).await.refused(403, 5000),
        }
    }
    all_refuse(&visitor, "no token", 401, 1004).await;
    all_refuse(&with(&visitor, None, Some(refresh)), "a refresh token alone", 401, 1004).await;
    all_refuse(&with(&visitor, Some("Bearer a.b.c"), Some(refresh)), "no JWT", 401, 1003).await;
    all_refuse(&with(&visitor, Some(&forged(access)), Some(refresh)), "a forged token", 401, 1003).await;
    all_refuse(&with(&visitor, Some(refresh), Some(refresh)), "a refresh token as access token", 401, 1003).await;

    market.advance_clock(HOUR_MS + 1_000);
    acceptance::eventually("the access token expires", || async {
        with(&visitor, Some(access), None).get("/api/users/points").await.is(401, 1005).then_some(())
    })
    .await;
    all_refuse(&with(&visitor, Some(access), None), "an expired token", 401, 1005).await;
    let theirs = mallory.refresh.as_deref();
    all_refuse(&with(&visitor, Some(access), theirs), "with another's refresh token", 401, 1003).await;
    all_refuse(&with(&visitor, Some(access), Some(&forged(refresh))), "with a forged one", 401, 1003).await;
    all_refuse(&with(&visitor, Some(access), Some(access)), "with an access token as such", 401, 1003).await;
    all_refuse(&with(&visitor, Some(&forged(access)), Some(refresh)), "forged and expired", 401, 1003).await;
    alice.post("/api/users/logout", &json!({})).await.ok();
    all_refuse(&alice, "after the logout", 401, 1004).await;
    market.advance_clock(14 * DAY_MS);
    acceptance::eventually("the refresh token expires", || async {
        mallory.get("/api/users/points").await.is(401, 1006).then_some(())
    })
    .await;
    all_refuse(&mallory, "both expired", 401, 1006).await;
}

#[tokio::test]
async fn what_is_anothers_stays_anothers() {
    let market = Market::new("security_others").await;
    let (_api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid", "refund", "relay"]).await;
    market.product(1).await;
    let (alice, mallory) = (visitor.join("alice").await, visitor.join("mallory").await);
    let admin = visitor.join_as_administrator(&market, "admin").await;
    let coupon = json!({"name": "Alice's own", "discountType": "FIX", "discount": 100, "userLoginId": "alice"});
    admin.post("/api/admin/coupon", &coupon).await.ok();
    let coupon = alice.get("/api/coupons").await.ok()[0]["id"].clone();
    assert!(coupon.is_i64());
    let bid = alice.post("/api/buy/1", &json!({"price": 400})).await;
    let command = bid.header("gream-command-id").to_owned();
    let bid = bid.ok()["buyId"].clone();
    let offer = alice.upload("/api/sell/1", &[("price", "500")], PNG).await.ok()["sellId"].clone();
    let charge = json!({"amount": 5_000, "orderName": "CHARGE_POINT"});
    let order = alice.post("/api/payments/toss/request", &charge).await.ok()["paymentOrderId"].clone();
    let order = order.as_str().unwrap();
    let refund = json!({"point": 1_000, "bank": "국민", "accountNumber": "110-123-456789"});
    alice.post("/api/users/points/refunds", &refund).await.ok();

    mallory.delete(&format!("/api/buy/bid/{bid}")).await.refused(403, 5000);
    mallory.delete(&format!("/api/sell/bid/{offer}")).await.refused(404, 4001);
    mallory.post("/api/buy/1", &json!({"price": 450, "couponId": coupon})).await.refused(404, 6000);
    mallory.post("/api/buy/1/now", &json!({"price": 500, "couponId": coupon})).await.refused(404, 6000);
    mallory.get(&format!("/api/commands/{command}")).await.refused(404, 5012);
    let success = format!("/api/payments/toss/success?orderId={order}&paymentKey=pk&amount=5000");
    mallory.get(&success).await.refused(404, 8003);
    mallory.get(&format!("/api/payments/toss/fail?orderId={order}&code=X&message=Y")).await.refused(404, 8003);
    let refund = market.number("SELECT refund_id FROM refunds").await;
    mallory.delete(&format!("/api/admin/refund/{refund}")).await.refused(403, 5000);
    mallory.get(&format!("/api/users/points/refunds/{refund}")).await.refused(404, 1008);
    for list in [
        "/api/buy/history/end",
        "/api/buy/history/onprogress",
        "/api/sell/history/end",
        "/api/sell/history/onprogress",
        "/api/coupons",
        "/api/coupons/used",
        "/api/users/points/refunds",
    ] {
        assert_eq!(mallory.get(list).await.ok(), json!([]), "{list}");
    }
    assert_eq!(mallory.points().await, 100_000);

    // A voucher's picture, by an address that was changed, to Mallory's name too, or is over.
    let selling = alice.get("/api/sell/history/onprogress").await.ok();
    let address = selling[0]["gifticonImageUrl"].as_str().unwrap();
    let address = format!("/api/{}", address.split_once("/api/").unwrap().1);
    let gifticon = selling[0]["gifticonId"].to_string();
    let number_of = async |login_id: &str| {
        let read = sqlx::query_scalar::<_, i64>("SELECT user_id FROM users WHERE login_id = ?").bind(login_id);
        format!("for={}&", read.fetch_one(&market.database).await.unwrap())
    };
    let (alices, mallorys) = (number_of("alice").await, number_of("mallory").await);
    assert!(address.contains(&alices), "{address}");
    for changed in [
        address.replace(&alices, &mallorys),
        address.replace(&gifticon, "256"),
        address.replace("until=1", "until=9"),
        address.replace("&s=", "&s=0"),
        format!("/api/gifticons/{gifticon}/picture"),
    ] {
        mallory.get(&changed).await.refused(403, 5000);
    }
    // Of all that, nothing happened to Alice.
    assert_eq!(alice.get("/api/buy/history/onprogress").await.ok()[0]["buyId"], bid);
    assert_eq!(alice.get("/api/sell/history/onprogress").await.ok()[0]["sellId"], offer);
    assert_eq!(alice.get("/api/coupons").await.ok()[0]["id"], coupon);
    assert_eq!(alice.points().await, 100_000 - 400 - 1_000);
    market.advance_clock(2 * DAY_MS);
    acceptance::eventually("the address ends", || async {
        let answer = visitor.client.get(format!("{}{address}", visitor.base)).send().await.unwrap();
        (answer.status() == 403).then_some(())
    })
    .await;
    market.audit_holds().await;
}
