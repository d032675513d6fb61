//! Bad input: a clear error in the envelope, never a 5xx, never a message on a queue.

use acceptance::{
    Market, Visitor,
    visitor::{PASSWORD, PNG, form, send, start_api},
    wait::becomes,
};
use contracts::topology::{COMMANDS_EXCHANGE, RETRY_LADDER_MS, Topology};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// Values that are no whole number of won, or none that makes sense.
fn bad_numbers() -> Vec<Value> {
    vec![
        json!(null),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1000.0),
        json!(100_000_001),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
        json!("1000.0"),
        json!("100000001"),
        json!("abc"),
        json!(""),
        json!(true),
        json!([1000]),
        json!({"won": 1000}),
    ]
}

/// Bodies that are no JSON object at all.
const MALFORMED: [&str; 9] =
    ["", "{", "[]", "null", "5", "\"price\"", "{\"price\":1e999}", "{\"price\":1000}}", "{'price':1000}"];

/// Routes that take JSON, with a body that each accepts, and the fields that must be whole numbers.
fn json_routes() -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        ("/api/buy/1", json!({"price": 1000, "period": 7}), &["price"]),
        ("/api/buy/1/now", json!({"price": 1000}), &["price"]),
        ("/api/users/points/refunds", json!({"point": 1, "bank": "b", "accountNumber": "1"}), &[]),
        ("/api/payments/toss/request", json!({"amount": 1000, "orderName": "CHARGE_POINT"}), &[]),
        ("/api/users/signup", json!({"loginId": "abcd", "nickname": "ab", "password": PASSWORD}), &[]),
        ("/api/users/login", json!({"loginId": "abcd", "password": PASSWORD}), &[]),
    ]
}

/// Sends it; the answer must be the client's fault, and name a field where the input is at fault.
async fn blames_the_client(what: &str, request: RequestBuilder) -> u64 {
    let answer = send(request).await;
    assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
    if answer.code() == 5001 {
        let errors = answer.data().as_array().unwrap_or_else(|| panic!("{what}: {}", answer.body));
        assert!(!errors.is_empty(), "{what}: {}", answer.body);
        assert!(errors.iter().all(|error| error["field"].is_string() && error["message"].is_string()), "{what}");
    } else {
        assert_eq!(answer.data(), &json!({}), "{what}");
    }
    answer.code()
}

async fn wrong_bodies(user: &Visitor) {
    for (path, _, _) in json_routes() {
        for body in MALFORMED {
            let request = user.request("POST", path).header("Content-Type", "application/json").body(body);
            assert_eq!(blames_the_client(&format!("{path} {body}"), request).await, 5001);
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let request = user.request("POST", path).header("Content-Type", content_type).body("{}");
            assert_eq!(blames_the_client(&format!("{path} {content_type}"), request).await, 5008);
        }
        assert_eq!(blames_the_client(path, user.request("POST", path)).await, 5008, "no body at all");
        let huge = json!({"price": 1000, "padding": "x".repeat(70_000)});
        assert_eq!(blames_the_client(path, user.request("POST", path).json(&huge)).await, 5007);
        let binary = user.request("POST", path).header("Content-Type", "application/json").body(vec![0xff_u8; 100]);
        assert_eq!(blames_the_client(path, binary).await, 5001);
    }
}

async fn wrong_fields(user: &Visitor) {
    for (path, good, numbers) in json_routes() {
        for field in numbers {
            for value in bad_numbers() {
                let mut body = good.clone();
                body[*field] = value;
                assert_eq!(blames_the_client(&body.to_string(), user.request("POST", path).json(&body)).await, 5001);
            }
        }
    }
    let fields = |path: &'static str, field: &'static str, values: Vec<Value>| (path, field, values);
    for (path, field, values) in [
        fields("/api/buy/1", "period", vec![json!(0), json!(-7), json!(61), json!(1.5), json!("7d"), json!(u64::MAX)]),
        fields("/api/buy/1", "couponId", vec![json!(0), json!(-1), json!("a1"), json!(1_u64 << 53), json!(1.5)]),
        fields("/api/buy/1/now", "couponId", vec![json!(0), json!([]), json!(u64::MAX)]),
        fields("/api/users/points/refunds", "point", vec![json!(0), json!(-1), json!("1p"), json!(1e15), json!(null)]),
        fields("/api/users/points/refunds", "bank", vec![json!(""), json!("x".repeat(41)), json!(5), json!("a\nb")]),
        fields("/api/users/points/refunds", "accountNumber", vec![json!(""), json!("abc"), json!(110), json!("-")]),
        fields("/api/payments/toss/request", "amount", vec![json!("1,000"), json!(1.5), json!(u64::MAX), json!(null)]),
        fields("/api/payments/toss/request", "orderName", vec![json!(null), json!(5), json!({})]),
        fields("/api/users/signup", "loginId", vec![json!("abc"), json!("가나다라"), json!(1234), json!("a b c")]),
        fields("/api/users/signup", "nickname", vec![json!("a"), json!("a b"), json!("😀😀"), json!(null)]),
        fields("/api/users/signup", "password", vec![json!("short1"), json!("nodigits"), json!("UPPER123"), json!([])]),
        fields("/api/users/login", "loginId", vec![json!(null), json!(5)]),
    ] {
        let good = json_routes().into_iter().find(|route| route.0 == path).unwrap().1;
        for value in values {
            let mut body = good.clone();
            body[field] = value;
            let what = format!("{path} {body}");
            let answer = send(user.request("POST", path).json(&body)).await;
            assert!(answer.is(400, 5001), "{what}: {}", answer.body);
            assert_eq!(answer.data()[0]["field"], field, "{what}");
        }
    }
}

async fn wrong_uploads(user: &Visitor) {
    for path in ["/api/sell/1", "/api/sell/1/now"] {
        for price in ["", "0", "-1", "1.5", "abc", "100000001", "99999999999999999999", "NaN", "1e3", " 5"] {
            let request = user.request("POST", path).multipart(form(&[("price", price)], Some(PNG)));
            assert_eq!(blames_the_client(&format!("{path} {price:?}"), request).await, 5001);
        }
        let post = |form| user.request("POST", path).multipart(form);
        assert_eq!(blames_the_client(path, post(form(&[("price", "10")], None))).await, 5001);
        for file in [&b""[..], b"GIF89a", b"<svg onload=alert(1)>", b"%PDF"] {
            assert_eq!(blames_the_client(path, post(form(&[("price", "10")], Some(file)))).await, 4003);
        }
        assert_eq!(blames_the_client(path, post(form(&[("price", "10"), ("price", "20")], Some(PNG)))).await, 5001);
        let long = "9".repeat(20_000);
        assert_eq!(blames_the_client(path, post(form(&[("price", &long)], Some(PNG)))).await, 5001);
        let many: Vec<(String, &str)> = (0..40).map(|n| (format!("f{n}"), "x")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(blames_the_client(path, post(form(&many, Some(PNG)))).await, 5001);
        let huge = vec![0_u8; 11 * 1024 * 1024];
        assert_eq!(blames_the_client(path, post(form(&[("price", "10")], Some(&huge)))).await, 5007);
        for (content_type, body) in [
            ("multipart/form-data", "x"),
            ("multipart/form-data; boundary=b", ""),
            ("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"price\"\r\n\r\n10"),
            ("multipart/form-data; boundary=b", "--b\r\n\r\n10\r\n--b--\r\n"),
        ] {
            let request = user.request("POST", path).header("Content-Type", content_type).body(body);
            assert_eq!(blames_the_client(&format!("{path} {body:?}"), request).await, 5001);
        }
        let json = user.request("POST", path).json(&json!({"price": 10}));
        assert_eq!(blames_the_client(path, json).await, 5008);
    }
}

async fn wrong_addresses(user: &Visitor, admin: &Visitor) {
    let price = json!({"price": 1000});
    for (method, path, code) in [
        ("POST", "/api/buy/abc", 5001),
        ("POST", "/api/buy/-1", 5001),
        ("POST", "/api/buy/%FF", 5001),
        ("POST", "/api/buy/1%20OR%201=1", 5001),
        ("POST", "/api/buy/0", 2001),
        ("POST", "/api/buy/2", 2001),
        ("POST", "/api/buy/9007199254740992", 2001),
        ("POST", "/api/buy/99999999999999999999999999/now", 2001),
        ("DELETE", "/api/buy/bid/abc", 5001),
        ("DELETE", "/api/buy/bid/0", 3001),
        ("DELETE", "/api/buy/bid/7", 3001),
        // Partition 9 of 4.
        ("DELETE", "/api/buy/bid/265", 3001),
        ("DELETE", "/api/sell/bid/265", 4001),
        ("DELETE", "/api/sell/bid/99999999999999999999", 4001),
        ("GET", "/api/products/abc", 5001),
        ("GET", "/api/products/2", 2001),
        ("GET", "/api/products/1/sell?page=-1", 5001),
        ("GET", "/api/products/1/sell?size=0", 5001),
        ("GET", "/api/products/1/buy?size=101", 5001),
        ("GET", "/api/products/1/buy?page=x", 5001),
        ("GET", "/api/commands/abc", 5001),
        ("GET", "/api/gifticons/1/picture", 5000),
        ("GET", "/api/pictures/..%2f..%2fetc%2fpasswd", 5011),
        ("GET", "/api/payments/toss/success", 5001),
        ("GET", "/api/payments/toss/success?orderId=abcdef&paymentKey=k&amount=x", 5001),
        ("GET", "/api/payments/toss/success?orderId=abcdef&paymentKey=%EA%B0%80&amount=100", 5001),
        ("GET", "/api/payments/toss/success?orderId=abcdef&paymentKey=k&amount=100", 8003),
        ("GET", "/api/admin/refunds", 5000),
        ("DELETE", "/api/admin/refund/1", 5000),
        ("GET", "/api/nowhere", 5011),
        ("GET", "/", 5011),
        ("PUT", "/api/buy/1", 5006),
        ("GET", "/api/users/signup", 5006),
        ("DELETE", "/api/products/1", 5006),
        ("BREW", "/api/products", 5006),
    ] {
        let request = user.request(method, path).json(&price);
        assert_eq!(blames_the_client(&format!("{method} {path}"), request).await, code, "{method} {path}");
    }
    for (path, code) in [("/api/admin/refund/abc", 5001), ("/api/admin/refund/77", 1008)] {
        assert_eq!(blames_the_client(path, admin.request("DELETE", path)).await, code);
    }
    for key in ["", "with space", &"k".repeat(201)] {
        let request = user.request("POST", "/api/buy/1").header("Idempotency-Key", key).json(&price);
        assert_eq!(blames_the_client(&format!("key {key:?}"), request).await, 5001);
    }
}

/// Refused before it was read: the client must hear why, not find its connection broken.
async fn large_and_unwanted(visitor: &Visitor, user: &Visitor) {
    let large = vec![0_u8; 8 * 1024 * 1024];
    let upload = visitor.request("POST", "/api/sell/1").multipart(form(&[("price", "10")], Some(&large)));
    assert_eq!(blames_the_client("an upload without a login", upload).await, 1004);
    let json = user.request("POST", "/api/buy/1").header("Content-Type", "application/json").body(large.clone());
    assert_eq!(blames_the_client("a large JSON", json).await, 5007);
    let nowhere = user.request("POST", "/api/nowhere").body(large);
    assert_eq!(blames_the_client("a large body to nowhere", nowhere).await, 5011);
}

async fn wrong_tokens(user: &Visitor) {
    for (method, path) in [
        ("POST", "/api/buy/1"),
        ("POST", "/api/sell/1"),
        ("DELETE", "/api/buy/bid/257"),
        ("POST", "/api/users/points/refunds"),
        ("POST", "/api/users/logout"),
        ("GET", "/api/sell/history/end"),
        ("GET", "/api/payments/toss/fail"),
        ("GET", "/api/admin/refunds"),
    ] {
        for (token, code) in [("", 1004), ("Bearer", 1003), ("Bearer x.y.z", 1003), ("é", 1003)] {
            let stranger = Visitor { access: None, refresh: None, ..user.clone() };
            let header = reqwest::header::HeaderValue::from_bytes(token.as_bytes()).unwrap();
            let request = stranger.request(method, path).header("Access-Token", header).json(&json!({"price": 1}));
            assert_eq!(blames_the_client(&format!("{method} {path} {token:?}"), request).await, code);
        }
    }
}

#[tokio::test]
async fn bad_input_is_told_so_and_never_reaches_a_queue() {
    let market = Market::new("api_bad_input").await;
    let (_api, visitor) = start_api(&market).await;
    let (user, admin) = (visitor.join("alice").await, visitor.join_as_administrator(&market, "admin").await);
    market.product(1).await;
    wrong_bodies(&user).await;
    wrong_fields(&user).await;
    wrong_uploads(&user).await;
    wrong_addresses(&user, &admin).await;
    wrong_tokens(&user).await;
    large_and_unwanted(&visitor, &user).await;
    for queue in Topology::new(market.partitions, &RETRY_LADDER_MS).queues() {
        if !queue.name.starts_with("retry.") {
            assert_eq!(market.broker.depth(&queue.name).await, 0, "{}", queue.name);
        }
    }
    // The broker's counters come late: one good command shows when they have come.
    let good = user.request("POST", "/api/buy/1").header("Prefer", "respond-async").json(&json!({"price": 1000}));
    send(good).await.refused(202, 0);
    becomes("exactly the good command was ever published", 1, || market.broker.published_to(COMMANDS_EXCHANGE)).await;
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 2);
}
