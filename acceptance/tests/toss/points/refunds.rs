//! The ways of a refund, its legs and its payouts.

use super::rounds::{Round, Rounds};
use crate::stage::{Stage, request_refund};
use acceptance::commands::envelope;
use contracts::{Command, Envelope, RefundId, UserId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ADMINISTRATOR: UserId = UserId(9_009);

/// What people decide.
pub async fn decided() -> BTreeSet<String> {
    let mut rounds = Rounds::new("points_decided").await;
    rounds.play("a wish for a refund", wish).await;
    rounds.anew();
    rounds.play("an approval", approval).await;
    rounds.anew();
    rounds.play("a rejection", rejection).await;
    rounds.anew();
    rounds.play("a payout that was made", payout_made).await;
    rounds.anew();
    rounds.play("a payout that failed", payout_failed).await;
    rounds.end().await
}

/// What goes back through Toss.
pub async fn cancelled() -> BTreeSet<String> {
    let mut rounds = Rounds::new("points_cancelled").await;
    rounds.play("a cancel", async |stage, n| cancel(stage, n, None).await).await;
    let unclear = json!({"code": "PROVIDER_ERROR", "effect": true});
    rounds.play("one of unknown outcome", async |stage, n| cancel(stage, n, Some((1, &unclear))).await).await;
    let nothing = json!({"code": "PROVIDER_ERROR", "effect": false});
    rounds.play("one that needs another key", async |stage, n| cancel(stage, n, Some((1, &nothing))).await).await;
    rounds.play("one that Toss refuses", refused).await;
    let away = json!({"reset": "before"});
    rounds.play("one that is dead-lettered", async |stage, n| cancel(stage, n, Some((3, &away))).await).await;
    rounds.end().await
}

fn decision(n: u64, stage: &Stage, command: Command) -> Envelope {
    envelope(&format!("decided {n}"), ADMINISTRATOR, stage.market.now(), command)
}

async fn wish(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 3_000).await;
    Round::new(request_refund("wish", user, 2_000, stage.market.now()), user, (1_000, 2_000))
}

async fn approval(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 1_000).await;
    stage.charged(user, 2_000).await;
    let refund = stage.refund(user, 3_000).await;
    let command = decision(n, stage, Command::ApproveRefund { refund });
    let legs = vec![("cancel", 2_000, "planned"), ("payout", 1_000, "planned")];
    Round { legs: Some((refund, legs)), tells: 1, ..Round::new(command, user, (0, 3_000)) }
}

async fn rejection(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 3_000).await;
    let refund = stage.refund(user, 2_000).await;
    let command = decision(n, stage, Command::RejectRefund { refund, reason: "안 됩니다.".to_owned() });
    Round { tells: 1, ..Round::new(command, user, (3_000, 0)) }
}

/// A payout leg that waits for its transfer.
async fn payout(stage: &Stage, n: u64) -> (UserId, RefundId) {
    let user = stage.market.user(n, 3_000).await;
    let refund = stage.refund(user, 2_000).await;
    stage.approve(refund).await;
    (user, refund)
}

async fn payout_made(stage: &Stage, n: u64) -> Round {
    let (user, refund) = payout(stage, n).await;
    let command = decision(n, stage, Command::ConfirmPayout { refund, leg: 1 });
    Round { legs: Some((refund, vec![("payout", 2_000, "paid")])), tells: 1, ..Round::new(command, user, (1_000, 0)) }
}

async fn payout_failed(stage: &Stage, n: u64) -> Round {
    let (user, refund) = payout(stage, n).await;
    let command = decision(n, stage, Command::FailPayout { refund, leg: 1, reason: "해지된 계좌".to_owned() });
    let legs = vec![("payout", 2_000, "returned")];
    Round { legs: Some((refund, legs)), tells: 1, ..Round::new(command, user, (3_000, 0)) }
}

async fn cancel(stage: &Stage, n: u64, fault: Option<(u32, &Value)>) -> Round {
    let user = stage.market.user(n, 0).await;
    let order = stage.charged(user, 5_000).await;
    if let Some((times, fault)) = fault {
        stage.fault("cancel", &order, times, fault.clone()).await;
    }
    let refund = stage.refund(user, 2_000).await;
    stage.approve(refund).await;
    let command = stage.takes_off_outbox("refund").await;
    let legs = Some((refund, vec![("cancel", 2_000, "paid")]));
    Round { legs, at_toss: Some((order, (1, 1))), tells: 1, ..Round::new(command, user, (3_000, 0)) }
}

async fn refused(stage: &Stage, n: u64) -> Round {
    let fault = json!({"code": "EXCEED_MAX_REFUND_DUE", "http": 403});
    // However often it is asked: whoever comes after a kill asks once more, under another key.
    let round = cancel(stage, n, Some((9, &fault))).await;
    let at_toss = round.at_toss.map(|(order, _)| (order, (1, 0)));
    let legs = round.legs.map(|(refund, _)| (refund, vec![("cancel", 2_000, "moved"), ("payout", 2_000, "planned")]));
    Round { ends: "rejected", points: (3_000, 2_000), at_toss, legs, ..round }
}
