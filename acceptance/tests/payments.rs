//! Charges and refunds as a front end sees them: from the browser's return to the answer, with API, workers and sandbox.
//! (`toss/` has the workers' own tests, from their queue on.)
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{Market, Visitor, process::Process, visitor::start_api, wait::becomes};
use serde_json::{Value, json};

/// A market with everything that money needs.
struct Shop {
    market: Market,
    alice: Visitor,
    admin: Visitor,
    sandbox: String,
    http: reqwest::Client,
    _processes: Vec<Process>,
}

impl Shop {
    async fn open(test: &str, settings: &[(&str, &str)]) -> Self {
        let mut market = Market::new(test).await;
        market.set("GREAM__HTTP__PAYMENT_WAIT_MS", 20_000);
        market.set("GREAM__TOSS__READ_TIMEOUT_MS", 1_000);
        for (key, value) in settings {
            market.set(key, value);
        }
        let (sandbox_process, sandbox) = market.sandbox().await;
        let worker = market.worker(&["payment", "refund", "relay"]).await;
        let (api, visitor) = start_api(&market).await;
        let (alice, admin) = (visitor.join("alice").await, visitor.join_as_administrator(&market, "boss").await);
        let sandbox = format!("http://{sandbox}/sandbox");
        Self {
            market,
            alice,
            admin,
            sandbox,
            http: reqwest::Client::new(),
            _processes: vec![sandbox_process, worker, api],
        }
    }

    async fn fault(&self, path: &str, times: u32, fault: Value) {
        let body = json!({"match": {"path": path}, "times": times, "fault": fault});
        let answer = self.http.post(format!("{}/faults", self.sandbox)).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
    }

    /// How many calls the faults have struck so far.
    async fn struck(&self) -> u64 {
        let answer: Value =
            self.http.get(format!("{}/faults", self.sandbox)).send().await.unwrap().json().await.unwrap();
        answer["faults"].as_array().unwrap().iter().map(|fault| fault["struck"].as_u64().unwrap()).sum()
    }

    /// What Toss took and gave back: the amounts of every effect of one kind.
    async fn effects(&self, kind: &str) -> Vec<i64> {
        let url = format!("{}/journal?after=0", self.sandbox);
        let page: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let entries = page["entries"].as_array().unwrap();
        entries.iter().filter(|entry| entry["effect"] == kind).map(|entry| entry["amount"].as_i64().unwrap()).collect()
    }

    /// Through the window, up to the address to which the browser returns.
    async fn pay(&self, amount: i64) -> String {
        let order = self
            .alice
            .post("/api/payments/toss/request", &json!({"amount": amount, "orderName": "CHARGE_POINT"}))
            .await;
        let order = order.ok()["paymentOrderId"].as_str().unwrap().to_owned();
        let body = json!({"orderId": order, "amount": amount});
        let paid: Value = self
            .http
            .post(format!("{}/checkout", self.sandbox))
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let key = paid["paymentKey"].as_str().unwrap();
        format!("/api/payments/toss/success?paymentType=NORMAL&paymentKey={key}&orderId={order}&amount={amount}")
    }

    async fn audit_holds(&self) {
        let sources = operator::Sources {
            sandbox: Some(self.sandbox.trim_end_matches("/sandbox").parse().unwrap()),
            ..self.market.audit_sources()
        };
        let report = operator::audit_at_rest(&sources, acceptance::wait::PATIENCE).await.unwrap();
        assert!(report.holds_at_rest(), "{report}");
    }
}

#[tokio::test]
async fn a_charge_credits_once_however_often_the_browser_returns() {
    let shop = Shop::open("charge_once", &[]).await;
    let success = shop.pay(7_000).await;
    let first = shop.alice.get(&success).await.ok();
    assert_eq!((first["status"].as_str(), first["totalAmount"].as_i64()), (Some("DONE"), Some(7_000)));
    assert_eq!(shop.alice.get(&success).await.ok(), first);
    assert_eq!(shop.alice.points().await, 107_000);
    assert_eq!(shop.effects("confirmed").await, [7_000]);
    shop.audit_holds().await;
}

#[tokio::test]
async fn no_fault_on_the_way_to_toss_takes_money_without_crediting_it_or_twice() {
    let shop = Shop::open("charge_faults", &[("GREAM__PAYMENT_WORKER__BREAKER_MIN_CALLS", "20")]).await;
    let faults = [
        ("confirm", json!({"reset": "before"})),
        ("confirm", json!({"reset": "after"})),
        ("confirm", json!({"status": 500, "effect": false})),
        ("confirm", json!({"status": 502, "effect": true})),
        ("confirm", json!({"hang_ms": 1_500})),
        ("confirm", json!({"code": "PROVIDER_ERROR", "http": 400, "effect": false})),
        ("confirm", json!({"code": "FAILED_INTERNAL_SYSTEM_PROCESSING", "http": 500, "effect": true})),
        ("confirm", json!({"code": "A_CODE_OF_TOMORROW", "http": 400, "effect": true})),
    ];
    let mut charged = 0;
    for (path, fault) in faults {
        charged += 1_000;
        let before = shop.struck().await;
        shop.fault(path, 1, fault.clone()).await;
        let success = shop.pay(1_000).await;
        let answer = shop.alice.get(&success).await;
        assert!(answer.is(200, 0), "{fault}: {}", answer.body);
        assert_eq!(shop.struck().await, before + 1, "{fault} struck");
        assert_eq!(shop.alice.points().await, 100_000 + charged, "{fault}");
    }
    assert_eq!(shop.effects("confirmed").await.iter().sum::<i64>(), charged);
    shop.audit_holds().await;
}

#[tokio::test]
async fn what_toss_refuses_for_good_is_told_and_credits_nothing() {
    let shop = Shop::open("charge_refused", &[]).await;
    shop.fault("confirm", 1, json!({"code": "REJECT_CARD_COMPANY", "http": 403})).await;
    let success = shop.pay(5_000).await;
    shop.alice.get(&success).await.refused(500, 8004);
    shop.alice.get(&success).await.refused(500, 8004);
    assert_eq!(shop.alice.points().await, 100_000);
    assert_eq!(shop.effects("confirmed").await, Vec::<i64>::new());
    shop.audit_holds().await;
}

#[tokio::test]
async fn a_refund_goes_back_through_the_charge_and_the_rest_by_payout() {
    let shop = Shop::open("refund", &[("GREAM__PAYMENT_WORKER__BREAKER_MIN_CALLS", "20")]).await;
    let success = shop.pay(10_000).await;
    shop.alice.get(&success).await.ok();
    let ask = |point: i64| json!({"point": point, "bank": "우리은행", "accountNumber": "1002-123-456789"});
    shop.alice.post("/api/users/points/refunds", &ask(999_999)).await.refused(403, 1007);
    let asked = shop.alice.post("/api/users/points/refunds", &ask(6_000)).await.ok();
    assert_eq!(asked, json!({"refundPoint": 6_000, "userPoint": 104_000}));
    // The answer to the cancel is lost once: it is looked up, not sent again under a new key.
    shop.fault("cancel", 1, json!({"reset": "after"})).await;
    let open = shop.admin.get("/api/admin/refunds").await.ok();
    let refund = open[0]["refundId"].as_i64().unwrap();
    assert_eq!(open[0]["refundAccountNumber"], "****-***-**6789");
    shop.alice.delete(&format!("/api/admin/refund/{refund}")).await.refused(403, 5000);
    shop.admin.delete(&format!("/api/admin/refund/{refund}")).await.ok();
    shop.admin.delete(&format!("/api/admin/refund/{}", refund + 1)).await.refused(404, 1008);
    becomes("paid", 1, || shop.market.number("SELECT COUNT(*) FROM refunds WHERE state = 'paid'")).await;
    assert_eq!(shop.effects("cancelled").await, [6_000]);
    // 4,000 of the charge are left; the other 5,000 cannot go back through Toss.
    shop.alice.post("/api/users/points/refunds", &ask(9_000)).await.ok();
    let refund = shop.admin.get("/api/admin/refunds").await.ok()[0]["refundId"].as_i64().unwrap();
    shop.admin.delete(&format!("/api/admin/refund/{refund}")).await.ok();
    becomes("cancelled", vec![6_000, 4_000], || shop.effects("cancelled")).await;
    let payout = "SELECT amount FROM refund_legs WHERE route = 'payout' AND state = 'planned'";
    becomes("the payout waits for an administrator", 5_000, || shop.market.number(payout)).await;
    assert_eq!(shop.alice.points().await, 95_000);
    shop.audit_holds().await;

    shop.admin.post(&format!("/api/admin/payouts/{refund}/2/made"), &json!({})).await.ok();
    let seen = shop.alice.get(&format!("/api/users/points/refunds/{refund}")).await.ok();
    let ways: Vec<_> = seen["legs"].as_array().unwrap().iter().map(|leg| (&leg["route"], &leg["amount"])).collect();
    assert_eq!(ways, [(&json!("cancel"), &json!(4_000)), (&json!("payout"), &json!(5_000))]);
    assert_eq!(seen["state"], "paid");
    shop.audit_holds().await;
}
