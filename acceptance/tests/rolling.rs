//! Every process is replaced by its next version while a market day goes on, one after the other or a whole set at once: no
//! request fails, and no command becomes a dead letter. `make rolling` and `make blue-green` begin with the version before;
//! `make test` replaces like by like.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use acceptance::{
    Market,
    balancer::{Balancer, Place},
    process::{Process, binary},
    wait::{PATIENCE, becomes},
};
use load::{Login, Options};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const ADMINISTRATOR: (&str, &str) = ("boss", "password1");
/// Workers go first: they must understand what the next API sends (README, Upgrade).
const WORKERS: [&[&str]; 4] = [&["bid"], &["payment", "refund"], &["relay", "notifier"], &["scheduler"]];
/// Longer than the balancer takes to notice.
const ANNOUNCE_MS: u64 = 1_500;
/// A process ends within its grace and announcement.
const END: Duration = Duration::from_secs(20);
/// Commands of the day in `make test`; `GREAM_ROLLING_COMMANDS` says otherwise.
const COMMANDS: u64 = 1_500;

fn before() -> PathBuf {
    std::env::var_os("GREAM_ROLLING_FROM_BINARY").map_or_else(binary, PathBuf::from)
}

/// The contract's answer where Toss refuses a charge is a 500 (code 8004), with or without a replacement.
fn is_refused_charge(line: &str) -> bool {
    line.contains(" 500 ") && line.contains("\"GET /api/payments/toss/success?")
}

/// A process's arguments and variables: its successor gets the same.
struct Post {
    arguments: Vec<&'static str>,
    extra: Vec<(&'static str, String)>,
}

impl Post {
    fn of_worker(roles: &[&'static str]) -> Self {
        Self { arguments: [&["worker"], roles].concat(), extra: Vec::new() }
    }

    fn of_api(place: &Place) -> Self {
        let extra = vec![("GREAM__HTTP__LISTEN", place.http.clone()), ("GREAM__ADMIN__LISTEN", place.admin.clone())];
        Self { arguments: vec!["api"], extra }
    }

    async fn takes(&self, market: &Market, program: &std::path::Path, more: &[(&'static str, String)]) -> Process {
        let extra: Vec<(&str, &str)> =
            self.extra.iter().chain(more).map(|(key, value)| (*key, value.as_str())).collect();
        let mut process = market.spawn_program(program, &self.arguments, &extra);
        process.ready().await;
        process
    }
}

/// How one version takes the other's place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// One process after the other.
    Rolling,
    /// A second set beside the first, workers first; then the first one leaves.
    BlueGreen,
}

/// A second set of the same posts, at other addresses, takes over from the first, and so on, back and forth.
async fn swap(
    market: &Market,
    [blue, green]: [&[Post]; 2],
    mut running: Vec<Process>,
    balancer: &Balancer,
    over: &AtomicBool,
) -> u32 {
    let announced = [("GREAM__SHUTDOWN__ANNOUNCE_MS", ANNOUNCE_MS.to_string())];
    let (mut replaced, mut sets) = (0, [blue, green]);
    while replaced == 0 || !over.load(Ordering::Relaxed) {
        sets.swap(0, 1);
        let mut next = Vec::new();
        for post in sets[0] {
            let more: &[_] = if post.arguments == ["api"] { &announced } else { &[] };
            next.push(post.takes(market, &binary(), more).await);
        }
        balancer.knows(4).await;
        for (post, process) in sets[1].iter().zip(&mut running) {
            assert_eq!(process.terminate(END).await, Some(0), "{:?} ends in order", post.arguments);
            replaced += 1;
        }
        balancer.knows(2).await;
        running = next;
    }
    replaced
}

/// Replaces each process, over and over, until the day is over; how many were.
async fn replace(
    market: &Market,
    posts: &[Post],
    mut running: Vec<Process>,
    balancer: &Balancer,
    over: &AtomicBool,
) -> u32 {
    let announced = [("GREAM__SHUTDOWN__ANNOUNCE_MS", ANNOUNCE_MS.to_string())];
    let mut replaced = 0;
    while replaced == 0 || !over.load(Ordering::Relaxed) {
        for (post, process) in posts.iter().zip(&mut running) {
            assert_eq!(process.terminate(END).await, Some(0), "{:?} ends in order", post.arguments);
            let more: &[_] = if post.arguments == ["api"] { &announced } else { &[] };
            *process = post.takes(market, &binary(), more).await;
            if post.arguments == ["api"] {
                balancer.knows(2).await;
            }
            replaced += 1;
        }
    }
    replaced
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_is_replaced_under_load_and_no_request_fails() {
    replaced_under_load(Order::Rolling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make blue-green: half a minute more of what rolling shows already"]
async fn a_whole_set_is_replaced_by_another_under_load_and_no_request_fails() {
    replaced_under_load(Order::BlueGreen).await;
}

async fn replaced_under_load(order: Order) {
    let mut market = Market::new("rolling").await;
    let (_sandbox_process, sandbox) = market.sandbox().await;
    let (login_id, password) = ADMINISTRATOR;
    let secret = platform::Secret::new(password);
    api::create_administrator(&market.database, login_id, &secret, market.now()).await.unwrap();

    let places = [Place::free(), Place::free(), Place::free(), Place::free()];
    let twice = || WORKERS.iter().flat_map(|roles| [Post::of_worker(roles), Post::of_worker(roles)]);
    let posts: Vec<Post> = twice().chain(places[..2].iter().map(Post::of_api)).collect();
    let others: Vec<Post> = twice().chain(places[2..].iter().map(Post::of_api)).collect();
    let mut running = Vec::new();
    for post in &posts {
        // The version before may not know how to announce itself.
        let more: &[_] = if post.arguments == ["api"] && before() == binary() {
            &[("GREAM__SHUTDOWN__ANNOUNCE_MS", ANNOUNCE_MS.to_string())]
        } else {
            &[]
        };
        running.push(post.takes(&market, &before(), more).await);
    }
    let known = if order == Order::Rolling { &places[..2] } else { &places };
    let balancer = Balancer::start(market.folder(), known).await;

    let journal = market.folder().join("journal.jsonl");
    let commands = std::env::var("GREAM_ROLLING_COMMANDS").ok().and_then(|n| n.parse().ok()).unwrap_or(COMMANDS);
    let over = AtomicBool::new(false);
    let day = async {
        let day = load::play(Options {
            api: format!("http://{}", balancer.address).parse().unwrap(),
            sandbox: format!("http://{sandbox}").parse().unwrap(),
            administrator: Login { login_id: login_id.to_owned(), password: password.to_owned() },
            clock_file: None,
            journal: journal.clone(),
            seed: 11,
            users: 40,
            products: 8,
            commands,
            concurrency: 12,
        })
        .await;
        over.store(true, Ordering::Relaxed);
        day.unwrap()
    };
    let replacement = async {
        match order {
            Order::Rolling => replace(&market, &posts, running, &balancer, &over).await,
            Order::BlueGreen => swap(&market, [&posts, &others], running, &balancer, &over).await,
        }
    };
    let (day, replaced) = tokio::join!(day, replacement);
    let counts = balancer.counts().await.unwrap();
    let all = &counts["BACKEND"];
    let count = |column: &str| all[column].parse::<u64>().unwrap_or(0);
    println!(
        "{replaced} processes replaced; {} requests, {} retried on the other API",
        count("stot"),
        count("wretr") + count("wredis")
    );
    let failed: Vec<String> = balancer.failed().into_iter().filter(|line| !is_refused_charge(line)).collect();
    assert_eq!((count("econ"), count("eresp"), failed), (0, 0, Vec::new()), "no request failed");
    assert!(replaced >= 10, "{replaced}");
    assert!(day.promises_are_kept() && day.suspended == 0 && day.unresolved == 0, "{day}");

    // The last ones that took their posts were killed with `replace`: what is under way ends by others.
    let _workers = market.worker(&["bid", "payment", "refund", "relay", "notifier", "scheduler"]).await;
    for queue in ["dead.bid", "dead.payment", "dead.refund", "dead.notifier"] {
        becomes("no dead letter", 0, || market.broker.depth(queue)).await;
    }
    let sources = operator::Sources {
        journal: Some(journal),
        broker: Some(market.broker.page()),
        sandbox: Some(format!("http://{sandbox}").parse().unwrap()),
        ..market.audit_sources()
    };
    let report = operator::audit_at_rest(&sources, PATIENCE).await.unwrap();
    assert!(report.holds_at_rest(), "{report}");
}
