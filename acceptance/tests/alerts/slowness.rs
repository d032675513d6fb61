//! More causes: what is slow, refused, held up or stopped by a person.

use crate::causes::{charge, watched};
use acceptance::{Market, commands::buy, visitor::start_api};
use futures_util::future::join_all;
use sqlx::Executor;

/// Twice as many as the pool has connections.
const READERS: usize = 32;

#[tokio::test]
async fn a_table_that_somebody_has_locked() {
    let market = Market::new("alert_locked").await;
    market.product(1).await;
    let (mut api, visitor) = start_api(&market).await;
    let prometheus = watched(&market, &mut [&mut api]).await;
    let mut connection = market.database.acquire().await.unwrap();
    connection.execute("LOCK TABLES products WRITE").await.unwrap();
    let read_on = async {
        loop {
            join_all((0..READERS).map(|_| visitor.get("/api/products"))).await;
        }
    };
    let alarms = async {
        prometheus.alarms("GreamPoolExhausted", ("pool", "primary")).await;
        prometheus.alarms("GreamReadsSlow", ("severity", "ticket")).await;
    };
    tokio::select! { () = alarms => (), () = read_on => unreachable!() }
    connection.execute("UNLOCK TABLES").await.unwrap();
    visitor.get("/api/products").await.ok();
}

#[tokio::test]
async fn keys_that_toss_refuses_and_a_role_that_somebody_paused() {
    let mut market = Market::new("alert_keys").await;
    let (_sandbox, _) = market.sandbox().await;
    let user = market.user(1, 0).await;
    let mut misconfigured = market.spawn_with(&["worker", "payment"], &[("GREAM__TOSS__SECRET_KEY", "test_sk_wrong")]);
    let prometheus = watched(&market, &mut [&mut misconfigured]).await;
    let command = charge(&market, user, 1).await;
    market.broker.publish(market.partitions, &[command]).await;
    prometheus.alarms("GreamTossKeysRefused", ("severity", "page")).await;

    market.gream_ok(&["limits", "pause", "payment", "--why", "a test"]).await;
    prometheus.alarms("GreamRolePaused", ("role", "payment")).await;
}

#[tokio::test]
async fn bids_that_the_scheduler_finds_and_nobody_retires() {
    let market = Market::new("alert_behind").await;
    let (user, product) = (market.user(1, 10_000).await, market.product(1).await);
    let bids = market.worker(&["bid"]).await;
    let bid = buy("b", user, product, 1_000, market.now());
    market.broker.publish(market.partitions, std::slice::from_ref(&bid)).await;
    market.reaches(bid.id, "done").await;
    drop(bids);
    market.advance_clock(8 * 86_400_000);
    let _scheduler = market.worker(&["scheduler"]).await;
    let mut relay = market.worker(&["relay"]).await;
    let prometheus = watched(&market, &mut [&mut relay]).await;
    prometheus.alarms("GreamDutyBehind", ("duty", "stale_bids")).await;
}
