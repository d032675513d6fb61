//! A seeded storm: charges and refunds while Toss fails at random in every way that the sandbox can, webhooks are lost,
//! repeated and out of order, and workers are killed. Afterwards: nothing is stuck, the audit holds against the sandbox's
//! own journal, and every path was taken.
//!
//! `make test` plays a small one, `make storm` one of ten thousand. The seed decides who does what and which faults are
//! drawn; which call draws first is the callers' to race for.

mod clean;
mod crowd;
mod paths;
mod weather;

use crate::stage::Stage;
use acceptance::process::Process;
use crowd::Crowd;
use paths::Paths;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use weather::MINUTE_MS;

/// Charges and refunds in `make test`; `GREAM_STORM_COMMANDS` says otherwise.
const COMMANDS: usize = 250;
/// From so many on, a path that nobody took fails the run.
const EVERY_PATH_FROM: usize = 5_000;
/// The longest that a worker lives before it is killed.
const LIFE: Duration = Duration::from_millis(2_500);
/// Nobody answers webhooks for so long, now and then.
const DEAF: Duration = Duration::from_millis(150);

fn wanted(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|number| number.parse().ok())
}

/// Workers, of which one is killed now and then and comes back.
struct Victims {
    workers: Vec<(&'static [&'static str], Process)>,
    kills: u64,
    /// … while commands were being carried out.
    amid_calls: u64,
}

impl Victims {
    async fn start(stage: &Stage) -> Self {
        let mut workers = Vec::new();
        for roles in [&["payment"][..], &["payment"], &["refund"], &["refund", "relay"]] {
            workers.push((roles, stage.market.worker(roles).await));
        }
        Self { workers, kills: 0, amid_calls: 0 }
    }

    /// … and webhooks go to `url` unanswered for a moment.
    async fn are_killed(&mut self, stage: &Stage, url: &str, mut random: StdRng, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep(LIFE.mul_f64(random.random_range(0.2..1.0))).await;
            let next = random.random_range(0..self.workers.len());
            let (roles, worker) = &mut self.workers[next];
            let busy = stage.market.count("executing").await > 0;
            worker.kill();
            (self.kills, self.amid_calls) = (self.kills + 1, self.amid_calls + u64::from(busy));
            *worker = stage.market.worker(roles).await;
            if random.random_bool(0.2) {
                weather::deaf(stage, url, DEAF).await;
            }
        }
    }
}

/// One in which the breaker opens and closes quickly, and the ladder's rungs are short.
async fn stage() -> Stage {
    let mut stage = Stage::new("storm").await;
    for (key, value) in [
        ("GREAM__PAYMENT_WORKER__BREAKER_MIN_CALLS", 10),
        ("GREAM__PAYMENT_WORKER__BREAKER_WINDOW_CALLS", 20),
        ("GREAM__PAYMENT_WORKER__BREAKER_PAUSE_MS", 200),
        ("GREAM__PAYMENT_WORKER__BREAKER_SLOW_CALL_MS", 900),
        ("GREAM__SCHEDULER__CHARGES_INTERVAL_MS", 500),
        ("GREAM__RATE_LIMITS__WEBHOOKS_PER_ADDRESS", 1_000_000),
        ("GREAM__RATE_LIMITS__WEBHOOKS_PER_ORDER", 1_000_000),
        ("GREAM__RATE_LIMITS__WEBHOOKS_IN_ALL", 1_000_000),
    ] {
        stage.market.set(key, value);
    }
    stage
}

#[tokio::test]
async fn a_storm_loses_nothing_doubles_nothing_and_leaves_nothing_stuck() {
    let seed = wanted("GREAM_STORM_SEED").unwrap_or(7);
    let commands = wanted("GREAM_STORM_COMMANDS").map_or(COMMANDS, |n| usize::try_from(n).unwrap());
    println!("GREAM_STORM_SEED={seed}, {commands} charges and refunds");
    let began = Instant::now();
    let stage = stage().await;
    let (_api, url) = stage.hears_webhooks(MINUTE_MS).await;
    let _scheduler = stage.market.worker(&["scheduler"]).await;
    let mut victims = Victims::start(&stage).await;
    weather::begins(&stage, seed).await;

    let (over, mut random) = (AtomicBool::new(false), StdRng::seed_from_u64(seed));
    let killer = StdRng::seed_from_u64(random.random());
    let mut crowd = Crowd::new(&stage, random, commands).await;
    let mut paths = Paths::default();
    let play = async {
        crowd.plays().await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(play, victims.are_killed(&stage, &url, killer, &over), paths.watch(&stage, &over));
    let stormed = began.elapsed();

    paths.weather(&weather::drawn(&stage).await);
    weather::ends(&stage).await;
    paths.dead_letters(&clean::up(&stage, &mut crowd).await);
    paths.webhooks(&weather::webhooks(&stage).await);
    paths.count("a key was sent again, and its answer repeated", stage.calls("replayed").await);
    paths.count("a worker was killed", victims.kills);
    paths.count("a worker was killed while commands were carried out", victims.amid_calls);
    paths.of_books(&stage).await;
    paths.of_journal(&stage).await;
    println!("{paths}stormed for {stormed:.1?}, clean after {:.1?}", began.elapsed());
    stage.audit_holds().await;
    if commands >= EVERY_PATH_FROM {
        assert_eq!(paths.never(), Vec::<&str>::new(), "paths that nobody took");
    }
}
