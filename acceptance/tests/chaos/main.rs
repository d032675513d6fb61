//! A market under load while a nemesis kills, stops and cuts off whatever it is made of. Then all is healed, and held against
//! what was promised: every accepted command has one outcome, the books add up, Toss did nothing twice, progress resumed in
//! time after each healing, and every client that followed the retry rules saw its command end.
//!
//! ```text
//! crowd:    open ────────────────────────────────────────────────────────────► close ─► count
//! nemesis:         pause ─► strike ─► lasts ─► heal ─► all caught up? ─► pause …     ─► audit at rest
//! ```
//! Promises: the faults and their order depend on the seed alone (when each comes, also on how long healing took). What a run
//! found is in its report, whether it passed or not. Doesn't: break two things at a time.
//! `make test` plays the short plan; `make chaos` goes on for as long as one likes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fleet;
mod nemesis;
mod plan;
mod report;

use acceptance::{Market, within};
use fleet::Fleet;
use load::{Login, Options, Pulse};
use plan::{Fault, Plan, Strike};
use report::{Blow, ChaosReport, rows};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const ADMINISTRATOR: (&str, &str) = ("boss", "password1");
/// Within this, everybody who waited has caught up after a healing, a server's own start included.
const RECOVERY_LIMIT: Duration = Duration::from_mins(1);
/// Until everything has ended at the end.
const REST: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Short first steps, for Toss is away for seconds here; half a minute in all.
const LADDER_MS: &str = "500,1000,2000,4000,8000,16000";

/// A number of the environment's.
fn wanted(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

async fn market() -> Market {
    let mut market = Market::with_ladder("chaos", LADDER_MS).await;
    for (key, value) in [
        ("GREAM__PAYMENT_WORKER__BREAKER_PAUSE_MS", 1_000),
        ("GREAM__RABBITMQ__HEARTBEAT_S", 4),
        ("GREAM__RATE_LIMITS__WEBHOOKS_PER_ADDRESS", 1_000_000),
    ] {
        market.set(key, value);
    }
    market
}

fn crowd(fleet: &Fleet, seed: u64) -> Options {
    let (login_id, password) = ADMINISTRATOR;
    Options {
        api: format!("http://{}", fleet.balancer.address).parse().unwrap(),
        sandbox: format!("http://{}", fleet.sandbox).parse().unwrap(),
        administrator: Login { login_id: login_id.to_owned(), password: password.to_owned() },
        clock_file: None,
        journal: fleet.market.folder().join("journal.jsonl"),
        seed,
        users: 24,
        products: 8,
        commands: 0,
        concurrency: 8,
    }
}

/// Waits for `what`, at most for the limit; how long it took.
async fn takes(since: Instant, what: impl Fn() -> bool) -> Option<Duration> {
    while since.elapsed() < RECOVERY_LIMIT {
        if what() {
            return Some(since.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn shown(after: Option<Duration>) -> String {
    after.map_or("NEVER".to_owned(), |after| after.as_millis().to_string())
}

async fn blow(fleet: &mut Fleet, pulse: &Pulse, strike: Strike) -> Blow {
    tokio::time::sleep(strike.pause).await;
    let before = pulse.beat();
    let answers_lost = fleet.suffers(strike).await;
    let (healing, beat) = (Instant::now(), pulse.beat());
    let ((), goes_on, caught_up) = tokio::join!(
        fleet.is_healed(strike),
        takes(healing, || pulse.goes_on_since(beat)),
        takes(healing, || pulse.has_caught_up_with(beat)),
    );
    let after = pulse.beat();
    println!(
        "{:<36} for {:>4} ms  {:>4} × 5xx  goes on after {:>6}  caught up after {:>6} ms",
        strike.fault.to_string(),
        strike.lasts.as_millis(),
        after.not_accepted - before.not_accepted,
        shown(goes_on),
        shown(caught_up),
    );
    Blow { strike, before, after, goes_on, caught_up, answers_lost }
}

/// For so long; without a number, the short plan.
async fn nemesis(fleet: &mut Fleet, pulse: &Pulse, seed: u64) -> (Vec<Blow>, Vec<String>) {
    within(RECOVERY_LIMIT, "the market is open", async || (pulse.beat().done > 20).then_some(())).await;
    let (began, length) = (Instant::now(), wanted("GREAM_CHAOS_SECONDS").map(Duration::from_secs));
    let strikes: Box<dyn Iterator<Item = Strike>> = match length {
        Some(_) if fleet.market.servers.are_clusters() => Box::new(Plan::of(seed, plan::faults_of_clusters())),
        Some(_) => Box::new(Plan::new(seed)),
        None => Box::new(Plan::new(seed).short().into_iter()),
    };
    let (mut blows, mut left) = (Vec::new(), Vec::new());
    for strike in strikes {
        if length.is_some_and(|length| began.elapsed() >= length) {
            break;
        }
        blows.push(blow(fleet, pulse, strike).await);
        left.extend(fleet.left_by_themselves());
    }
    pulse.close();
    (blows, left)
}

async fn audit(fleet: &Fleet) -> operator::AuditReport {
    let sources = operator::Sources {
        journal: Some(fleet.market.folder().join("journal.jsonl")),
        broker: Some(fleet.market.broker.page()),
        sandbox: Some(format!("http://{}", fleet.sandbox).parse().unwrap()),
        ..fleet.market.audit_sources()
    };
    operator::audit_at_rest(&sources, REST).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_broken_nothing_is_lost_or_done_twice() {
    let seed = wanted("GREAM_CHAOS_SEED").unwrap_or(5);
    println!("GREAM_CHAOS_SEED={seed}");
    let market = market().await;
    let (login_id, password) = ADMINISTRATOR;
    let secret = platform::Secret::new(password);
    api::create_administrator(&market.database, login_id, &secret, market.now()).await.unwrap();
    let mut fleet = Fleet::starts(market).await;
    let (began, pulse) = (Instant::now(), Arc::new(Pulse::default()));
    let crowd = load::keep_open(crowd(&fleet, seed), pulse.clone());
    let (day, (blows, left_by_themselves)) = tokio::join!(crowd, nemesis(&mut fleet, &pulse, seed));
    let day = day.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let audit = audit(&fleet).await;

    let findings =
        audit.broken().flat_map(|check| check.findings.listed.iter().map(|f| format!("{}: {f}", check.name)));
    let report = ChaosReport {
        servers: if fleet.market.servers.are_clusters() { "nodes of clusters" } else { "one of each server" },
        seed,
        seconds,
        faults: blows.len() as u64,
        kills: blows.iter().filter(|blow| matches!(blow.strike.fault, Fault::Kill(_))).count() as u64,
        rows: rows(&blows),
        recovery_limit_s: RECOVERY_LIMIT.as_secs(),
        longest_wait_of_a_client_s: pulse.longest_wait().as_secs_f64(),
        lost: audit.pending.total(),
        doubled_or_broken: findings.collect(),
        dead_letters: audit.figures.dead_letters.values().sum(),
        left_by_themselves,
        panics: fleet::panics(fleet.market.folder()),
        day,
    };
    println!("{report}{audit}");
    if let Some(file) = std::env::var_os("GREAM_CHAOS_REPORT") {
        std::fs::write(file, serde_json::to_vec_pretty(&report).unwrap()).unwrap();
    }
    assert!(audit.not_compared.is_empty(), "{:?}", audit.not_compared);
    assert_eq!(report.objections(), Vec::<String>::new());
}
