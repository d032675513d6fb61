//! The database: cancelled transactions, lock waits and deadlocks, sessions that the server ends.

use super::database;
use acceptance::{
    Market, Visitor,
    commands::{buy, sell},
    process::{Process, metric},
    visitor::start_api,
    wait::{becomes, eventually},
    wire::Wire,
};
use contracts::Envelope;
use serde_json::json;
use sqlx::{
    Connection, MySqlConnection, MySqlPool,
    mysql::{MySqlDatabaseError, MySqlPoolOptions},
};
use std::time::Duration;

/// One way of the slow wire.
const ONE_WAY: Duration = Duration::from_millis(10);

/// Cancels `begin` at every moment of its four trips over a slow wire, one connection for all; after each, a write by
/// the same pool. How many of these writes nobody else saw.
async fn writes_that_vanish(market: &Market, pool: &MySqlPool, wire: &Wire) -> u32 {
    pool.acquire().await.unwrap();
    wire.slow_down(ONE_WAY);
    let mut vanished = 0;
    for n in 0..25_u32 {
        let limit = ONE_WAY + Duration::from_millis(2) * n;
        drop(tokio::time::timeout(limit, pool.begin()).await);
        let written = sqlx::query("INSERT INTO written VALUES (?)").bind(n).execute(pool).await.unwrap();
        assert_eq!(written.rows_affected(), 1, "it was called written");
        let seen: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM written WHERE n = ?")
            .bind(n)
            .fetch_one(&market.database)
            .await
            .unwrap();
        vanished += u32::from(seen == 0);
    }
    vanished
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_begin_makes_no_later_write_vanish() {
    let mut market = Market::new("cancelled_begin").await;
    sqlx::raw_sql("CREATE TABLE written (n INT NOT NULL)").execute(&market.database).await.unwrap();
    let wire = market.wire("GREAM__DATABASE__URL").await;
    let pool = platform::database::pool(&database(&market.environment["GREAM__DATABASE__URL"])).unwrap();
    assert_eq!(writes_that_vanish(&market, &pool, &wire).await, 0);
}

/// The limit itself: why a connection is cleaned up when it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn sqlx_leaves_a_transaction_open_when_begin_is_cancelled() {
    let mut market = Market::new("raw_begin").await;
    sqlx::raw_sql("CREATE TABLE written (n INT NOT NULL)").execute(&market.database).await.unwrap();
    let wire = market.wire("GREAM__DATABASE__URL").await;
    let pool = MySqlPoolOptions::new().max_connections(1).connect(&market.environment["GREAM__DATABASE__URL"]);
    let vanished = writes_that_vanish(&market, &pool.await.unwrap(), &wire).await;
    println!("sqlx: {vanished} of 25 writes after a cancelled begin vanished");
    assert!(vanished > 0, "sqlx now cleans up by itself: platform::database::pool need not any more");
}

/// Two commands that trade: every table of a batch is written.
async fn trade(market: &Market) -> [Envelope; 2] {
    let (buyer, seller, product) = (market.user(1, 10_000).await, market.user(2, 0).await, market.product(1).await);
    let now = market.now();
    [sell("s", seller, product, 1_000, now), buy("b", buyer, product, 1_000, now)]
}

async fn traded_once(market: &Market, worker: &Process) {
    becomes("both are done", 2, || market.count("done")).await;
    assert_eq!(market.number("SELECT COUNT(*) FROM orders").await, 1);
    assert_eq!(market.number("SELECT available FROM balances WHERE user_id = 2").await, 1_000);
    assert_eq!(market.number("SELECT CAST(MAX(attempts) AS SIGNED) FROM commands").await, 1, "no attempt was burnt");
    assert_eq!(market.broker.depth("dead.bid").await, 0);
    assert!(!worker.logged().contains("lets go of everything"), "it kept its connections");
    market.audit_holds().await;
}

async fn contended(worker: &mut Process, at_least: f64) {
    let admin = worker.address("admin").await;
    eventually("the batch met the lock", || async {
        (metric(&admin, "gream_bid_batch_contentions_total").await >= at_least).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_a_lock_wait_the_whole_batch_is_carried_out_again() {
    let mut market = Market::new("lock_wait").await;
    market.set("GREAM__DATABASE__LOCK_WAIT_TIMEOUT_S", 1);
    let commands = trade(&market).await;
    let mut worker = market.worker(&["bid", "relay"]).await;
    let mut other = market.database.begin().await.unwrap();
    sqlx::query("SELECT * FROM balances WHERE user_id = 2 FOR UPDATE").fetch_one(&mut *other).await.unwrap();
    market.broker.publish(market.partitions, &commands).await;
    contended(&mut worker, 2.0).await;
    assert_eq!(market.count("done").await, 0);
    other.rollback().await.unwrap();
    traded_once(&market, &worker).await;
}

#[tokio::test]
async fn after_a_deadlock_the_whole_batch_is_carried_out_again() {
    let market = Market::new("deadlock").await;
    let commands = trade(&market).await;
    let (mut worker, file) = market.halting_worker(&["bid", "relay"], "bid.locked");
    market.broker.publish(market.partitions, &commands).await;
    eventually("the worker holds the guard rows", || async { file.exists().then_some(()) }).await;
    // Somebody with more to undo than the worker, so that the worker is the victim, takes the locks the other way round.
    let mut other = market.database.begin().await.unwrap();
    for id in 100..200 {
        let insert = "INSERT INTO products (product_id, brand, name, description, price, image_url, created_at_ms) VALUES (?, '', ?, '', 1, '', 0)";
        sqlx::query(insert).bind(id).bind(id.to_string()).execute(&mut *other).await.unwrap();
    }
    sqlx::query("SELECT * FROM balances WHERE user_id = 2 FOR UPDATE").fetch_one(&mut *other).await.unwrap();
    let guard_rows = sqlx::query("SELECT * FROM partitions FOR UPDATE").fetch_all(&mut *other);
    let go_on = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::remove_file(&file).unwrap();
    };
    let (locked, ()) = tokio::join!(guard_rows, go_on);
    assert_eq!(locked.unwrap().len(), usize::from(market.partitions.get()), "the worker was the victim");
    contended(&mut worker, 1.0).await;
    other.rollback().await.unwrap();
    traded_once(&market, &worker).await;
}

async fn set(connection: &mut MySqlConnection, user: i64, points: i64) -> Result<(), u16> {
    let update = sqlx::query("UPDATE balances SET available = ? WHERE user_id = ?").bind(points).bind(user);
    let number =
        |error: sqlx::Error| error.into_database_error().unwrap().downcast_ref::<MySqlDatabaseError>().number();
    update.execute(connection).await.map(drop).map_err(number)
}

/// The limit itself: why every contention rolls back before the whole handler runs again.
#[tokio::test]
async fn a_lock_wait_undoes_one_statement_and_a_deadlock_everything() {
    let market = Market::new("raw_contention").await;
    let url = format!("{}/{}", market.servers.database_url, market.database_name);
    let (mut a, mut b) = (MySqlConnection::connect(&url).await.unwrap(), MySqlConnection::connect(&url).await.unwrap());
    for user in 1..=2 {
        market.user(user, 0).await;
    }
    let points_of_1 = || market.number("SELECT available FROM balances WHERE user_id = 1");
    let begin = "SET innodb_lock_wait_timeout = 1; START TRANSACTION";
    for connection in [&mut a, &mut b] {
        sqlx::raw_sql(begin).execute(connection).await.unwrap();
    }
    set(&mut a, 1, 5).await.unwrap();
    set(&mut b, 2, 5).await.unwrap();
    assert_eq!(set(&mut a, 2, 6).await, Err(1205));
    sqlx::raw_sql("COMMIT").execute(&mut a).await.unwrap();
    assert_eq!(points_of_1().await, 5, "only a statement was undone");

    sqlx::raw_sql("SET innodb_lock_wait_timeout = 20; START TRANSACTION").execute(&mut a).await.unwrap();
    set(&mut a, 1, 7).await.unwrap();
    let (of_a, of_b) = tokio::join!(set(&mut a, 2, 7), set(&mut b, 1, 8));
    assert!([(Err(1213), Ok(())), (Ok(()), Err(1213))].contains(&(of_a, of_b)), "{of_a:?} {of_b:?}");
    for connection in [&mut a, &mut b] {
        sqlx::raw_sql("COMMIT").execute(connection).await.unwrap();
    }
    let wanted = if of_a.is_err() { 8 } else { 7 };
    assert_eq!(points_of_1().await, wanted, "the victim's whole transaction was undone");
}

#[tokio::test]
async fn idle_processes_outlive_the_sessions_that_the_server_ends() {
    let mut market = Market::new("idle").await;
    market.set("GREAM__DATABASE__STATEMENT_TIMEOUT_MS", 2_000);
    market.set("GREAM__DATABASE__SESSION_WAIT_TIMEOUT_S", 3);
    let worker = market.worker(&["bid", "relay", "scheduler", "payment"]).await;
    let wire = market.wire("GREAM__DATABASE__URL").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let buy = |alice: Visitor| async move { alice.post("/api/buy/1", &json!({"price": 10})).await.ok() };
    buy(alice.clone()).await;
    assert!(wire.open() > 0);
    eventually("the server has ended the API's sessions", || async { (wire.open() == 0).then_some(()) }).await;
    // The worker has been idle for as long, and has kept its lanes' sessions alive.
    buy(alice.clone()).await;
    assert!(!worker.logged().contains("lets go of everything"), "{}", worker.logged());
    market.audit_holds().await;
}

#[tokio::test]
async fn a_worker_that_stands_still_in_its_transaction_loses_its_locks() {
    let mut market = Market::new("still").await;
    market.set("GREAM__DATABASE__STATEMENT_TIMEOUT_MS", 2_000);
    market.set("GREAM__DATABASE__SESSION_WAIT_TIMEOUT_S", 3);
    let command = buy("b", market.user(1, 10_000).await, market.product(1).await, 1_000, market.now());
    let (worker, file) = market.halting_worker(&["bid", "relay"], "bid.locked");
    market.broker.publish(market.partitions, std::slice::from_ref(&command)).await;
    eventually("the worker holds its guard rows", || async { file.exists().then_some(()) }).await;
    let lock = "SELECT * FROM partitions FOR UPDATE NOWAIT";
    sqlx::query(lock).fetch_all(&market.database).await.expect_err("they are locked");
    let locked = || async { sqlx::query(lock).fetch_all(&market.database).await.ok().map(drop) };
    eventually("the server has ended its session", locked).await;
    std::fs::remove_file(&file).unwrap();
    market.reaches(command.id, "done").await;
    assert!(worker.logged().contains("lets go of everything"));
    assert_eq!(market.number("SELECT CAST(MAX(attempts) AS SIGNED) FROM commands").await, 1, "no attempt was burnt");
    assert_eq!(market.number("SELECT COUNT(*) FROM bids").await, 1);
    market.audit_holds().await;
}
