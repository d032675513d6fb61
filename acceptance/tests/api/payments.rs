//! Charges and refunds as far as the API carries them: to their queue.

use acceptance::{
    Market,
    visitor::{send, start_api},
    wait::becomes,
};
use contracts::{Command, Envelope};
use platform::cipher::AccountCipher;
use serde_json::json;

#[tokio::test]
async fn a_charge_is_noted_and_confirmed_as_one_command() {
    let market = Market::new("api_charge").await;
    let (_api, visitor) = start_api(&market).await;
    let (alice, mallory) = (visitor.join("alice").await, visitor.join("mallory").await);
    let request = "/api/payments/toss/request";
    for (amount, name, code) in
        [(1000, "BUY_A_CAR", 8000), (0, "CHARGE_POINT", 8001), (-5, "CHARGE_POINT", 8001), (99, "CHARGE_POINT", 8005)]
    {
        alice.post(request, &json!({"amount": amount, "orderName": name})).await.refused(400, code);
    }
    let noted = alice.post(request, &json!({"amount": 5000, "orderName": "CHARGE_POINT"})).await.ok();
    assert_eq!((noted["paymentAmount"].as_i64(), noted["paymentHasSuccess"].as_bool()), (Some(5000), Some(false)));
    assert_eq!(
        (noted["userLoginId"].as_str(), noted["paymentOrderName"].as_str()),
        (Some("alice"), Some("CHARGE_POINT"))
    );
    let order = noted["paymentOrderId"].as_str().unwrap();

    let success = |order: &str, key: &str, amount: i64| {
        format!("/api/payments/toss/success?paymentType=NORMAL&orderId={order}&paymentKey={key}&amount={amount}")
    };
    alice.get(&success(order, "pk_1", 4999)).await.refused(400, 8002);
    mallory.get(&success(order, "pk_1", 5000)).await.refused(404, 8003);
    alice.get(&success("nobody-s-order", "pk_1", 5000)).await.refused(404, 8003);
    alice.get(&success("%ED%95%9C%EA%B8%80", "pk_1", 5000)).await.refused(404, 8003);
    let confirm =
        async || send(alice.request("GET", &success(order, "pk_1", 5000)).header("Prefer", "respond-async")).await;
    let (first, second) = (confirm().await, confirm().await);
    first.refused(202, 0);
    assert_eq!(first.data()["commandId"], second.data()["commandId"]);

    let message = market.broker.take("payment").await.unwrap().delivery;
    let envelope = Envelope::decode(&message.data).unwrap();
    assert_eq!(envelope.valid_until, None);
    let Command::ConfirmCharge { order_id, payment_key, amount, confirm_by } = envelope.command else { panic!() };
    assert_eq!((order_id.as_str(), payment_key.as_str(), amount.0), (order, "pk_1", 5000));
    assert_eq!(confirm_by, envelope.accepted_at.plus_ms(600_000));
}

#[tokio::test]
async fn a_failed_charge_is_recorded_once_and_only_by_its_owner() {
    let market = Market::new("api_fail").await;
    let (_api, visitor) = start_api(&market).await;
    let (alice, mallory) = (visitor.join("alice").await, visitor.join("mallory").await);
    let noted = alice.post("/api/payments/toss/request", &json!({"amount": 5000, "orderName": "CHARGE_POINT"})).await;
    let order = noted.ok()["paymentOrderId"].as_str().unwrap().to_owned();
    let fail = |query: &str| format!("/api/payments/toss/fail?orderId={order}&{query}");
    mallory.get(&fail("code=X&message=Y")).await.refused(404, 8003);
    alice.get("/api/payments/toss/fail?code=PAY_PROCESS_CANCELED&message=x").await.refused(404, 8003);
    let answer = alice.get(&fail("code=PAY_PROCESS_CANCELED&message=%EC%B7%A8%EC%86%8C")).await.ok();
    assert_eq!(answer, json!({"errorCode": "PAY_PROCESS_CANCELED", "errorMsg": "취소", "orderId": order}));
    let again = alice.get(&fail("errorCode=OTHER&errorMsg=z")).await.ok();
    assert_eq!(again["errorCode"], "OTHER");
    let stored: (String, String) =
        sqlx::query_as("SELECT state, failure_code FROM payments").fetch_one(&market.database).await.unwrap();
    assert_eq!(stored, ("failed".to_owned(), "PAY_PROCESS_CANCELED".to_owned()));
}

#[tokio::test]
async fn an_account_number_travels_and_rests_encrypted_and_is_masked_on_lists() {
    let market = Market::new("api_refund").await;
    let (api, visitor) = start_api(&market).await;
    let (alice, admin) = (visitor.join("alice").await, visitor.join_as_administrator(&market, "admin").await);
    let account = "110-123-456789";
    let body = json!({"point": 700, "bank": "국민", "accountNumber": account});
    let request = alice.request("POST", "/api/users/points/refunds").header("Prefer", "respond-async").json(&body);
    send(request).await.refused(202, 0);
    let message = market.broker.take("refund").await.unwrap().delivery;
    assert!(!String::from_utf8_lossy(&message.data).contains("456789"));
    assert!(!api.logged().contains("456789"));
    let envelope = Envelope::decode(&message.data).unwrap();
    let Command::RequestRefund { point, bank, account_cipher, account_masked, .. } = envelope.command else { panic!() };
    assert_eq!((point.0, bank.as_str(), account_masked.as_str()), (700, "국민", "***-***-**6789"));
    let cipher = AccountCipher::new(&"5a".repeat(32)).unwrap();
    assert_eq!(cipher.open(&account_cipher).unwrap(), account);

    // As the refund worker would store it.
    let insert = "INSERT INTO refunds (user_id, amount, bank, account_cipher, account_masked, state, command_id,
                  created_at_ms, updated_at_ms) VALUES (?, 700, ?, ?, ?, 'requested', REPEAT('0', 16), 0, 0)";
    let insert = sqlx::query(insert).bind(envelope.user.0).bind(bank).bind(account_cipher).bind(account_masked);
    let refund = insert.execute(&market.database).await.unwrap().last_insert_id();
    let listed = admin.get("/api/admin/refunds").await.ok();
    let expected = json!([{"refundId": refund, "userId": envelope.user, "refundPoint": 700, "refundBank": "국민",
                           "refundAccountNumber": "***-***-**6789"}]);
    assert_eq!(listed, expected);
    alice.get("/api/admin/refunds").await.refused(403, 5000);
    alice.delete(&format!("/api/admin/refund/{refund}")).await.refused(403, 5000);

    admin.delete("/api/admin/refund/999999").await.refused(404, 1008);
    assert_eq!(market.broker.depth("refund").await, 0, "what does not exist is not asked for");
    let approve = async || {
        let request = admin.request("DELETE", &format!("/api/admin/refund/{refund}"));
        send(request.header("Prefer", "wait=0")).await.data()["commandId"].clone()
    };
    assert_eq!(approve().await, approve().await, "two clicks are one command");
    becomes("both clicks are on the queue", 2, || market.broker.depth("refund")).await;
}
