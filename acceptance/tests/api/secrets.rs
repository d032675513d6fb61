//! Nothing secret is logged, by no process, at the level `debug` either.

use acceptance::{
    Market, Visitor,
    kakao::{CLIENT_SECRET, Kakao},
    visitor::{PNG, send, start_api},
    wait::becomes,
};
use serde_json::json;

const PASSWORD: &str = "opensesame42";
const WRONG: &str = "wrongsesame43";
const ACCOUNT: &str = "110-987-654321";
const CODE: &str = "kakao-code-0815";

#[tokio::test]
async fn account_flows_leave_no_secret_in_any_log() {
    let mut market = Market::new("secrets").await;
    market.set("GREAM__TELEMETRY__LOG_FILTER", "debug");
    market.set("GREAM__MARKET__SIGN_UP_GIFT", 1_000);
    market.set("GREAM__SCHEDULER__CLEAN_UP_INTERVAL_MS", 200);
    let kakao = Kakao::start().await;
    for (key, value) in kakao.settings() {
        market.set(key, value);
    }
    let _worker = market.worker(&["bid", "refund", "payment", "relay", "scheduler"]).await;
    let (_api, visitor) = start_api(&market).await;
    market.product(1).await;
    let mut secrets: Vec<String> = [PASSWORD, WRONG, ACCOUNT, CODE, CLIENT_SECRET].map(ToOwned::to_owned).into();
    for key in ["DATABASE__URL", "RABBITMQ__URL", "AUTH__JWT_SECRET", "AUTH__ADDRESS_SECRET", "ACCOUNT_CIPHER__KEY"] {
        secrets.push(market.environment[&format!("GREAM__{key}")].clone());
    }

    // By password, with everything that can go wrong on the way.
    let body = |password: &str| json!({"loginId": "alice", "nickname": "앨리스", "password": password});
    visitor.post("/api/users/signup", &body("한글비밀번호1")).await.refused(400, 5001);
    visitor.post("/api/users/signup", &body(PASSWORD)).await.ok();
    visitor.post("/api/users/signup", &body(PASSWORD)).await.refused(409, 1000);
    visitor.post("/api/users/login", &body(WRONG)).await.refused(404, 1002);
    let broken = format!("{{\"loginId\": \"alice\", \"password\": \"{PASSWORD}\"");
    let request = visitor.request("POST", "/api/users/login").header("Content-Type", "application/json");
    send(request.body(broken)).await.refused(400, 5001);
    let answer = visitor.post("/api/users/login", &body(PASSWORD)).await;
    let token = |name: &str| answer.header(name).to_owned();
    let alice =
        Visitor { access: Some(token("access-token")), refresh: Some(token("refresh-token")), ..visitor.clone() };
    secrets.extend([token("access-token"), token("refresh-token")]);

    // What travels and rests encrypted, and a voucher's address.
    let refund = json!({"point": 1_000, "bank": "국민", "accountNumber": ACCOUNT});
    alice.post("/api/users/points/refunds", &refund).await.ok();
    let boss = visitor.join_as_administrator(&market, "boss").await;
    let refund = boss.get("/api/admin/refunds").await.ok()[0]["refundId"].clone();
    boss.delete(&format!("/api/admin/refund/{refund}")).await.ok();
    let shown = boss.post(&format!("/api/admin/payouts/{refund}/1/account"), &json!({})).await.ok();
    assert_eq!(shown["accountNumber"], ACCOUNT);
    let offer = alice.upload("/api/sell/1", &[("price", "500")], PNG).await.ok();
    let selling = alice.get("/api/sell/history/onprogress").await.ok();
    let address = selling[0]["gifticonImageUrl"].as_str().unwrap();
    secrets.push(address.split_once("&s=").unwrap().1.to_owned());
    let picture = format!("{}/api/{}", visitor.base, address.split_once("/api/").unwrap().1);
    assert!(visitor.client.get(picture).send().await.unwrap().status().is_success());
    alice.delete(&format!("/api/sell/bid/{}", offer["sellId"])).await.ok();
    alice.delete("/api/users/me").await.refused(409, 1011);

    // By Kakao.
    let begun = visitor.get("/api/users/oauth/kakao/start").await;
    let cookie = begun.header("set-cookie").split(';').next().unwrap().to_owned();
    let state = begun.ok()["state"].as_str().unwrap().to_owned();
    kakao.agree(CODE, 7, Some("카카오인"));
    let address = format!("/api/users/oauth/kakao?code={CODE}&state={state}");
    let answer = send(visitor.request("GET", &address).header("Cookie", &cookie)).await;
    secrets.extend([answer.header("access-token").to_owned(), answer.header("refresh-token").to_owned()]);
    answer.ok();
    visitor.get(&format!("/api/users/oauth/kakao?code={CODE}")).await.refused(401, 1013);
    secrets.extend([state, cookie.split_once('=').unwrap().1.to_owned()]);
    secrets.extend(kakao.tokens());

    // Renewed, ended.
    market.advance_clock(3_601_000);
    becomes("a renewed token", true, || async {
        let renewed = alice.get("/api/users/points").await.header("access-token").to_owned();
        if !renewed.is_empty() {
            return true;
        }
        false
    })
    .await;
    let renewed = alice.get("/api/users/points").await.header("access-token").to_owned();
    assert!(!renewed.is_empty());
    secrets.push(renewed);
    alice.post("/api/users/logout", &json!({})).await.ok();

    let secrets: Vec<&str> = secrets.iter().map(|secret| secret.trim_start_matches("Bearer ")).collect();
    assert!(secrets.iter().all(|secret| secret.len() >= 8), "{secrets:?}");
    let (mut logs, mut lines) = (0, 0);
    for entry in std::fs::read_dir(market.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let log = std::fs::read_to_string(&path).unwrap();
        (logs, lines) = (logs + 1, lines + log.lines().count());
        for secret in &secrets {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret:?} was logged in {}: {line:?}", path.display());
        }
    }
    assert!(logs == 2 && lines > 50, "{logs} logs of {lines} lines: was anything looked at?");
}
