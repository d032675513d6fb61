//! Sign-up, login, tokens and their ends.

use acceptance::{
    Market,
    visitor::{PASSWORD, send, start_api},
};
use serde_json::json;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

#[tokio::test]
async fn a_new_user_has_the_gift_and_the_ledger_says_why() {
    let market = Market::new("api_sign_up").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    assert_eq!(alice.points().await, 100_000);
    assert_eq!(market.number("SELECT CAST(SUM(amount) AS SIGNED) FROM ledger_entries").await, 0);
    assert_eq!(market.number("SELECT amount FROM ledger_entries WHERE account = 'available'").await, 100_000);
    assert_eq!(market.number("SELECT COUNT(*) FROM commands WHERE kind = 'sign_up' AND state = 'done'").await, 1);
    market.audit_holds().await;

    let login = alice.post("/api/users/login", &json!({"loginId": "alice", "password": PASSWORD})).await.ok();
    let expected = json!({"userId": login["userId"], "loginId": "alice", "nickname": "alice", "role": "사용자",
                          "provider": "LOCAL", "likeProductIds": []});
    assert_eq!(login, expected);
    assert!(login["userId"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_taken_name_is_named_however_close_the_race() {
    let market = Market::new("api_taken").await;
    let (_api, visitor) = start_api(&market).await;
    visitor.join("alice").await;
    let sign_up = async |login_id: &str, nickname: &str| {
        let body = json!({"loginId": login_id, "nickname": nickname, "password": PASSWORD});
        visitor.post("/api/users/signup", &body).await
    };
    sign_up("alice", "other").await.refused(409, 1000);
    sign_up("other", "alice").await.refused(409, 1001);
    sign_up("alice", "alice").await.refused(409, 1000);

    let racers: Vec<_> = (0..6)
        .map(|n| {
            let visitor = visitor.clone();
            let body = json!({"loginId": "racer", "nickname": format!("racer{n}"), "password": PASSWORD});
            tokio::spawn(async move { visitor.post("/api/users/signup", &body).await })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        let answer = racer.await.unwrap();
        if answer.is(200, 0) {
            winners += 1;
        } else {
            answer.refused(409, 1000);
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(market.number("SELECT COUNT(*) FROM users").await, 2);
    assert_eq!(market.number("SELECT COUNT(*) FROM balances").await, 2);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_alike() {
    let market = Market::new("api_login").await;
    let (api, visitor) = start_api(&market).await;
    visitor.join("alice").await;
    for (login_id, password) in
        [("alice", "wrongpw11"), ("nobody", PASSWORD), ("한글아이디", PASSWORD), ("a' OR '1'='1", PASSWORD), ("", "")]
    {
        let body = json!({"loginId": login_id, "password": password});
        visitor.post("/api/users/login", &body).await.refused(404, 1002);
    }
    let log = api.logged();
    for secret in [PASSWORD, "wrongpw11", "argon2id", "eyJ"] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
}

#[tokio::test]
async fn tokens_are_renewed_until_the_session_ends() {
    let market = Market::new("api_tokens").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let points = "/api/users/points";
    visitor.get(points).await.refused(401, 1004);
    let swapped = acceptance::Visitor { access: alice.refresh.clone(), ..alice.clone() };
    swapped.get(points).await.refused(401, 1003);
    let forged = acceptance::Visitor { access: Some("Bearer a.b.c".to_owned()), ..alice.clone() };
    forged.get(points).await.refused(401, 1003);
    let authorization = visitor.request("GET", points).header("Authorization", alice.access.as_deref().unwrap());
    send(authorization).await.ok();

    market.advance_clock(HOUR_MS + 1_000);
    let alone = acceptance::Visitor { refresh: None, ..alice.clone() };
    acceptance::eventually("the access token expires", || async {
        alone.get(points).await.is(401, 1005).then_some(())
    })
    .await;
    let answer = alice.get(points).await;
    let renewed = answer.header("access-token").to_owned();
    assert!(renewed.starts_with("Bearer "), "{answer:?}");
    assert_eq!(answer.header("refresh-token"), "", "only the access token is new");
    answer.ok();
    let fresh = acceptance::Visitor { access: Some(renewed), refresh: None, ..alice.clone() };
    assert_eq!(fresh.get(points).await.header("access-token"), "");
    // Another session's refresh token renews nothing.
    let mallory = visitor.join("mallory").await;
    let mixed = acceptance::Visitor { refresh: mallory.refresh, ..alice.clone() };
    mixed.get(points).await.refused(401, 1003);

    market.advance_clock(14 * DAY_MS);
    acceptance::eventually("the refresh token expires", || async {
        alice.get(points).await.is(401, 1006).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_logout_neither_token_is_accepted_anywhere() {
    let market = Market::new("api_logout").await;
    let (_first, visitor) = start_api(&market).await;
    let (_second, elsewhere) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let alice_elsewhere = acceptance::Visitor { base: elsewhere.base.clone(), ..alice.clone() };
    alice_elsewhere.get("/api/users/points").await.ok();

    alice.post("/api/users/logout", &json!({})).await.ok();
    alice.get("/api/users/points").await.refused(401, 1004);
    // At once: no instance remembers sessions.
    alice_elsewhere.get("/api/users/points").await.refused(401, 1004);
    market.advance_clock(HOUR_MS + 1_000);
    acceptance::eventually("the refresh token does not help", || async {
        let answer = alice.get("/api/users/points").await;
        (answer.is(401, 1004) && answer.header("access-token").is_empty()).then_some(())
    })
    .await;
    visitor.log_in("alice").await.get("/api/users/points").await.ok();
}

#[tokio::test]
async fn browsers_of_configured_origins_may_read_the_token_headers() {
    let market = Market::new("api_cors").await;
    let (_api, visitor) = start_api(&market).await;
    let preflight = visitor
        .client
        .request(reqwest::Method::OPTIONS, format!("{}/api/users/points", visitor.base))
        .header("Origin", "http://localhost:3000")
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "access-token,refresh-token")
        .send()
        .await
        .unwrap();
    assert!(preflight.status().is_success());
    assert_eq!(preflight.headers()["access-control-allow-origin"], "http://localhost:3000");
    assert_eq!(preflight.headers()["access-control-allow-headers"], "access-token,refresh-token");

    let ours = send(visitor.request("GET", "/api/products").header("Origin", "http://localhost:3000")).await;
    let exposed = ours.header("access-control-expose-headers").to_ascii_lowercase();
    for name in ["access-token", "refresh-token", "location", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    // Also on a refusal: else the browser hides the envelope.
    let refused = send(visitor.request("GET", "/api/users/points").header("Origin", "http://localhost:3000")).await;
    assert_eq!(refused.header("access-control-allow-origin"), "http://localhost:3000");
    let theirs = send(visitor.request("GET", "/api/products").header("Origin", "http://evil.example")).await;
    assert_eq!(theirs.header("access-control-allow-origin"), "");
}
