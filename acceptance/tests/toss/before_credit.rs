//! What happens to a payment between its confirm and its credit, which nobody heard of.

use crate::stage::{Stage, WINDOW_MS, confirm, key_of, order_of};
use acceptance::wait::becomes;
use serde_json::json;

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn what_others_cancelled_in_part_before_it_was_credited_is_credited_without_that_part() {
    let stage = Stage::new("partly_before").await;
    let users = [stage.market.user(1, 0).await, stage.market.user(2, 0).await];
    let mut charges = Vec::new();
    for user in users {
        let charge = stage.charge(user, 10_000).await;
        stage.left_behind(&charge, "payment.confirm.after").await;
        stage.cancel_by_hand(key_of(&charge), "by hand", 3_000).await;
        charges.push(charge);
    }
    stage.market.advance_clock(WINDOW_MS + HOUR_MS);
    let _worker = stage.market.worker(&["payment"]).await;
    // One is found by the scheduler, the other's own command is replayed.
    stage.follow(order_of(&charges[0]), "found").await;
    stage.publish(&charges[1]).await;
    for (charge, user) in charges.iter().zip(users) {
        stage.market.reaches(charge.id, "done").await;
        assert_eq!((stage.points(user).await, stage.debt(user).await), ((7_000, 0), 0));
        assert_eq!(stage.charge_state(order_of(charge)).await, "done");
        stage.follow(order_of(charge), &format!("again {user}")).await;
        assert_eq!(stage.points(user).await, (7_000, 0), "once");
    }
    assert!(stage.differences().await.is_empty());
    stage.audit_holds().await;
}

#[tokio::test]
async fn what_others_cancelled_whole_before_it_was_credited_is_no_charge() {
    let stage = Stage::new("wholly_before").await;
    let user = stage.market.user(1, 0).await;
    let mut charges = Vec::new();
    for parts in [&[10_000][..], &[3_000, 7_000]] {
        let charge = stage.charge(user, 10_000).await;
        stage.left_behind(&charge, "payment.confirm.after").await;
        for part in parts {
            stage.cancel_by_hand(key_of(&charge), "by hand", *part).await;
        }
        charges.push(charge);
    }
    stage.market.advance_clock(WINDOW_MS + HOUR_MS);
    let _worker = stage.market.worker(&["payment"]).await;
    for charge in &charges {
        stage.follow(order_of(charge), order_of(charge)).await;
        stage.market.reaches(charge.id, "rejected").await;
        assert_eq!(stage.charge_state(order_of(charge)).await, "failed");
    }
    assert_eq!(stage.points(user).await, (0, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_difference_of_a_stuck_charge_is_over_when_nothing_of_it_is_left() {
    let stage = Stage::new("stuck_terms").await;
    let user = stage.market.user(1, 0).await;
    let charge = stage.charge(user, 10_000).await;
    stage.left_behind(&charge, "payment.confirm.after").await;
    stage.market.advance_clock(WINDOW_MS + HOUR_MS);
    stage.fault("payment", order_of(&charge), 1, json!({"wrong_amount": 1})).await;
    let _worker = stage.market.worker(&["payment"]).await;
    stage.follow(order_of(&charge), "other terms").await;
    assert_eq!(stage.differences().await, [(order_of(&charge).to_owned(), "other_terms".to_owned())]);
    stage.cancel_by_hand(key_of(&charge), "by hand", 10_000).await;
    stage.follow(order_of(&charge), "given back").await;
    assert_eq!(stage.charge_state(order_of(&charge)).await, "failed");
    assert!(stage.differences().await.is_empty());
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_key_that_is_no_payments_ends_like_one_that_toss_does_not_know() {
    let stage = Stage::new("no_key").await;
    let user = stage.market.user(1, 0).await;
    let _worker = stage.market.worker(&["payment"]).await;
    let mut charges = Vec::new();
    for key in ["..", "confirm"] {
        let order = stage.order(user, 1_000).await;
        let charge = confirm(user, &order, key, 1_000, stage.market.now());
        stage.publish(&charge).await;
        charges.push(charge);
    }
    becomes("both were tried", 2, || stage.calls("confirm")).await;
    becomes("and wait", 2, || stage.market.count("retrying")).await;
    stage.market.advance_clock(WINDOW_MS + HOUR_MS);
    for charge in &charges {
        stage.market.reaches(charge.id, "rejected").await;
        assert_eq!(stage.charge_state(order_of(charge)).await, "failed");
    }
    assert_eq!(stage.calls("payment").await, 0, "nobody was asked for what cannot be");
    stage.audit_holds().await;
}
