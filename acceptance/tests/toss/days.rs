//! A day's transactions at Toss, compared with ours: differences are told, never mended.

use crate::stage::Stage;
use acceptance::wait::becomes;
use serde_json::json;

const DAY_MS: i64 = 24 * 3_600_000;

async fn compared(stage: &Stage) -> i64 {
    stage.market.number("SELECT COUNT(*) FROM compared_days").await
}

#[tokio::test]
async fn a_day_that_agrees_leaves_no_difference_and_one_that_does_not_is_told() {
    let mut stage = Stage::new("days").await;
    stage.market.set("GREAM__SCHEDULER__COMPARE_INTERVAL_MS", 300);
    let user = stage.market.user(1, 0).await;
    let (good, foreign, forgotten) = {
        let _worker = stage.market.worker(&["payment", "refund", "relay"]).await;
        let good = stage.charged(user, 3_000).await;
        let refunded = stage.charged(user, 2_000).await;
        let refund = stage.refund(user, 500).await;
        stage.approve(refund).await;
        stage.refund_becomes(refund, "paid").await;
        let (foreign, forgotten) = (stage.charged(user, 4_000).await, stage.charged(user, 5_000).await);
        assert_ne!(refunded, foreign);
        (good, foreign, forgotten)
    };
    // Cancelled by somebody else, and nobody heard of it; taken, and our row says that it failed; not ours at all.
    let key: String = sqlx::query_scalar("SELECT payment_key FROM payments WHERE order_id = ?")
        .bind(&foreign)
        .fetch_one(&stage.market.database)
        .await
        .unwrap();
    let toss = |path: String| reqwest::Client::new().post(path).basic_auth("test_sk_acceptance", Some(""));
    let cancel = toss(format!("http://{}/v1/payments/{key}/cancel", stage.address));
    assert_eq!(cancel.json(&json!({"cancelReason": "by hand"})).send().await.unwrap().status(), 200);
    sqlx::query("UPDATE payments SET state = 'failed' WHERE order_id = ?")
        .bind(&forgotten)
        .execute(&stage.market.database)
        .await
        .unwrap();
    let stranger = stage.authenticate("order-of-nobody", 700).await;
    let confirm = toss(format!("http://{}/v1/payments/confirm", stage.address)).header("Idempotency-Key", "k");
    let body = json!({"paymentKey": stranger, "orderId": "order-of-nobody", "amount": 700});
    assert_eq!(confirm.json(&body).send().await.unwrap().status(), 200);

    stage.market.advance_clock(DAY_MS + 2 * 3_600_000);
    let before = stage.points(user).await;
    let mut scheduler = stage.market.worker(&["scheduler"]).await;
    becomes("a week of days", 7, || compared(&stage)).await;
    let told = |order: &str, kind: &str| (order.to_owned(), kind.to_owned());
    let mut expected =
        vec![told(&foreign, "given_back"), told(&forgotten, "not_credited"), told("order-of-nobody", "unknown_order")];
    expected.sort();
    assert_eq!(stage.differences().await, expected, "and not {good}");
    assert_eq!(stage.points(user).await, before, "nothing is mended");
    let admin = scheduler.address("admin").await;
    becomes("an operator sees it", true, || async {
        (crate::stage::metric(&admin, "gream_differences_open").await - 3.0).abs() < 0.5
    })
    .await;

    // Followed on purpose, the one that can be booked is, and its row says that it is over.
    let _worker = stage.market.worker(&["payment"]).await;
    stage.follow(&foreign, "on purpose").await;
    assert_eq!(stage.points(user).await.0, before.0 - 4_000);
    assert!(!stage.differences().await.contains(&told(&foreign, "given_back")));
}

#[tokio::test]
async fn a_list_that_lies_about_an_amount_is_told_and_an_outage_only_delays() {
    let mut stage = Stage::new("days_lie").await;
    stage.market.set("GREAM__SCHEDULER__COMPARE_INTERVAL_MS", 300);
    let user = stage.market.user(1, 0).await;
    let order = {
        let _worker = stage.market.worker(&["payment"]).await;
        stage.charged(user, 3_000).await
    };
    stage.market.advance_clock(DAY_MS + 2 * 3_600_000);
    for (times, fault) in [(2, json!({"status": 503})), (1, json!({"hang_ms": 1_500}))] {
        let request = json!({"match": {"path": "transactions"}, "times": times, "fault": fault});
        stage.ask("POST", "/sandbox/faults", &request).await;
    }
    let lie = json!({"match": {"path": "transactions"}, "times": 7, "fault": {"wrong_amount": 1}});
    stage.ask("POST", "/sandbox/faults", &lie).await;
    let _scheduler = stage.market.worker(&["scheduler"]).await;
    becomes("a week of days", 7, || compared(&stage)).await;
    assert_eq!(stage.differences().await, [(order, "other_terms".to_owned())]);
    assert_eq!(stage.points(user).await, (3_000, 0));
}
