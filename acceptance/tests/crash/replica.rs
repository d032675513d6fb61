//! Reading from a replica: it is killed, frozen, and falls behind; the primary goes away; and whoever wrote sees it.
//!
//! What the replica serves is told from what the primary serves by rows that were changed on the replica alone.

use acceptance::{
    Market, Servers, Visitor,
    process::Process,
    replica::Replica,
    visitor::start_api,
    wait::{becomes, eventually},
};
use contracts::ProductId;
use serde_json::json;
use std::time::{Duration, Instant};

const IN_USE: &str = "queries are read from the replica";

/// A market with one product, whose API reads from a replica.
struct Stage {
    replica: Replica,
    market: Market,
}

impl Stage {
    async fn set(test: &str, max_lag_ms: u32) -> Self {
        let replica = Replica::start(&Servers::from_environment()).await;
        let mut market = Market::new(test).await;
        market.set("GREAM__DATABASE__REPLICA_URL", Replica::url(&market.database_name));
        market.set("GREAM__DATABASE__REPLICA_MAX_LAG_MS", max_lag_ms);
        market.set("GREAM__DATABASE__READ_YOUR_WRITES_MS", max_lag_ms);
        market.product(1).await;
        Self { replica, market }
    }

    /// An API that has found the replica well.
    async fn api(&self) -> (Process, Visitor) {
        let (api, visitor) = start_api(&self.market).await;
        eventually("the replica is read from", || async { api.logged().contains(IN_USE).then_some(()) }).await;
        (api, visitor)
    }

    /// Two users, by an API that knows of no replica: to log in counts as a write.
    async fn joined(&self) -> (Visitor, Visitor) {
        let mut api = self.market.spawn_with(&["api"], &[("GREAM__DATABASE__REPLICA_URL", "")]);
        let base = format!("http://{}", api.address("http").await);
        let visitor = Visitor { client: reqwest::Client::new(), base, access: None, refresh: None };
        (visitor.join("alice").await, visitor.join("bobby").await)
    }

    /// From now on the product's name tells which server was asked.
    async fn mark_replica(&self) {
        let database = &self.market.database_name;
        self.replica.ask(format!("UPDATE {database}.products SET name = 'the replica'")).await;
    }
}

/// Runs the test, and stops the replica whatever happened.
async fn with_replica(test: &str, max_lag_ms: u32, run: impl AsyncFnOnce(&Stage)) {
    let stage = Stage::set(test, max_lag_ms).await;
    // A panic unwinds through here; then the next test's `Replica::start` mends what is left.
    run(&stage).await;
    stage.replica.end().await;
}

/// Which server answers somebody unknown.
async fn server(visitor: &Visitor) -> String {
    let product = visitor.get("/api/products/1").await.ok();
    if product["name"] == "the replica" { "replica".to_owned() } else { "primary".to_owned() }
}

/// Nothing of a replica's trouble may be seen: each answer is right, and comes in time.
async fn reads_go_on(visitor: &Visitor, why: &str) {
    let (mut slow, began) = (0, Instant::now());
    for _ in 0..40 {
        let asked = Instant::now();
        assert_eq!(server(visitor).await, "primary", "{why}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{why}: {:?}", asked.elapsed());
        slow += u32::from(asked.elapsed() > Duration::from_millis(500));
    }
    assert!(slow <= 2, "{why}: {slow} of 40 reads waited for the replica");
    assert!(began.elapsed() < Duration::from_secs(6), "{why}: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_replica_that_is_killed_or_frozen_slows_nobody_and_is_used_again() {
    with_replica("replica_away", 5_000, async |stage| {
        let (mut api, visitor) = stage.api().await;
        stage.mark_replica().await;
        becomes("the replica serves", "replica".to_owned(), || server(&visitor)).await;

        stage.market.servers.signal("replica", "KILL").await;
        reads_go_on(&visitor, "killed").await;
        stage.market.servers.start("replica").await;
        becomes("the replica serves again", "replica".to_owned(), || server(&visitor)).await;

        stage.market.servers.signal("replica", "STOP").await;
        reads_go_on(&visitor, "frozen").await;
        stage.market.servers.signal("replica", "CONT").await;
        becomes("the replica serves once more", "replica".to_owned(), || server(&visitor)).await;
        assert!(api.is_running());
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_lags_is_left_until_it_has_caught_up() {
    with_replica("replica_lags", 2_000, async |stage| {
        let (_api, visitor) = stage.api().await;
        stage.mark_replica().await;
        becomes("the replica serves", "replica".to_owned(), || server(&visitor)).await;
        stage.replica.stop_applying().await;
        becomes("the lag is noticed", "primary".to_owned(), || server(&visitor)).await;
        stage.replica.apply().await;
        becomes("the replica has caught up", "replica".to_owned(), || server(&visitor)).await;
    })
    .await;
}

#[tokio::test]
async fn whoever_wrote_sees_it_at_once_at_every_instance() {
    // So long that it stays in use, however far behind.
    with_replica("replica_own_writes", 60_000, async |stage| {
        let market = &stage.market;
        let (alice, bob) = stage.joined().await;
        let ((_first, visitor), (_second, elsewhere)) = (stage.api().await, stage.api().await);
        let _worker = market.worker(&["bid", "relay"]).await;
        let (alice, bob) = (at(&alice, &visitor.base), at(&bob, &visitor.base));
        stage.mark_replica().await;
        becomes("both users are on the replica", 100_000, || async { alice.points().await.min(bob.points().await) })
            .await;
        stage.replica.stop_applying().await;

        let bid = alice.post("/api/buy/1", &json!({"price": 4_000})).await.ok();
        alice.post("/api/products/1/like", &json!({})).await.ok();
        sqlx::query(
            "UPDATE balances SET available = 1 WHERE user_id = (SELECT user_id FROM users WHERE login_id = 'bobby')",
        )
        .execute(&market.database)
        .await
        .unwrap();
        for base in [&visitor.base, &elsewhere.base] {
            let (alice, bob, stranger) = (at(&alice, base), at(&bob, base), at(&visitor, base));
            assert_eq!(alice.points().await, 96_000, "{base}");
            assert_eq!(alice.get("/api/buy/history/onprogress").await.ok()[0]["buyId"], bid["buyId"], "{base}");
            assert_eq!(alice.get("/api/products/likes").await.ok()[0]["productId"], 1, "{base}");
            // Also where no login is needed.
            assert_eq!(server(&alice).await, "primary", "{base}");
            assert_eq!(alice.get("/api/products/1/buy").await.ok(), json!([{"buyPrice": 4_000, "quantity": 1}]));
            // The others are served by the replica.
            assert_eq!(bob.points().await, 100_000, "{base}");
            assert_eq!(server(&stranger).await, "replica", "{base}");
            assert_eq!(stranger.get("/api/products/1/buy").await.ok(), json!([]), "{base}");
        }
        sqlx::query("UPDATE balances SET available = 100000 WHERE available = 1")
            .execute(&market.database)
            .await
            .unwrap();
        stage.replica.apply().await;
    })
    .await;
}

#[tokio::test]
async fn while_the_primary_is_away_the_replica_serves_on() {
    with_replica("replica_alone", 2_000, async |stage| {
        let (_api, visitor) = stage.api().await;
        stage.mark_replica().await;
        becomes("the replica serves", "replica".to_owned(), || server(&visitor)).await;
        // The product is known to exist, and its market is read.
        visitor.get("/api/products/1/sell").await.ok();
        stage.market.servers.signal("mysql", "KILL").await;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(6) {
            assert_eq!(server(&visitor).await, "replica");
            visitor.get("/api/products/1/sell").await.ok();
            visitor.get(&format!("/api/products/{}/sell", ProductId(2))).await.refused(503, 5005);
        }
        stage.market.servers.start("mysql").await;
    })
    .await;
}

fn at(visitor: &Visitor, base: &str) -> Visitor {
    Visitor { base: base.to_owned(), ..visitor.clone() }
}
