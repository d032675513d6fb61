//! A day's transactions at Toss, compared with ours: differences are told, never mended.

use crate::stage::{Stage, halted, key_of, metric, order_of};
use acceptance::wait::becomes;
use contracts::Envelope;
use domain::breaker::State;
use serde_json::json;
use workers::SharedBreaker;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

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
    stage.cancel_by_hand(&key, "by hand", 4_000).await;
    let toss = |path: String| reqwest::Client::new().post(path).basic_auth("test_sk_acceptance", Some(""));
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
        (metric(&admin, "gream_differences_open").await - 3.0).abs() < 0.5
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
    let told = [(order.clone(), "other_listed".to_owned())];
    assert_eq!(stage.differences().await, told);
    assert_eq!(stage.points(user).await, (3_000, 0));
    let _worker = stage.market.worker(&["payment"]).await;
    stage.follow(&order, "anybody's webhook").await;
    assert_eq!(stage.differences().await, told, "a look-up knows nothing of what a list said");
}

#[tokio::test]
async fn a_deposit_taken_back_on_its_day_is_told_although_its_webhook_is_lost() {
    let mut stage = Stage::new("days_reversed").await;
    stage.market.set("GREAM__SCHEDULER__COMPARE_INTERVAL_MS", 300);
    let user = stage.market.user(1, 0).await;
    let worker = stage.market.worker(&["payment"]).await;
    let charge = stage.awaiting(user, 10_000).await;
    let order = order_of(&charge);
    stage.deposit(&charge, "").await;
    stage.follow(order, "came").await;
    stage.deposit(&charge, "/error").await;
    drop(worker);
    stage.market.advance_clock(DAY_MS + 2 * HOUR_MS);
    let _scheduler = stage.market.worker(&["scheduler"]).await;
    becomes("a week of days", 7, || compared(&stage)).await;
    assert_eq!(stage.differences().await, [(order.to_owned(), "given_back".to_owned())]);
    assert_eq!(stage.points(user).await, (10_000, 0), "nothing is mended");
    let _worker = stage.market.worker(&["payment"]).await;
    stage.follow(order, "on purpose").await;
    assert_eq!((stage.differences().await, stage.points(user).await), (vec![], (0, 0)));
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_cancel_of_ours_that_no_leg_has_booked_is_told_until_one_has() {
    let mut stage = Stage::new("days_leg").await;
    stage.market.set("GREAM__SCHEDULER__COMPARE_INTERVAL_MS", 300);
    let user = stage.market.user(1, 0).await;
    let worker = stage.market.worker(&["payment", "refund"]).await;
    let (order, refund) = (stage.charged(user, 5_000).await, stage.refund(user, 2_000).await);
    stage.approve(refund).await;
    drop(worker);
    let (mut victim, file) = stage.market.halting_worker(&["refund"], "refund.cancel.after");
    {
        let _relay = stage.market.worker(&["relay"]).await;
        halted(&mut victim, &file, "refund.cancel.after").await;
    }
    victim.kill();
    let message = acceptance::wait::eventually("its message", || stage.market.broker.take("refund")).await.delivery;
    stage.market.advance_clock(DAY_MS + 2 * HOUR_MS);
    let scheduler = stage.market.worker(&["scheduler"]).await;
    becomes("a week of days", 7, || compared(&stage)).await;
    drop(scheduler);
    let told = [(order.clone(), "given_back".to_owned())];
    assert_eq!(stage.differences().await, told);
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    stage.follow(&order, "anybody's webhook").await;
    assert_eq!(stage.differences().await, told, "it is not over");
    stage.publish(&Envelope::decode(&message.data).unwrap()).await;
    stage.refund_becomes(refund, "paid").await;
    stage.follow(&order, "afterwards").await;
    assert_eq!((stage.differences().await, stage.points(user).await), (vec![], (3_000, 0)));
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_wait_that_toss_asks_for_is_kept_and_a_charge_that_cannot_be_looked_up_holds_no_other_up() {
    let mut stage = Stage::new("days_wait").await;
    stage.market.set("GREAM__SCHEDULER__COMPARE_INTERVAL_MS", 2_000);
    let user = stage.market.user(1, 0).await;
    let mut orders = Vec::new();
    {
        let _worker = stage.market.worker(&["payment"]).await;
        for _ in 0..3 {
            let charge = stage.charge(user, 1_000).await;
            stage.publish(&charge).await;
            stage.market.reaches(charge.id, "done").await;
            stage.cancel_by_hand(key_of(&charge), "by hand", 1_000).await;
            orders.push(order_of(&charge).to_owned());
        }
    }
    stage.fault("payment", &orders[2], 1, json!({"status": 429, "retry_after_s": 1})).await;
    stage.fault("payment", &orders[1], 1_000, json!({"code": "ODD_ONE"})).await;
    // Of the days after the first one, that of the three charges, there is nothing to tell.
    stage.market.advance_clock(3 * DAY_MS + 2 * HOUR_MS);
    let _scheduler = stage.market.worker(&["scheduler"]).await;
    becomes("all days but one", 6, || compared(&stage)).await;
    let told = |order: &String| (order.clone(), "given_back".to_owned());
    assert_eq!(
        stage.differences().await,
        [told(&orders[0]), told(&orders[2])],
        "one asked to wait, and was waited for"
    );
    becomes("it is tried again", true, || async { stage.struck().await[1] >= 3 }).await;
    stage.ask("DELETE", "/sandbox/faults", &serde_json::Value::Null).await;
    becomes("a week of days", 7, || compared(&stage)).await;
    assert_eq!(stage.differences().await, orders.iter().map(told).collect::<Vec<_>>());
    assert_eq!(stage.calls("transactions").await, 7, "no list was read twice");
}

#[tokio::test]
async fn while_the_circuit_breaker_is_open_no_day_is_compared() {
    let mut stage = Stage::new("days_breaker").await;
    stage.market.set("GREAM__SCHEDULER__COMPARE_INTERVAL_MS", 300);
    let breaker = SharedBreaker::new(stage.market.database.clone(), std::time::Duration::from_secs(10), "test");
    breaker.hold(stage.market.now()).await.unwrap();
    stage.market.advance_clock(DAY_MS + 2 * HOUR_MS);
    let mut scheduler = stage.market.worker(&["scheduler"]).await;
    let admin = scheduler.address("admin").await;
    becomes("it is at work", true, || async { metric(&admin, "gream_scheduler_runs_total").await > 3.0 }).await;
    assert_eq!((stage.calls("transactions").await, compared(&stage).await), (0, 0));
    breaker.change(stage.market.now(), |_| State::NEW).await.unwrap();
    becomes("a week of days", 7, || compared(&stage)).await;
}
