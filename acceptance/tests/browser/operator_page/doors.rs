//! Who gets in: nobody but an administrator who signed in on the page, and nothing that the page did not call.

use super::{BOSS, Desk, PASSWORD};
use acceptance::{
    Market,
    visitor::{PASSWORD as A_USERS, Visitor},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// Of each call its method and an address to try.
fn calls() -> Vec<(&'static str, String)> {
    let calls = api::operator_page::guarded_calls();
    assert!(calls.len() >= 14, "{calls:?}");
    let filled = |path: &str| path.replace("{id}", "1").replace("{subject}", "user:1");
    calls.into_iter().map(|(method, path)| (method, filled(path))).collect()
}

#[tokio::test]
async fn nobody_but_an_administrator_gets_anything() {
    let market = Market::new("page_doors").await;
    let mut desk = Desk::open(&market).await;
    let public = format!("http://{}", desk.api.address("http").await);
    let visitor = Visitor { client: Client::new(), base: public.clone(), access: None, refresh: None };
    let user = visitor.join("alice").await;
    let admin = visitor.join_as_administrator(&market, "carol").await;
    let page_token = desk.cookie.split_once('=').unwrap().1.to_owned();

    for (method, path) in calls() {
        let knock = async |token: &str| {
            let cookie = format!("gream_operator={token}");
            let request = desk.strange(method, &path).header("Gream-Operator", "x").header("Cookie", cookie);
            let answer = request.json(&json!({})).send().await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap())
        };
        let nobody = desk.strange(method, &path).header("Gream-Operator", "x").json(&json!({})).send().await.unwrap();
        assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        // Tokens of the public API, an administrator's among them, are none of the page's; nor is a changed one.
        let changed = format!("{}A", &page_token[..page_token.len() - 1]);
        let changed = if changed == page_token { format!("{}B", &page_token[..page_token.len() - 1]) } else { changed };
        for token in [&user.access, &user.refresh, &admin.access, &admin.refresh, &Some(changed), &Some(String::new())]
        {
            let token = token.as_deref().unwrap().trim_start_matches("Bearer ").to_owned();
            let (status, told) = knock(&token).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {told}");
            assert_eq!(told, json!({"error": "sign in as an administrator"}));
        }
        // As another site, or a page on another port, would call it: with the cookie, without the header.
        let forged = desk.strange(method, &path).header("Cookie", &desk.cookie).json(&json!({})).send().await.unwrap();
        assert_eq!(forged.status(), StatusCode::FORBIDDEN, "{method} {path}");
        let elsewhere = desk.strange(method, &path).header("Cookie", &desk.cookie).header("Gream-Operator", "x");
        let elsewhere = elsewhere.header("Sec-Fetch-Site", "same-site").json(&json!({})).send().await.unwrap();
        assert_eq!(elsewhere.status(), StatusCode::FORBIDDEN, "{method} {path}");
        for origin in ["http://evil.test", "null", "http://127.0.0.1:1"] {
            let forged = desk.strange(method, &path).header("Cookie", &desk.cookie).header("Gream-Operator", "x");
            let forged = forged.header("Origin", origin).json(&json!({})).send().await.unwrap();
            assert_eq!(forged.status(), StatusCode::FORBIDDEN, "{method} {path} from {origin}");
        }
        let preflight = desk.strange("OPTIONS", &path).header("Origin", "http://127.0.0.1:1");
        let preflight = preflight.header("Access-Control-Request-Headers", "gream-operator").send().await.unwrap();
        assert!(preflight.headers().keys().all(|name| !name.as_str().starts_with("access-control")), "{path}");
        // And nothing of it is on the public port.
        let url = format!("{public}{path}");
        let request = Client::new().request(method.parse::<Method>().unwrap(), url).header("Cookie", &desk.cookie);
        let answer = request.header("Gream-Operator", "x").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
    }
    // The page's own token is no good for the public API.
    let thief = Visitor { access: Some(page_token), ..visitor.clone() };
    thief.get("/api/admin/refunds").await.refused(401, 1003);

    for (method, path) in calls().into_iter().filter(|(method, path)| *method == "GET" && !path.contains("/letters/")) {
        let path = path.strip_prefix("/operator/api/").unwrap();
        let answer = desk.request(method, path).send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 200 | 404), "{path}: {}", answer.text().await.unwrap());
    }
    // What was there before has no door.
    for path in ["/metrics", "/health/live", "/health/ready"] {
        assert_eq!(desk.strange("GET", path).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_role_its_time_or_a_sign_out() {
    let market = Market::new("page_session").await;
    let mut desk = Desk::open(&market).await;
    let public = format!("http://{}", desk.api.address("http").await);
    Visitor { client: Client::new(), base: public, access: None, refresh: None }.join("alice").await;
    assert_eq!(desk.get("session").await["login_id"], BOSS);

    assert_eq!(desk.sign_in("alice", A_USERS).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(desk.sign_in("nobody", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    let set_role = async |role: &str| {
        let update = sqlx::query("UPDATE users SET role = ? WHERE login_id = ?").bind(role).bind(BOSS);
        update.execute(&market.database).await.unwrap();
    };
    set_role("user").await;
    assert_eq!(desk.request("GET", "session").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    set_role("administrator").await;
    assert_eq!(desk.request("GET", "session").send().await.unwrap().status(), StatusCode::OK);

    let (status, _) = desk.post("sign-out", &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(desk.request("GET", "session").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);

    let answer = desk.sign_in(BOSS, PASSWORD).await;
    desk.cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(desk.get("session").await["login_id"], BOSS);
    market.advance_clock(12 * 3_600_000 + 1_000);
    acceptance::wait::becomes("the session is over", StatusCode::UNAUTHORIZED, || async {
        desk.request("GET", "session").send().await.unwrap().status()
    })
    .await;

    // Nobody signs a browser in from elsewhere.
    let forged = desk.strange("POST", "/operator/api/sign-in").header("Gream-Operator", "x");
    let forged = forged.header("Origin", "http://evil.test").json(&json!({"login_id": BOSS, "password": PASSWORD}));
    let forged = forged.send().await.unwrap();
    assert_eq!((forged.status(), forged.headers().contains_key("set-cookie")), (StatusCode::FORBIDDEN, false));

    // Whoever guesses is told to wait, the right password included.
    let mut tries = 0;
    while desk.sign_in(BOSS, "wrong-one1").await.status() == StatusCode::UNAUTHORIZED {
        tries += 1;
        assert!(tries < 100, "nobody counts");
    }
    let refused = desk.sign_in(BOSS, PASSWORD).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_files() {
    let market = Market::new("page_files").await;
    let desk = Desk::open(&market).await;
    let page = desk.strange("GET", "/operator/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for rule in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'none'"]
    {
        assert!(policy.split("; ").any(|part| part == rule), "{policy}");
    }
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let html = page.text().await.unwrap();
    for asset in ["page.css", "main.js", "letters.js"] {
        let answer = desk.strange("GET", &format!("/operator/assets/{asset}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{asset}");
        assert!(answer.headers().contains_key("content-security-policy"));
    }
    assert!(html.contains("assets/main.js"));
    for strange in ["../Cargo.toml", "%2e%2e%2fCargo.toml", "x.js"] {
        let answer = desk.strange("GET", &format!("/operator/assets/{strange}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{strange}");
    }
}
