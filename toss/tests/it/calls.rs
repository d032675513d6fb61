//! The calls as they should go, and Toss's own refusals.

use crate::stage::{SECRET, Stage, client_of, code, refusal};
use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::Won;
use serde_json::json;
use std::time::Duration;
use toss::{CallError, NoAnswerKind, PaymentStatus, sandbox::journal::Effect};

#[tokio::test]
async fn a_confirm_takes_the_money_once_and_look_ups_show_it() {
    let stage = Stage::new().await;
    let paid = stage.checkout(10_000).await;
    let before = stage.client.payment(&paid.payment_key).await.unwrap();
    assert_eq!(before.status, PaymentStatus::InProgress);

    let done = stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, "key-1").await.unwrap();
    assert_eq!(done.status, PaymentStatus::Done);
    assert_eq!((done.total_amount, done.balance_amount, done.currency.as_str()), (Won(10_000), Won(10_000), "KRW"));
    assert_eq!(done, stage.client.payment(&paid.payment_key).await.unwrap());
    assert_eq!(done, stage.client.payment_by_order(&paid.order_id).await.unwrap());
    assert_eq!(done.for_front_end()["suppliedAmount"], json!(9_091));

    let again = stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, "key-2").await;
    assert_eq!(code(again), "ALREADY_PROCESSED_PAYMENT");
    let journal = stage.journal().await;
    let confirmed = Effect::Confirmed {
        payment_key: paid.payment_key.clone(),
        order_id: paid.order_id.clone(),
        amount: Won(10_000),
    };
    let found: Vec<_> = journal.iter().filter(|entry| entry.effect == confirmed).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bound.as_ref().unwrap().key, "key-1");
    let calls = json!({"confirm": 2, "payment": 2, "order": 1, "cancel": 0, "transactions": 0, "replayed": 0,
                       "unauthorized": 0});
    assert_eq!(stage.calls().await, calls);
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_confirmed() {
    let stage = Stage::new().await;
    let paid = stage.checkout(5_000).await;
    let confirm = |key: &'static str, order: String, amount: i64| {
        let (client, payment_key) = (stage.client.clone(), paid.payment_key.clone());
        async move { code(client.confirm(&payment_key, &order, Won(amount), key).await) }
    };
    assert_eq!(confirm("a", paid.order_id.clone(), 4_999).await, "FORBIDDEN_REQUEST");
    assert_eq!(confirm("b", "order-other".to_owned(), 5_000).await, "INVALID_REQUEST");
    assert_eq!(code(stage.client.confirm("nobody", &paid.order_id, paid.amount, "c").await), "NOT_FOUND_PAYMENT");
    assert!(refusal(stage.client.payment("nobody").await).is_not_found());
    assert!(refusal(stage.client.payment_by_order("order-nobody").await).is_not_found());
    assert_eq!(stage.client.payment(&paid.payment_key).await.unwrap().status, PaymentStatus::InProgress);
}

#[tokio::test]
async fn partial_cancels_add_up_and_the_balance_tells_not_the_status() {
    let stage = Stage::new().await;
    let paid = stage.paid(10_000).await;
    let cancel = |amount, key: &'static str| {
        let (client, payment_key) = (stage.client.clone(), paid.payment_key.clone());
        async move { client.cancel(&payment_key, "refund 1 leg 1", Won(amount), key).await }
    };
    let first = cancel(3_000, "c1").await.unwrap();
    assert_eq!((first.status, first.balance_amount), (PaymentStatus::PartialCanceled, Won(7_000)));
    assert_eq!(first.cancels.len(), 1);
    assert_eq!(first.cancels[0].cancel_reason.as_deref(), Some("refund 1 leg 1"));
    assert_eq!(code(cancel(7_001, "c2").await), "NOT_CANCELABLE_AMOUNT");
    assert_eq!(code(cancel(0, "c3").await), "INVALID_REQUEST");
    assert_eq!(code(cancel(-5, "c4").await), "INVALID_REQUEST");
    let last = cancel(7_000, "c5").await.unwrap();
    assert_eq!((last.status, last.balance_amount), (PaymentStatus::PartialCanceled, Won(0)));
    assert_eq!(last.cancels.iter().map(|cancel| cancel.cancel_amount.0).sum::<i64>(), 10_000);
    assert_eq!(code(cancel(1, "c6").await), "ALREADY_CANCELED_PAYMENT");

    let whole = stage.paid(2_000).await;
    let cancelled = stage.client.cancel(&whole.payment_key, "all of it", Won(2_000), "c7").await.unwrap();
    assert_eq!((cancelled.status, cancelled.balance_amount), (PaymentStatus::Canceled, Won(0)));
    let unpaid = stage.checkout(2_000).await;
    assert_eq!(
        code(stage.client.cancel(&unpaid.payment_key, "too early", Won(1), "c8").await),
        "NOT_CANCELABLE_PAYMENT"
    );
}

#[tokio::test]
async fn a_cancel_without_an_amount_gives_back_all_that_is_left() {
    let stage = Stage::new().await;
    let paid = stage.paid(9_000).await;
    stage.client.cancel(&paid.payment_key, "part", Won(4_000), "c1").await.unwrap();
    let path = format!("/v1/payments/{}/cancel", paid.payment_key);
    let authorization = format!("Basic {}", STANDARD.encode(format!("{SECRET}:")));
    let headers = [("authorization", authorization.as_str())];
    let (status, payment) = stage.ask_with("POST", &path, r#"{"cancelReason": "rest"}"#, &headers).await;
    assert_eq!((status, &payment["balanceAmount"]), (200, &json!(0)));
    let (status, error) = stage.ask_with("POST", &path, r#"{"cancelAmount": 5}"#, &headers).await;
    assert_eq!((status, &error["code"]), (400, &json!("INVALID_REQUEST")), "a reason is required");
}

#[tokio::test]
async fn a_key_repeats_its_answer_byte_for_byte_whatever_the_body() {
    let stage = Stage::new().await;
    let (paid, other) = (stage.checkout(10_000).await, stage.checkout(10_000).await);
    let authorization = format!("Basic {}", STANDARD.encode(format!("{SECRET}:")));
    let confirm = async |body: String, key: &str| {
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", key)];
        stage.ask_text("POST", "/v1/payments/confirm", &body, &headers).await
    };
    let body = |amount: i64, paid: &crate::stage::Authenticated| {
        json!({"paymentKey": paid.payment_key, "orderId": paid.order_id, "amount": amount}).to_string()
    };
    let refused = confirm(body(1, &paid), "key").await;
    assert_eq!(refused.0, 403);
    assert_eq!(confirm(body(10_000, &paid), "key").await, refused, "a 4xx is bound to its key");

    let done = confirm(body(10_000, &paid), "key-2").await;
    assert_eq!(done.0, 200);
    stage.client.cancel(&paid.payment_key, "since then", Won(10), "c").await.unwrap();
    assert_eq!(confirm(body(10_000, &paid), "key-2").await, done, "the first answer, not the present state");
    assert_eq!(confirm(body(10_000, &other), "key-2").await, done, "the body is not part of the scope");
    assert_eq!(confirm("nonsense".to_owned(), "key-2").await, done);

    // The address is part of the scope: the same key elsewhere is another key.
    stage.client.cancel(&paid.payment_key, "again", Won(10), "key-2").await.unwrap();
    let cancelled: i64 = stage.client.payment(&paid.payment_key).await.unwrap().cancelled_amount().0;
    assert_eq!(cancelled, 20);

    // Fifteen days later the key protects no more.
    stage.advance_ms(15 * 24 * 3_600_000);
    assert_eq!(confirm(body(10_000, &paid), "key-2").await.0, 400);
}

#[tokio::test]
async fn a_repeated_partial_cancel_under_its_key_gives_back_once() {
    let stage = Stage::new().await;
    let paid = stage.paid(10_000).await;
    for _ in 0..3 {
        let answer = stage.client.cancel(&paid.payment_key, "leg", Won(1_000), "leg-1").await.unwrap();
        assert_eq!(answer.balance_amount, Won(9_000));
    }
    let cancels = stage.journal().await.into_iter().filter(|entry| matches!(entry.effect, Effect::Cancelled { .. }));
    assert_eq!(cancels.count(), 1);
}

#[tokio::test]
async fn only_the_right_secret_is_served() {
    let stage = Stage::new().await;
    let paid = stage.checkout(1_000).await;
    let stranger = client_of(stage.address, "test_sk_other", Duration::from_secs(5));
    let refused = refusal(stranger.confirm(&paid.payment_key, &paid.order_id, paid.amount, "k").await);
    assert_eq!((refused.http, refused.code.as_str()), (401, "UNAUTHORIZED_KEY"));
    assert!(refused.is_our_configuration());
    let path = format!("/v1/payments/{}", paid.payment_key);
    let no_colon = format!("Basic {}", STANDARD.encode(SECRET));
    for (headers, wanted) in [
        (vec![], "UNAUTHORIZED_KEY"),
        (vec![("authorization", no_colon.as_str())], "INCORRECT_BASIC_AUTH_FORMAT"),
        (vec![("authorization", "Bearer x")], "INCORRECT_BASIC_AUTH_FORMAT"),
    ] {
        assert_eq!(stage.ask_with("GET", &path, "", &headers).await.1["code"], wanted);
    }
    assert_eq!(stage.calls().await["unauthorized"], 4);
    assert_eq!(stage.calls().await["confirm"], 0);
    // Not bound to the key: the right secret is served under it.
    stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, "k").await.unwrap();
}

#[tokio::test]
async fn bad_input_is_refused_in_tosss_form() {
    let stage = Stage::new().await;
    for body in [json!({}), json!({"orderId": "x", "amount": 1000}), json!({"orderId": "order-x", "amount": 99})] {
        assert_eq!(stage.ask("POST", "/sandbox/checkout", body.clone()).await.0, 400, "{body}");
    }
    for fault in [json!({"delay_ms": 600_001}), json!({"status": 200}), json!({"what": 1})] {
        let request = json!({"match": {"path": "confirm"}, "fault": fault});
        assert_eq!(stage.ask("POST", "/sandbox/faults", request).await.0, 400, "{fault}");
    }
    let paid = stage.checkout(1_000).await;
    let long = "k".repeat(301);
    let refused = stage.client.confirm(&paid.payment_key, &paid.order_id, paid.amount, &long).await;
    assert_eq!(code(refused), "INVALID_IDEMPOTENCY_KEY");
    for unfit in ["", ".", "..", "confirm", "a b", "한글", &"k".repeat(201)] {
        assert!(refusal(stage.client.payment(unfit).await).is_not_found(), "{unfit:?} is nobody's");
    }
    assert_eq!(stage.calls().await["payment"], 0, "none of them was sent");
    assert!(refusal(stage.client.payment("a/../confirm?x=1#y").await).is_not_found(), "a key stays one segment");
}

#[tokio::test]
async fn the_test_code_header_brings_that_error() {
    let stage = Stage::new().await;
    let paid = stage.checkout(1_000).await;
    let authorization = format!("Basic {}", STANDARD.encode(format!("{SECRET}:")));
    let headers = [("authorization", authorization.as_str()), ("tosspayments-test-code", "REJECT_CARD_COMPANY")];
    let body = json!({"paymentKey": paid.payment_key, "orderId": paid.order_id, "amount": 1000}).to_string();
    let (status, error) = stage.ask_with("POST", "/v1/payments/confirm", &body, &headers).await;
    assert_eq!((status, &error["code"]), (400, &json!("REJECT_CARD_COMPANY")));
    let aborted = stage.client.payment(&paid.payment_key).await.unwrap();
    assert_eq!(aborted.status, PaymentStatus::Aborted);
    assert_eq!(aborted.failure.unwrap().code, "REJECT_CARD_COMPANY");
}

#[tokio::test]
async fn nobody_there_is_told_as_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client_of(address, SECRET, Duration::from_secs(5));
    let error = client.payment("key").await.unwrap_err();
    assert!(matches!(error, CallError::NoAnswer { kind: NoAnswerKind::Connect, .. }), "{error}");
}
