//! What becomes of charges afterwards: deposits that come and go, charges that nobody carries on, debts.

use super::rounds::{Round, Rounds};
use crate::stage::{Stage, key_of, order_of};
use acceptance::commands::envelope;
use contracts::{Command, Envelope, UserId};
use serde_json::json;
use std::collections::BTreeSet;

const HOUR_MS: i64 = 3_600_000;

pub async fn play() -> BTreeSet<String> {
    let mut rounds = Rounds::new("points_follow").await;
    rounds.play("a deposit that came", credit).await;
    rounds.play("one that is looked up in vain, until somebody replays it", in_vain).await;
    rounds.play("a charge whose command is gone", stuck).await;
    rounds.anew();
    rounds.play("a deposit that was taken back", reversal).await;
    rounds.anew();
    rounds.play("a debt that is repaid", repayment).await;
    rounds.end().await
}

fn follow(stage: &Stage, order: &str) -> Envelope {
    envelope(order, UserId::SYSTEM, stage.market.now(), Command::FollowPayment { order_id: order.to_owned() })
}

async fn credit(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 0).await;
    let charge = stage.awaiting(user, 5_000).await;
    stage.deposit(&charge, "").await;
    Round { tells: 1, ..Round::new(follow(stage, order_of(&charge)), user, (5_000, 0)) }
}

async fn in_vain(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 0).await;
    let charge = stage.awaiting(user, 5_000).await;
    stage.deposit(&charge, "").await;
    stage.fault("payment", order_of(&charge), 3, json!({"reset": "after"})).await;
    Round { tells: 1, ..Round::new(follow(stage, order_of(&charge)), user, (5_000, 0)) }
}

/// Toss took the money, but who was to confirm has gone, and so has its message.
async fn stuck(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 0).await;
    let charge = stage.charge(user, 5_000).await;
    let (order, key) = (order_of(&charge), key_of(&charge));
    let confirm = reqwest::Client::new().post(format!("http://{}/v1/payments/confirm", stage.address));
    let confirm = confirm.basic_auth("test_sk_acceptance", Some(""));
    let body = json!({"paymentKey": key, "orderId": order, "amount": 5_000});
    assert_eq!(confirm.json(&body).send().await.unwrap().status(), 200);
    let (at, id) = (stage.market.now().0 - HOUR_MS, charge.id.bytes().to_vec());
    let payment = "UPDATE payments SET state = 'confirming', payment_key = ?, command_id = ?, attempt = 1, confirm_by_ms = ? \
                   WHERE order_id = ?";
    let payment = sqlx::query(payment).bind(key).bind(id.clone()).bind(at).bind(order);
    payment.execute(&stage.market.database).await.unwrap();
    let command = "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, \
                   accepted_at_ms, updated_at_ms) VALUES (?, 'confirm_charge', ?, ?, 'suspended', 0, '{}', 1, ?, ?)";
    let command = sqlx::query(command).bind(id).bind(i64::try_from(user.0).unwrap());
    let command = command.bind(charge.fingerprint.0.to_vec()).bind(at).bind(at);
    command.execute(&stage.market.database).await.unwrap();
    let at_toss = Some((order.to_owned(), (1, 0)));
    Round { at_toss, tells: 1, ..Round::new(follow(stage, order), user, (5_000, 0)) }
}

/// A deposit that the bank takes back while 3,000 of its 5,000 are held by a refund that was asked for.
async fn reversal(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 0).await;
    let charge = stage.awaiting(user, 5_000).await;
    let order = order_of(&charge);
    stage.deposit(&charge, "").await;
    stage.follow(order, &format!("came {n}")).await;
    stage.refund(user, 3_000).await;
    stage.deposit(&charge, "/error").await;
    Round { owed: 3_000, ..Round::new(follow(stage, order), user, (0, 3_000)) }
}

async fn repayment(stage: &Stage, n: u64) -> Round {
    let Round { user, command, .. } = reversal(stage, n).await;
    stage.publish(&command).await;
    stage.market.reaches(command.id, "done").await;
    stage.reject_refunds_of(user).await;
    let command =
        envelope(&format!("collect {n}"), UserId::SYSTEM, stage.market.now(), Command::CollectDebt { debtor: user });
    Round::new(command, user, (0, 0))
}
