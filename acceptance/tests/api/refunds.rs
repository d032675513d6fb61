//! Refunds over HTTP: rejected, transferred by hand, or not to be transferred; and what their user sees of it.

use acceptance::{
    Market, Visitor,
    process::Process,
    visitor::{send, start_api},
    wait::becomes,
};
use serde_json::{Value, json};

const ACCOUNT: &str = "110-123-456789";
const MASKED: &str = "***-***-**6789";
const OWN: &str = "/api/users/points/refunds";
const PAYOUTS: &str = "/api/admin/payouts";

/// Alice, who has nothing but a gift, so that nothing of hers can go back through Toss; two administrators.
struct Stage {
    market: Market,
    alice: Visitor,
    boss: Visitor,
    other: Visitor,
    _processes: Vec<Process>,
}

impl Stage {
    async fn new(test: &str) -> Self {
        let market = Market::new(test).await;
        let worker = market.worker(&["refund", "relay"]).await;
        let (api, visitor) = start_api(&market).await;
        let alice = visitor.join("alice").await;
        let boss = visitor.join_as_administrator(&market, "boss").await;
        let other = visitor.join_as_administrator(&market, "other").await;
        Self { market, alice, boss, other, _processes: vec![worker, api] }
    }

    /// Alice asks for a refund; its id.
    async fn asked(&self, point: i64) -> i64 {
        let wanted = json!({"point": point, "bank": "국민", "accountNumber": ACCOUNT});
        self.alice.post(OWN, &wanted).await.ok();
        self.alice.get(OWN).await.ok()[0]["refundId"].as_i64().unwrap()
    }

    async fn approved(&self, point: i64) -> i64 {
        let refund = self.asked(point).await;
        self.boss.delete(&format!("/api/admin/refund/{refund}")).await.ok();
        refund
    }

    /// What Alice sees of a refund.
    async fn seen(&self, refund: i64) -> Value {
        self.alice.get(&format!("{OWN}/{refund}")).await.ok()
    }
}

fn reason(text: &str) -> Value {
    json!({"reason": text})
}

#[tokio::test]
async fn a_rejected_refund_is_points_again_and_says_why() {
    let stage = Stage::new("refund_rejected").await;
    let refund = stage.asked(3_000).await;
    assert_eq!(stage.alice.points().await, 97_000);
    let reject = format!("/api/admin/refund/{refund}/reject");
    stage.alice.post(&reject, &reason("제 돈입니다.")).await.refused(403, 5000);
    for wrong in [json!({}), reason(" "), reason(&"가".repeat(201)), json!({"reason": 5})] {
        stage.boss.post(&reject, &wrong).await.refused(400, 5001);
    }
    stage.boss.post("/api/admin/refund/999/reject", &reason("없음")).await.refused(404, 1008);

    stage.boss.post(&reject, &reason("예금주가 다릅니다.")).await.ok();
    stage.boss.post(&reject, &reason("예금주가 다릅니다.")).await.ok();
    stage.boss.post(&reject, &reason("다른 이유")).await.refused(422, 5004);
    stage.other.post(&reject, &reason("저도 반대합니다.")).await.refused(404, 1008);
    stage.other.delete(&format!("/api/admin/refund/{refund}")).await.refused(404, 1008);
    assert_eq!(stage.alice.points().await, 100_000);
    assert_eq!(stage.boss.get("/api/admin/refunds").await.ok(), json!([]));
    let seen = stage.seen(refund).await;
    assert_eq!((&seen["state"], &seen["rejectReason"]), (&json!("rejected"), &json!("예금주가 다릅니다.")));
    assert_eq!((&seen["legs"], &seen["refundAccountNumber"]), (&json!([]), &json!(MASKED)));
    becomes("its event left", 0, || stage.market.number("SELECT COUNT(*) FROM outbox")).await;
    stage.market.audit_holds().await;
}

#[tokio::test]
async fn an_administrator_transfers_a_payout_and_every_look_at_the_account_is_noted() {
    let stage = Stage::new("payout_made").await;
    let refund = stage.approved(4_000).await;
    let payouts = stage.boss.get(PAYOUTS).await.ok();
    assert_eq!(payouts.as_array().unwrap().len(), 1);
    let payout = &payouts[0];
    assert_eq!((&payout["refundId"], &payout["legNo"], &payout["amount"]), (&json!(refund), &json!(1), &json!(4_000)));
    assert_eq!((&payout["bank"], &payout["accountNumber"]), (&json!("국민"), &json!(MASKED)));
    let at = |what: &str| format!("{PAYOUTS}/{refund}/1/{what}");

    for path in [at("account"), at("made"), at("failed")] {
        stage.alice.post(&path, &reason("저입니다.")).await.refused(403, 5000);
    }
    let shown = stage.boss.post(&at("account"), &json!({})).await.ok();
    assert_eq!(shown, json!({"bank": "국민", "accountNumber": ACCOUNT}));
    stage.other.post(&at("account"), &json!({})).await.ok();
    let reveals: Vec<(i64, i16, String)> = sqlx::query_as(
        "SELECT a.refund_id, a.leg_no, u.login_id FROM account_reveals a JOIN users u ON u.user_id = a.administrator_id
         ORDER BY a.reveal_id",
    )
    .fetch_all(&stage.market.database)
    .await
    .unwrap();
    assert_eq!(reveals, [(refund, 1, "boss".to_owned()), (refund, 1, "other".to_owned())]);

    assert_eq!(stage.seen(refund).await["state"], "paying");
    stage.boss.post(&at("made"), &json!({})).await.ok();
    stage.boss.post(&at("made"), &json!({})).await.ok();
    stage.other.post(&at("made"), &json!({})).await.refused(404, 1008);
    stage.other.post(&at("failed"), &reason("늦었습니다.")).await.refused(404, 1008);
    stage.boss.post(&at("account"), &json!({})).await.refused(404, 1008);
    assert_eq!(stage.market.number("SELECT COUNT(*) FROM account_reveals").await, 2, "nothing was shown any more");
    for nobodys in [format!("{PAYOUTS}/{refund}/2"), format!("{PAYOUTS}/{refund}/99999"), format!("{PAYOUTS}/999/1")] {
        stage.boss.post(&format!("{nobodys}/made"), &json!({})).await.refused(404, 1008);
        stage.boss.post(&format!("{nobodys}/account"), &json!({})).await.refused(404, 1008);
    }
    stage.boss.post(&format!("{PAYOUTS}/{refund}/first/made"), &json!({})).await.refused(400, 5001);

    assert_eq!(stage.boss.get(PAYOUTS).await.ok(), json!([]));
    let seen = stage.seen(refund).await;
    assert_eq!((&seen["state"], &seen["refundPoint"]), (&json!("paid"), &json!(4_000)));
    let leg = &seen["legs"][0];
    assert_eq!((&leg["route"], &leg["state"], &leg["amount"]), (&json!("payout"), &json!("paid"), &json!(4_000)));
    assert_eq!((&leg["accountNumber"], &leg["failureReason"]), (&json!(MASKED), &Value::Null));
    assert_eq!(stage.alice.points().await, 96_000);
    let out = "SELECT CAST(SUM(amount) AS SIGNED) FROM ledger_entries WHERE account = 'payout_clearing'";
    assert_eq!(stage.market.number(out).await, 4_000);
    becomes("its event left", 0, || stage.market.number("SELECT COUNT(*) FROM outbox")).await;
    stage.market.audit_holds().await;
    assert_eq!(stage.market.tables_with(MASKED).await, ["refunds"]);
    assert!(stage.market.tables_with("123-456789").await.is_empty(), "no table holds it readably");
}

#[tokio::test]
async fn a_payout_that_cannot_be_transferred_is_points_again_and_says_why() {
    let stage = Stage::new("payout_failed").await;
    let refund = stage.approved(4_000).await;
    let failed = format!("{PAYOUTS}/{refund}/1/failed");
    stage.boss.post(&failed, &json!({})).await.refused(400, 5001);
    stage.boss.post(&failed, &reason("해지된 계좌입니다.")).await.ok();
    stage.boss.post(&failed, &reason("해지된 계좌입니다.")).await.ok();
    stage.boss.post(&format!("{PAYOUTS}/{refund}/1/made"), &json!({})).await.refused(404, 1008);
    assert_eq!(stage.alice.points().await, 100_000);
    let seen = stage.seen(refund).await;
    let leg = &seen["legs"][0];
    assert_eq!((&seen["state"], &leg["state"]), (&json!("returned"), &json!("returned")));
    assert_eq!(leg["failureReason"], "해지된 계좌입니다.");
    becomes("its event left", 0, || stage.market.number("SELECT COUNT(*) FROM outbox")).await;
    stage.market.audit_holds().await;
}

#[tokio::test]
async fn nothing_is_paid_out_to_who_owes_until_that_is_repaid() {
    let stage = Stage::new("payout_frozen").await;
    let refund = stage.approved(4_000).await;
    let owes = async |amount: i64| {
        let owed = "REPLACE INTO receivables (user_id, amount, updated_at_ms) SELECT user_id, ?, 0 FROM refunds";
        sqlx::query(owed).bind(amount).execute(&stage.market.database).await.unwrap();
        stage.boss.get(PAYOUTS).await.ok()[0]["frozen"].clone()
    };
    let account = format!("{PAYOUTS}/{refund}/1/account");
    assert_eq!(owes(1).await, true);
    stage.boss.post(&account, &json!({})).await.refused(409, 1016);
    assert_eq!(stage.market.number("SELECT COUNT(*) FROM account_reveals").await, 0);
    assert_eq!(owes(0).await, false);
    stage.boss.post(&account, &json!({})).await.ok();
}

#[tokio::test]
async fn an_approval_refused_for_a_debt_is_no_refusal_once_that_is_repaid() {
    let stage = Stage::new("approval_debt").await;
    let refund = stage.asked(4_000).await;
    let owes = async |amount: i64, at: i64| {
        let owed = "REPLACE INTO receivables (user_id, amount, updated_at_ms) SELECT user_id, ?, ? FROM refunds";
        sqlx::query(owed).bind(amount).bind(at).execute(&stage.market.database).await.unwrap();
    };
    let approve = format!("/api/admin/refund/{refund}");
    owes(1, 5).await;
    stage.boss.delete(&approve).await.refused(409, 1016);
    stage.boss.delete(&approve).await.refused(409, 1016);
    owes(0, 6).await;
    stage.boss.delete(&approve).await.ok();
    stage.boss.delete(&approve).await.ok();
    assert_eq!(stage.seen(refund).await["state"], "paying");
}

#[tokio::test]
async fn a_user_sees_their_own_refunds_by_pages_and_nobody_elses() {
    let stage = Stage::new("own_refunds").await;
    let mut refunds = Vec::new();
    for point in [1_000, 2_000, 3_000] {
        refunds.push(stage.asked(point).await);
    }
    let points = |list: Value| -> Vec<i64> {
        list.as_array().unwrap().iter().map(|refund| refund["refundPoint"].as_i64().unwrap()).collect()
    };
    assert_eq!(points(stage.alice.get(OWN).await.ok()), [3_000, 2_000, 1_000]);
    assert_eq!(points(stage.alice.get(&format!("{OWN}?page=1&size=2")).await.ok()), [1_000]);
    stage.alice.get(&format!("{OWN}?size=101")).await.refused(400, 5001);
    assert!(stage.alice.get(OWN).await.ok()[0]["legs"].is_null(), "legs are told of one refund");
    assert_eq!(stage.other.get(OWN).await.ok(), json!([]));
    // An administrator is nobody special here.
    for stranger in [&stage.other, &stage.boss] {
        stranger.get(&format!("{OWN}/{}", refunds[0])).await.refused(404, 1008);
    }
    stage.alice.get(&format!("{OWN}/999")).await.refused(404, 1008);
    stage.alice.get(&format!("{OWN}/mine")).await.refused(400, 5001);
}

#[tokio::test]
async fn one_click_to_approve_and_one_to_reject_at_once_end_in_one_decision() {
    let stage = Stage::new("refund_contested").await;
    for round in 0..5 {
        let refund = stage.asked(1_000).await;
        let path = format!("/api/admin/refund/{refund}");
        let why = reason("안 됩니다.");
        let (approve, reject) =
            (stage.boss.request("DELETE", &path), stage.other.request("POST", &format!("{path}/reject")));
        let (approved, rejected) = tokio::join!(send(approve), send(reject.json(&why)));
        let decided = (approved.status, rejected.status);
        let wanted = match decided {
            (200, 404) => "paying",
            (404, 200) => "rejected",
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(stage.seen(refund).await["state"], wanted, "round {round}");
    }
    stage.market.audit_holds().await;
}
