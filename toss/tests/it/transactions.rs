//! The listing that a day is reconciled with.

use crate::stage::Stage;
use contracts::Won;
use serde_json::{Value, json};

/// The stage's clock starts on 2023-11-15 at 07:13:20 in Seoul.
const TODAY: &str = "startDate=2023-11-15T00:00:00&endDate=2023-11-15T23:59:59";
const TOMORROW: &str = "startDate=2023-11-16T00:00:00&endDate=2023-11-16T23:59:59";
const TO_MIDNIGHT_MS: i64 = (16 * 3_600 + 46 * 60 + 40) * 1_000;

async fn list(stage: &Stage, query: &str) -> Vec<Value> {
    let (status, page) = stage.toss("GET", &format!("/v1/transactions?{query}"), Value::Null, None).await;
    assert_eq!(status, 200, "{page}");
    page.as_array().unwrap().clone()
}

async fn refused(stage: &Stage, query: &str) -> String {
    let (status, error) = stage.toss("GET", &format!("/v1/transactions?{query}"), Value::Null, None).await;
    assert_eq!(status, 400, "{query}: {error}");
    error["code"].as_str().unwrap().to_owned()
}

/// What moved: order, status, amount.
fn moves(page: &[Value]) -> Vec<(&str, &str, i64)> {
    let text = |one: usize, field: &str| page[one][field].as_str().unwrap();
    let amount = |one: usize| page[one]["amount"].as_i64().unwrap();
    (0..page.len()).map(|one| (text(one, "orderId"), text(one, "status"), amount(one))).collect()
}

#[tokio::test]
async fn a_day_lists_what_moved_in_it_in_seouls_time() {
    let stage = Stage::new().await;
    let first = stage.paid(10_000).await;
    stage.checkout(5_000).await;
    stage.client.cancel(&first.payment_key, "leg", Won(3_000), "leg-1").await.unwrap();
    stage.advance_ms(TO_MIDNIGHT_MS - 1);
    let late = stage.paid(2_000).await;
    stage.advance_ms(1);
    stage.client.cancel(&late.payment_key, "all", Won(2_000), "leg-2").await.unwrap();

    let today = list(&stage, TODAY).await;
    let (one, other) = (first.order_id.as_str(), late.order_id.as_str());
    assert_eq!(moves(&today), [(one, "DONE", 10_000), (one, "PARTIAL_CANCELED", 3_000), (other, "DONE", 2_000)]);
    assert_eq!(moves(&list(&stage, TOMORROW).await), [(other, "CANCELED", 2_000)]);
    assert_eq!(list(&stage, "startDate=2023-11-14T00:00:00&endDate=2023-11-14T23:59:59").await, [Value::Null; 0]);

    let payment = stage.client.payment(&first.payment_key).await.unwrap();
    assert_eq!(today[1]["transactionKey"], payment.raw["lastTransactionKey"], "the cancel's");
    assert_eq!(today[1]["transactionKey"], payment.raw["cancels"][0]["transactionKey"]);
    let receipt = payment.raw["receipt"]["url"].clone();
    let shown = json!({
        "mId": "tosspayments", "transactionKey": today[0]["transactionKey"], "paymentKey": first.payment_key,
        "orderId": one, "method": "카드", "customerKey": null, "useEscrow": false, "receiptUrl": receipt,
        "status": "DONE", "transactionAt": "2023-11-15T07:13:20+09:00", "currency": "KRW", "amount": 10_000,
    });
    assert_eq!(today[0], shown);
    assert_eq!(stage.calls().await["transactions"], 3);
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_and_survive_a_restart() {
    let stage = Stage::new().await;
    for amount in 1..=7 {
        stage.paid(amount * 1_000).await;
    }
    let whole = list(&stage, TODAY).await;
    assert_eq!(whole.len(), 7);
    let stage = stage.restart().await;
    assert_eq!(list(&stage, TODAY).await, whole);
    let mut paged: Vec<Value> = Vec::new();
    for wanted in [3, 3, 1, 0] {
        let after = paged.last().map(|one| format!("&startingAfter={}", one["transactionKey"].as_str().unwrap()));
        let page = list(&stage, &format!("{TODAY}&limit=3{}", after.unwrap_or_default())).await;
        assert_eq!(page.len(), wanted);
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    assert_eq!(list(&stage, &format!("{TODAY}&limit=5000")).await, whole);
}

#[tokio::test]
async fn what_cannot_be_listed_is_refused() {
    let stage = Stage::new().await;
    assert_eq!(refused(&stage, &format!("{TODAY}&startingAfter=nobody")).await, "INVALID_TRANSACTION_KEY");
    assert_eq!(refused(&stage, "startDate=2023-11-15&endDate=2023-11-15T00:00:00").await, "INVALID_DATE");
    assert_eq!(refused(&stage, "startDate=2023-11-15T00:00:00&endDate=2023-11-14T00:00:00").await, "INVALID_DATE");
    assert_eq!(refused(&stage, "startDate=2023-11-15T00:00:00").await, "INVALID_REQUEST");
    for limit in ["0", "5001", "-1", "many"] {
        assert_eq!(refused(&stage, &format!("{TODAY}&limit={limit}")).await, "INVALID_REQUEST");
    }
    let stranger = stage.ask("GET", &format!("/v1/transactions?{TODAY}"), Value::Null).await;
    assert_eq!((stranger.0, &stranger.1["code"]), (401, &json!("UNAUTHORIZED_KEY")));
}

#[tokio::test]
async fn listings_have_faults_of_their_own() {
    let stage = Stage::new().await;
    stage.paid(1_000).await;
    stage.paid(2_000).await;
    for fault in [json!({"status": 429, "retry_after_s": 9}), json!({"wrong_amount": 7})] {
        let request = json!({"match": {"path": "transactions"}, "fault": fault});
        assert_eq!(stage.ask("POST", "/sandbox/faults", request).await.0, 201);
    }
    let path = format!("/v1/transactions?{TODAY}");
    assert_eq!(stage.toss("GET", &path, Value::Null, None).await.0, 429);
    let amounts = async || moves(&list(&stage, TODAY).await).iter().map(|(_, _, amount)| *amount).collect::<Vec<_>>();
    assert_eq!((amounts().await, amounts().await), (vec![1_007, 2_000], vec![1_000, 2_000]));
}

#[tokio::test]
async fn a_virtual_account_is_listed_from_its_issue_on() {
    let stage = Stage::new().await;
    let paid = stage.deposited(9_000).await;
    let (unpaid, _) = stage.waiting(4_000).await;
    stage.client.cancel(&unpaid.payment_key, "no more", Won(4_000), "c").await.unwrap();
    let error = format!("/sandbox/deposits/{}/error", paid.payment_key);
    assert_eq!(stage.ask("POST", &error, Value::Null).await.0, 200);
    let today = list(&stage, TODAY).await;
    let (one, other) = (paid.order_id.as_str(), unpaid.order_id.as_str());
    let waiting = "WAITING_FOR_DEPOSIT";
    assert_eq!(
        moves(&today),
        [(one, waiting, 0), (one, "DONE", 9_000), (other, waiting, 0), (other, "CANCELED", 4_000), (one, waiting, 0)]
    );
    assert!(today.iter().all(|one| one["method"] == "가상계좌"));
    let mut keys: Vec<_> = today.iter().map(|one| one["transactionKey"].as_str().unwrap()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 5, "every transaction has a key of its own");
}
