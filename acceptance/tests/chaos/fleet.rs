//! Every process of a market, each at its post: two of each kind but Toss, which is one. Whoever dies is started again here, as
//! a supervisor would.

use crate::plan::{Link, Victim};
use acceptance::{
    Market, Servers,
    balancer::{Balancer, Place},
    process::{Process, binary},
    wire::Wire,
};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// A process ends in order within its grace.
const END: Duration = Duration::from_secs(30);
/// Under coreutils' `env`, so that a full disk is an error of a write, as a real one is, and no signal.
const DEAF_TO_LIMITS: &str = "--ignore-signal=XFSZ";

/// Where a process belongs: its successor gets the same.
pub(super) struct Post {
    pub(super) victim: Victim,
    arguments: Vec<String>,
    extra: Vec<(&'static str, String)>,
    pub(super) process: Process,
}

fn start(market: &Market, arguments: &[String], extra: &[(&'static str, String)]) -> Process {
    let program = binary();
    let words = [DEAF_TO_LIMITS, program.to_str().expect("a UTF-8 path")];
    let arguments: Vec<&str> = words.into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let extra: Vec<(&str, &str)> = extra.iter().map(|(key, value)| (*key, value.as_str())).collect();
    market.spawn_program(Path::new("/usr/bin/env"), &arguments, &extra)
}

impl Post {
    fn filled(market: &Market, victim: Victim, arguments: &[&str], extra: Vec<(&'static str, String)>) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let process = start(market, &arguments, &extra);
        Self { victim, arguments, extra, process }
    }

    /// The successor, which may not be ready yet.
    pub(super) fn fill(&mut self, market: &Market) {
        self.process = start(market, &self.arguments, &self.extra);
    }

    /// SIGTERM; it must leave in order.
    pub(super) async fn leaves(&mut self) {
        assert_eq!(self.process.terminate(END).await, Some(0), "{:?} ends in order", self.arguments);
    }

    pub(super) fn name(&self) -> String {
        self.arguments.join(" ")
    }
}

/// Where Redis is, its sentinels say, and they know of no wire.
fn can_be_cut(link: Link, servers: &Servers) -> bool {
    link != Link::Redis || !servers.are_clusters()
}

/// A wire to every node of whatever has several.
async fn wires(market: &mut Market) -> BTreeMap<Link, Vec<Wire>> {
    let mut wires = BTreeMap::new();
    for (link, key) in [
        (Link::MySql, "GREAM__DATABASE__URL"),
        (Link::RabbitMq, "GREAM__RABBITMQ__URL"),
        (Link::Redis, "GREAM__REDIS__URL"),
        (Link::Toss, "GREAM__TOSS__BASE_URL"),
    ] {
        if can_be_cut(link, &market.servers) {
            wires.insert(link, market.wires(key).await);
        }
    }
    // The same nodes are read from: by the same wires, so that a node that is cut off is cut off for reads too.
    let database = &market.environment["GREAM__DATABASE__URL"];
    if let Some((_, readers)) = database.split_once(',') {
        market.set("GREAM__DATABASE__REPLICA_URL", readers.to_owned());
    }
    wires
}

/// All of it.
pub(super) struct Fleet {
    pub(super) market: Market,
    pub(super) posts: Vec<Post>,
    pub(super) wires: BTreeMap<Link, Vec<Wire>>,
    pub(super) balancer: Balancer,
    /// Where the crowd finds Toss's window.
    pub(super) sandbox: String,
}

impl Fleet {
    pub(super) async fn starts(mut market: Market) -> Self {
        let sandbox = Place::free().http;
        market.set("GREAM__TOSS__BASE_URL", format!("http://{sandbox}"));
        let wires = wires(&mut market).await;
        let journal = market.folder().join("sandbox.jsonl");
        let journal = journal.to_str().expect("a UTF-8 path").to_owned();
        let mut posts = vec![Post::filled(
            &market,
            Victim::Sandbox,
            &["sandbox", "--listen", &sandbox, "--journal", &journal],
            Vec::new(),
        )];
        for (victim, roles) in [
            (Victim::BidWorker, &["worker", "bid"][..]),
            (Victim::TossWorker, &["worker", "payment", "refund"]),
            (Victim::Relay, &["worker", "relay", "notifier"]),
            (Victim::Scheduler, &["worker", "scheduler"]),
        ] {
            posts.extend([(); 2].map(|()| Post::filled(&market, victim, roles, Vec::new())));
        }
        let places = [Place::free(), Place::free()];
        for place in &places {
            let extra =
                vec![("GREAM__HTTP__LISTEN", place.http.clone()), ("GREAM__ADMIN__LISTEN", place.admin.clone())];
            posts.push(Post::filled(&market, Victim::Api, &["api"], extra));
        }
        for post in posts.iter_mut().skip(1) {
            post.process.ready().await;
        }
        let balancer = Balancer::start(market.folder(), &places).await;
        Self { market, posts, wires, balancer, sandbox }
    }

    /// One of the posts of this kind.
    pub(super) fn post(&mut self, victim: Victim, which: usize) -> &mut Post {
        let mut posts: Vec<&mut Post> = self.posts.iter_mut().filter(|post| post.victim == victim).collect();
        let which = which % posts.len();
        posts.swap_remove(which)
    }

    /// Whoever is gone without having been killed is named, and replaced.
    pub(super) fn left_by_themselves(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for post in &mut self.posts {
            if !post.process.is_running() {
                left.push(format!("{}: {}", post.name(), last_lines(&post.process.logged())));
                post.process = start(&self.market, &post.arguments, &post.extra);
            }
        }
        left
    }
}

/// Every panic that any process has logged.
pub(super) fn panics(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("the market's folder").map(|file| file.expect("a file").path());
    let logs = files.filter(|file| file.extension().is_some_and(|extension| extension == "log"));
    let texts = logs.map(|log| String::from_utf8_lossy(&fs::read(log).expect("a log")).into_owned());
    texts
        .flat_map(|text| {
            text.lines().filter(|line| line.contains("panicked at")).map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
