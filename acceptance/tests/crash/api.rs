//! Faults under the API: clients are answered in bounded time, lose nothing that was accepted, and get one effect for
//! each key however often they repeat. API and workers are started once and never restarted, unless that is the test.

use super::halted;
use acceptance::{
    Market, Servers, Visitor,
    process::{Process, metric},
    visitor::{Answer, send, start_api},
    wait::{becomes, eventually},
};
use contracts::topology::bid_queue;
use serde_json::json;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// What a client is told about a command, at the latest: its wait, and a look in the database.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);
/// The broker's confirm is waited for this long (`rabbitmq.publish_timeout_ms`), twice when every channel is busy.
const LONGEST_REFUSAL: Duration = Duration::from_secs(7);
/// Clients of a crowd, each on a product of its own, and what each of them bids.
const CLIENTS: i64 = 6;
const BIDS: i64 = 12;

/// A market with an API and one worker process.
struct Shop {
    market: Market,
    api: Process,
    /// Of the API's metrics.
    admin: String,
    worker: Process,
    alice: Visitor,
}

impl Shop {
    async fn open(market: Market) -> Self {
        let worker = market.worker(&["bid", "relay", "scheduler"]).await;
        let (mut api, visitor) = start_api(&market).await;
        let admin = api.address("admin").await;
        for id in 1..=CLIENTS {
            market.product(id.unsigned_abs()).await;
        }
        let alice = visitor.join("alice").await;
        bid(&alice, "first", 1).await.ok();
        Self { market, api, admin, worker, alice }
    }

    fn cpu_times(&self) -> [Duration; 2] {
        [self.api.cpu_time(), self.worker.cpu_time()]
    }

    /// Clients that bid, one after the other, each until it is told the outcome.
    fn crowd(&self) -> tokio::task::JoinHandle<Told> {
        let alice = self.alice.clone();
        tokio::spawn(async move {
            let clients = (1..=CLIENTS).map(|client| {
                let alice = alice.clone();
                tokio::spawn(async move {
                    let mut told = Told::default();
                    for n in 0..BIDS {
                        told.add(insist(&alice, &format!("{client}-{n}"), client).await);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    told
                })
            });
            let mut told = Told::default();
            for client in clients.collect::<Vec<_>>() {
                told.add(client.await.unwrap());
            }
            told
        })
    }

    /// The fault strikes a crowd in the middle of its work.
    async fn busy(&self) {
        eventually("the crowd is at work", || async { (self.market.count("done").await >= 20).then_some(()) }).await;
    }

    /// Waits for the crowd; every key has had one effect, and both processes are as they were.
    async fn recovered(mut self, crowd: tokio::task::JoinHandle<Told>) {
        let told = tokio::time::timeout(Duration::from_mins(2), crowd).await.expect("the crowd is served").unwrap();
        println!("{told:?}");
        assert!(told.refused + told.postponed > 0, "the fault struck nobody");
        assert!(self.api.is_running() && self.worker.is_running());
        becomes("every bid is done", CLIENTS * BIDS + 1, || self.market.count("done")).await;
        assert_eq!(self.market.number("SELECT COUNT(*) FROM bids").await, CLIENTS * BIDS + 1, "one effect a key");
        assert_eq!(self.alice.points().await, 100_000 - (CLIENTS * BIDS + 1) * PRICE);
        assert_eq!(self.market.broker.depth("dead.bid").await, 0, "nothing was dead-lettered");
        assert_eq!(self.market.number("SELECT CAST(MAX(attempts) AS SIGNED) FROM commands").await, 1);
        self.market.audit_holds().await;
    }
}

const PRICE: i64 = 10;

/// What a crowd heard.
#[derive(Debug, Default)]
struct Told {
    refused: u32,
    postponed: u32,
    slowest: Duration,
}

impl Told {
    fn add(&mut self, other: Told) {
        self.refused += other.refused;
        self.postponed += other.postponed;
        self.slowest = self.slowest.max(other.slowest);
    }
}

async fn bid(visitor: &Visitor, key: &str, product: i64) -> Answer {
    let request = visitor.request("POST", &format!("/api/buy/{product}")).header("Idempotency-Key", key);
    send(request.json(&json!({"price": PRICE}))).await
}

/// A client that repeats its request under its key until it is told the outcome.
async fn insist(visitor: &Visitor, key: &str, product: i64) -> Told {
    let mut told = Told::default();
    loop {
        let answer = soon(LONGEST_ANSWER, bid(visitor, key, product)).await;
        told.slowest = told.slowest.max(answer.1);
        match (answer.0.status, answer.0.code()) {
            (200, 0) => return told,
            (202, 0) => told.postponed += 1,
            _ => {
                refused(&answer.0);
                told.refused += 1;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }
}

/// The answer, which must come within `limit`, and how long it took.
async fn soon(limit: Duration, answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let began = Instant::now();
    let answer = answer.await;
    let took = began.elapsed();
    assert!(took < limit, "{took:?}: {} {}", answer.status, answer.body);
    (answer, took)
}

#[track_caller]
fn refused(answer: &Answer) {
    answer.refused(503, 5005);
    assert!(!answer.header("retry-after").is_empty(), "it says when to come back");
}

/// The processor time that the API and the worker use from `since` on is no more than a busy moment's: nobody spins.
fn nobody_spins(shop: &Shop, since: Instant, used_before: [Duration; 2]) {
    let elapsed = since.elapsed();
    for (used, before) in shop.cpu_times().into_iter().zip(used_before) {
        let used = used.saturating_sub(before);
        println!("{used:?} of processor time in {elapsed:?}");
        assert!(used < elapsed.mul_f64(0.5), "a process spins: {used:?} in {elapsed:?}");
    }
}

#[tokio::test]
async fn redis_is_killed_and_answers_come_from_the_database_meanwhile() {
    let shop = Shop::open(Market::new("api_redis").await).await;
    let looked_up = || metric(&shop.admin, "gream_outcomes_looked_up_total");
    let (_, with_redis) = soon(LONGEST_ANSWER, bid(&shop.alice, "before", 1)).await;
    let before = looked_up().await;
    shop.market.servers.signal("redis", "KILL").await;
    let mut slowest = Duration::ZERO;
    for n in 0..5 {
        let (answer, took) = soon(Duration::from_secs(4), bid(&shop.alice, &format!("without-{n}"), 2)).await;
        let stored = shop.market.number("SELECT MAX(bid_id) FROM bids WHERE product_id = 2").await;
        assert_eq!(answer.ok(), json!({"price": PRICE, "buyId": stored}), "its own bid");
        slowest = slowest.max(took);
    }
    println!("an answer took {with_redis:?} with Redis, at most {slowest:?} without");
    assert!(looked_up().await >= before + 5.0, "all of them were looked up");
    shop.market.servers.start("redis").await;
    let n = AtomicU32::new(0);
    eventually("an outcome comes over Redis again", || async {
        let before = looked_up().await;
        bid(&shop.alice, &format!("after-{}", n.fetch_add(1, Ordering::Relaxed)), 3).await.ok();
        (looked_up().await <= before).then_some(())
    })
    .await;
    shop.market.audit_holds().await;
}

#[tokio::test]
async fn an_outcome_whose_worker_is_killed_before_it_tells_is_found() {
    let market = Market::new("api_untold").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let (mut worker, file) = market.halting_worker(&["bid"], "bid.acked");
    let strike = async {
        halted(&mut worker, &file, "bid.acked").await;
        worker.kill();
    };
    let ((answer, took), ()) = tokio::join!(soon(LONGEST_ANSWER, bid(&alice, "a", 1)), strike);
    println!("answered after {took:?}");
    assert_eq!(answer.ok()["price"], PRICE);
    market.audit_holds().await;
}

#[tokio::test]
async fn the_broker_is_killed_and_refuses_for_fifteen_seconds() {
    let shop = Shop::open(Market::new("api_broker").await).await;
    let crowd = shop.crowd();
    shop.busy().await;
    shop.market.servers.signal("rabbitmq", "KILL").await;
    let (began, used) = (Instant::now(), shop.cpu_times());
    while began.elapsed() < Duration::from_secs(15) {
        let (answer, _) = soon(LONGEST_REFUSAL, bid(&shop.alice, "1-0", 1)).await;
        refused(&answer);
        soon(Duration::from_secs(2), shop.alice.get("/api/users/points")).await.0.ok();
        soon(Duration::from_secs(2), shop.alice.get("/api/products/1/buy")).await.0.ok();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    nobody_spins(&shop, began, used);
    shop.market.servers.start("rabbitmq").await;
    shop.recovered(crowd).await;
}

/// With limits that let a test see their end.
async fn market_with_short_limits(test: &str) -> Market {
    let mut market = Market::new(test).await;
    market.set("GREAM__DATABASE__STATEMENT_TIMEOUT_MS", 2_000);
    market.set("GREAM__DATABASE__ACQUIRE_TIMEOUT_MS", 1_000);
    market
}

/// While the database is away, as `signal` leaves it: reads are refused in bounded time, and commands answered.
async fn without_a_database(shop: &Shop, signal: &str) {
    shop.market.servers.signal("mysql", signal).await;
    let (began, used) = (Instant::now(), shop.cpu_times());
    // Sessions and products are remembered for a moment: until then a command is accepted, and told later.
    let mut refusals = 0;
    while began.elapsed() < Duration::from_secs(8) {
        let answers = tokio::join!(
            soon(LONGEST_ANSWER, shop.alice.get("/api/users/points")),
            soon(LONGEST_ANSWER, shop.alice.get("/api/products/1/buy")),
            soon(LONGEST_ANSWER, bid(&shop.alice, "1-0", 1)),
        );
        refused(&answers.0.0);
        refused(&answers.1.0);
        if !answers.2.0.is(202, 0) {
            refused(&answers.2.0);
            refusals += 1;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(refusals > 0, "no command was refused");
    nobody_spins(shop, began, used);
    shop.market.servers.start("mysql").await;
}

#[tokio::test]
async fn the_database_is_killed_under_a_crowd() {
    let shop = Shop::open(market_with_short_limits("api_database").await).await;
    let crowd = shop.crowd();
    shop.busy().await;
    without_a_database(&shop, "KILL").await;
    shop.recovered(crowd).await;
}

#[tokio::test]
async fn the_database_stands_still_under_a_crowd() {
    let shop = Shop::open(market_with_short_limits("api_still").await).await;
    let crowd = shop.crowd();
    shop.busy().await;
    // `start` wakes it up.
    without_a_database(&shop, "STOP").await;
    shop.recovered(crowd).await;
}

#[tokio::test]
async fn while_the_brokers_memory_is_short_nothing_is_accepted_and_what_was_is_carried_out() {
    let servers = Servers::from_environment();
    let done = tokio::spawn(memory_is_short()).await;
    // Whatever happened: the other tests need the broker.
    servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    done.unwrap();
}

async fn memory_is_short() {
    let mut shop = Shop::open(Market::new("api_alarm").await).await;
    shop.worker.signal("STOP");
    let waiting: Vec<_> = (0..5)
        .map(|n| {
            let request = shop.alice.request("POST", "/api/buy/1").header("Prefer", "wait=30");
            let request = request.header("Idempotency-Key", format!("before-{n}"));
            tokio::spawn(send(request.json(&json!({"price": PRICE}))))
        })
        .collect();
    eventually("they are accepted", || async {
        (metric(&shop.admin, "gream_commands_waiting").await >= 5.0).then_some(())
    })
    .await;
    shop.market.servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.000001"]).await;
    // The broker says so at the first publish after the alarm, which may still be taken.
    let mut keys = 0;
    eventually("commands are refused", || {
        keys += 1;
        let (alice, key) = (shop.alice.clone(), format!("alarm-{keys}"));
        async move {
            let request = alice.request("POST", "/api/buy/2").header("Prefer", "respond-async");
            let request = request.header("Idempotency-Key", key).json(&json!({"price": PRICE}));
            let (answer, took) = soon(LONGEST_REFUSAL, send(request)).await;
            (answer.status == 503 && took < Duration::from_millis(500)).then_some(())
        }
    })
    .await;
    assert!(shop.api.logged().contains("the broker blocks publishers"), "the fault struck");
    // Consuming, acks and outcomes go on: they have a connection of their own.
    shop.worker.signal("CONT");
    for answer in waiting {
        answer.await.unwrap().ok();
    }
    refused(&soon(LONGEST_REFUSAL, bid(&shop.alice, "last", 2)).await.0);
    assert!(!is_ready(&shop.admin).await, "a balancer would send clients elsewhere");
    shop.market.servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    for key in (1..=keys).map(|n| format!("alarm-{n}")).chain(["last".to_owned()]) {
        insist(&shop.alice, &key, 2).await;
    }
    assert!(is_ready(&shop.admin).await && shop.worker.is_running());
    assert_eq!(shop.market.number("SELECT COUNT(*) FROM bids").await, 1 + 5 + keys + 1, "one effect a key");
    shop.market.audit_holds().await;
}

async fn is_ready(admin: &str) -> bool {
    reqwest::get(format!("http://{admin}/health/ready")).await.is_ok_and(|answer| answer.status().is_success())
}

#[tokio::test]
async fn an_api_killed_before_it_answers_leaves_an_answer_behind() {
    let market = Market::new("api_killed").await;
    let (mut api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let queue = bid_queue(market.partitions.of_product(market.product(1).await));
    let request = alice.request("POST", "/api/buy/1").header("Idempotency-Key", "k").header("Prefer", "wait=30");
    let unanswered = tokio::spawn(request.json(&json!({"price": PRICE})).send());
    becomes("the command is on its queue", 1, || market.broker.depth(&queue)).await;
    api.kill();
    assert!(unanswered.await.unwrap().is_err(), "the client was told nothing");
    let _worker = market.worker(&["bid", "relay"]).await;
    becomes("it is carried out", 1, || market.count("done")).await;
    let (_api, elsewhere) = start_api(&market).await;
    let alice = Visitor { base: elsewhere.base, ..alice };
    for _ in 0..2 {
        let answer = bid(&alice, "k", 1).await;
        assert!(!answer.header("gream-command-id").is_empty());
        let stored = market.number("SELECT MIN(bid_id) FROM bids").await;
        assert_eq!(answer.ok(), json!({"price": PRICE, "buyId": stored}));
    }
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 1);
    market.audit_holds().await;
}
