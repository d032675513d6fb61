//! The circuit breaker that all payment and refund workers share: one outage for everybody, one probe at a time, and a
//! return in the order of deadlines. What it does under load is told by `outage`.

use crate::stage::{Stage, confirm, halted, metric, order_of};
use acceptance::{
    Market,
    commands::envelope,
    process::Process,
    wait::{becomes, eventually, within},
};
use contracts::{Command, Envelope, UserId};
use domain::breaker::{Policy, ProbeId, State, Tally};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use toss::sandbox::journal::Effect;
use workers::SharedBreaker;

pub const MIN_CALLS: u64 = 6;
pub const WINDOW_CALLS: u64 = 20;
pub const PAUSE_MS: u64 = 1_000;
const MAX_PAUSE_MS: u64 = 60_000;

/// Two payment workers and a refund worker, each a process.
pub struct Fleet {
    pub stage: Stage,
    _processes: Vec<Process>,
    /// Where each shows its metrics.
    admins: Vec<String>,
    pub user: UserId,
}

impl Fleet {
    /// Of workers that take at most `prefetch` at once.
    pub async fn new(test: &str, prefetch: u64) -> Self {
        let mut stage = Stage::new(test).await;
        quick_breaker(&mut stage, prefetch);
        let user = stage.market.user(1, 0).await;
        let (mut processes, mut admins) = (Vec::new(), Vec::new());
        for role in ["payment", "payment", "refund"] {
            let mut worker = stage.market.worker(&[role]).await;
            admins.push(worker.ready().await);
            processes.push(worker);
        }
        Self { stage, _processes: processes, admins, user }
    }

    /// A counter of all three, where it has these labels.
    pub async fn counted(&self, name: &str, labels: &[&str]) -> u64 {
        let mut sum = 0;
        for admin in &self.admins {
            let text = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
            let lines = text.lines().filter(|line| line.starts_with(name) && labels.iter().all(|of| line.contains(of)));
            sum += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>();
        }
        sum
    }

    pub async fn probes(&self) -> u64 {
        self.counted("gream_toss_calls_total", &["call=\"probe\""]).await
    }

    async fn all_see(&self, open: bool) {
        for admin in &self.admins {
            becomes("all know", open, || async { metric(admin, "gream_toss_breaker_open").await > 0.0 }).await;
        }
    }

    pub async fn charges(&self, count: usize) -> Vec<Envelope> {
        let mut charges = Vec::new();
        for _ in 0..count {
            charges.push(self.stage.charge(self.user, 1_000).await);
        }
        charges
    }
}

/// One that opens after a few calls and probes soon.
fn quick_breaker(stage: &mut Stage, prefetch: u64) {
    stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_MIN_CALLS", MIN_CALLS);
    stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_WINDOW_CALLS", WINDOW_CALLS);
    stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_PAUSE_MS", PAUSE_MS);
    stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_SLOW_CALL_MS", 500);
    stage.market.set("GREAM__PAYMENT_WORKER__PREFETCH", prefetch);
}

/// From now on each of Toss's answers has this fault; none, if it is null.
pub async fn toss_is(stage: &Stage, fault: &Value) {
    stage.ask("DELETE", "/sandbox/faults", &Value::Null).await;
    if fault.is_null() {
        return;
    }
    for path in ["confirm", "payment", "cancel"] {
        let request = json!({"match": {"path": path}, "times": 1_000_000, "fault": fault});
        stage.ask("POST", "/sandbox/faults", &request).await;
    }
}

pub async fn all_done(stage: &Stage, commands: &[Envelope]) {
    for command in commands {
        within(Duration::from_mins(3), "a command is done", || async {
            stage.market.state(command.id).await.filter(|state| state == "done").map(drop)
        })
        .await;
    }
}

/// Attempts that failed and were counted, of all commands that call Toss.
pub async fn burnt(stage: &Stage) -> i64 {
    // The last attempt of what is done did not fail.
    let sql = "SELECT CAST(COALESCE(SUM(IF(state = 'done', attempts - 1, attempts)), 0) AS SIGNED) FROM commands \
               WHERE kind IN ('confirm_charge', 'cancel_charge') AND attempts > 0 AND state IN ('done', 'retrying')";
    stage.market.number(sql).await
}

/// How many probes fit into an outage: each pause is twice as long as the one before.
pub fn most_probes(outage: Duration) -> u64 {
    let (mut at, mut pause, mut probes) = (0, PAUSE_MS, 0);
    while at < u64::try_from(outage.as_millis()).unwrap() {
        (at, pause, probes) = (at + pause, (pause * 2).min(MAX_PAUSE_MS), probes + 1);
    }
    probes
}

async fn all_stop_calling_while_toss_is(test: &str, fault: Value) {
    const PREFETCH: u64 = 4;
    let fleet = Fleet::new(test, PREFETCH).await;
    let stage = &fleet.stage;
    let charges = fleet.charges(40).await;
    toss_is(stage, &fault).await;
    let began = Instant::now();
    stage.market.broker.publish(stage.market.partitions, &charges).await;
    fleet.all_see(true).await;
    // Two crews' calls were under way when it opened; look-ups follow some of them.
    let calls = async || stage.calls("confirm").await + stage.calls("payment").await;
    becomes("three probes later", true, || async { fleet.probes().await >= 3 }).await;
    let (calls, probes) = (calls().await, fleet.probes().await);
    assert!(calls - probes <= 4 * PREFETCH + MIN_CALLS, "{calls} calls, {probes} of them probes");
    assert!(probes <= most_probes(began.elapsed()), "one at a time over the whole fleet: {probes}");
    let waiting = stage.market.broker.depth("payment").await;
    assert!(waiting >= 20, "most were not even taken: {waiting}");
    toss_is(stage, &Value::Null).await;
    all_done(stage, &charges).await;
    fleet.all_see(false).await;
    assert!(burnt(stage).await <= i64::try_from(MIN_CALLS).unwrap(), "attempts that failed before it opened");
    assert_eq!(stage.points(fleet.user).await, (40_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn two_workers_stop_calling_a_toss_that_fails() {
    all_stop_calling_while_toss_is("fleet_5xx", json!({"status": 503})).await;
}

#[tokio::test]
async fn two_workers_stop_calling_a_toss_that_is_slow() {
    all_stop_calling_while_toss_is("fleet_slow", json!({"delay_ms": 800})).await;
}

#[tokio::test]
async fn a_worker_killed_with_the_probe_in_its_hands_is_replaced_when_its_lease_is_over() {
    let mut stage = Stage::new("probe_killed").await;
    quick_breaker(&mut stage, 8);
    let user = stage.market.user(1, 0).await;
    let mut charges = Vec::new();
    for _ in 0..8 {
        charges.push(stage.charge(user, 1_000).await);
    }
    toss_is(&stage, &json!({"status": 503})).await;
    let (mut victim, file) = stage.market.halting_worker(&["payment"], "breaker.probing");
    stage.market.broker.publish(stage.market.partitions, &charges).await;
    halted(&mut victim, &file, "breaker.probing").await;
    victim.kill();
    let lease_until = "SELECT until_ms FROM circuit_breakers WHERE phase = 'half_open'";
    let lease_until = stage.market.number(lease_until).await;
    toss_is(&stage, &Value::Null).await;
    let mut successor = stage.market.worker(&["payment"]).await;
    let admin = successor.ready().await;
    becomes("a probe", true, || async { metric(&admin, "gream_toss_calls_total").await > 0.0 }).await;
    assert!(stage.market.now().0 >= lease_until, "a second probe while the first may be on its way");
    all_done(&stage, &charges).await;
    assert_eq!(stage.points(user).await, (8_000, 0));
    stage.audit_holds().await;
}

#[tokio::test]
async fn without_the_database_nobody_probes_and_what_was_last_known_holds() {
    let mut stage = Stage::new("breaker_mysql").await;
    quick_breaker(&mut stage, 8);
    let user = stage.market.user(1, 0).await;
    let wire = stage.market.wire("GREAM__DATABASE__URL").await;
    let mut worker = stage.market.worker(&["payment"]).await;
    let admin = worker.ready().await;
    let mut charges = Vec::new();
    for _ in 0..20 {
        charges.push(stage.charge(user, 1_000).await);
    }
    toss_is(&stage, &json!({"status": 503})).await;
    stage.market.broker.publish(stage.market.partitions, &charges).await;
    let calls = async || metric(&admin, "gream_toss_calls_total").await;
    becomes("the breaker is open", true, || async { metric(&admin, "gream_toss_breaker_open").await > 0.0 }).await;
    wire.unplug();
    let (before, tried) = (calls().await, wire.accepted());
    toss_is(&stage, &Value::Null).await;
    becomes("several looks in vain", true, || async { wire.accepted() >= tried + 8 }).await;
    assert!(calls().await <= before + 1.0, "nobody calls, but for a probe that was on its way");
    assert!(metric(&admin, "gream_toss_breaker_open").await > 0.0, "it does not close by itself");
    wire.mend();
    all_done(&stage, &charges).await;
    assert_eq!(stage.points(user).await, (20_000, 0));
    stage.audit_holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_write_at_once_none_is_forgotten_and_one_gets_the_probe() {
    const RACERS: i64 = 4;
    const ROUNDS: i64 = 25;
    let market = Market::new("breaker_race").await;
    let policy = Policy {
        window_calls: 1_000,
        minimum_calls: 1_000,
        bad_percent: 50,
        open_ms: 1,
        max_open_ms: 1,
        max_asked_ms: 1,
        probe_lease_ms: 60_000,
    };
    let (now, told) = (market.now(), Tally::FAILED);
    let racer = async |n: i64| {
        let breaker = SharedBreaker::new(market.database.clone(), Duration::from_secs(10), &format!("racer {n}"));
        for _ in 0..ROUNDS {
            breaker.change(now, |state| state.after_calls(&policy, told, now)).await.unwrap();
        }
        breaker
    };
    let breakers = futures_util::future::join_all((0..RACERS).map(racer)).await;
    let calls = u32::try_from(RACERS * ROUNDS).unwrap() * told.calls;
    assert_eq!(
        breakers[0].read().await.unwrap().state,
        State::Closed { tally: Tally { calls, failed: calls, slow: 0 } }
    );

    for round in 0..ROUNDS {
        breakers[0].change(now, |_| State::Open { until: now, pause_ms: 1 }).await.unwrap();
        let tries = breakers.iter().zip(1..).map(async |(breaker, n): (&SharedBreaker, i64)| {
            let probe = ProbeId(round * RACERS + n);
            let take = |state: State| state.with_probe(&policy, probe, now).unwrap_or(state);
            let got = breaker.change(now, take).await.unwrap().state;
            matches!(got, State::HalfOpen { probe: holder, .. } if holder == probe)
        });
        let got = futures_util::future::join_all(tries).await;
        assert_eq!(got.iter().filter(|got| **got).count(), 1, "round {round}: {got:?}");
    }
}

#[tokio::test]
async fn a_wait_that_toss_asks_for_is_kept_by_everybody() {
    const ASKED: Duration = Duration::from_secs(3);
    let fleet = Fleet::new("retry_after", 16).await;
    let stage = &fleet.stage;
    let first = stage.charge(fleet.user, 1_000).await;
    let fault = json!({"status": 429, "retry_after_s": ASKED.as_secs()});
    stage.fault("confirm", order_of(&first), 1, fault).await;
    stage.publish(&first).await;
    becomes("it is struck", vec![1], || stage.struck()).await;
    let asked = Instant::now();
    fleet.all_see(true).await;
    let calls = async || stage.calls("confirm").await + stage.calls("payment").await;
    let before = calls().await;
    assert_eq!(before, 1, "nobody calls");
    let mut others = fleet.charges(10).await;
    stage.market.broker.publish(stage.market.partitions, &others).await;
    eventually("somebody calls again", || async { (calls().await > before).then_some(()) }).await;
    let waited = asked.elapsed();
    assert!(waited + Duration::from_millis(200) >= ASKED, "after only {waited:?}");
    others.push(first);
    all_done(stage, &others).await;
    assert_eq!(burnt(stage).await, 0, "waiting is no attempt");
    stage.audit_holds().await;
}

#[tokio::test]
async fn after_the_breaker_closes_the_nearest_deadline_is_first() {
    const PARALLEL: usize = 4;
    const COMMANDS: usize = 40;
    const FOLLOWED: usize = 10;
    let mut stage = Stage::new("deadlines").await;
    stage.market.set("GREAM__PAYMENT_WORKER__PREFETCH", PARALLEL);
    let user = stage.market.user(1, 0).await;
    let mut worker = stage.market.worker(&["payment"]).await;
    let admin = worker.ready().await;
    let mut awaiting = Vec::new();
    for _ in 0..FOLLOWED {
        awaiting.push(stage.awaiting(user, 1_000).await);
    }
    breaker(&stage, "open", "held by a person").await;
    becomes("it is seen", 1.0, || metric(&admin, "gream_toss_breaker_open")).await;
    // They came first, and are in no hurry.
    let mut follow_ups = Vec::new();
    for charge in &awaiting {
        stage.deposit(charge, "").await;
        let follow = Command::FollowPayment { order_id: order_of(charge).to_owned() };
        follow_ups.push(envelope(order_of(charge), UserId::SYSTEM, stage.market.now(), follow));
    }
    stage.market.broker.publish(stage.market.partitions, &follow_ups).await;
    let mut commands = Vec::new();
    for n in 0..COMMANDS {
        let order = stage.order(user, 1_000).await;
        let key = stage.authenticate(&order, 1_000).await;
        // The later it came, the nearer is its end.
        let earlier = stage.market.now().plus_ms(-i64::try_from(n).unwrap() * 5_000);
        commands.push(confirm(user, &order, &key, 1_000, earlier));
    }
    stage.market.broker.publish(stage.market.partitions, &commands).await;
    let all = u32::try_from(COMMANDS + FOLLOWED).unwrap();
    becomes("all wait", all, || stage.market.broker.depth("payment")).await;
    assert_eq!(stage.calls("confirm").await, FOLLOWED as u64);
    breaker(&stage, "close", "ramping").await;
    for command in commands.iter().chain(&follow_ups) {
        stage.market.reaches(command.id, "done").await;
    }
    let ended = "SELECT command_id FROM commands WHERE state = 'done' ORDER BY updated_at_ms";
    let ended: Vec<Vec<u8>> = sqlx::query_scalar(ended).fetch_all(&stage.market.database).await.unwrap();
    let place = |command: &Envelope| ended.iter().position(|id| id[..] == command.id.bytes()[..]).unwrap();
    let first_follow_up = follow_ups.iter().map(place).min().unwrap();
    let overtaken = commands.iter().filter(|command| place(command) > first_follow_up).count();
    assert!(overtaken <= PARALLEL, "{overtaken} confirms came after something that could wait");
    let journal = stage.journal().await;
    let confirmed = journal.iter().filter_map(|entry| match &entry.effect {
        Effect::Confirmed { order_id, .. } => Some(order_id.as_str()),
        _ => None,
    });
    let wanted: Vec<&str> = commands.iter().rev().map(order_of).collect();
    for (place, order) in confirmed.enumerate() {
        let due = wanted.iter().position(|wanted| *wanted == order).unwrap();
        assert!(place.abs_diff(due) <= PARALLEL, "{order} was {place}th, and is due as the {due}th");
    }
    stage.audit_holds().await;
}

/// `gream breaker …`, which says what came of it.
async fn breaker(stage: &Stage, task: &str, says: &str) {
    let mut process = stage.market.spawn(&["breaker", task]);
    let ended = std::cell::RefCell::new(&mut process);
    eventually("it ends", || async { (!ended.borrow_mut().is_running()).then_some(()) }).await;
    assert!(process.logged().contains(says), "{}", process.logged());
}
