//! Webhooks over HTTP: hints that are looked up, dropped when repeated, and harmless when forged.

use crate::stage::{Stage, WINDOW_MS, confirm, key_of, metric, order_of};
use acceptance::wait::becomes;
use serde_json::{Value, json};

/// Sends a webhook as anybody could; the status.
async fn send(url: &str, transmission: &str, body: &Value) -> u16 {
    let request = reqwest::Client::new().post(url).header("tosspayments-webhook-transmission-id", transmission);
    let began = std::time::Instant::now();
    let status = request.json(body).send().await.unwrap().status().as_u16();
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "answered within a second");
    status
}

#[tokio::test]
async fn a_deposit_is_credited_and_taken_back_by_webhooks_alone() {
    let stage = Stage::new("hint_deposit").await;
    let user = stage.market.user(1, 0).await;
    let (mut api, _) = stage.hears_webhooks(100).await;
    let _worker = stage.market.worker(&["payment"]).await;
    let charge = stage.awaiting(user, 10_000).await;
    // Told twice each, and one of them comes once more.
    stage.fault("webhook", order_of(&charge), 1, json!({"webhook": "duplicate"})).await;
    stage.deposit(&charge, "").await;
    stage.charge_becomes(order_of(&charge), "done").await;
    assert_eq!(stage.points(user).await, (10_000, 0));
    stage.deposit(&charge, "/error").await;
    stage.charge_becomes(order_of(&charge), "awaiting_deposit").await;
    assert_eq!((stage.points(user).await, stage.debt(user).await), ((0, 0), 0));
    becomes("every webhook is answered", 0, || async {
        stage.ask("GET", "/sandbox/webhooks", &Value::Null).await["pending"].as_i64().unwrap_or(0)
    })
    .await;
    assert!(metric(&api.address("admin").await, "gream_toss_webhooks_total").await >= 3.0);
    stage.audit_holds().await;
}

#[tokio::test]
async fn webhooks_get_lost_and_the_scheduler_finds_the_deposit() {
    let mut stage = Stage::new("hint_lost").await;
    stage.market.set("GREAM__SCHEDULER__CHARGES_INTERVAL_MS", 200);
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment", "scheduler"]).await;
    let charge = stage.awaiting(user, 10_000).await;
    stage.deposit(&charge, "").await;
    stage.market.advance_clock(7 * 3_600_000);
    stage.charge_becomes(order_of(&charge), "done").await;
    assert_eq!(stage.points(user).await, (10_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_forged_webhook_credits_nothing_and_learns_nothing() {
    let mut stage = Stage::new("hint_forged").await;
    stage.market.set("GREAM__RATE_LIMITS__WEBHOOKS_PER_ORDER", 2);
    let user = stage.market.user(1, 0).await;
    let (api, address) = stage.market.api().await;
    let url = format!("http://{address}/api/payments/toss/webhook");
    let _worker = stage.market.worker(&["payment"]).await;
    let charge = stage.awaiting(user, 10_000).await;
    let (order, key) = (order_of(&charge), key_of(&charge));
    let secret: String =
        sqlx::query_scalar("SELECT webhook_secret FROM payments").fetch_one(&stage.market.database).await.unwrap();
    assert!(!api.logged().contains(&secret));
    let payment =
        json!({"orderId": order, "paymentKey": key, "status": "DONE", "totalAmount": 99_999_999, "secret": secret});
    let lie = json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": payment});
    let callback = |secret: &str| json!({"orderId": order, "secret": secret, "status": "DONE", "transactionKey": "t"});

    // None of these is about a payment of ours, or known to Toss, or proves itself.
    for (number, body) in [
        json!({"eventType": "payout.changed", "data": {"orderId": order}}),
        json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "order-of-nobody"}}),
        json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": [1, 2]}),
        callback("guessed"),
        callback(""),
        json!({}),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(send(&url, &format!("no-{number}"), body).await, 200, "{body}");
    }
    assert_eq!(stage.market.number("SELECT COUNT(*) FROM toss_webhooks").await, 0);
    let looked_up = stage.calls("payment").await;

    // This one is looked up, once, and Toss knows better.
    for _ in 0..2 {
        assert_eq!(send(&url, "yes-1", &lie).await, 200);
    }
    becomes("it was looked up", looked_up + 1, || stage.calls("payment")).await;
    assert_eq!(send(&url, "yes-2", &callback(&secret)).await, 200);
    becomes("the right secret too", looked_up + 2, || stage.calls("payment")).await;
    assert_eq!(send(&url, "yes-3", &lie).await, 200);
    assert_eq!(send(&url, "yes-4", &lie).await, 429, "only so often");
    assert_eq!(send(&url, "yes-1", &lie).await, 200, "what is known costs nothing");
    assert_eq!((stage.charge_state(order).await.as_str(), stage.points(user).await), ("awaiting_deposit", (0, 0)));

    let large = json!({"eventType": "x".repeat(70_000)});
    assert_eq!(send(&url, "large", &large).await, 413);
    assert_eq!(send(&url, "list", &json!([])).await, 400);
    stage.audit_holds().await;
}

#[tokio::test]
async fn forged_webhooks_use_up_nothing_of_what_proven_ones_are_served() {
    let mut stage = Stage::new("hint_budget").await;
    stage.market.set("GREAM__RATE_LIMITS__WEBHOOKS_IN_ALL", 2);
    let user = stage.market.user(1, 0).await;
    let (_api, address) = stage.market.api().await;
    let url = format!("http://{address}/api/payments/toss/webhook");
    let _worker = stage.market.worker(&["payment"]).await;
    let (unpaid, charge) = (stage.order(user, 1_000).await, stage.awaiting(user, 10_000).await);
    let lie = |order: &str| json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": order}});
    for number in 0..3 {
        assert_eq!(send(&url, &format!("unpaid-{number}"), &lie(&unpaid)).await, 200, "nothing to look up");
        assert_eq!(send(&url, "repeated", &lie(order_of(&charge))).await, 200, "looked up once");
    }
    assert_eq!(send(&url, "second", &lie(order_of(&charge))).await, 200);
    assert_eq!(send(&url, "third", &lie(order_of(&charge))).await, 429, "all of it is used up");
    let secret: String = sqlx::query_scalar("SELECT webhook_secret FROM payments WHERE order_id = ?")
        .bind(order_of(&charge))
        .fetch_one(&stage.market.database)
        .await
        .unwrap();
    stage.deposit(&charge, "").await;
    let proven = json!({"orderId": order_of(&charge), "secret": secret, "status": "DONE", "transactionKey": "t"});
    assert_eq!(send(&url, "proven", &proven).await, 200);
    stage.charge_becomes(order_of(&charge), "done").await;
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_deposit_that_a_look_up_credited_is_taken_back_by_its_callback() {
    let stage = Stage::new("hint_secret").await;
    let user = stage.market.user(1, 0).await;
    // Nobody hears how the account was issued; the payer pays; only a look-up shows it.
    let charge = stage.deposit_charge(user, 10_000).await;
    stage.left_behind(&charge, "payment.confirm.after").await;
    stage.deposit(&charge, "").await;
    stage.market.advance_clock(WINDOW_MS + 3_600_000);
    let _worker = stage.market.worker(&["payment"]).await;
    stage.follow(order_of(&charge), "found").await;
    assert_eq!((stage.charge_state(order_of(&charge)).await.as_str(), stage.points(user).await), ("done", (10_000, 0)));
    let without = "SELECT COUNT(*) FROM payments WHERE webhook_secret IS NULL";
    assert_eq!(stage.market.number(without).await, 0, "by which its callbacks prove themselves");
    // One that was credited before secrets were kept gets it from the next look-up.
    sqlx::query("UPDATE payments SET webhook_secret = NULL").execute(&stage.market.database).await.unwrap();
    stage.follow(order_of(&charge), "again").await;
    assert_eq!(stage.market.number(without).await, 0);
    let (_api, _) = stage.hears_webhooks(100).await;
    stage.deposit(&charge, "/error").await;
    stage.charge_becomes(order_of(&charge), "awaiting_deposit").await;
    assert_eq!((stage.points(user).await, stage.debt(user).await), ((0, 0), 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn while_look_ups_fail_a_stuck_charge_is_sent_once_an_hour() {
    const HOUR_MS: i64 = 3_600_000;
    let mut stage = Stage::new("hint_once").await;
    stage.market.set("GREAM__SCHEDULER__CHARGES_INTERVAL_MS", 100);
    let user = stage.market.user(1, 0).await;
    let charge = stage.charge(user, 1_000).await;
    stage.left_behind(&charge, "payment.confirm.before").await;
    // To the beginning of an hour that is well past its window.
    stage.market.advance_clock(2 * HOUR_MS - stage.market.now().0.rem_euclid(HOUR_MS));
    let mut scheduler = stage.market.worker(&["scheduler"]).await;
    let admin = scheduler.address("admin").await;
    let sent = || metric(&admin, "gream_scheduler_commands_total");
    becomes("it was sent", 1.0, sent).await;
    for minute in 1..=3 {
        stage.market.advance_clock(60_000);
        let runs = metric(&admin, "gream_scheduler_runs_total").await;
        becomes("looked again", true, || async { metric(&admin, "gream_scheduler_runs_total").await > runs + 8.0 })
            .await;
        assert!((sent().await - 1.0).abs() < 0.5, "minute {minute}: its first command has not ended");
    }
    stage.market.advance_clock(HOUR_MS);
    becomes("another one", 2.0, sent).await;
}

#[tokio::test]
async fn a_webhook_that_comes_before_the_confirm_is_answered_waits_for_it() {
    let stage = Stage::new("hint_early").await;
    let user = stage.market.user(1, 0).await;
    let (_api, _) = stage.hears_webhooks(100).await;
    let charge = stage.deposit_charge(user, 10_000).await;
    let order = order_of(&charge);
    // The account is issued and the answer lost; the payer is quick; the next answer is the old one.
    stage.fault("confirm", order, 1, json!({"reset": "after"})).await;
    let _worker = stage.market.worker(&["payment"]).await;
    stage.publish(&charge).await;
    becomes("the confirm was sent", true, || async { stage.calls("confirm").await > 0 }).await;
    stage.deposit(&charge, "").await;
    stage.charge_becomes(order, "done").await;
    assert_eq!(stage.points(user).await, (10_000, 0));
    becomes("nothing waits", 0, || {
        stage.market.number("SELECT COUNT(*) FROM commands WHERE state <> 'done' AND kind <> 'sign_up'")
    })
    .await;
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_charge_whose_command_is_gone_is_found_and_ended() {
    let mut stage = Stage::new("hint_stuck").await;
    stage.market.set("GREAM__SCHEDULER__CHARGES_INTERVAL_MS", 200);
    let (taken, lost) = (stage.market.user(1, 0).await, stage.market.user(2, 0).await);
    let mut commands = Vec::new();
    for (user, point) in [(taken, "payment.confirm.after"), (lost, "payment.confirm.before")] {
        let command = stage.charge(user, 1_000).await;
        stage.left_behind(&command, point).await;
        commands.push(command);
    }
    let _worker = stage.market.worker(&["payment", "scheduler"]).await;
    stage.market.advance_clock(WINDOW_MS + 3_600_000);
    stage.market.reaches(commands[0].id, "done").await;
    stage.market.reaches(commands[1].id, "rejected").await;
    assert_eq!((stage.points(taken).await, stage.points(lost).await), ((1_000, 0), (0, 0)));
    let replay = confirm(taken, order_of(&commands[0]), key_of(&commands[0]), 1_000, stage.market.now());
    stage.publish(&replay).await;
    becomes("an empty queue", 0, || stage.market.broker.depth("payment")).await;
    assert_eq!(stage.points(taken).await, (1_000, 0), "its own command, found again, changes nothing");
    stage.audit_holds().await;
}
