//! The 30 and the 10 minutes, by the injected clock; and what a restart keeps.

use crate::stage::{Stage, code};
use contracts::Won;
use serde_json::{Value, json};
use toss::PaymentStatus;

const MINUTE_MS: i64 = 60_000;

#[tokio::test]
async fn a_confirm_comes_within_ten_minutes_or_never() {
    let stage = Stage::new().await;
    let (in_time, late) = (stage.checkout(1_000).await, stage.checkout(1_000).await);
    stage.advance_ms(10 * MINUTE_MS - 1);
    stage.client.confirm(&in_time.payment_key, &in_time.order_id, in_time.amount, "in-time").await.unwrap();
    stage.advance_ms(1);
    let refused = stage.client.confirm(&late.payment_key, &late.order_id, late.amount, "late").await;
    assert_eq!(code(refused), "NOT_FOUND_PAYMENT_SESSION");
    assert_eq!(stage.client.payment(&late.payment_key).await.unwrap().status, PaymentStatus::Expired);
    assert_eq!(stage.client.payment(&in_time.payment_key).await.unwrap().status, PaymentStatus::Done);
}

#[tokio::test]
async fn a_payer_authenticates_within_thirty_minutes_or_never() {
    let stage = Stage::new().await;
    let open = async || {
        let body = json!({"orderId": stage.next_order(), "amount": 1000, "authenticate": false});
        let redirect = stage.ask("POST", "/sandbox/checkout", body).await.1;
        redirect["paymentKey"].as_str().unwrap().to_owned()
    };
    let authenticate =
        async |payment_key: &str| stage.ask("POST", &format!("/sandbox/checkout/{payment_key}"), Value::Null).await;
    let (in_time, late) = (open().await, open().await);
    assert_eq!(stage.client.payment(&in_time).await.unwrap().status, PaymentStatus::Ready);
    assert_eq!(code(stage.client.confirm(&in_time, "order-0", Won(1_000), "k").await), "NOT_FOUND_PAYMENT_SESSION");
    stage.advance_ms(30 * MINUTE_MS - 1);
    let (status, redirect) = authenticate(&in_time).await;
    assert_eq!((status, &redirect["amount"]), (200, &json!(1000)));
    assert_eq!(authenticate(&in_time).await.0, 400, "once is enough");
    stage.advance_ms(1);
    assert_eq!(authenticate(&late).await.0, 404);
    assert_eq!(stage.client.payment(&late).await.unwrap().status, PaymentStatus::Expired);
    assert_eq!(stage.client.payment(&in_time).await.unwrap().status, PaymentStatus::InProgress);
}

#[tokio::test]
async fn a_restart_keeps_the_money_the_answers_and_the_windows() {
    let stage = Stage::new().await;
    let (paid, waiting) = (stage.paid(10_000).await, stage.checkout(2_000).await);
    stage.client.cancel(&paid.payment_key, "leg 1", Won(1_000), "leg-1").await.unwrap();
    stage.fault("confirm", &waiting.order_id, 1, json!({"code": "PROVIDER_ERROR"})).await;
    let refused = stage.client.confirm(&waiting.payment_key, &waiting.order_id, waiting.amount, "bound").await;
    assert_eq!(code(refused), "PROVIDER_ERROR");
    let (payment, journal) = (stage.client.payment(&paid.payment_key).await.unwrap(), stage.journal().await);

    let stage = stage.restart().await;
    assert_eq!(stage.client.payment(&paid.payment_key).await.unwrap(), payment);
    assert_eq!(stage.journal().await, journal);
    assert_eq!(stage.calls().await["confirm"], 0, "counters do not outlive the process");
    stage.client.cancel(&paid.payment_key, "leg 1", Won(1_000), "leg-1").await.unwrap();
    assert_eq!(stage.client.payment(&paid.payment_key).await.unwrap().balance_amount, Won(9_000), "still one cancel");
    let refused = stage.client.confirm(&waiting.payment_key, &waiting.order_id, waiting.amount, "bound").await;
    assert_eq!(code(refused), "PROVIDER_ERROR");
    stage.advance_ms(10 * MINUTE_MS);
    assert_eq!(stage.client.payment_by_order(&waiting.order_id).await.unwrap().status, PaymentStatus::Expired);
}
