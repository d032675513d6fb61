//! Toss, MySQL or our keys are away: nothing is burnt, and everything goes on by itself when they are back.

use crate::stage::{Stage, metric, order_of, request_refund};
use acceptance::wait::{becomes, eventually};
use contracts::Envelope;
use serde_json::json;

/// A breaker that opens after a few failures and probes soon.
fn quick_breaker(stage: &mut Stage) {
    stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_MIN_CALLS", 4);
    stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_WINDOW_CALLS", 8);
    stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_PAUSE_MS", 500);
    stage.market.set("GREAM__PAYMENT_WORKER__PREFETCH", 4);
}

#[tokio::test]
async fn while_toss_is_away_nothing_is_consumed_and_nothing_burnt() {
    let mut stage = Stage::new("breaker").await;
    quick_breaker(&mut stage);
    let user = stage.market.user(1, 0).await;
    let mut commands: Vec<Envelope> = Vec::new();
    for _ in 0..30 {
        commands.push(stage.charge(user, 1_000).await);
    }
    stage.sandbox.kill();
    let mut worker = stage.market.worker(&["payment"]).await;
    let admin = worker.ready().await;
    stage.market.broker.publish(stage.market.partitions, &commands).await;
    becomes("the breaker is open", true, || async { metric(&admin, "gream_toss_breaker_open").await > 0.0 }).await;
    // Long enough for many probes, and for the whole ladder several times over.
    let probes = async || metric(&admin, "gream_toss_calls_total").await;
    let before = probes().await;
    let waiting = stage.market.broker.depth("payment").await;
    assert!(waiting >= 20, "most were not even taken: {waiting}");
    let counted = "SELECT CAST(COALESCE(SUM(attempts), 0) AS SIGNED) FROM commands WHERE state = 'retrying'";
    let burnt = stage.market.number(counted).await;
    becomes("three probes later", true, || async { probes().await >= before + 3.0 }).await;
    assert!(stage.market.number(counted).await <= burnt, "attempts unchanged while the breaker is open");
    assert_eq!(stage.market.count("suspended").await, 0);
    stage.restart_sandbox().await;
    for command in &commands {
        stage.market.reaches(command.id, "done").await;
    }
    assert!(metric(&admin, "gream_toss_breaker_open").await <= 0.0, "closed again");
    assert_eq!(stage.points(user).await, (30_000, 0));
    assert_eq!(stage.market.broker.depth("dead.payment").await, 0);
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_toss_that_hangs_opens_the_breaker_too() {
    let mut stage = Stage::new("breaker_slow").await;
    quick_breaker(&mut stage);
    let user = stage.market.user(1, 0).await;
    let mut commands: Vec<Envelope> = Vec::new();
    for _ in 0..12 {
        commands.push(stage.charge(user, 1_000).await);
    }
    stage.sandbox.signal("STOP");
    let mut worker = stage.market.worker(&["payment"]).await;
    let admin = worker.ready().await;
    stage.market.broker.publish(stage.market.partitions, &commands).await;
    becomes("the breaker is open", true, || async { metric(&admin, "gream_toss_breaker_open").await > 0.0 }).await;
    stage.sandbox.signal("CONT");
    for command in &commands {
        stage.market.reaches(command.id, "done").await;
        assert_eq!(stage.moves(order_of(command)).await, (1, 0));
    }
    assert_eq!(stage.points(user).await, (12_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn while_toss_is_away_refunds_are_requested_and_approved_and_their_legs_wait() {
    let mut stage = Stage::new("breaker_refund").await;
    quick_breaker(&mut stage);
    let user = stage.market.user(1, 0).await;
    let mut worker = stage.market.worker(&["payment", "refund", "relay"]).await;
    let admin = worker.ready().await;
    for _ in 0..6 {
        stage.charged(user, 1_000).await;
    }
    stage.sandbox.kill();
    let refund = stage.refund(user, 5_500).await;
    stage.approve(refund).await;
    becomes("the breaker is open", true, || async { metric(&admin, "gream_toss_breaker_open").await > 0.0 }).await;
    let another = request_refund("later", user, 100, stage.market.now());
    stage.publish(&another).await;
    stage.market.reaches(another.id, "done").await;
    let calls = metric(&admin, "gream_toss_calls_total").await;
    becomes("probes go on", true, || async { metric(&admin, "gream_toss_calls_total").await > calls }).await;
    stage.restart_sandbox().await;
    stage.refund_becomes(refund, "paid").await;
    assert_eq!(stage.points(user).await, (400, 100));
    stage.audit_holds().await;
}

#[tokio::test]
async fn wrong_keys_raise_an_alarm_and_commands_wait() {
    let stage = Stage::new("wrong_keys").await;
    let user = stage.market.user(1, 0).await;
    let commands = [stage.charge(user, 1_000).await, stage.charge(user, 2_000).await];
    let mut misconfigured = stage.market.spawn_with(
        &["worker", "payment"],
        &[("GREAM__TOSS__SECRET_KEY", "test_sk_wrong"), ("GREAM__PAYMENT_WORKER__BREAKER_PAUSE_MS", "300")],
    );
    let admin = misconfigured.ready().await;
    stage.market.broker.publish(stage.market.partitions, &commands).await;
    becomes("an alarm", 1.0, || metric(&admin, "gream_toss_configuration_alarm")).await;
    assert!(metric(&admin, "gream_toss_breaker_open").await > 0.0, "it calls no more, but for a probe now and then");
    becomes("several refusals", true, || async { stage.calls("unauthorized").await >= 3 }).await;
    assert!(misconfigured.logged().contains("Toss refuses our keys"));
    assert!(!misconfigured.logged().contains("test_sk_wrong"), "the key is not logged");
    let most = "SELECT CAST(MAX(attempts) AS SIGNED) FROM commands";
    assert!(stage.market.number(most).await <= 1, "no attempt was burnt");
    assert_eq!(stage.market.count("suspended").await, 0);
    // It is one process's configuration: the others go on.
    let _worker = stage.market.worker(&["payment"]).await;
    for command in &commands {
        stage.market.reaches(command.id, "done").await;
    }
    assert!(metric(&admin, "gream_toss_configuration_alarm").await > 0.0, "still");
    stage.audit_holds().await;
}

#[tokio::test]
async fn a_broker_that_goes_away_in_the_middle_of_a_call_costs_nothing() {
    let mut stage = Stage::new("broker_away").await;
    let user = stage.market.user(1, 0).await;
    let wire = stage.market.wire("GREAM__RABBITMQ__URL").await;
    let worker = stage.market.worker(&["payment"]).await;
    let (answered, refused) = (stage.charge(user, 1_000).await, stage.charge(user, 2_000).await);
    // While the broker is away, one call ends well, and the other must be sent along a ladder that is not there.
    stage.fault("confirm", order_of(&answered), 1, json!({"delay_ms": 600})).await;
    stage.fault("confirm", order_of(&refused), 1, json!({"hang_ms": 600})).await;
    stage.market.broker.publish(stage.market.partitions, &[answered.clone(), refused.clone()]).await;
    becomes("both calls are under way", 2, || stage.calls("confirm")).await;
    let tried = wire.accepted();
    wire.unplug();
    stage.market.reaches(answered.id, "done").await;
    becomes("the worker looks for the broker", true, || async { wire.accepted() >= tried + 3 }).await;
    assert!(worker.logged().contains("the crew lets go of everything"));
    wire.mend();
    stage.market.reaches(refused.id, "done").await;
    becomes("an empty queue", 0, || stage.market.broker.depth("payment")).await;
    assert_eq!(stage.points(user).await, (3_000, 0));
    assert_eq!((stage.moves(order_of(&answered)).await, stage.moves(order_of(&refused)).await), ((1, 0), (1, 0)));
    stage.audit_holds().await;
}

#[tokio::test]
async fn while_mysql_is_away_nothing_is_taken_and_nothing_burnt() {
    let mut stage = Stage::new("mysql_away").await;
    let user = stage.market.user(1, 0).await;
    let wire = stage.market.wire("GREAM__DATABASE__URL").await;
    let mut worker = stage.market.worker(&["payment"]).await;
    let admin = worker.ready().await;
    let mut commands: Vec<Envelope> = Vec::new();
    for _ in 0..10 {
        commands.push(stage.charge(user, 1_000).await);
    }
    // The first is in Toss's hands when the database goes; its outcome cannot be written.
    stage.fault("confirm", order_of(&commands[0]), 1, json!({"delay_ms": 600})).await;
    stage.publish(&commands[0]).await;
    becomes("the call is under way", 1, || stage.calls("confirm")).await;
    let tried = wire.accepted();
    wire.unplug();
    stage.market.broker.publish(stage.market.partitions, &commands[1..]).await;
    becomes("the worker looks for the database", true, || async { wire.accepted() >= tried + 5 }).await;
    eventually("it is not ready", || async {
        let status = reqwest::get(format!("http://{admin}/health/ready")).await.ok()?.status();
        (status == 503).then_some(())
    })
    .await;
    becomes("all lie on the queue", 10, || stage.market.broker.depth("payment")).await;
    wire.mend();
    for command in &commands {
        stage.market.reaches(command.id, "done").await;
        assert_eq!(stage.moves(order_of(command)).await, (1, 0));
        assert_eq!(stage.attempts(command.id).await, 1, "no attempt was burnt");
    }
    assert_eq!(stage.points(user).await, (10_000, 0));
    stage.audit_holds().await;
}
