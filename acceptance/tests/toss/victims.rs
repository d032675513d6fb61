//! Workers that stand still at named points while a successor goes on. `points` has those that are killed.

use crate::stage::{Stage, halted, order_of};
use acceptance::wait::becomes;
use serde_json::json;

/// The dangerous one: it decided to send a cancel, stood still, and its successor has paid the leg under another key.
#[tokio::test]
async fn a_refund_worker_that_stood_still_sends_nothing_when_it_goes_on() {
    let mut stage = Stage::new("stopped_refund").await;
    stage.market.set("GREAM__RABBITMQ__HEARTBEAT_S", 2);
    let user = stage.market.user(1, 0).await;
    let (order, refund) = {
        let _worker = stage.market.worker(&["payment", "refund"]).await;
        let order = stage.charged(user, 10_000).await;
        let refund = stage.refund(user, 4_000).await;
        stage.approve(refund).await;
        (order, refund)
    };
    let (mut victim, file) = stage.market.halting_worker(&["refund"], "refund.cancel.before");
    let _relay = stage.market.worker(&["relay"]).await;
    halted(&mut victim, &file, "refund.cancel.before").await;
    victim.signal("STOP");
    // The first key is answered with an error that binds nothing, so the successor pays under a second one.
    stage.fault("cancel", &order, 1, json!({"status": 502, "effect": false})).await;
    let _successor = stage.market.worker(&["refund"]).await;
    stage.refund_becomes(refund, "paid").await;
    assert_eq!(stage.struck().await, [1]);
    let cancels = stage.calls("cancel").await;
    assert_eq!(cancels, 2);
    victim.signal("CONT");
    std::fs::remove_file(&file).unwrap();
    becomes("the victim is back at work", true, || async {
        victim.logged().contains("the crew lets go of everything")
    })
    .await;
    assert_eq!(stage.calls("cancel").await, cancels, "what it read was old, and it knew");
    assert_eq!(stage.moves(&order).await, (1, 1), "given back once");
    assert_eq!(stage.points(user).await, (6_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_payment_worker_that_stood_still_credits_nothing_twice() {
    let mut stage = Stage::new("stopped_charge").await;
    stage.market.set("GREAM__RABBITMQ__HEARTBEAT_S", 2);
    let user = stage.market.user(1, 0).await;
    let command = stage.charge(user, 10_000).await;
    let (mut victim, file) = stage.market.halting_worker(&["payment"], "payment.confirm.after");
    stage.publish(&command).await;
    halted(&mut victim, &file, "payment.confirm.after").await;
    victim.signal("STOP");
    let _successor = stage.market.worker(&["payment"]).await;
    stage.market.reaches(command.id, "done").await;
    victim.signal("CONT");
    std::fs::remove_file(&file).unwrap();
    becomes("the victim is back at work", true, || async {
        victim.logged().contains("the crew lets go of everything")
    })
    .await;
    assert_eq!(stage.points(user).await, (10_000, 0));
    assert_eq!(stage.moves(order_of(&command)).await, (1, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn asked_to_stop_a_worker_finishes_what_it_holds() {
    let stage = Stage::new("stop_orderly").await;
    let user = stage.market.user(1, 0).await;
    let command = stage.charge(user, 10_000).await;
    stage.fault("confirm", order_of(&command), 1, json!({"delay_ms": 700})).await;
    let mut worker = stage.market.worker(&["payment"]).await;
    stage.publish(&command).await;
    becomes("the call is under way", 1, || stage.calls("confirm")).await;
    assert_eq!(worker.terminate(std::time::Duration::from_secs(10)).await, Some(0));
    assert_eq!(stage.market.state(command.id).await.as_deref(), Some("done"));
    assert_eq!(stage.market.broker.depth("payment").await, 0);
    assert_eq!(stage.calls("confirm").await, 1);
    stage.audit_holds().await;
}
