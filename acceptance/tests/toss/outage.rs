//! Toss is down for a while under load, in numbers: ten seconds in `make test`, two minutes in `make breaker`.
//!
//! Shown: bids go on as before; Toss sees next to nothing but probes; no attempt is burnt by waiting; and when Toss is
//! back, the calls come back step by step, and the backlog goes without a second outage.

use crate::{
    fleet::{Fleet, WINDOW_CALLS, all_done, burnt, most_probes, toss_is},
    stage::Stage,
};
use acceptance::{
    commands::{buy, sell},
    wait::{eventually, within},
};
use contracts::{Envelope, ProductId, UnixMs, UserId};
use serde_json::json;
use std::time::{Duration, Instant};

/// What `make test` can spare; `GREAM_OUTAGE_SECONDS` says otherwise.
const OUTAGE_S: u64 = 10;
const BEFORE: Duration = Duration::from_secs(4);
const AFTER: Duration = Duration::from_secs(8);
const PREFETCH: u64 = 16;
/// What each call takes once Toss is back: long enough to see how many there are at once.
const ANSWER_MS: u64 = 100;
/// So often come two charges and twenty bids.
const EVERY: Duration = Duration::from_millis(250);
const CHARGES: usize = 2;
const BIDS: usize = 20;
const TRADERS: usize = 10;
/// The way back is shown in steps of this.
const STEP: Duration = Duration::from_millis(100);

fn outage() -> Duration {
    let wanted = std::env::var("GREAM_OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(wanted.unwrap_or(OUTAGE_S))
}

/// What was published, and when it began and ended.
struct Traded {
    from: UnixMs,
    to: UnixMs,
    bids: usize,
    charges: Vec<Envelope>,
}

/// Eight charges and eighty bids a second; each bid meets its match at once.
async fn trade(stage: &Stage, user: UserId, time: Duration) -> Traded {
    let (from, started) = (stage.market.now(), Instant::now());
    let (mut bids, mut charges) = (0, Vec::new());
    while started.elapsed() < time {
        let next = tokio::time::Instant::now() + EVERY;
        let now = stage.market.now();
        let id = |n: usize| u64::try_from(10 + n % TRADERS).unwrap();
        let pairs: Vec<Envelope> = (0..BIDS / 2)
            .flat_map(|n| {
                let product = ProductId(id(n));
                let sold = sell(&format!("s{n} at {}", now.0), UserId(id(n + 1)), product, 1_000, now);
                [sold, buy(&format!("b{n} at {}", now.0), UserId(id(n)), product, 1_000, now)]
            })
            .collect();
        stage.market.broker.publish(stage.market.partitions, &pairs).await;
        bids += pairs.len();
        for _ in 0..CHARGES {
            let charge = stage.charge(user, 1_000).await;
            stage.publish(&charge).await;
            charges.push(charge);
        }
        tokio::time::sleep_until(next).await;
    }
    Traded { from, to: stage.market.now(), bids, charges }
}

/// How the bids accepted within some time fared: milliseconds from accepted to done, sorted.
struct Bids {
    seconds: f64,
    times: Vec<i64>,
}

impl Bids {
    async fn of(stage: &Stage, traded: &Traded) -> Self {
        let done = "SELECT updated_at_ms - accepted_at_ms AS took FROM commands WHERE kind LIKE 'place%' \
                    AND accepted_at_ms >= ? AND accepted_at_ms < ? AND state = 'done' ORDER BY took";
        let times = within(Duration::from_secs(30), "all bids are done", || async {
            let asked = sqlx::query_scalar(done).bind(traded.from.0).bind(traded.to.0);
            let times: Vec<i64> = asked.fetch_all(&stage.market.database).await.unwrap();
            (times.len() == traded.bids).then_some(times)
        })
        .await;
        let ms = u32::try_from(traded.to.ms_since(traded.from)).unwrap();
        Self { seconds: f64::from(ms) / 1_000.0, times }
    }

    fn at(&self, percent: usize) -> i64 {
        self.times[(self.times.len() - 1) * percent / 100]
    }

    fn told(&self) -> String {
        let rate = f64::from(u32::try_from(self.times.len()).unwrap()) / self.seconds;
        let (p50, p99, max) = (self.at(50), self.at(99), self.at(100));
        format!("{rate:.0} bids/s done; from accepted to done p50 {p50} ms, p99 {p99} ms, at most {max} ms")
    }
}

/// The way back.
struct Return {
    /// From Toss's return to the first confirm.
    noticed_after: Duration,
    /// From the first confirm until those that had waited were done.
    drained_after: Duration,
    /// How many confirms Toss saw in each step, from the first on.
    by_step: Vec<u64>,
}

impl Return {
    async fn watched(stage: &Stage, waiting: &[Envelope]) -> Self {
        let (back, before) = (Instant::now(), stage.calls("confirm").await);
        within(Duration::from_mins(3), "calls come back", || async {
            (stage.calls("confirm").await > before).then_some(())
        })
        .await;
        let (noticed_after, mut so_far, mut by_step) = (back.elapsed(), before, Vec::new());
        let (first, mut tick) = (Instant::now(), tokio::time::interval(STEP));
        let mut left = waiting.iter().peekable();
        while left.peek().is_some() {
            tick.tick().await;
            let calls = stage.calls("confirm").await;
            by_step.push(calls - so_far);
            so_far = calls;
            assert!(first.elapsed() < Duration::from_mins(3), "{} still wait", left.len());
            while let Some(charge) = left.peek()
                && stage.market.state(charge.id).await.as_deref() == Some("done")
            {
                left.next();
            }
        }
        Self { noticed_after, drained_after: first.elapsed(), by_step }
    }
}

/// What the fleet did to the breaker; a failed probe opens it again too, but that is no outage of its own.
async fn openings(fleet: &Fleet) -> u64 {
    let moves = "gream_toss_breaker_moves_total";
    let all = fleet.counted(moves, &["to=\"open\""]).await;
    all - fleet.counted(moves, &["from=\"half_open\"", "to=\"open\""]).await
}

async fn burnt_until_the_first_probe(fleet: &Fleet) -> i64 {
    eventually("a probe", || async { (fleet.probes().await > 0).then_some(()) }).await;
    burnt(&fleet.stage).await
}

#[tokio::test]
async fn an_outage_under_load_burns_nothing_and_the_backlog_goes_without_a_second_one() {
    let fleet = Fleet::new("outage", PREFETCH).await;
    let (stage, outage) = (&fleet.stage, outage());
    let _others = stage.market.worker(&["bid", "relay"]).await;
    for trader in (10..).take(TRADERS) {
        stage.market.user(trader, 100_000_000).await;
        stage.market.product(trader).await;
    }
    let before = trade(stage, fleet.user, BEFORE).await;
    all_done(stage, &before.charges).await;
    let refund = stage.refund(fleet.user, 4_500).await;

    toss_is(stage, &json!({"status": 503})).await;
    stage.approve(refund).await;
    let (during, burnt_first) = tokio::join!(trade(stage, fleet.user, outage), burnt_until_the_first_probe(&fleet));
    let struck: u64 = stage.struck().await.iter().sum();
    let (probes, opened) = (fleet.probes().await, openings(&fleet).await);
    let waiting = stage.market.broker.depth("payment").await;

    toss_is(stage, &json!({"delay_ms": ANSWER_MS})).await;
    let (after, back) = tokio::join!(trade(stage, fleet.user, AFTER), Return::watched(stage, &during.charges));
    all_done(stage, &after.charges).await;
    stage.refund_becomes(refund, "paid").await;
    let bids = [&before, &during, &after].map(|traded| Bids::of(stage, traded));
    let [bids_before, bids_during, bids_after] = futures_util::future::join_all(bids).await.try_into().ok().unwrap();
    let (burnt_later, opened_in_all) = (burnt(stage).await - burnt_first, openings(&fleet).await);
    tell(&[
        ("Toss was down for", format!("{} s", outage.as_secs())),
        ("before", bids_before.told()),
        ("meanwhile", bids_during.told()),
        ("afterwards", bids_after.told()),
        ("calls that Toss saw", format!("{struck}, {probes} of them probes")),
        ("charges that waited", format!("{} of {}", waiting, during.charges.len())),
        ("attempts burnt", format!("{burnt_first} before it opened, {burnt_later} after that")),
        ("calls came back", format!("{:.1?} after Toss", back.noticed_after)),
        ("backlog was done", format!("{:.1?} later", back.drained_after)),
        ("confirms by tenths of a second", format!("{:?}", back.by_step)),
        ("outages seen", opened_in_all.to_string()),
    ]);

    assert!((1..=most_probes(outage)).contains(&probes), "one probe at a time over the fleet: {probes}");
    // Half of the last calls opened it; some were under way then.
    assert!(struck - probes <= WINDOW_CALLS / 2 + PREFETCH, "{struck} calls, {probes} probes");
    assert!(burnt_first <= i64::try_from(WINDOW_CALLS / 2).unwrap(), "{burnt_first} attempts burnt");
    assert_eq!(burnt_later, 0, "to wait costs no attempt");
    assert!(usize::try_from(waiting).unwrap() * 2 >= during.charges.len(), "most were not taken: {waiting}");
    assert!(bids_during.at(90) < 1_000, "unhindered: {}", bids_during.told());
    // One call of each of the two; twice as many a tenth later. Half of one's prefetch allows for a busy machine.
    assert!(back.by_step[0] <= PREFETCH / 2, "no stampede: {:?}", back.by_step);
    assert_eq!((opened, opened_in_all), (1, 1), "no second outage");
    assert_eq!(stage.market.count("suspended").await, 0);
    stage.audit_holds().await;
}

fn tell(rows: &[(&str, String)]) {
    for (what, found) in rows {
        println!("{what:<31} {found}");
    }
}
