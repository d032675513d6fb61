//! What browsers and front ends expect of every answer, whatever is in it: names, origins, caches, encodings, limits.

use acceptance::{
    Market, Visitor,
    visitor::{send, start_api},
    voucher,
};
use reqwest::header::HeaderMap;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const FRONT_END: &str = "http://front.example:3000";

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// All values of a header as one list, in lower case.
fn list(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_ascii_lowercase());
    values.collect::<Vec<_>>().join(",")
}

async fn many_products(market: &Market) {
    for id in 101..=130 {
        market.product(id).await;
    }
}

#[tokio::test]
async fn a_request_has_a_name_in_its_answer_and_in_its_log_lines() {
    let mut market = Market::new("api_request_id").await;
    market.set("GREAM__TELEMETRY__LOG_FILTER", "info,api=debug");
    let (api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let order = |name: &str| {
        let request = alice.request("POST", "/api/buy/1").header("Prefer", "respond-async").json(&json!({"price": 5}));
        request.header("X-Request-Id", name)
    };
    let answer = send(order("front-end.7")).await;
    assert_eq!(answer.header("x-request-id"), "front-end.7");
    let command = answer.data()["commandId"].as_str().unwrap();
    let log = api.logged();
    let line = log.lines().find(|line| line.contains(command)).expect("the command's line");
    assert!(line.contains(r#""request_id":"front-end.7""#), "{line}");

    let forged = "x\" , \"level\":\"ERROR";
    let fresh = send(order(forged)).await.header("x-request-id").to_owned();
    assert!(fresh.len() == 32 && fresh.bytes().all(|byte| byte.is_ascii_hexdigit()), "{fresh}");
    let other = visitor.get("/api/nowhere").await;
    other.refused(404, 5011);
    assert_ne!(other.header("x-request-id"), fresh);
}

#[tokio::test]
async fn a_preference_that_was_followed_is_said_so() {
    let market = Market::new("api_preference").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let order = || alice.request("POST", "/api/buy/1").json(&json!({"price": 5}));
    for (wish, applied) in
        [("respond-async", "respond-async"), ("wait=1", "wait=1"), ("handling=strict, wait=1", "wait=1")]
    {
        let answer = send(order().header("Prefer", wish)).await;
        answer.refused(202, 0);
        assert_eq!(answer.header("preference-applied"), applied, "{wish}");
        assert!(list(&answer.headers, "vary").contains("prefer"));
        assert!(answer.header("location").starts_with("/api/commands/"));
    }
    let _worker = market.worker(&["bid"]).await;
    let answer = send(order().header("Prefer", "return=minimal")).await;
    assert_eq!(answer.header("preference-applied"), "", "nothing of ours was wished for");
    answer.ok();
}

#[tokio::test]
async fn long_answers_are_compressed_and_short_ones_and_pictures_are_not() {
    let market = Market::new("api_compression").await;
    let (_api, visitor) = start_api(&market).await;
    let admin = visitor.join_as_administrator(&market, "admin").await;
    let large = voucher::noise();
    assert!(large.len() > 2_000);
    let fields = [("brand", "b"), ("name", "n"), ("description", ""), ("price", "10")];
    admin.upload("/api/admin/products", &fields, &large).await.ok();
    let picture = visitor.get("/api/products").await.ok()[0]["imageUrl"].as_str().unwrap().to_owned();
    let picture = picture.split_once("/api/").map(|(_, rest)| format!("/api/{rest}")).unwrap();
    many_products(&market).await;

    let fetch = async |path: &str, accepted: &str| {
        let answer = visitor.request("GET", path).header("Accept-Encoding", accepted).send().await.unwrap();
        let headers = answer.headers().clone();
        (headers, answer.bytes().await.unwrap())
    };
    let (headers, plain) = fetch("/api/products", "identity").await;
    assert_eq!(text(&headers, "content-encoding"), "");
    for accepted in ["gzip", "br", "gzip, deflate, br"] {
        let (headers, body) = fetch("/api/products", accepted).await;
        let expected = if accepted == "gzip" { "gzip" } else { "br" };
        assert_eq!(text(&headers, "content-encoding"), expected, "{accepted}");
        assert!(list(&headers, "vary").contains("accept-encoding"));
        assert!(body.len() * 3 < plain.len(), "{accepted}: {} of {}", body.len(), plain.len());
        assert_eq!(body.starts_with(b"\x1f\x8b"), expected == "gzip");
    }
    let (headers, _) = fetch("/api/products/1/sell", "gzip").await;
    assert_eq!(text(&headers, "content-encoding"), "", "short");
    let (headers, body) = fetch(&picture, "gzip, br").await;
    assert_eq!((text(&headers, "content-encoding"), text(&headers, "content-type")), ("", "image/png"));
    assert_eq!(body, large);
}

#[tokio::test]
async fn only_what_names_nobody_may_be_kept_and_it_is_asked_for_each_time() {
    let market = Market::new("api_caches").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    for path in ["/api/products", "/api/products/1"] {
        let first = visitor.get(path).await;
        assert_eq!(first.header("cache-control"), "public, no-cache", "{path}");
        let tag = first.header("etag").to_owned();
        first.ok();
        let again = visitor.request("GET", path).header("If-None-Match", &tag).header("Origin", FRONT_END);
        let again = again.send().await.unwrap();
        assert_eq!((again.status().as_u16(), text(again.headers(), "etag")), (304, tag.as_str()), "{path}");
        assert_eq!(again.bytes().await.unwrap().len(), 0);
        let other = send(visitor.request("GET", path).header("If-None-Match", "\"other\"")).await;
        other.ok();
    }
    let before = visitor.get("/api/products").await.header("etag").to_owned();
    market.product(2).await;
    let changed = send(visitor.request("GET", "/api/products").header("If-None-Match", &before)).await;
    assert_ne!(changed.header("etag"), before);
    assert_eq!(changed.ok().as_array().unwrap().len(), 2);

    for path in
        ["/api/users/points", "/api/buy/history/end", "/api/products/1/sell", "/api/products/77", "/api/nowhere"]
    {
        let answer = alice.get(path).await;
        assert_eq!((answer.header("cache-control"), answer.header("etag")), ("no-store", ""), "{path}");
    }
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let market = Market::new("api_hardened").await;
    let (_api, visitor) = start_api(&market).await;
    for path in ["/api/products", "/api/users/points", "/api/nowhere", "/"] {
        let answer = visitor.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
    }
}

async fn preflight(visitor: &Visitor, origin: &str) -> HeaderMap {
    let request = visitor.request("OPTIONS", "/api/sell/1").header("Origin", origin);
    let request = request.header("Access-Control-Request-Method", "POST");
    let request = request.header("Access-Control-Request-Headers", "access-token,refresh-token,content-type");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers().clone()
}

#[tokio::test]
async fn configured_origins_may_call_and_read_the_headers_and_others_may_not() {
    let mut market = Market::new("api_origins").await;
    market.set("GREAM__HTTP__CORS_ORIGINS", format!("http://localhost:3000, {FRONT_END}"));
    let (_api, visitor) = start_api(&market).await;
    let allowed = preflight(&visitor, FRONT_END).await;
    assert_eq!(text(&allowed, "access-control-allow-origin"), FRONT_END);
    for method in ["get", "post", "delete"] {
        assert!(list(&allowed, "access-control-allow-methods").contains(method), "{method}");
    }
    for name in ["access-token", "refresh-token", "content-type"] {
        assert!(list(&allowed, "access-control-allow-headers").contains(name), "{name}");
    }
    assert!(text(&allowed, "access-control-max-age").parse::<u32>().unwrap() >= 600);
    assert_eq!(text(&preflight(&visitor, "http://evil.example").await, "access-control-allow-origin"), "");

    let read = async |origin: &str| {
        let answer = visitor.request("GET", "/api/nowhere").header("Origin", origin).send().await.unwrap();
        answer.headers().clone()
    };
    let headers = read(FRONT_END).await;
    assert_eq!(text(&headers, "access-control-allow-origin"), FRONT_END);
    assert!(list(&headers, "vary").contains("origin"));
    let exposed = list(&headers, "access-control-expose-headers");
    for name in [
        "access-token",
        "refresh-token",
        "gream-command-id",
        "location",
        "retry-after",
        "x-request-id",
        "preference-applied",
    ] {
        assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name}: {exposed}");
    }
    assert_eq!(text(&read("http://evil.example").await, "access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up_in_time() {
    let mut market = Market::new("api_trickle").await;
    market.set("GREAM__HTTP__REQUEST_TIMEOUT_MS", 700);
    let (_api, visitor) = start_api(&market).await;
    let address = visitor.base.trim_start_matches("http://").to_owned();
    let began = Instant::now();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/users/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(std::str::from_utf8(&answer).unwrap(), "HTTP/1.1 503");
    // The limit, and what a client that still writes may take to be heard out.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
