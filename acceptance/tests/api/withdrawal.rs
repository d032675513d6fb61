//! `DELETE /api/users/me`: refused while anything is open, and then the person is gone and the ledger whole.

use acceptance::{
    Market, Visitor,
    kakao::Kakao,
    process::Process,
    visitor::{PASSWORD, PNG, send, start_api},
    wait::becomes,
};
use serde_json::json;
use std::path::Path;

const ME: &str = "/api/users/me";
const POINTS: &str = "/api/users/points";

/// A market whose new users have `gift` points, with workers of these roles.
async fn stage(test: &str, gift: i64, roles: &[&str]) -> (Market, Process, Process, Visitor) {
    let mut market = Market::new(test).await;
    market.set("GREAM__MARKET__SIGN_UP_GIFT", gift);
    market.set("GREAM__SCHEDULER__SWEEP_INTERVAL_MS", 5);
    market.set("GREAM__SCHEDULER__SWEEP_GRACE_MS", 0);
    let (api, visitor) = start_api(&market).await;
    let worker = market.worker(roles).await;
    market.product(1).await;
    (market, api, worker, visitor)
}

/// The gifticons' pictures.
fn pictures(market: &Market) -> usize {
    fn files(folder: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }
    files(&market.folder().join("pictures/gifticons"))
}

#[tokio::test]
async fn nobody_leaves_money_or_bids_behind() {
    let (market, _api, _worker, visitor) = stage("leave_open", 1_000, &["bid", "refund"]).await;
    let alice = visitor.join("alice").await;
    alice.delete(ME).await.refused(409, 1009);
    let buy = alice.post("/api/buy/1", &json!({"price": 400})).await.ok();
    alice.delete(ME).await.refused(409, 1010);
    alice.delete(&format!("/api/buy/bid/{}", buy["buyId"])).await.ok();
    let sell = alice.upload("/api/sell/1", &[("price", "500")], PNG).await.ok();
    alice.delete(ME).await.refused(409, 1010);
    alice.delete(&format!("/api/sell/bid/{}", sell["sellId"])).await.ok();
    let refund = json!({"point": 1_000, "bank": "국민", "accountNumber": "110-123-456789"});
    alice.post("/api/users/points/refunds", &refund).await.ok();
    alice.delete(ME).await.refused(409, 1011);
    visitor.delete(ME).await.refused(401, 1004);
    // Nothing of it changed anything.
    assert_eq!(alice.points().await, 0);
    assert_eq!(market.number("SELECT COUNT(*) FROM users WHERE withdrawn_at_ms IS NULL").await, 1);
    assert_eq!(market.number("SELECT held FROM balances").await, 1_000);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_charge_at_toss_must_end_first_and_one_that_was_never_sent_ends_with_the_user() {
    let (mut market, _api, _worker, visitor) = stage("leave_charge", 0, &["bid"]).await;
    let (_sandbox, _) = market.sandbox().await;
    let alice = visitor.join("alice").await;
    let charge = json!({"amount": 5_000, "orderName": "CHARGE_POINT"});
    let order = alice.post("/api/payments/toss/request", &charge).await.ok()["paymentOrderId"].clone();
    let success = format!(
        "/api/payments/toss/success?paymentKey=pk_1&amount=5000&orderId={}",
        order.as_str().expect("an order's id")
    );
    let confirm = send(alice.request("GET", &success).header("Prefer", "respond-async")).await;
    confirm.refused(202, 0);

    // As the payment worker's first transaction would leave it.
    let confirming = "UPDATE payments SET state = 'confirming'";
    sqlx::query(confirming).execute(&market.database).await.unwrap();
    alice.delete(ME).await.refused(409, 1011);
    sqlx::query("UPDATE payments SET state = 'requested'").execute(&market.database).await.unwrap();

    alice.delete(ME).await.ok();
    let command = confirm.data()["commandId"].as_str().unwrap().parse().unwrap();
    let _payment = market.worker(&["payment"]).await;
    market.reaches(command, "rejected").await;
    assert_eq!(market.number("SELECT result_code FROM commands WHERE kind = 'confirm_charge'").await, 8003);
    market.audit_holds().await;
}

#[tokio::test]
async fn the_person_is_gone_and_the_ledger_whole() {
    let (market, _api, _worker, visitor) = stage("leave", 1_000, &["bid", "relay"]).await;
    let (_elsewhere_process, elsewhere) = start_api(&market).await;
    let (alice, bob) = (visitor.join("alice").await, visitor.join("bobby").await);
    let alice_elsewhere = Visitor { base: elsewhere.base.clone(), ..alice.clone() };
    alice_elsewhere.get(POINTS).await.ok();
    // Alice sells a voucher to Bob, and buys one for all she has then.
    alice.upload("/api/sell/1", &[("price", "1000")], PNG).await.ok();
    bob.post("/api/buy/1/now", &json!({"price": 1_000})).await.ok();
    bob.upload("/api/sell/1", &[("price", "2000")], PNG).await.ok();
    alice.post("/api/buy/1/now", &json!({"price": 2_000})).await.ok();
    // And has two that nobody wanted.
    for price in ["3000", "4000"] {
        let offer = alice.upload("/api/sell/1", &[("price", price)], PNG).await.ok();
        alice.delete(&format!("/api/sell/bid/{}", offer["sellId"])).await.ok();
    }
    assert_eq!(pictures(&market), 4);
    let entries = "SELECT COUNT(*) FROM ledger_entries";
    let before = market.number(entries).await;

    alice.delete(ME).await.ok();
    for gone in [&alice, &alice_elsewhere] {
        gone.get(POINTS).await.refused(401, 1004);
        gone.delete(ME).await.refused(401, 1004);
        gone.post("/api/buy/1", &json!({"price": 100})).await.refused(401, 1004);
    }
    let login = json!({"loginId": "alice", "password": PASSWORD});
    visitor.post("/api/users/login", &login).await.refused(404, 1002);
    let _scheduler = market.worker(&["scheduler"]).await;
    becomes("the unsold vouchers' pictures are destroyed, the sold ones' not", 2, async || pictures(&market)).await;
    assert_eq!(market.number(entries).await, before);
    let named = "SELECT COUNT(*) FROM users WHERE login_id = 'alice' OR nickname = 'alice' OR
                 (withdrawn_at_ms IS NOT NULL AND password_hash IS NOT NULL)";
    assert_eq!(market.number(named).await, 0);
    assert_eq!(market.number("SELECT COUNT(*) FROM sessions").await, 1, "Bob's");
    market.audit_holds().await;

    // Her names are free, and whoever takes them is somebody else.
    let other = visitor.join("alice").await;
    assert_eq!(other.get("/api/sell/history/end").await.ok(), json!([]));
    assert_eq!(bob.get("/api/buy/history/end").await.ok().as_array().unwrap().len(), 1);
    market.audit_holds().await;
}

#[tokio::test]
async fn who_came_from_kakao_comes_back_as_somebody_new() {
    let mut market = Market::new("leave_kakao").await;
    market.set("GREAM__MARKET__SIGN_UP_GIFT", 0);
    let kakao = Kakao::start().await;
    for (key, value) in kakao.settings() {
        market.set(key, value);
    }
    let (_api, visitor) = start_api(&market).await;
    let mut users = Vec::new();
    for code in ["c1", "c2"] {
        kakao.agree(code, 42, Some("돌아온이"));
        let answer = visitor.get(&format!("/api/users/oauth/kakao?code={code}")).await;
        let person = Visitor { access: Some(answer.header("access-token").to_owned()), ..visitor.clone() };
        let user = answer.ok();
        assert_eq!(user["nickname"], "돌아온이", "the name is free again");
        users.push(user["userId"].clone());
        person.delete(ME).await.ok();
    }
    assert_ne!(users[0], users[1]);
    assert_eq!(market.number("SELECT COUNT(*) FROM kakao_accounts").await, 0);
}

#[tokio::test]
async fn commands_in_flight_lose_the_race_or_win_it() {
    const PEOPLE: usize = 12;
    let (market, _api, _worker, visitor) = stage("leave_race", 0, &["bid", "relay"]).await;
    let mut people = Vec::new();
    for n in 0..PEOPLE {
        people.push(visitor.join(&format!("racer{n}")).await);
    }
    let races: Vec<_> = people
        .into_iter()
        .map(|person| {
            tokio::spawn(async move {
                let offers = async {
                    let mut codes = Vec::new();
                    for _ in 0..4 {
                        codes.push(person.upload("/api/sell/1", &[("price", "500")], PNG).await.code());
                    }
                    codes
                };
                let (codes, left) = tokio::join!(offers, person.delete(ME));
                (codes, left.code())
            })
        })
        .collect();
    let mut left = 0;
    for race in races {
        let (codes, leaving) = race.await.unwrap();
        assert!(leaving == 0 || leaving == 1010, "{leaving}");
        left += i64::from(leaving == 0);
        // Accepted before, refused by the worker since, or by the door.
        assert!(codes.iter().all(|code| [0, 1002, 1004].contains(code)), "{codes:?}");
        assert!(leaving != 0 || !codes.contains(&0), "left with an open bid: {codes:?}");
    }
    let orphans = "SELECT COUNT(*) FROM bids b JOIN users u ON u.user_id = b.user_id
                   WHERE b.state = 'open' AND u.withdrawn_at_ms IS NOT NULL";
    assert_eq!(market.number(orphans).await, 0);
    assert_eq!(market.number("SELECT COUNT(*) FROM users WHERE withdrawn_at_ms IS NOT NULL").await, left);
    market.audit_holds().await;
}

#[tokio::test]
async fn a_command_that_is_met_after_its_user_left_is_rejected() {
    let mut market = Market::new("leave_late").await;
    market.set("GREAM__MARKET__SIGN_UP_GIFT", 0);
    let (_api, visitor) = start_api(&market).await;
    market.product(1).await;
    let alice = visitor.join("alice").await;
    let mut ids = Vec::new();
    let refund = json!({"point": 1, "bank": "국민", "accountNumber": "110-123-456789"});
    for (path, body) in [
        ("/api/buy/1", json!({"price": 100})),
        ("/api/buy/1/now", json!({"price": 100})),
        ("/api/users/points/refunds", refund),
    ] {
        let sent = send(alice.request("POST", path).header("Prefer", "respond-async").json(&body)).await;
        sent.refused(202, 0);
        ids.push(sent.data()["commandId"].as_str().unwrap().parse().unwrap());
    }
    let sell = acceptance::visitor::form(&[("price", "500")], Some(PNG));
    let sent = send(alice.request("POST", "/api/sell/1").header("Prefer", "respond-async").multipart(sell)).await;
    ids.push(sent.data()["commandId"].as_str().unwrap().parse().unwrap());
    alice.delete(ME).await.ok();
    let _worker = market.worker(&["bid", "refund", "relay"]).await;
    for id in ids {
        market.reaches(id, "rejected").await;
    }
    assert_eq!(market.number("SELECT COUNT(*) FROM commands WHERE result_code = 1002").await, 4);
    market.audit_holds().await;
}

#[tokio::test]
async fn of_the_last_two_administrators_one_stays() {
    let mut market = Market::new("leave_admin").await;
    market.set("GREAM__MARKET__SIGN_UP_GIFT", 0);
    let (_api, visitor) = start_api(&market).await;
    let first = visitor.join_as_administrator(&market, "boss1").await;
    first.delete(ME).await.refused(409, 1012);
    let second = visitor.join_as_administrator(&market, "boss2").await;
    let (one, other) = tokio::join!(first.delete(ME), second.delete(ME));
    let mut codes = [one.code(), other.code()];
    codes.sort_unstable();
    assert_eq!(codes, [0, 1012]);
    assert_eq!(market.number("SELECT COUNT(*) FROM users WHERE role = 'administrator'").await, 1);
}
