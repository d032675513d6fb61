//! Causes that make alerts fire. (`for:` is left out here: how long something must last is promtool's part.)

use acceptance::{
    Market, Visitor,
    commands::{buy, envelope},
    process::Process,
    prometheus::Prometheus,
    visitor::start_api,
    wait::{becomes, eventually, within},
};
use contracts::{
    Command, UnixMs, UserId, Won,
    topology::{COMMANDS_EXCHANGE, EVENTS_EXCHANGE},
};
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than a bid may wait, and than a stalled duty is forgiven.
const A_WHILE: Duration = Duration::from_mins(2);

async fn watched(market: &Market, processes: &mut [&mut Process]) -> Prometheus {
    let mut targets = Vec::new();
    for process in processes {
        targets.push(process.address("admin").await);
    }
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    Prometheus::start(market.folder(), &targets).await
}

#[tokio::test]
async fn dead_letters_and_queues_that_nobody_empties() {
    let market = Market::new("alert_queues").await;
    let (user, product) = (market.user(1, 10_000).await, market.product(1).await);
    let mut worker = market.worker(&["payment", "relay"]).await;
    let prometheus = watched(&market, &mut [&mut worker]).await;
    for missing in ["api", "bid", "refund", "scheduler"] {
        prometheus.alarms("GreamRoleMissing", ("role", missing)).await;
    }
    becomes("payment is seen to be there", false, || prometheus.fires("GreamRoleMissing", ("role", "payment"))).await;

    market.broker.publish_bytes(COMMANDS_EXCHANGE, "payment", b"no command", &[]).await;
    prometheus.alarms("GreamDeadLetters", ("role", "payment")).await;

    let commands = [buy("b", user, product, 1_000, market.now())];
    market.broker.publish(market.partitions, &commands).await;
    prometheus.alarms("GreamQueueUnconsumed", ("role", "bid")).await;
    let full = json!({"pattern": "^bid", "apply-to": "queues", "priority": 9, "definition": {"max-length": 1}});
    market.broker.set_policy("full", &full).await;
    prometheus.alarms("GreamQueueFilling", ("role", "bid")).await;
    prometheus.alarms("GreamCommandsWait", ("role", "bid")).await;
    assert!(!prometheus.fires("GreamMonitorBlind", ("what", "queues")).await);
}

#[tokio::test]
async fn servers_that_are_away() {
    let mut market = Market::new("alert_servers").await;
    market.product(1).await;
    let redis = market.wire("GREAM__REDIS__URL").await;
    let broker = market.wire("GREAM__RABBITMQ__URL").await;
    market.set("GREAM__DATABASE__REPLICA_URL", market.environment["GREAM__DATABASE__URL"].clone());
    let replica = market.wire("GREAM__DATABASE__REPLICA_URL").await;
    let database = market.wire("GREAM__DATABASE__URL").await;
    let (mut api, visitor) = start_api(&market).await;
    let mut relay = market.worker(&["relay"]).await;
    let alice = visitor.join("alice").await;
    let prometheus = watched(&market, &mut [&mut api, &mut relay]).await;
    becomes("the replica is in use", true, || async {
        let shown = prometheus.query("gream_replica_in_use == 1").await;
        !shown.unwrap().is_empty()
    })
    .await;

    redis.unplug();
    prometheus.alarms("GreamRedisAway", ("link", "receives")).await;
    replica.unplug();
    prometheus.alarms("GreamReplicaUnused", ("job", "gream")).await;
    broker.unplug();
    prometheus.alarms("GreamBrokerAway", ("check", "broker")).await;
    outbox_row(&market).await;
    market.advance_clock(60_000);
    prometheus.alarms("GreamOutboxLags", ("severity", "page")).await;
    server_errors(&alice, &prometheus).await;
    database.unplug();
    prometheus.alarms("GreamDatabaseAway", ("check", "database")).await;
    prometheus.alarms("GreamMonitorBlind", ("what", "database")).await;

    for wire in [&redis, &replica, &broker, &database] {
        wire.mend();
    }
    within(A_WHILE, "everything is well again", || async {
        let firing = prometheus.firing().await;
        let away = ["GreamRedisAway", "GreamReplicaUnused", "GreamBrokerAway", "GreamOutboxLags", "GreamDatabaseAway"];
        (!firing.iter().any(|labels| away.contains(&labels["alertname"].as_str()))).then_some(())
    })
    .await;
}

async fn outbox_row(market: &Market) {
    let insert = "INSERT INTO outbox (exchange_name, routing_key, payload, created_at_ms) VALUES (?, 'test', '{}', ?)";
    let insert = sqlx::query(insert).bind(EVENTS_EXCHANGE).bind(market.now().0);
    insert.execute(&market.database).await.unwrap();
}

/// Bids, each of which is told 503.
async fn server_errors(alice: &Visitor, prometheus: &Prometheus) {
    within(A_WHILE, "GreamServerErrors", || async {
        alice.post("/api/buy/1", &json!({"price": 1_000})).await.refused(503, 5005);
        prometheus.fires("GreamServerErrors", ("severity", "page")).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_scheduler_that_stands_still() {
    let market = Market::new("alert_scheduler").await;
    let (user, product) = (market.user(1, 10_000).await, market.product(1).await);
    let mut worker = market.worker(&["bid", "relay"]).await;
    let mut scheduler = market.worker(&["scheduler"]).await;
    let prometheus = watched(&market, &mut [&mut worker, &mut scheduler]).await;
    let bid = buy("b", user, product, 1_000, market.now());
    market.broker.publish(market.partitions, std::slice::from_ref(&bid)).await;
    market.reaches(bid.id, "done").await;
    becomes("the duty was noted", 1, || {
        market.number("SELECT COUNT(*) FROM scheduler_duties WHERE duty = 'stale_bids' AND successes > 0")
    })
    .await;

    let status = status(&market).await;
    let duty = status["duties"].as_array().unwrap().iter().find(|duty| duty["duty"] == "stale_bids").unwrap();
    assert!(duty["next_run_at"].as_i64() > duty["last_run_at"].as_i64(), "{duty}");
    assert_eq!(status["queues"]["bid"]["dead"], 0, "{status}");
    assert_eq!(status["overdue_bids"]["count"], 0, "{status}");

    scheduler.signal("STOP");
    prometheus.alarms("GreamProcessSilent", ("job", "gream")).await;
    market.advance_clock(8 * 86_400_000);
    prometheus.alarms("GreamBidsOverdue", ("severity", "ticket")).await;
    for duty in ["stale_bids", "charges"] {
        prometheus.alarms("GreamDutyLate", ("duty", duty)).await;
    }
    scheduler.signal("CONT");
    within(A_WHILE, "it has caught up", || async {
        let firing = prometheus.firing().await;
        let late = ["GreamDutyLate", "GreamBidsOverdue", "GreamProcessSilent"];
        (!firing.iter().any(|labels| late.contains(&labels["alertname"].as_str()))).then_some(())
    })
    .await;
    let open = market.number("SELECT COUNT(*) FROM bids WHERE state = 'open'").await;
    assert_eq!(open, 0, "what was overdue is retired");
}

/// `gream status --json`.
async fn status(market: &Market) -> Value {
    let mut process = market.spawn(&["status", "--json"]);
    eventually("gream status ends", || std::future::ready((!process.is_running()).then_some(()))).await;
    serde_json::from_str(&process.logged()).unwrap_or_else(|error| panic!("{error}: {}", process.logged()))
}

#[tokio::test]
async fn toss_is_away_and_differs() {
    let mut market = Market::new("alert_toss").await;
    market.set("GREAM__SCHEDULER__CHARGES_INTERVAL_MS", 200);
    let user = market.user(1, 0).await;
    // Nobody listens where Toss should be.
    let mut worker = market.worker(&["payment", "relay", "scheduler"]).await;
    let prometheus = watched(&market, &mut [&mut worker]).await;
    let mut commands = Vec::new();
    for number in 0..12 {
        commands.push(charge(&market, user, number).await);
    }
    market.broker.publish(market.partitions, &commands).await;
    prometheus.alarms("GreamTossAway", ("severity", "page")).await;

    let difference = "INSERT INTO differences (order_id, kind, detail, found_at_ms, seen_at_ms) VALUES ('o', 'given_back', '', 1, 1)";
    sqlx::query(difference).execute(&market.database).await.unwrap();
    prometheus.alarms("GreamDifferences", ("severity", "page")).await;
}

/// A charge, as the API saves it, and the command that confirms it.
async fn charge(market: &Market, user: UserId, number: u32) -> contracts::Envelope {
    let (order_id, UnixMs(now)) = (format!("order-{number}"), market.now());
    sqlx::query(
        "INSERT INTO payments (order_id, user_id, amount, order_name, state, attempt, cancelled_amount, created_at_ms, \
         updated_at_ms) VALUES (?, ?, 1000, 'CHARGE_POINT', 'requested', 0, 0, ?, ?)",
    )
    .bind(&order_id)
    .bind(i64::try_from(user.0).unwrap())
    .bind(now)
    .bind(now)
    .execute(&market.database)
    .await
    .unwrap();
    let command = Command::ConfirmCharge {
        order_id: order_id.clone(),
        payment_key: "key".to_owned(),
        amount: Won(1_000),
        confirm_by: UnixMs(now).plus_ms(600_000),
    };
    envelope(&order_id, user, market.now(), command)
}
