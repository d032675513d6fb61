//! Dead letters about money, as `gream dlq` and `gream trace` tell of them.

use crate::{charges::suspended, stage::order_of};
use serde_json::Value;

#[tokio::test]
async fn a_suspended_charge_is_not_given_up_and_a_replay_looks_it_up_as_predicted() {
    let (stage, user, command, _worker) = suspended("dlq_charge").await;
    let market = &stage.market;
    let id = command.id.to_string();
    acceptance::wait::becomes("its dead letter", 1, || market.broker.depth("dead.payment")).await;
    let dry_run = market.gream_json(&["dlq", "replay", "--dry-run", "--role", "payment"]).await;
    assert_eq!(dry_run["counts"]["needs a look-up at Toss"], 1, "{dry_run}");
    let refused = market.gream_json(&["dlq", "discard", &id, "--why", "no patience"]).await;
    assert_eq!((&refused["acted_on"], refused["refused"].as_array().unwrap().len()), (&0.into(), 1));
    market.reaches(command.id, "suspended").await;
    let other = format!("order_id={}x", order_of(&command));
    assert!(
        market.gream_refused(&["dlq", "edit", &id, "--set", &other, "--why", "x"]).await.contains("another command")
    );

    stage.ask("DELETE", "/sandbox/faults", &Value::Null).await;
    market.gream_ok(&["dlq", "replay", &id, "--why", "Toss is back"]).await;
    market.reaches(command.id, "done").await;
    assert_eq!(stage.points(user).await, (1_000, 0));
    assert_eq!(stage.calls("confirm").await, 1, "only looked up");
    let text = market.gream_ok(&["trace", order_of(&command)]).await;
    for part in ["attempt 3 failed", "dead letter: out_of_attempts", "+1000 on available of user 1", "HTTP_503", "done"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    stage.audit_holds().await;
}
