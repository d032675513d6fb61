//! The ways of a charge.

use super::rounds::{Round, Rounds};
use crate::stage::{Stage, order_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub async fn play() -> BTreeSet<String> {
    let mut rounds = Rounds::new("points_charge").await;
    rounds.play("a charge", async |stage, n| charge(stage, n, None).await).await;
    let unclear = json!({"code": "PROVIDER_ERROR", "effect": true});
    rounds.play("one of unknown outcome", async |stage, n| charge(stage, n, Some(&unclear)).await).await;
    let nothing = json!({"code": "PROVIDER_ERROR", "effect": false});
    rounds.play("one that needs another key", async |stage, n| charge(stage, n, Some(&nothing)).await).await;
    let reset = json!({"reset": "after"});
    rounds.play("one without an answer", async |stage, n| charge(stage, n, Some(&reset)).await).await;
    rounds.play("one that Toss refuses", refused).await;
    rounds.play("one by deposit", deposit).await;
    rounds.end().await
}

async fn charge(stage: &Stage, n: u64, fault: Option<&Value>) -> Round {
    let user = stage.market.user(n, 0).await;
    let command = stage.charge(user, 5_000).await;
    let order = order_of(&command).to_owned();
    if let Some(fault) = fault {
        stage.fault("confirm", &order, 1, fault.clone()).await;
    }
    Round { at_toss: Some((order, (1, 0))), tells: 1, ..Round::new(command, user, (5_000, 0)) }
}

async fn refused(stage: &Stage, n: u64) -> Round {
    let fault = json!({"code": "REJECT_CARD_PAYMENT"});
    let round = charge(stage, n, Some(&fault)).await;
    let at_toss = round.at_toss.map(|(order, _)| (order, (0, 0)));
    Round { ends: "rejected", points: (0, 0), tells: 0, at_toss, ..round }
}

async fn deposit(stage: &Stage, n: u64) -> Round {
    let user = stage.market.user(n, 0).await;
    Round::new(stage.deposit_charge(user, 5_000).await, user, (0, 0))
}
