//! What the API does while one of its servers, or its own capacity, is not there: answers in bounded time.

use acceptance::{
    Market, Visitor,
    process::Process,
    visitor::{Answer, PNG, send, start_api},
    wait::{becomes, eventually},
    wire::Wire,
};
use contracts::{ProductId, topology::bid_queue};
use serde_json::json;
use std::time::{Duration, Instant};

const DEAD_REDIS: &str = "redis://127.0.0.1:9/0";

async fn buy(visitor: &Visitor, price: i64) -> Answer {
    send(visitor.request("POST", "/api/buy/1").json(&json!({"price": price}))).await
}

/// The answer, and that it came within `limit`.
async fn soon(limit: Duration, answer: impl Future<Output = Answer>) -> Answer {
    let began = Instant::now();
    let answer = answer.await;
    assert!(began.elapsed() < limit, "{:?}: {}", began.elapsed(), answer.body);
    answer
}

/// The metrics of a process.
async fn metrics(process: &mut Process) -> String {
    let admin = process.address("admin").await;
    reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap()
}

/// How many outcomes reached those who waited by way of the database: that Redis told none of them.
async fn looked_up(api: &mut Process) -> u64 {
    let metrics = metrics(api).await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("gream_outcomes_looked_up_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_lost_outcome_costs_time_and_not_the_answer() {
    let market = Market::new("api_lost_outcome").await;
    let (mut api, visitor) = start_api(&market).await;
    // The worker's outcomes go nowhere, and the API does not know.
    let mut worker = market.spawn_with(&["worker", "bid"], &[("GREAM__REDIS__URL", DEAD_REDIS)]);
    worker.ready().await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    soon(Duration::from_secs(4), buy(&alice, 1_000)).await.ok();
    assert_eq!(looked_up(&mut api).await, 1);
}

#[tokio::test]
async fn a_redis_that_stands_still_holds_nobody_up() {
    let mut market = Market::new("api_still_redis").await;
    let redis = market.wire("GREAM__REDIS__URL").await;
    let (mut api, visitor) = start_api(&market).await;
    let _worker = market.worker(&["bid"]).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    soon(Duration::from_secs(4), buy(&alice, 1_000)).await.ok();
    let before = looked_up(&mut api).await;
    redis.hold();
    for price in 1..=3 {
        soon(Duration::from_secs(4), buy(&alice, price)).await.ok();
    }
    assert_eq!(looked_up(&mut api).await, before + 3);
    redis.unplug();
    soon(Duration::from_secs(4), buy(&alice, 10)).await.ok();
    redis.mend();
    soon(Duration::from_secs(4), buy(&alice, 11)).await.ok();
    market.audit_holds().await;
}

#[tokio::test]
async fn a_broker_that_stands_still_accepts_nothing_and_a_retry_is_the_same_command() {
    let mut market = Market::new("api_still_broker").await;
    let _worker = market.worker(&["bid"]).await;
    let broker = market.wire("GREAM__RABBITMQ__URL").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let keyed = |key: &'static str| {
        send(alice.request("POST", "/api/buy/1").header("Idempotency-Key", key).json(&json!({"price": 1000})))
    };
    soon(Duration::from_secs(4), keyed("a")).await.ok();
    broker.hold();
    let refused = soon(Duration::from_secs(6), keyed("b")).await;
    refused.refused(503, 5005);
    assert!(!refused.header("retry-after").is_empty());
    broker.unplug();
    soon(Duration::from_secs(6), keyed("b")).await.refused(503, 5005);
    broker.mend();
    let id = refused.data()["commandId"].clone();
    let accepted = eventually("the connection comes back", || async {
        let answer = keyed("b").await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(accepted.header("gream-command-id"), id);
    accepted.ok();
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 2, "at most once, however often it was sent");
    market.audit_holds().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_told_in_bounded_time() {
    let mut market = Market::new("api_still_database").await;
    let database = market.wire("GREAM__DATABASE__URL").await;
    market.set("GREAM__DATABASE__STATEMENT_TIMEOUT_MS", 2_000);
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    for cut_off in [Wire::hold, Wire::unplug] {
        cut_off(&database);
        for _ in 0..2 {
            let answers = tokio::join!(
                soon(Duration::from_secs(7), alice.get("/api/users/points")),
                soon(Duration::from_secs(7), visitor.get("/api/products")),
                soon(Duration::from_secs(7), visitor.get("/api/products/1/sell")),
                soon(Duration::from_secs(7), buy(&alice, 1_000)),
            );
            for answer in <[Answer; 4]>::from(answers) {
                answer.refused(503, 5005);
            }
        }
    }
    // Nobody could even be asked who is calling: still it is said which command it is, or would have been.
    let keyed = async |key: &str| {
        let request = alice.request("POST", "/api/buy/1").header("Idempotency-Key", key).header("Prefer", "wait=0");
        send(request.json(&json!({"price": 1_000}))).await
    };
    let refused = keyed("k").await;
    refused.refused(503, 5005);
    assert!(!refused.header("retry-after").is_empty());
    assert!(buy(&alice, 1_000).await.data()["commandId"].is_string());
    assert_eq!(alice.get("/api/users/points").await.data(), &json!({}), "this is no command");
    let stranger = Visitor { access: Some(format!("{}x", alice.access.as_deref().unwrap())), ..alice.clone() };
    buy(&stranger, 1_000).await.refused(401, 1003);
    database.mend();
    eventually("it comes back by itself", || async { alice.get("/api/users/points").await.is(200, 0).then_some(()) })
        .await;
    let accepted = keyed("k").await;
    accepted.refused(202, 0);
    assert_eq!(accepted.data()["commandId"], refused.data()["commandId"]);
}

#[tokio::test]
async fn what_is_past_a_limit_is_told_so_at_once_and_measured() {
    let mut market = Market::new("api_limits").await;
    market.set("GREAM__HTTP__MAX_IN_FLIGHT", 4);
    let (mut api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    // Nobody carries them out: three wait (80 per cent of four), the fourth finds no place.
    let waiting: Vec<_> = (1..=3)
        .map(|price| {
            let alice = alice.clone();
            let request = alice.request("POST", "/api/buy/1").header("Prefer", "wait=6");
            tokio::spawn(send(request.json(&json!({"price": price}))))
        })
        .collect();
    let queue = bid_queue(market.partitions.of_product(ProductId(1)));
    becomes("three commands are on the queue", 3, || market.broker.depth(&queue)).await;
    let refused = soon(Duration::from_secs(1), buy(&alice, 4)).await;
    refused.refused(503, 5005);
    assert!(refused.data()["commandId"].is_string());
    // One place is left for those who only read.
    soon(Duration::from_secs(1), visitor.get("/api/products")).await.ok();
    for waiter in waiting {
        waiter.await.unwrap().refused(202, 0);
    }
    assert_eq!(market.broker.depth(&queue).await, 3, "the refused command was not published");

    let metrics = metrics(&mut api).await;
    for line in [
        r#"gream_http_requests_total{route="/api/buy/{id}",method="POST",status="503"} 1"#,
        r#"gream_http_requests_total{route="/api/buy/{id}",method="POST",status="202"} 3"#,
        r#"gream_commands_accepted_total{kind="place_buy_bid"} 3"#,
        r#"gream_commands_refused_total{reason="waiters_full"} 1"#,
        "gream_commands_waiting 0",
        r#"gream_http_request_seconds_bucket{route="/api/buy/{id}",method="POST",le="10"} 4"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_picture_waits_a_bounded_time_for_its_turn_and_nobody_else_waits_with_it() {
    // With the first one they are as many as a user may send at once.
    const BURST: usize = 7;
    let mut market = Market::new("api_busy_intake").await;
    let _worker = market.worker(&["bid", "relay"]).await;
    let turn_is_taken = market.folder().join("turn-is-taken");
    market.set("GREAM__PICTURES__MAX_DECODING", 1);
    market.set("GREAM__TEST__HALT_AT", "api.picture_turn");
    market.set("GREAM__TEST__HALT_FILE", turn_is_taken.display());
    let (mut api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let sell = || {
        let alice = alice.clone();
        tokio::spawn(async move { alice.upload("/api/sell/1", &[("price", "5000")], PNG).await })
    };
    let first = sell();
    eventually("the only turn is taken", || async { turn_is_taken.exists().then_some(()) }).await;
    let waiting: Vec<_> = (0..BURST).map(|_| sell()).collect();
    soon(Duration::from_secs(4), buy(&alice, 1_000)).await.ok();
    let refused = soon(Duration::from_secs(20), async {
        let mut answers = Vec::new();
        for waiter in waiting {
            let answer = waiter.await.unwrap();
            answer.refused(503, 5005);
            assert!(answer.data()["commandId"].is_string(), "{}", answer.body);
            answers.push(answer);
        }
        answers.pop().unwrap()
    });
    assert!(!refused.await.header("retry-after").is_empty());
    let line = format!(r#"gream_pictures_refused_total{{reason="busy"}} {BURST}"#);
    let metrics = metrics(&mut api).await;
    assert!(metrics.contains(&line), "{line} is not in\n{metrics}");

    std::fs::remove_file(&turn_is_taken).unwrap();
    first.await.unwrap().ok();
    sell().await.unwrap().ok();
    assert_eq!(
        market.number("SELECT COUNT(*) FROM bids WHERE side = 'sell'").await,
        2,
        "of the others nothing is left"
    );
    market.audit_holds().await;
}
