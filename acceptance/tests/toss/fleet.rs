//! The circuit breaker that all payment and refund workers share: one outage for everybody, one probe at a time, and a
//! return without a stampede.
//!
//! `GREAM_OUTAGE_SECONDS=120` makes the outage under load two minutes long; its numbers are printed.

use crate::stage::{Stage, confirm, order_of};
use acceptance::{
    commands::{buy, sell},
    process::Process,
    wait::{becomes, eventually, within},
};
use contracts::{Envelope, UnixMs, UserId};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use toss::sandbox::journal::Effect;

/// What `make test` can spare.
const OUTAGE_S: u64 = 10;
const MIN_CALLS: u64 = 6;
const PREFETCH: u64 = 16;
const PAUSE_MS: u64 = 1_000;
const MAX_PAUSE_MS: u64 = 60_000;
/// What each call takes once Toss is back: long enough to see how many there are at once.
const ANSWER_MS: u64 = 100;
const CHARGE_EVERY: Duration = Duration::from_millis(250);

fn outage() -> Duration {
    let wanted = std::env::var("GREAM_OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(wanted.unwrap_or(OUTAGE_S))
}

/// Two payment workers, a refund worker, and those that have nothing to do with Toss.
struct Fleet {
    stage: Stage,
    _processes: Vec<Process>,
    /// Where the three that call Toss show their metrics.
    callers: Vec<String>,
    charges: Vec<Envelope>,
    bids: Vec<Envelope>,
    user: UserId,
}

impl Fleet {
    async fn new(test: &str) -> Self {
        let mut stage = Stage::new(test).await;
        stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_MIN_CALLS", MIN_CALLS);
        stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_WINDOW_CALLS", 20);
        stage.market.set("GREAM__PAYMENT_WORKER__BREAKER_PAUSE_MS", PAUSE_MS);
        stage.market.set("GREAM__PAYMENT_WORKER__PREFETCH", PREFETCH);
        let user = stage.market.user(1, 0).await;
        for bidder in 10..20 {
            stage.market.user(bidder, 100_000_000).await;
            stage.market.product(bidder).await;
        }
        let (mut processes, mut callers) = (Vec::new(), Vec::new());
        for roles in [&["payment"][..], &["payment"], &["refund"], &["bid"], &["relay"]] {
            let mut worker = stage.market.worker(roles).await;
            if callers.len() < 3 {
                callers.push(worker.ready().await);
            }
            processes.push(worker);
        }
        Self { stage, _processes: processes, callers, charges: Vec::new(), bids: Vec::new(), user }
    }

    /// Four charges and eight bids a second.
    async fn trade_for(&mut self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            let next = tokio::time::Instant::now() + CHARGE_EVERY;
            let charge = self.stage.charge(self.user, 1_000).await;
            let (n, now) = (self.bids.len() as u64, self.stage.market.now());
            let (buyer, seller) = (UserId(10 + n / 2 % 10), UserId(10 + (n / 2 + 1) % 10));
            let product = contracts::ProductId(10 + n / 2 % 10);
            let bids = [
                sell(&format!("s{n}"), seller, product, 1_000, now),
                buy(&format!("b{n}"), buyer, product, 1_000, now),
            ];
            self.stage.market.broker.publish(self.stage.market.partitions, &bids).await;
            self.stage.publish(&charge).await;
            self.bids.extend(bids);
            self.charges.push(charge);
            tokio::time::sleep_until(next).await;
        }
    }

    /// From now on every call of Toss's fails, or is answered late.
    async fn toss_is(&self, fault: &Value) {
        self.stage.ask("DELETE", "/sandbox/faults", &Value::Null).await;
        for path in ["confirm", "payment", "cancel"] {
            let request = json!({"match": {"path": path}, "times": 1_000_000, "fault": fault});
            self.stage.ask("POST", "/sandbox/faults", &request).await;
        }
    }

    /// A counter of the three callers, of one label.
    async fn counted(&self, name: &str, label: &str) -> u64 {
        let mut sum = 0;
        for admin in &self.callers {
            let text = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
            let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
            sum += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>();
        }
        sum
    }

    /// A failed probe opens it again too, but that is no outage of its own.
    async fn openings(&self) -> u64 {
        let moves = "gream_toss_breaker_moves_total";
        let all = self.counted(moves, "to=\"open\"").await;
        all - self.counted(moves, "from=\"half_open\",to=\"open\"").await
    }

    async fn all_done(&self, commands: &[Envelope]) {
        for command in commands {
            within(Duration::from_mins(3), "a command is done", || async {
                self.stage.market.state(command.id).await.filter(|state| state == "done").map(drop)
            })
            .await;
        }
    }

    /// Milliseconds from accepted to done, sorted, of the bids accepted between two instants.
    async fn bid_times(&self, from: UnixMs, to: UnixMs) -> Vec<i64> {
        sqlx::query_scalar(
            "SELECT updated_at_ms - accepted_at_ms AS took FROM commands \
             WHERE kind LIKE 'place%' AND accepted_at_ms >= ? AND accepted_at_ms < ? ORDER BY took",
        )
        .bind(from.0)
        .bind(to.0)
        .fetch_all(&self.stage.market.database)
        .await
        .unwrap()
    }

    /// Attempts beyond each command's first.
    async fn burnt(&self) -> i64 {
        let sql = "SELECT CAST(COALESCE(SUM(GREATEST(attempts, 1) - 1), 0) AS SIGNED) FROM commands \
                   WHERE kind IN ('confirm_charge', 'cancel_charge')";
        self.stage.market.number(sql).await
    }
}

/// How many probes so long an outage allows: each pause is twice as long as the one before.
fn most_probes(outage: Duration) -> u64 {
    let (mut at, mut pause, mut probes) = (0, PAUSE_MS, 0);
    while at < u64::try_from(outage.as_millis()).unwrap() {
        (at, pause, probes) = (at + pause, (pause * 2).min(MAX_PAUSE_MS), probes + 1);
    }
    probes
}

fn told(times: &[i64]) -> String {
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("{} bids, p50 {} ms, p99 {} ms, max {} ms", times.len(), at(50), at(99), at(100))
}

/// How many confirms reached the sandbox within each tenth of a second, from the first on.
async fn confirms_by_tenth(stage: &Stage, tenths: usize) -> Vec<u64> {
    let before = stage.calls("confirm").await;
    within(Duration::from_mins(3), "calls come back", || async {
        (stage.calls("confirm").await > before).then_some(())
    })
    .await;
    let (mut so_far, mut by_tenth) = (before, Vec::new());
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..tenths {
        tick.tick().await;
        let now = stage.calls("confirm").await;
        by_tenth.push(now - so_far);
        so_far = now;
    }
    by_tenth
}

#[tokio::test]
async fn an_outage_under_load_burns_nothing_and_the_backlog_drains_without_a_second_one() {
    let mut fleet = Fleet::new("fleet").await;
    let outage = outage();
    let began = fleet.stage.market.now();
    fleet.trade_for(Duration::from_secs(3)).await;
    fleet.all_done(&fleet.charges).await;
    let refund = fleet.stage.refund(fleet.user, 4_500).await;

    fleet.toss_is(&json!({"status": 503})).await;
    let went_away = fleet.stage.market.now();
    fleet.stage.approve(refund).await;
    fleet.trade_for(outage).await;
    let struck: u64 = fleet.stage.struck().await.iter().sum();
    let probes = fleet.counted("gream_toss_calls_total", "call=\"probe\"").await;
    let (openings, came_back) = (fleet.openings().await, fleet.stage.market.now());
    let waiting = fleet.stage.market.broker.depth("payment").await;
    // No longer than the pause in which it came back: then a probe finds out.
    fleet.toss_is(&json!({"delay_ms": ANSWER_MS})).await;
    let back = Instant::now();
    let by_tenth = confirms_by_tenth(&fleet.stage, 10).await;
    let closed_after = back.elapsed() - Duration::from_secs(1);
    fleet.all_done(&fleet.charges).await;
    fleet.stage.refund_becomes(refund, "paid").await;
    let drained_after = back.elapsed();
    fleet.all_done(&fleet.bids).await;

    let (before, during) = (fleet.bid_times(began, went_away).await, fleet.bid_times(went_away, came_back).await);
    let burnt = fleet.burnt().await;
    println!("outage of {} s: {struck} calls reached Toss, of which {probes} probes", outage.as_secs());
    println!("{waiting} charges waited; attempts burnt: {burnt}; openings: {openings}");
    println!("bids before: {}; during: {}", told(&before), told(&during));
    println!("calls came back {closed_after:.1?} after Toss; backlog drained {drained_after:.1?} after Toss");
    println!("confirms by tenths of a second, from the first on: {by_tenth:?}");

    assert!((1..=most_probes(outage)).contains(&probes), "one probe at a time over the fleet: {probes}");
    // What opened it, and what was under way then: at four charges a second, next to nothing.
    assert!(struck - probes <= MIN_CALLS * 2 + PREFETCH, "{struck} calls, {probes} probes");
    assert!(burnt <= i64::try_from(MIN_CALLS * 2).unwrap(), "{burnt} attempts burnt");
    assert!(
        u64::from(waiting) * 250 >= u64::try_from(outage.as_millis()).unwrap() / 2,
        "most were not taken: {waiting}"
    );
    assert_eq!(during.len(), fleet.bids.iter().filter(|bid| bid.accepted_at >= went_away).count(), "all bids went on");
    assert!(during[during.len() * 9 / 10] < 1_000, "unhindered: {}", told(&during));
    // One call of each of the two; twice as many a tenth later. Half of one's prefetch allows for a busy machine.
    assert!(by_tenth[0] <= PREFETCH / 2, "no stampede: {by_tenth:?}");
    assert_eq!(fleet.openings().await, openings, "no second outage");
    assert_eq!(fleet.stage.market.count("suspended").await, 0);
    fleet.stage.audit_holds().await;
}

#[tokio::test]
async fn a_wait_that_toss_asks_for_is_kept_by_everybody() {
    const ASKED: Duration = Duration::from_secs(3);
    let mut fleet = Fleet::new("retry_after").await;
    let first = fleet.stage.charge(fleet.user, 1_000).await;
    let fault = json!({"status": 429, "retry_after_s": ASKED.as_secs()});
    fleet.stage.fault("confirm", order_of(&first), 1, fault).await;
    fleet.stage.publish(&first).await;
    becomes("it is struck", vec![1], || fleet.stage.struck()).await;
    let asked = Instant::now();
    for admin in &fleet.callers {
        becomes("all know", 1.0, || crate::stage::metric(admin, "gream_toss_breaker_open")).await;
    }
    let calls = async || fleet.stage.calls("confirm").await + fleet.stage.calls("payment").await;
    let before = calls().await;
    assert_eq!(before, 1, "nobody calls");
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(fleet.stage.charge(fleet.user, 1_000).await);
    }
    fleet.stage.market.broker.publish(fleet.stage.market.partitions, &others).await;
    eventually("somebody calls again", || async { (calls().await > before).then_some(()) }).await;
    assert!(asked.elapsed() >= ASKED - Duration::from_millis(200), "after only {:?}", asked.elapsed());
    others.push(first);
    fleet.all_done(&others).await;
    assert_eq!(fleet.burnt().await, 0, "waiting is no attempt");
    fleet.charges = others;
    fleet.stage.audit_holds().await;
}

#[tokio::test]
async fn after_the_breaker_closes_the_nearest_deadline_is_first() {
    const PARALLEL: usize = 4;
    const COMMANDS: usize = 40;
    let mut stage = Stage::new("deadlines").await;
    stage.market.set("GREAM__PAYMENT_WORKER__PREFETCH", PARALLEL);
    let user = stage.market.user(1, 0).await;
    let mut worker = stage.market.worker(&["payment"]).await;
    let admin = worker.ready().await;
    breaker(&stage, "open", "held by a person").await;
    becomes("it is seen", 1.0, || crate::stage::metric(&admin, "gream_toss_breaker_open")).await;
    let mut commands = Vec::new();
    for n in 0..COMMANDS {
        let order = stage.order(user, 1_000).await;
        let key = stage.authenticate(&order, 1_000).await;
        // The later it came, the nearer is its end.
        let earlier = stage.market.now().plus_ms(-i64::try_from(n).unwrap() * 5_000);
        commands.push(confirm(user, &order, &key, 1_000, earlier));
    }
    stage.market.broker.publish(stage.market.partitions, &commands).await;
    becomes("all wait", u32::try_from(COMMANDS).unwrap(), || stage.market.broker.depth("payment")).await;
    assert_eq!(stage.calls("confirm").await, 0);
    breaker(&stage, "close", "ramping").await;
    for command in &commands {
        stage.market.reaches(command.id, "done").await;
    }
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
