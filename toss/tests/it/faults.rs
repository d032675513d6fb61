//! Every fault, and that it struck.

use crate::stage::{SECRET, Stage, code, refusal, until};
use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::Won;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use toss::{CallError, NoAnswerKind, Payment, PaymentStatus};

fn kind(result: Result<Payment, CallError>) -> NoAnswerKind {
    match result.unwrap_err() {
        CallError::NoAnswer { kind, .. } => kind,
        refused @ CallError::Refused(_) => panic!("{refused}"),
    }
}

/// Confirms under the fault, with a fresh payment; gives the answer, and the payment's status at Toss afterwards.
async fn confirm_under(stage: &Stage, fault: Value) -> (Result<Payment, CallError>, PaymentStatus) {
    let paid = stage.checkout(1_000).await;
    let struck_before = stage.struck().await.len();
    stage.fault("confirm", &paid.order_id, 1, fault).await;
    let result = stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, &paid.order_id).await;
    assert_eq!(stage.struck().await[struck_before], 1, "the fault must strike");
    (result, stage.client.payment(&paid.payment_key).await.unwrap().status)
}

#[tokio::test]
async fn a_reset_is_no_answer_with_the_effect_or_without() {
    let stage = Stage::new().await;
    let (result, status) = confirm_under(&stage, json!({"reset": "before"})).await;
    assert_eq!((kind(result), status), (NoAnswerKind::Reset, PaymentStatus::InProgress));
    let (result, status) = confirm_under(&stage, json!({"reset": "after"})).await;
    assert_eq!((kind(result), status), (NoAnswerKind::Reset, PaymentStatus::Done));
}

#[tokio::test]
async fn not_one_byte_is_sent_before_a_reset() {
    let stage = Stage::new().await;
    let paid = stage.paid(1_000).await;
    stage.fault("payment", &paid.order_id, 1, json!({"reset": "after"})).await;
    let mut stream = tokio::net::TcpStream::connect(stage.address).await.unwrap();
    let credentials = STANDARD.encode(format!("{SECRET}:"));
    let request = format!(
        "GET /v1/payments/{} HTTP/1.1\r\nhost: toss\r\nauthorization: Basic {credentials}\r\n\r\n",
        paid.payment_key
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).await.unwrap_err();
    assert_eq!((error.kind(), answer.len()), (std::io::ErrorKind::ConnectionReset, 0));
    assert_eq!(stage.struck().await, [1]);
}

#[tokio::test]
async fn a_gateway_error_has_no_code_and_says_nothing_of_the_effect() {
    let stage = Stage::new().await;
    let (result, status) = confirm_under(&stage, json!({"status": 502, "effect": false})).await;
    let refused = refusal(result);
    assert_eq!((refused.code.as_str(), status), ("HTTP_502", PaymentStatus::InProgress));
    assert!(refused.is_toss_ailing());
    let (result, status) = confirm_under(&stage, json!({"status": 500, "effect": true})).await;
    assert_eq!((refusal(result).code.as_str(), status), ("HTTP_500", PaymentStatus::Done));
    let (result, _) = confirm_under(&stage, json!({"status": 429, "retry_after_s": 7})).await;
    assert_eq!(refusal(result).retry_after_ms, Some(7_000));
}

#[tokio::test]
async fn an_error_code_of_toss_may_hide_an_effect_and_stays_bound_to_its_key() {
    let stage = Stage::new().await;
    let (result, status) = confirm_under(&stage, json!({"code": "PROVIDER_ERROR", "effect": true})).await;
    assert_eq!((code(result).as_str(), status), ("PROVIDER_ERROR", PaymentStatus::Done));

    let paid = stage.checkout(1_000).await;
    stage.fault("confirm", &paid.order_id, 1, json!({"code": "PROVIDER_ERROR", "http": 400, "effect": false})).await;
    let confirm = async |key: &str| stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, key).await;
    assert_eq!(code(confirm("first").await), "PROVIDER_ERROR");
    assert_eq!(code(confirm("first").await), "PROVIDER_ERROR", "bound to its key, though the fault is spent");
    assert_eq!(confirm("second").await.unwrap().status, PaymentStatus::Done);

    assert_eq!(stage.calls().await["replayed"], 1);

    let refused = stage.checkout(1_000).await;
    stage.fault("confirm", &refused.order_id, 1, json!({"code": "UNAUTHORIZED_KEY", "http": 401})).await;
    let confirm = async || stage.client.confirm(&refused.payment_key, &refused.order_id, refused.amount, "third").await;
    assert_eq!(code(confirm().await), "UNAUTHORIZED_KEY");
    assert_eq!(confirm().await.unwrap().status, PaymentStatus::Done, "no key is in the scope of a refused API key");

    let (result, status) = confirm_under(&stage, json!({"code": "REJECT_CARD_COMPANY", "http": 403})).await;
    assert_eq!((code(result).as_str(), status), ("REJECT_CARD_COMPANY", PaymentStatus::Aborted));
}

#[tokio::test]
async fn a_lost_answer_is_repeated_under_the_same_key() {
    let stage = Stage::new().await;
    for fault in [json!({"reset": "after"}), json!({"status": 500, "effect": true}), json!({"reset": "before"})] {
        let paid = stage.checkout(1_000).await;
        stage.fault("confirm", &paid.order_id, 2, fault).await;
        let confirm =
            async || stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, &paid.order_id).await;
        confirm().await.unwrap_err();
        confirm().await.unwrap_err();
        assert_eq!(confirm().await.unwrap().status, PaymentStatus::Done);
    }
    let confirmed = stage
        .journal()
        .await
        .into_iter()
        .filter(|entry| matches!(entry.effect, toss::sandbox::journal::Effect::Confirmed { .. }));
    assert_eq!(confirmed.count(), 3);
}

#[tokio::test]
async fn a_delayed_call_blocks_its_key_and_has_its_effect_after_the_caller_left() {
    let stage = Stage::new().await;
    let paid = stage.checkout(1_000).await;
    stage.fault("confirm", &paid.order_id, 1, json!({"delay_ms": 600})).await;
    let impatient = stage.impatient(100);
    let confirm = async |client: &toss::Client, key: &str| {
        client.confirm(&paid.payment_key, &paid.order_id, paid.amount, key).await
    };
    assert_eq!(kind(confirm(&impatient, "k").await), NoAnswerKind::Timeout);
    let meanwhile = refusal(confirm(&stage.client, "k").await);
    assert!(meanwhile.is_still_processing(), "{meanwhile}");
    assert_eq!(meanwhile.http, 409);
    assert_eq!(stage.client.payment(&paid.payment_key).await.unwrap().status, PaymentStatus::InProgress);
    until(async || stage.client.payment(&paid.payment_key).await.unwrap().status == PaymentStatus::Done).await;
    assert_eq!(confirm(&stage.client, "k").await.unwrap().status, PaymentStatus::Done, "a 409 is not bound to its key");
}

#[tokio::test]
async fn a_hanging_call_has_its_effect_at_once_and_never_answers() {
    let stage = Stage::new().await;
    let paid = stage.paid(1_000).await;
    stage.fault("cancel", &paid.order_id, 1, json!({"hang_ms": 400})).await;
    let started = Instant::now();
    let hanging = stage.client.cancel(&paid.payment_key, "leg", Won(300), "leg");
    let meanwhile = async {
        until(async || stage.client.payment(&paid.payment_key).await.unwrap().balance_amount == Won(700)).await;
        assert!(started.elapsed() < Duration::from_millis(400), "the effect does not wait");
        stage.client.cancel(&paid.payment_key, "leg", Won(300), "leg").await.unwrap()
    };
    let (hung, repeated) = tokio::join!(hanging, meanwhile);
    assert_eq!(kind(hung), NoAnswerKind::Reset);
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert_eq!(repeated.balance_amount, Won(700));
}

#[tokio::test]
async fn look_ups_and_cancels_are_struck_by_their_own_faults_until_cleared() {
    let stage = Stage::new().await;
    let paid = stage.paid(1_000).await;
    stage.fault("payment", &paid.order_id, 100, json!({"status": 503})).await;
    stage.fault("cancel", &paid.order_id, 1, json!({"code": "PROVIDER_ERROR", "effect": true})).await;
    assert_eq!(code(stage.client.payment(&paid.payment_key).await), "HTTP_503");
    assert_eq!(code(stage.client.payment_by_order(&paid.order_id).await), "HTTP_503");
    assert_eq!(code(stage.client.cancel(&paid.payment_key, "leg", Won(10), "leg").await), "PROVIDER_ERROR");
    assert_eq!(stage.struck().await, [2, 1]);
    assert_eq!(stage.ask("DELETE", "/sandbox/faults", Value::Null).await.0, 204);
    assert_eq!(stage.client.payment(&paid.payment_key).await.unwrap().balance_amount, Won(990));
}

#[tokio::test]
async fn a_hanging_request_does_not_hold_the_shutdown_up() {
    let stage = Stage::new().await;
    let paid = stage.paid(1_000).await;
    stage.fault("payment", &paid.order_id, 1, json!({"hang_ms": 60_000})).await;
    let client = stage.impatient(60_000);
    let hanging = tokio::spawn(async move { client.payment(&paid.payment_key).await });
    until(async || stage.struck().await == [1]).await;
    let started = Instant::now();
    let stage = stage.restart().await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(kind(hanging.await.unwrap()), NoAnswerKind::Reset);
    assert_eq!(stage.struck().await, [0; 0], "faults do not outlive the process");
}

#[tokio::test]
async fn a_wrong_amount_is_told_once_and_the_right_one_is_bound() {
    let stage = Stage::new().await;
    let paid = stage.checkout(1_000).await;
    stage.fault("confirm", &paid.order_id, 1, json!({"wrong_amount": -1})).await;
    stage.fault("payment", &paid.order_id, 1, json!({"wrong_amount": 50})).await;
    let confirm = async || stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, "k").await.unwrap();
    let wrong = confirm().await;
    assert_eq!((wrong.status, wrong.total_amount, wrong.balance_amount), (PaymentStatus::Done, Won(999), Won(999)));
    assert_eq!(confirm().await.total_amount, Won(1_000));
    let shown = async || stage.client.payment(&paid.payment_key).await.unwrap().total_amount;
    assert_eq!((shown().await, shown().await), (Won(1_050), Won(1_000)));
    assert_eq!(stage.struck().await, [1, 1]);
}

#[tokio::test]
async fn a_duplicated_call_happens_once_under_a_key_and_again_without() {
    let stage = Stage::new().await;
    let paid = stage.paid(1_000).await;
    stage.fault("cancel", &paid.order_id, 2, json!({"duplicates": 2})).await;
    let once = stage.client.cancel(&paid.payment_key, "leg", Won(100), "leg").await.unwrap();
    assert_eq!(once.balance_amount, Won(900));
    let path = format!("/v1/payments/{}/cancel", paid.payment_key);
    let body = json!({"cancelReason": "leg", "cancelAmount": 100});
    let (status, thrice) = stage.toss("POST", &path, body, None).await;
    assert_eq!((status, &thrice["balanceAmount"]), (200, &json!(600)), "nothing protects it");

    let twice = stage.checkout(500).await;
    stage.fault("confirm", &twice.order_id, 1, json!({"duplicates": 1})).await;
    let body = json!({"paymentKey": twice.payment_key, "orderId": twice.order_id, "amount": 500});
    let (status, refused) = stage.toss("POST", "/v1/payments/confirm", body, None).await;
    assert_eq!((status, &refused["code"]), (400, &json!("ALREADY_PROCESSED_PAYMENT")));
    assert_eq!(stage.struck().await, [2, 1]);
}

#[tokio::test]
async fn a_mix_is_drawn_by_its_seed_and_says_what_it_did() {
    let stage = Stage::new().await;
    let mix = json!({"seed": 7, "none": 50, "faults": [
        {"weight": 20, "fault": {"status": 429, "retry_after_s": 3}},
        {"name": "lost answer", "weight": 20, "fault": {"reset": "after"}},
        {"weight": 10, "fault": {"code": "PROVIDER_ERROR", "effect": true}},
    ]});
    let storm = async || {
        let (status, answer) = stage.ask("PUT", "/sandbox/mixes/confirm", mix.clone()).await;
        assert_eq!(status, 204, "{answer}");
        let mut ends = Vec::new();
        for _ in 0..60 {
            let paid = stage.checkout(1_000).await;
            let result = stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, &paid.order_id).await;
            ends.push(match result {
                Ok(_) => "done".to_owned(),
                Err(CallError::Refused(refusal)) => refusal.code,
                Err(CallError::NoAnswer { kind, .. }) => kind.to_string(),
            });
        }
        (ends, stage.ask("GET", "/sandbox/mixes", Value::Null).await.1["mixes"]["confirm"].clone())
    };
    let (ends, counted) = storm().await;
    let count = |end: &str| json!(ends.iter().filter(|found| *found == end).count());
    assert_eq!((&counted["spared"], &counted["seed"]), (&count("done"), &json!(7)));
    for (fault, (name, end)) in counted["faults"].as_array().unwrap().iter().zip([
        ("status_429", "HTTP_429"),
        ("lost answer", "reset"),
        ("PROVIDER_ERROR_with_effect", "PROVIDER_ERROR"),
    ]) {
        assert_eq!((&fault["name"], &fault["applied"]), (&json!(name), &count(end)));
        assert!(fault["applied"].as_u64().unwrap() > 0, "{counted}");
    }
    assert_eq!(storm().await, (ends, counted), "the same seed, the same storm");
    assert_eq!(stage.ask("DELETE", "/sandbox/mixes", Value::Null).await.0, 204);
    assert_eq!(stage.ask("GET", "/sandbox/mixes", Value::Null).await.1, json!({"mixes": {}}));
}

#[tokio::test]
async fn a_fault_asked_for_by_name_comes_before_the_mix_and_wrong_mixes_are_refused() {
    let stage = Stage::new().await;
    let always = json!({"seed": 1, "none": 0, "faults": [{"weight": 1, "fault": {"status": 503}}]});
    assert_eq!(stage.ask("PUT", "/sandbox/mixes/payment", always.clone()).await.0, 204);
    let paid = stage.paid(1_000).await;
    stage.fault("payment", &paid.order_id, 1, json!({"code": "UNKNOWN_PAYMENT_ERROR"})).await;
    assert_eq!(code(stage.client.payment(&paid.payment_key).await), "UNKNOWN_PAYMENT_ERROR");
    assert_eq!(code(stage.client.payment(&paid.payment_key).await), "HTTP_503");
    for (path, mix) in [
        ("nowhere", always.clone()),
        ("webhook", always.clone()),
        ("confirm", json!({"seed": 1, "none": 0, "faults": []})),
        ("confirm", json!({"seed": 1, "none": 1, "faults": [{"weight": 1, "fault": {"webhook": "loss"}}]})),
        ("confirm", json!({"seed": 1, "none": 1})),
    ] {
        let (status, answer) = stage.ask("PUT", &format!("/sandbox/mixes/{path}"), mix.clone()).await;
        assert_eq!(status, 400, "{path} {mix} {answer}");
    }
}
