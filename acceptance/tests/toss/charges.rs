//! Charges: confirmed once, credited once, whatever goes wrong with Toss.

use crate::stage::{Stage, WINDOW_MS, confirm, order_of};
use acceptance::{
    broker::header,
    process::Process,
    wait::{PATIENCE, becomes, eventually},
};
use contracts::{
    Envelope, UserId,
    dead_letter::{HEADER_ATTEMPTS, HEADER_COMMAND_ID, HEADER_ERROR, HEADER_ORIGIN, HEADER_REASON},
    topology::{COMMANDS_EXCHANGE, REPLAY_QUEUE, origin},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_charge_is_credited_once_however_often_it_comes() {
    let stage = Stage::new("charge_once").await;
    let user = stage.market.user(1, 0).await;
    let command = stage.charge(user, 10_000).await;
    // Before workers run, so that many deliveries of one command meet each other; afterwards, so that they meet its outcome.
    stage.market.broker.publish(stage.market.partitions, &vec![command.clone(); 20]).await;
    let (_first, _second) = (stage.market.worker(&["payment"]).await, stage.market.worker(&["payment"]).await);
    stage.market.reaches(command.id, "done").await;
    stage.market.broker.publish(stage.market.partitions, &vec![command.clone(); 20]).await;
    becomes("an empty queue", 0, || stage.market.broker.depth("payment")).await;
    let (_, code, data) = stage.outcome(command.id).await;
    assert_eq!((code, &data["status"], &data["totalAmount"]), (0, &json!("DONE"), &json!(10_000)));
    assert_eq!(data.get("secret"), None, "the front end sees the contract's fields only");
    assert_eq!(stage.points(user).await, (10_000, 0));
    assert_eq!(stage.moves(order_of(&command)).await, (1, 0));
    let events = "SELECT COUNT(*) FROM outbox WHERE routing_key = 'charge.confirmed'";
    assert_eq!(stage.market.number(events).await, 1);
    stage.audit_holds().await;
}

#[tokio::test]
async fn what_was_not_requested_is_not_confirmed() {
    let stage = Stage::new("charge_refused").await;
    let (user, other) = (stage.market.user(1, 0).await, stage.market.user(2, 0).await);
    let order = stage.order(user, 5_000).await;
    let key = stage.authenticate(&order, 5_000).await;
    let now = stage.market.now();
    let _worker = stage.market.worker(&["payment"]).await;
    for (command, code) in [
        (confirm(user, "order-unknown", &key, 5_000, now), 8003),
        (confirm(other, &order, &key, 5_000, now), 8003),
        (confirm(user, &order, &key, 4_999, now), 8002),
    ] {
        stage.publish(&command).await;
        stage.market.reaches(command.id, "rejected").await;
        assert_eq!(stage.outcome(command.id).await, ("rejected".to_owned(), code, json!({})));
    }
    assert_eq!(stage.calls("confirm").await, 0);
    stage.audit_holds().await;
}

#[tokio::test]
async fn two_orders_cannot_share_a_payment() {
    let stage = Stage::new("charge_shared").await;
    let user = stage.market.user(1, 0).await;
    let first = stage.charge(user, 5_000).await;
    let contracts::Command::ConfirmCharge { payment_key, .. } = &first.command else { panic!() };
    let second = confirm(user, &stage.order(user, 5_000).await, payment_key, 5_000, stage.market.now());
    let _worker = stage.market.worker(&["payment"]).await;
    stage.publish(&first).await;
    stage.market.reaches(first.id, "done").await;
    stage.publish(&second).await;
    stage.market.reaches(second.id, "rejected").await;
    assert_eq!(stage.outcome(second.id).await.1, 8003);
    assert_eq!(stage.points(user).await, (5_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_declined_card_ends_the_charge() {
    let stage = Stage::new("charge_declined").await;
    let user = stage.market.user(1, 0).await;
    let command = stage.charge(user, 10_000).await;
    stage.fault("confirm", order_of(&command), 1, json!({"code": "REJECT_CARD_COMPANY", "http": 403})).await;
    let _worker = stage.market.worker(&["payment"]).await;
    stage.publish(&command).await;
    stage.market.reaches(command.id, "rejected").await;
    assert_eq!(stage.outcome(command.id).await, ("rejected".to_owned(), 8004, json!({})));
    assert_eq!(stage.struck().await, [1]);
    let code: String =
        sqlx::query_scalar("SELECT failure_code FROM payments").fetch_one(&stage.market.database).await.unwrap();
    assert_eq!(code, "REJECT_CARD_COMPANY");
    stage.audit_holds().await;
}

#[tokio::test]
async fn whatever_goes_wrong_at_toss_the_charge_is_credited_once() {
    let stage = Stage::new("charge_faults").await;
    let user = stage.market.user(1, 0).await;
    let faults: [(&str, u32, Value); 13] = [
        ("confirm", 1, json!({"reset": "before"})),
        ("confirm", 2, json!({"reset": "after"})),
        ("confirm", 1, json!({"status": 502, "effect": false})),
        ("confirm", 1, json!({"status": 500, "effect": true})),
        ("confirm", 1, json!({"status": 429, "retry_after_s": 1})),
        ("confirm", 1, json!({"code": "PROVIDER_ERROR", "effect": true})),
        ("confirm", 2, json!({"code": "PROVIDER_ERROR", "effect": false})),
        ("confirm", 1, json!({"code": "FAILED_INTERNAL_SYSTEM_PROCESSING", "http": 500, "effect": true})),
        ("confirm", 1, json!({"code": "A_CODE_OF_NEXT_YEAR", "effect": false})),
        ("confirm", 1, json!({"code": "NOT_AVAILABLE_BANK", "http": 403, "effect": false})),
        // Longer than we wait: it answers nobody, and its key is being processed when it is sent again.
        ("confirm", 1, json!({"delay_ms": 1500})),
        ("confirm", 1, json!({"hang_ms": 3000})),
        ("payment", 1, json!({"status": 503})),
    ];
    let mut commands: Vec<Envelope> = Vec::new();
    for (path, times, fault) in &faults {
        let command = stage.charge(user, 1_000).await;
        stage.fault(path, order_of(&command), *times, fault.clone()).await;
        commands.push(command);
    }
    // The last fault is of a look-up; this is what makes one necessary.
    stage.fault("confirm", order_of(&commands[12]), 1, json!({"code": "PROVIDER_ERROR", "effect": true})).await;
    let _worker = stage.market.worker(&["payment"]).await;
    stage.market.broker.publish(stage.market.partitions, &commands).await;
    for (command, (_, _, fault)) in commands.iter().zip(&faults) {
        becomes(&format!("{fault}"), Some("done".to_owned()), || stage.market.state(command.id)).await;
        assert_eq!(stage.moves(order_of(command)).await, (1, 0), "{fault}");
    }
    let wanted: Vec<u64> = faults.iter().map(|(_, times, _)| u64::from(*times)).chain([1]).collect();
    assert_eq!(stage.struck().await, wanted, "every fault struck as often as it should");
    assert_eq!(stage.points(user).await, (13_000, 0));
    assert_eq!(stage.market.broker.depth("dead.payment").await, 0);
    stage.audit_holds().await;
}

#[tokio::test]
async fn past_its_window_a_charge_is_only_looked_up() {
    let stage = Stage::new("charge_late").await;
    let user = stage.market.user(1, 0).await;
    let (lost, taken) = (stage.charge(user, 1_000).await, stage.charge(user, 2_000).await);
    // One confirm gets through without its answer, the other never.
    stage.fault("confirm", order_of(&lost), 1_000, json!({"reset": "before"})).await;
    stage.fault("confirm", order_of(&taken), 1_000, json!({"reset": "after"})).await;
    let _worker = stage.market.worker(&["payment"]).await;
    stage.market.broker.publish(stage.market.partitions, &[lost.clone(), taken.clone()]).await;
    becomes("both were tried", true, || async { stage.struck().await.iter().all(|struck| *struck >= 1) }).await;
    stage.market.advance_clock(WINDOW_MS);
    stage.market.reaches(taken.id, "done").await;
    // A confirm may have been on its way when the clock was moved; from here on there is none.
    let confirms = stage.calls("confirm").await;
    stage.market.advance_clock(180_000);
    stage.market.reaches(lost.id, "rejected").await;
    assert_eq!(stage.outcome(lost.id).await.1, 8004);
    assert_eq!(stage.calls("confirm").await, confirms);
    assert_eq!(stage.points(user).await, (2_000, 0));
    stage.audit_holds().await;
}

/// A charge of 1,000 that was taken and is suspended: Toss took the money, said nothing of it, and was not to be asked
/// either, for longer than the window. It still is not to be asked.
pub async fn suspended(test: &str) -> (Stage, UserId, Envelope, Process) {
    let mut stage = Stage::new(test).await;
    stage.market.set("GREAM__PAYMENT_WORKER__LADDER_MS", "100,200");
    let user = stage.market.user(1, 0).await;
    let command = stage.charge(user, 1_000).await;
    let order = order_of(&command);
    stage.fault("confirm", order, 1, json!({"reset": "after"})).await;
    stage.fault("payment", order, 1_000, json!({"status": 503})).await;
    let worker = stage.market.worker(&["payment", "relay"]).await;
    stage.publish(&command).await;
    becomes("the confirm was sent", 1, || stage.calls("confirm")).await;
    stage.market.advance_clock(WINDOW_MS + 180_000);
    stage.market.reaches(command.id, "suspended").await;
    (stage, user, command, worker)
}

#[tokio::test]
async fn out_of_attempts_a_charge_is_suspended_and_a_replay_finishes_it() {
    let (stage, user, command, _worker) = suspended("charge_suspended").await;
    becomes("its dead letter", 1, || stage.market.broker.depth("dead.payment")).await;
    let dead = stage.market.broker.take("dead.payment").await.unwrap().delivery;
    assert_eq!(dead.data, command.encode());
    assert_eq!(header(&dead, HEADER_REASON).as_deref(), Some("out_of_attempts"));
    assert_eq!(header(&dead, HEADER_ATTEMPTS).as_deref(), Some("3"));
    assert_eq!(header(&dead, HEADER_ORIGIN), Some(origin("payment")));
    assert_eq!(header(&dead, HEADER_COMMAND_ID), Some(command.id.to_string()));
    assert!(header(&dead, HEADER_ERROR).unwrap().contains("HTTP_503"));
    stage.ask("DELETE", "/sandbox/faults", &Value::Null).await;
    stage.market.broker.publish_bytes("", REPLAY_QUEUE, &dead.data, &[(HEADER_ORIGIN, &origin("payment"))]).await;
    stage.market.reaches(command.id, "done").await;
    assert_eq!(stage.points(user).await, (1_000, 0));
    assert_eq!(stage.calls("confirm").await, 1, "only looked up");
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_charge_replayed_under_another_payment_key_is_left_to_a_person() {
    let (stage, user, command, _worker) = suspended("charge_other_key").await;
    eventually("its dead letter", || stage.market.broker.take("dead.payment")).await;
    // Somebody edits the body before replaying it. Under the new key nothing would be found, and the money forgotten.
    let other = confirm(user, order_of(&command), "another-payment-key", 1_000, stage.market.now());
    stage.publish(&Envelope { id: command.id, ..other }).await;
    let dead = eventually("the edited body", || stage.market.broker.take("dead.payment")).await.delivery;
    assert_eq!(header(&dead, HEADER_REASON).as_deref(), Some("needs_a_person"));
    assert_eq!(header(&dead, HEADER_ATTEMPTS).as_deref(), Some("1"), "no ladder could mend it");
    assert!(header(&dead, HEADER_ERROR).unwrap().contains("replay the unedited body"));
    stage.ask("DELETE", "/sandbox/faults", &Value::Null).await;
    stage.publish(&command).await;
    stage.market.reaches(command.id, "done").await;
    assert_eq!(stage.points(user).await, (1_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn what_is_no_charge_is_set_aside_and_the_good_go_on() {
    let stage = Stage::new("charge_poison").await;
    let user = stage.market.user(1, 0).await;
    let good = stage.charge(user, 1_000).await;
    let mut newer: Value = serde_json::from_slice(&good.encode()).unwrap();
    newer["version"] = json!(2);
    let stray = acceptance::commands::buy("b", user, contracts::ProductId(1), 100, stage.market.now());
    for (poison, reason) in [
        (b"nonsense".to_vec(), "undecodable"),
        (newer.to_string().into_bytes(), "unknown_version"),
        (stray.encode(), "wrong_queue"),
    ] {
        stage.market.broker.publish_bytes(COMMANDS_EXCHANGE, "payment", &poison, &[]).await;
        let mut worker = stage.market.worker(&["payment"]).await;
        let dead = eventually(reason, || stage.market.broker.take("dead.payment")).await.delivery;
        assert_eq!(header(&dead, HEADER_REASON).as_deref(), Some(reason));
        assert_eq!(dead.data, poison);
        // Killed before its ack, it would leave the message to be set aside once more.
        assert_eq!(worker.terminate(PATIENCE).await, Some(0));
    }
    let _worker = stage.market.worker(&["payment"]).await;
    stage.publish(&good).await;
    stage.market.reaches(good.id, "done").await;
}
