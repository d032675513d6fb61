//! Virtual accounts: credited when somebody paid, taken back when the bank did.

use crate::stage::{Stage, halted, order_of, request_refund};
use acceptance::{commands::envelope, wait::becomes};
use contracts::{Command, UserId};
use serde_json::json;
use toss::sandbox::PAYERS_ACCOUNT;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

#[tokio::test]
async fn a_deposit_is_credited_when_it_came_however_often_it_is_told() {
    let stage = Stage::new("deposit").await;
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment"]).await;
    let charge = stage.awaiting(user, 10_000).await;
    let (_, code, data) = stage.outcome(charge.id).await;
    assert_eq!((code, &data["status"]), (0, &json!("WAITING_FOR_DEPOSIT")));
    assert!(data["virtualAccount"]["accountNumber"].is_string(), "where to pay: {data}");
    assert_eq!(data.get("secret"), None, "{data}");
    let order = order_of(&charge);
    stage.follow(order, "too early").await;
    assert_eq!(stage.points(user).await, (0, 0));

    stage.deposit(&charge, "").await;
    stage.follow(order, "first").await;
    stage.follow(order, "second").await;
    assert_eq!((stage.charge_state(order).await.as_str(), stage.points(user).await), ("done", (10_000, 0)));
    // The command that had the account issued keeps its outcome.
    stage.publish(&charge).await;
    becomes("an empty queue", 0, || stage.market.broker.depth("payment")).await;
    assert_eq!(stage.outcome(charge.id).await.2["status"], json!("WAITING_FOR_DEPOSIT"));
    let events = "SELECT COUNT(*) FROM outbox WHERE routing_key = 'charge.confirmed'";
    assert_eq!(stage.market.number(events).await, 1);
    let stored = "SELECT COUNT(*) FROM payments WHERE LOCATE('accountNumber', toss_payment) > 0";
    assert_eq!(stage.market.number(stored).await, 1, "the account that was paid into");
    let private = "SELECT COUNT(*) FROM payments WHERE LOCATE(webhook_secret, toss_payment) > 0";
    assert_eq!(stage.market.number(private).await, 0, "its secret has a column of its own");
    assert!(stage.market.tables_with(PAYERS_ACCOUNT).await.is_empty(), "the payer's own account is nobody's business");
    stage.audit_holds().await;
}

#[tokio::test]
async fn what_was_spent_of_a_deposit_that_was_an_error_is_owed_and_repaid_first() {
    let mut stage = Stage::new("deposit_error").await;
    stage.market.set("GREAM__SCHEDULER__CHARGES_INTERVAL_MS", 200);
    let (user, other) = (stage.market.user(1, 500).await, stage.market.user(2, 0).await);
    let _worker = stage.market.worker(&["payment", "refund", "bid", "relay"]).await;
    let product = stage.market.product(1).await;
    let charge = stage.awaiting(user, 10_000).await;
    let order = order_of(&charge);
    stage.deposit(&charge, "").await;
    stage.follow(order, "came").await;
    // 4,000 of the 10,500 stand behind a bid when the bank takes the deposit back.
    let bid = acceptance::commands::buy("b", user, product, 4_000, stage.market.now());
    stage.publish(&bid).await;
    stage.market.reaches(bid.id, "done").await;
    stage.deposit(&charge, "/error").await;
    stage.follow(order, "went").await;
    stage.follow(order, "told again").await;
    assert_eq!(stage.charge_state(order).await, "awaiting_deposit");
    assert_eq!((stage.points(user).await, stage.debt(user).await), ((0, 4_000), 3_500));

    // Nothing is paid back to who owes, and nobody else is touched.
    let refund = request_refund("r", user, 100, stage.market.now());
    stage.publish(&refund).await;
    stage.market.reaches(refund.id, "rejected").await;
    assert_eq!(stage.outcome(refund.id).await.1, 1016);
    assert_eq!(stage.debt(other).await, 0);

    // The next charge repays it first, the rest of it comes from what the bid gives back.
    stage.charged(user, 1_000).await;
    assert_eq!((stage.points(user).await, stage.debt(user).await), ((0, 4_000), 2_500));
    let bid_id: i64 = stage.market.number("SELECT bid_id FROM bids").await;
    let cancel = Command::CancelBid { bid: contracts::BidId(bid_id.unsigned_abs()), side: contracts::Side::Buy };
    let cancel = envelope("c", user, stage.market.now(), cancel);
    let _scheduler = stage.market.worker(&["scheduler"]).await;
    stage.publish(&cancel).await;
    becomes("repaid from the bid", ((1_500, 0), 0), || async { (stage.points(user).await, stage.debt(user).await) })
        .await;

    // It comes after all.
    stage.deposit(&charge, "").await;
    stage.follow(order, "came after all").await;
    assert_eq!((stage.charge_state(order).await.as_str(), stage.points(user).await), ("done", (11_500, 0)));
    stage.audit_holds().await;
}

#[tokio::test]
async fn what_others_cancel_is_taken_back_and_an_approved_refund_waits_for_the_debt() {
    let stage = Stage::new("cancel_outside").await;
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment", "refund"]).await;
    let order = stage.charged(user, 5_000).await;
    let refund = stage.refund(user, 4_000).await;
    // An operator cancels on Toss's own page.
    let key: String =
        sqlx::query_scalar("SELECT payment_key FROM payments").fetch_one(&stage.market.database).await.unwrap();
    stage.cancel_by_hand(&key, "by hand", 3_000).await;
    stage.follow(&order, "cancelled").await;
    assert_eq!((stage.points(user).await, stage.debt(user).await), ((0, 4_000), 2_000));
    let approve = envelope("a", UserId(9), stage.market.now(), Command::ApproveRefund { refund });
    stage.publish(&approve).await;
    stage.market.reaches(approve.id, "rejected").await;
    assert_eq!(stage.outcome(approve.id).await.1, 1016);
    stage.charged(user, 2_000).await;
    assert_eq!((stage.points(user).await, stage.debt(user).await), ((0, 4_000), 0));
    // What is left of both charges covers the refund now.
    stage.approve(refund).await;
    let cancels = "SELECT CAST(SUM(amount) AS SIGNED) FROM refund_legs WHERE route = 'cancel'";
    assert_eq!(stage.market.number(cancels).await, 4_000);
    let _relay = stage.market.worker(&["relay"]).await;
    stage.refund_becomes(refund, "paid").await;
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_deposit_that_does_not_come_ends_the_charge_a_day_after_it_was_due() {
    let mut stage = Stage::new("deposit_overdue").await;
    stage.market.set("GREAM__SCHEDULER__CHARGES_INTERVAL_MS", 200);
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment"]).await;
    let charge = stage.awaiting(user, 10_000).await;
    let _scheduler = stage.market.worker(&["scheduler"]).await;
    stage.market.advance_clock(7 * DAY_MS + HOUR_MS);
    becomes("looked at", true, || async { stage.calls("payment").await > 0 }).await;
    assert_eq!(stage.charge_state(order_of(&charge)).await, "awaiting_deposit");
    stage.market.advance_clock(DAY_MS);
    stage.charge_becomes(order_of(&charge), "failed").await;
    let code: String =
        sqlx::query_scalar("SELECT failure_code FROM payments").fetch_one(&stage.market.database).await.unwrap();
    assert_eq!(code, "DEPOSIT_OVERDUE");
    stage.audit_holds().await;
}

#[tokio::test]
async fn an_older_look_up_does_not_undo_a_newer_one() {
    let stage = Stage::new("deposit_race").await;
    let user = stage.market.user(1, 0).await;
    let charge = {
        let _worker = stage.market.worker(&["payment"]).await;
        stage.awaiting(user, 10_000).await
    };
    let order = order_of(&charge);
    stage.deposit(&charge, "").await;
    let (mut slow, file) = stage.market.halting_worker(&["payment"], "payment.follow_up.after");
    let command = Command::FollowPayment { order_id: order.to_owned() };
    let first = envelope("slow", UserId::SYSTEM, stage.market.now(), command);
    stage.publish(&first).await;
    halted(&mut slow, &file, "payment.follow_up.after").await;
    // It saw DONE. Then the bank takes the deposit back, and another worker sees that.
    stage.deposit(&charge, "/error").await;
    slow.signal("STOP");
    let _quick = stage.market.worker(&["payment"]).await;
    stage.follow(order, "quick").await;
    slow.signal("CONT");
    std::fs::remove_file(&file).unwrap();
    stage.market.reaches(first.id, "done").await;
    assert_eq!(stage.charge_state(order).await, "awaiting_deposit");
    assert_eq!(stage.points(user).await, (0, 0), "looked at again, and nothing was credited");
    stage.audit_holds().await;
}
