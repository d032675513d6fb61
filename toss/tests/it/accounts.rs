//! Virtual accounts: issued by the confirm, paid by a deposit, which a bank may take back.

use crate::stage::{Authenticated, Stage, code};
use contracts::Won;
use serde_json::{Value, json};
use toss::{PaymentStatus, sandbox::journal::Effect};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

async fn deposit(stage: &Stage, paid: &Authenticated) -> (u16, Value) {
    stage.ask("POST", &format!("/sandbox/deposits/{}", paid.payment_key), Value::Null).await
}

async fn deposit_error(stage: &Stage, paid: &Authenticated) -> (u16, Value) {
    stage.ask("POST", &format!("/sandbox/deposits/{}/error", paid.payment_key), Value::Null).await
}

async fn shown(stage: &Stage, paid: &Authenticated) -> Value {
    stage.client.payment(&paid.payment_key).await.unwrap().raw
}

/// Cancels as any HTTP client would; gives the status and the code, or the balance.
async fn cancel(stage: &Stage, paid: &Authenticated, amount: i64, account: Value, key: &str) -> (u16, Value) {
    let body = json!({"cancelReason": "refund", "cancelAmount": amount, "refundReceiveAccount": account});
    let path = format!("/v1/payments/{}/cancel", paid.payment_key);
    let (status, answer) = stage.toss("POST", &path, body, Some(key)).await;
    (status, if status == 200 { answer["balanceAmount"].clone() } else { answer["code"].clone() })
}

fn account() -> Value {
    json!({"bank": "20", "accountNumber": "1234567890", "holderName": "박토스"})
}

#[tokio::test]
async fn a_confirm_issues_the_account_and_a_deposit_pays() {
    let stage = Stage::new().await;
    let chosen = stage.account(10_000).await;
    let before = shown(&stage, &chosen).await;
    assert_eq!((&before["status"], &before["method"]), (&json!("READY"), &json!("가상계좌")));
    assert_eq!(
        (&before["secret"], &before["virtualAccount"], &before["card"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );

    let confirm =
        async |key: &str| stage.client.confirm(&chosen.payment_key, &chosen.order_id, chosen.amount, key).await;
    let waiting = confirm("k").await.unwrap();
    assert_eq!((waiting.status.as_str(), waiting.total_amount), ("WAITING_FOR_DEPOSIT", Won(10_000)));
    assert_eq!(waiting.raw["approvedAt"], Value::Null);
    assert!(waiting.raw["secret"].as_str().unwrap().starts_with("ps_"));
    let issued = &waiting.raw["virtualAccount"];
    assert!(issued["accountNumber"].as_str().unwrap().starts_with('X'));
    assert_eq!((&issued["dueDate"], &issued["expired"]), (&json!("2023-11-22T07:13:20+09:00"), &json!(false)));
    assert_eq!(confirm("k").await.unwrap(), waiting, "the same bytes under the same key");
    assert_eq!(code(confirm("other").await), "ALREADY_PROCESSED_PAYMENT");

    stage.advance_ms(DAY_MS);
    assert_eq!(deposit(&stage, &chosen).await, (200, json!({"status": "DONE"})));
    let done = shown(&stage, &chosen).await;
    assert_eq!((&done["status"], &done["approvedAt"]), (&json!("DONE"), &json!("2023-11-16T07:13:20+09:00")));
    assert_eq!((&done["secret"], &done["virtualAccount"]), (&waiting.raw["secret"], issued));
    let (status, refused) = deposit(&stage, &chosen).await;
    assert_eq!((status, &refused["code"]), (409, &json!("SANDBOX_NOT_WAITING_FOR_DEPOSIT")), "one deposit is enough");
}

#[tokio::test]
async fn a_deposit_that_is_taken_back_waits_again() {
    let stage = Stage::new().await;
    let paid = stage.deposited(3_000).await;
    assert_eq!(deposit_error(&stage, &paid).await, (200, json!({"status": "WAITING_FOR_DEPOSIT"})));
    assert_eq!(shown(&stage, &paid).await["approvedAt"], Value::Null);
    assert_eq!(deposit_error(&stage, &paid).await.0, 409);
    assert_eq!(deposit(&stage, &paid).await.0, 200);
    let won = |effect: &Effect| match effect {
        Effect::Deposited { amount, .. } => Some(amount.0),
        Effect::DepositReversed { amount, .. } => Some(-amount.0),
        _ => None,
    };
    let moves: Vec<i64> = stage.journal().await.iter().filter_map(|entry| won(&entry.effect)).collect();
    assert_eq!(moves, [3_000, -3_000, 3_000]);

    assert_eq!(cancel(&stage, &paid, 1_000, account(), "c").await, (200, json!(2_000)));
    assert_eq!(deposit_error(&stage, &paid).await.0, 409, "what was refunded is not taken back");
    let card = stage.paid(1_000).await;
    assert_eq!((deposit(&stage, &card).await.0, deposit_error(&stage, &card).await.0), (409, 409));
    let nobody = stage.ask("POST", "/sandbox/deposits/nobody", Value::Null).await;
    assert_eq!((nobody.0, &nobody.1["code"]), (404, &json!("NOT_FOUND_PAYMENT")));
}

#[tokio::test]
async fn what_was_deposited_is_refunded_to_an_account_only() {
    let stage = Stage::new().await;
    let paid = stage.deposited(5_000).await;
    let without = stage.client.cancel(&paid.payment_key, "refund", Won(1_000), "c1").await;
    assert_eq!(code(without), "INVALID_REFUND_ACCOUNT_INFO");
    for (number, (account, refused)) in [
        (Value::Null, "INVALID_REFUND_ACCOUNT_INFO"),
        (json!({}), "INVALID_BANK"),
        (json!({"bank": "20"}), "INVALID_REFUND_ACCOUNT_NUMBER"),
        (json!({"bank": "20", "accountNumber": "12-34", "holderName": "박토스"}), "INVALID_REFUND_ACCOUNT_NUMBER"),
        (json!({"bank": "20", "accountNumber": "1234"}), "INVALID_REFUND_ACCOUNT_INFO"),
        (json!("1234"), "INVALID_REQUEST"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = cancel(&stage, &paid, 1_000, account.clone(), &format!("bad-{number}")).await;
        assert_eq!(answer, (400, json!(refused)), "{account}");
    }
    assert_eq!(cancel(&stage, &paid, 1_000, account(), "c2").await, (200, json!(4_000)));
    assert_eq!(shown(&stage, &paid).await["status"], "PARTIAL_CANCELED");
    let journal = std::fs::read_to_string(crate::stage::journal_in(stage.folder.path())).unwrap();
    assert!(!journal.contains("1234567890"), "whose account it is stays unwritten");
    stage.advance_ms(365 * DAY_MS + 1);
    assert_eq!(cancel(&stage, &paid, 1_000, account(), "c3").await, (403, json!("EXCEED_MAX_REFUND_DUE")));
    let card = stage.paid(1_000).await;
    stage.advance_ms(400 * DAY_MS);
    assert_eq!(cancel(&stage, &card, 1_000, Value::Null, "c4").await, (200, json!(0)), "cards know no limit");
}

#[tokio::test]
async fn an_account_that_nobody_paid_into_is_cancelled_as_a_whole_and_without_money() {
    let stage = Stage::new().await;
    let (waiting, _) = stage.waiting(5_000).await;
    assert_eq!(cancel(&stage, &waiting, 1_000, Value::Null, "c1").await, (403, json!("NOT_CANCELABLE_AMOUNT")));
    assert_eq!(cancel(&stage, &waiting, 5_000, Value::Null, "c2").await, (200, json!(0)));
    assert_eq!(shown(&stage, &waiting).await["status"], "CANCELED");
    assert_eq!(cancel(&stage, &waiting, 5_000, Value::Null, "c3").await, (400, json!("ALREADY_CANCELED_PAYMENT")));
    assert_eq!(deposit(&stage, &waiting).await.0, 409);
    let is_money = |effect: &Effect| matches!(effect, Effect::Deposited { .. } | Effect::Cancelled { .. });
    assert!(!stage.journal().await.iter().any(|entry| is_money(&entry.effect)));
}

#[tokio::test]
async fn the_time_to_confirm_and_to_deposit_runs_out() {
    let stage = Stage::new().await;
    let (in_time, late) = (stage.waiting(1_000).await.0, stage.waiting(1_000).await.0);
    let unconfirmed = stage.account(1_000).await;
    stage.advance_ms(10 * MINUTE_MS);
    let refused = stage.client.confirm(&unconfirmed.payment_key, &unconfirmed.order_id, Won(1_000), "k").await;
    assert_eq!(code(refused), "NOT_FOUND_PAYMENT_SESSION");
    assert_eq!(stage.client.payment(&unconfirmed.payment_key).await.unwrap().status, PaymentStatus::Expired);
    stage.advance_ms(7 * DAY_MS - 10 * MINUTE_MS);
    assert_eq!(deposit(&stage, &in_time).await.0, 200);
    stage.advance_ms(1);
    let (status, refused) = deposit(&stage, &late).await;
    assert_eq!((status, &refused["code"]), (409, &json!("SANDBOX_ACCOUNT_OVERDUE")));
    let payment = shown(&stage, &late).await;
    assert_eq!(
        (&payment["status"], &payment["virtualAccount"]["expired"]),
        (&json!("WAITING_FOR_DEPOSIT"), &json!(true))
    );
}

#[tokio::test]
async fn a_restart_keeps_the_account_its_secret_and_its_deposits() {
    let stage = Stage::new().await;
    let (waiting, chosen) = (stage.waiting(1_000).await.0, stage.account(2_000).await);
    let (paid, reversed) = (stage.deposited(3_000).await, stage.deposited(4_000).await);
    assert_eq!(deposit_error(&stage, &reversed).await.0, 200);
    let all = [&waiting, &chosen, &paid, &reversed];
    let mut before = Vec::new();
    for payment in all {
        before.push(shown(&stage, payment).await);
    }
    let stage = stage.restart().await;
    for (payment, before) in all.into_iter().zip(before) {
        assert_eq!(shown(&stage, payment).await, before);
    }
    stage.client.confirm(&chosen.payment_key, &chosen.order_id, Won(2_000), "k").await.unwrap();
    for payment in [&waiting, &chosen, &reversed] {
        assert_eq!(deposit(&stage, payment).await.0, 200);
    }
    assert_eq!(deposit(&stage, &paid).await.0, 409);
}
