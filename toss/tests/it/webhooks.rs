//! What the merchant is told, how often, and what a fault makes of it.

use crate::{
    merchant::{Heard, Merchant},
    stage::{SECRET, Stage, code, journal_in, until},
};
use contracts::{UnixMs, Won};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot};
use toss::{
    Payment, SecretKey,
    sandbox::{
        SandboxError, SandboxOptions, serve_with_webhooks,
        webhooks::{RETRY_MINUTES, WebhookOptions},
    },
};

const MINUTE_MS: i64 = 60_000;

/// A sandbox that tells a merchant everything, in real minutes (of the stage's clock, which only the test moves).
async fn told() -> (Stage, Merchant) {
    let (stage, merchant) = (Stage::new().await, Merchant::new().await);
    let (status, answer) = stage.ask("PUT", "/sandbox/webhooks", json!({"url": merchant.url()})).await;
    assert_eq!(status, 204, "{answer}");
    (stage, merchant)
}

async fn counts(stage: &Stage) -> Value {
    stage.ask("GET", "/sandbox/webhooks", Value::Null).await.1["counts"].clone()
}

async fn strike(stage: &Stage, order_id: &str, webhook: &str) {
    stage.fault("webhook", order_id, 1, json!({"webhook": webhook})).await;
}

/// Waits until so many attempts have ended.
async fn attempts_end(stage: &Stage, answered: u64, failed: u64) {
    let wanted = (json!(answered), json!(failed));
    until(async || {
        let counts = counts(stage).await;
        (counts["answered"].clone(), counts["failed_attempts"].clone()) == wanted
    })
    .await;
}

#[tokio::test]
async fn every_status_that_matters_is_told_with_the_payment() {
    let (stage, merchant) = told().await;
    let paid = stage.paid(1_000).await;
    let done = &merchant.hears(1).await[0];
    assert_eq!(done.body["eventType"], "PAYMENT_STATUS_CHANGED");
    assert_eq!(done.body["createdAt"], "2023-11-15T07:13:20.000000");
    assert_eq!((done.time.as_str(), done.retried), ("2023-11-15T07:13:20+09:00", 0));
    assert_eq!(
        Payment::from_json(done.body["data"].clone()).unwrap(),
        stage.client.payment(&paid.payment_key).await.unwrap()
    );

    stage.client.cancel(&paid.payment_key, "leg", Won(400), "leg").await.unwrap();
    merchant.hears(2).await;
    let whole = stage.paid(2_000).await;
    merchant.hears(3).await;
    stage.client.cancel(&whole.payment_key, "all", Won(2_000), "all").await.unwrap();
    merchant.hears(4).await;
    let aborted = stage.checkout(500).await;
    stage.fault("confirm", &aborted.order_id, 1, json!({"code": "REJECT_CARD_COMPANY"})).await;
    stage.client.confirm(&aborted.payment_key, &aborted.order_id, Won(500), "no").await.unwrap_err();
    merchant.hears(5).await;
    stage.checkout(700).await;
    stage.advance_ms(10 * MINUTE_MS);
    let heard = merchant.hears(6).await;
    let statuses: Vec<&str> = heard.iter().map(Heard::status).collect();
    assert_eq!(statuses, ["DONE", "PARTIAL_CANCELED", "DONE", "CANCELED", "ABORTED", "EXPIRED"]);
    let mut ids: Vec<_> = heard.iter().map(|heard| heard.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[tokio::test]
async fn an_expiry_is_told_once_even_after_a_restart() {
    let (stage, merchant) = told().await;
    stage.checkout(700).await;
    stage.advance_ms(10 * MINUTE_MS);
    merchant.hears(1).await;
    let stage = stage.restart().await;
    assert_eq!(stage.ask("PUT", "/sandbox/webhooks", json!({"url": merchant.url()})).await.0, 204);
    stage.checkout(800).await;
    stage.advance_ms(10 * MINUTE_MS);
    let heard = merchant.hears(2).await;
    assert_eq!(heard[1].body["data"]["totalAmount"], 800);
}

#[tokio::test]
async fn a_deposit_is_called_back_flat_and_with_the_payments_secret() {
    let (stage, merchant) = told().await;
    let (paid, issued) = stage.waiting(3_000).await;
    let deposits = format!("/sandbox/deposits/{}", paid.payment_key);
    assert_eq!(stage.ask("POST", &deposits, Value::Null).await.0, 200);
    let mut heard = merchant.hears(2).await;
    heard.sort_by_key(|heard| heard.body["eventType"].is_null());
    assert_eq!((heard[0].body["eventType"].as_str(), heard[0].status()), (Some("PAYMENT_STATUS_CHANGED"), "DONE"));
    let payment = stage.client.payment(&paid.payment_key).await.unwrap();
    let flat = json!({
        "createdAt": "2023-11-15T07:13:20.000000", "secret": issued.raw["secret"], "status": "DONE",
        "transactionKey": payment.raw["lastTransactionKey"], "orderId": paid.order_id,
    });
    assert_eq!(heard[1].body, flat);

    assert_eq!(stage.ask("POST", &format!("{deposits}/error"), Value::Null).await.0, 200);
    let back = &merchant.hears(3).await[2];
    assert_eq!((back.status(), &back.body["secret"]), ("WAITING_FOR_DEPOSIT", &issued.raw["secret"]));
    assert_eq!(back.body["eventType"], Value::Null);
    stage.client.cancel(&paid.payment_key, "no more", Won(3_000), "c").await.unwrap();
    let closed = merchant.hears(5).await;
    assert!(closed[3..].iter().all(|heard| heard.status() == "CANCELED"));
}

#[tokio::test]
async fn what_is_not_answered_comes_again_at_its_minutes_and_is_given_up_in_the_end() {
    let (stage, merchant) = told().await;
    merchant.answer(&[500; 8]);
    stage.paid(1_000).await;
    let first = merchant.hears(1).await[0].clone();
    for (number, minutes) in RETRY_MINUTES.into_iter().enumerate() {
        attempts_end(&stage, 0, number as u64 + 1).await;
        stage.advance_ms(minutes * MINUTE_MS - 1);
        tokio::time::sleep(Duration::from_millis(60)).await;
        merchant.hears(number + 1).await;
        stage.advance_ms(1);
        let again = merchant.hears(number + 2).await.pop().unwrap();
        assert_eq!((again.retried, &again.id, &again.body), (number as u64 + 1, &first.id, &first.body));
        assert_eq!(again.time, first.time);
    }
    attempts_end(&stage, 0, 8).await;
    stage.advance_ms(5_000 * MINUTE_MS);
    tokio::time::sleep(Duration::from_millis(60)).await;
    merchant.hears(8).await;
    let counts = counts(&stage).await;
    assert_eq!((&counts["given_up"], &counts["attempts"], &counts["made"]), (&json!(1), &json!(8), &json!(1)));
}

#[tokio::test]
async fn minutes_can_be_short_and_an_answer_too_late_is_none() {
    let (stage, merchant) = (Stage::new().await, Merchant::new().await);
    let short = json!({"url": merchant.url(), "minute_ms": 2, "answer_within_ms": 100});
    assert_eq!(stage.ask("PUT", "/sandbox/webhooks", short).await.0, 204);
    merchant.answer_after(Duration::from_millis(400));
    stage.paid(1_000).await;
    attempts_end(&stage, 0, 1).await;
    merchant.answer_after(Duration::ZERO);
    merchant.answer(&[201]);
    stage.advance_ms(2);
    attempts_end(&stage, 0, 2).await;
    stage.advance_ms(4 * 2);
    attempts_end(&stage, 1, 2).await;
    let retried: Vec<u64> = merchant.hears(3).await.iter().map(|heard| heard.retried).collect();
    assert_eq!(retried, [0, 1, 2], "neither late nor 201 is an answer");
}

#[tokio::test]
async fn webhooks_are_lost_doubled_and_reordered_on_request() {
    let (stage, merchant) = told().await;
    let [lost, doubled, held, next] = [(); 4].map(|()| stage.next_order());
    strike(&stage, &lost, "loss").await;
    strike(&stage, &doubled, "duplicate").await;
    strike(&stage, &held, "reorder").await;
    let pay = async |order_id: &str| {
        let body = json!({"orderId": order_id, "amount": 1_000});
        let key = stage.ask("POST", "/sandbox/checkout", body).await.1["paymentKey"].as_str().unwrap().to_owned();
        stage.client.confirm(&key, order_id, Won(1_000), order_id).await.unwrap();
    };
    pay(&lost).await;
    pay(&doubled).await;
    let twice = merchant.hears(2).await;
    assert_eq!((&twice[0].id, &twice[0].body), (&twice[1].id, &twice[1].body));
    assert_eq!(twice[0].body["data"]["orderId"], doubled);
    // What went out before it does not set it free.
    attempts_end(&stage, 2, 0).await;
    pay(&held).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    merchant.hears(2).await;
    pay(&next).await;
    let heard = merchant.hears(4).await;
    assert_eq!((&heard[2].body["data"]["orderId"], &heard[3].body["data"]["orderId"]), (&json!(next), &json!(held)));
    attempts_end(&stage, 4, 0).await;
    assert_eq!(stage.struck().await, [1, 1, 1]);
    let counts = counts(&stage).await;
    let fates = ["made", "lost", "duplicated", "reordered"].map(|fate| counts[fate].as_u64().unwrap());
    assert_eq!(fates, [4, 1, 1, 1]);
}

#[tokio::test]
async fn a_mix_of_webhook_faults_is_counted() {
    let (stage, merchant) = told().await;
    let mix = json!({"seed": 3, "none": 2, "faults": [
        {"weight": 1, "fault": {"webhook": "loss"}}, {"weight": 1, "fault": {"webhook": "duplicate"}},
    ]});
    assert_eq!(stage.ask("PUT", "/sandbox/mixes/webhook", mix).await.0, 204);
    for _ in 0..30 {
        stage.paid(1_000).await;
    }
    let mixes = stage.ask("GET", "/sandbox/mixes", Value::Null).await.1;
    let applied = |fault: usize| mixes["mixes"]["webhook"]["faults"][fault]["applied"].as_u64().unwrap();
    assert!(applied(0) > 0 && applied(1) > 0, "{mixes}");
    let arriving = usize::try_from(30 - applied(0) + applied(1)).unwrap();
    merchant.hears(arriving).await;
    attempts_end(&stage, arriving as u64, 0).await;
    let counts = counts(&stage).await;
    assert_eq!((&counts["lost"], &counts["duplicated"]), (&json!(applied(0)), &json!(applied(1))));
}

#[tokio::test]
async fn nobody_is_told_until_there_is_an_address_nor_after_it_is_gone() {
    let (stage, merchant) = (Stage::new().await, Merchant::new().await);
    for bad in [
        json!({}),
        json!({"url": "ftp://host/"}),
        json!({"url": merchant.url(), "minute_ms": -1}),
        json!({"url": merchant.url(), "answer_within_ms": 0}),
        json!({"url": merchant.url(), "surprise": 1}),
    ] {
        assert_eq!(stage.ask("PUT", "/sandbox/webhooks", bad.clone()).await.0, 400, "{bad}");
    }
    stage.paid(1_000).await;
    assert_eq!(stage.ask("GET", "/sandbox/webhooks", Value::Null).await.1["target"], Value::Null);
    assert_eq!(stage.ask("PUT", "/sandbox/webhooks", json!({"url": merchant.url()})).await.0, 204);
    let told = stage.ask("GET", "/sandbox/webhooks", Value::Null).await.1;
    let target = json!({"url": merchant.url(), "minute_ms": 60_000, "answer_within_ms": 10_000});
    assert_eq!((&told["target"], &told["pending"]), (&target, &json!(0)));
    merchant.answer(&[500]);
    stage.paid(1_000).await;
    attempts_end(&stage, 0, 1).await;
    assert_eq!(stage.ask("DELETE", "/sandbox/webhooks", Value::Null).await.0, 204);
    stage.advance_ms(MINUTE_MS);
    stage.paid(1_000).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    merchant.hears(1).await;
    assert_eq!(stage.ask("GET", "/sandbox/webhooks", Value::Null).await.1["pending"], 0);
}

#[tokio::test]
async fn a_merchant_who_is_away_does_not_hold_a_confirm_up() {
    let (stage, merchant) = told().await;
    merchant.answer_after(Duration::from_secs(30));
    for _ in 0..20 {
        stage.paid(1_000).await;
    }
    let shown = stage.ask("GET", "/sandbox/webhooks", Value::Null).await.1;
    assert!(shown["under_way"].as_u64().unwrap() <= 8, "{shown}");
    let again = stage.client.confirm("nobody", "order-nobody", Won(1), "k").await;
    assert_eq!(code(again), "NOT_FOUND_PAYMENT");
    tokio::time::timeout(Duration::from_secs(10), stage.restart()).await.unwrap();
}

#[tokio::test]
async fn a_sandbox_can_tell_from_its_start_on_or_does_not_start() {
    crate::stage::install_tls();
    let folder = tempfile::tempdir().unwrap();
    let serve = async |url: String, shutdown: oneshot::Receiver<()>| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = SandboxOptions {
            secret_key: SecretKey::new(SECRET),
            journal: journal_in(folder.path()),
            now: Arc::new(|| UnixMs(1_700_000_000_000)),
        };
        let webhooks = WebhookOptions { url, minute_ms: 1, answer_within_ms: 1_000 };
        let shutdown = async move { shutdown.await.unwrap_or(()) };
        (address, tokio::spawn(serve_with_webhooks(listener, options, Some(webhooks), shutdown)))
    };
    let (_kept, never) = oneshot::channel();
    let (_, refusing) = serve("nonsense".to_owned(), never).await;
    let refused = tokio::time::timeout(Duration::from_secs(5), refusing).await.unwrap().unwrap();
    assert!(matches!(refused, Err(SandboxError::Webhooks(_))), "{refused:?}");

    let merchant = Merchant::new().await;
    let (stop, stopped) = oneshot::channel();
    let (address, serving) = serve(merchant.url(), stopped).await;
    let form = [("orderId", "order-1"), ("amount", "1000"), ("choice", "fail")];
    let form = form.into_iter().chain([("successUrl", "http://shop.example/"), ("failUrl", "http://shop.example/")]);
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form: Vec<(&str, &str)> = form.collect();
    browser.post(format!("http://{address}/checkout")).form(&form).send().await.unwrap();
    assert_eq!(merchant.hears(1).await[0].status(), "ABORTED");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
