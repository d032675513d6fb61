//! Everything that users and workers ask of the database: a small market day, and what a day without faults leaves out.

use acceptance::{Market, commands::buy, visitor::start_api, wait::eventually};
use load::{Login, Options};
use serde_json::json;
use sqlx::AssertSqlSafe;

const ADMINISTRATOR: (&str, &str) = ("boss", "password1");

pub async fn run(market: &mut Market) {
    day(market).await;
    without_redis(market).await;
    attempts(market).await;
}

async fn day(market: &mut Market) {
    let (_sandbox_process, sandbox) = market.sandbox().await;
    let (_api, api) = market.api().await;
    let _workers = market.worker(&["bid", "payment", "refund", "relay", "scheduler"]).await;
    let (login_id, password) = ADMINISTRATOR;
    let password = platform::Secret::new(password);
    api::create_administrator(&market.database, login_id, &password, market.now()).await.unwrap();
    let day = load::play(Options {
        api: format!("http://{api}").parse().unwrap(),
        sandbox: format!("http://{sandbox}").parse().unwrap(),
        administrator: Login { login_id: login_id.to_owned(), password: ADMINISTRATOR.1.to_owned() },
        clock_file: Some(market.folder().join("clock")),
        journal: market.folder().join("journal.jsonl"),
        seed: 11,
        users: 40,
        products: 8,
        commands: 800,
        concurrency: 12,
    });
    let day = day.await.unwrap();
    assert!(day.promises_are_kept(), "{day}");
}

/// Outcomes are found in the database.
async fn without_redis(market: &mut Market) {
    let _worker = market.worker(&["bid", "relay"]).await;
    let redis = market.environment["GREAM__REDIS__URL"].clone();
    market.set("GREAM__REDIS__URL", "redis://127.0.0.1:9");
    let (_api, visitor) = start_api(market).await;
    let somebody = visitor.join("noredis").await;
    let products = visitor.get("/api/products").await.ok();
    somebody.post(&format!("/api/buy/{}", products[0]["id"]), &json!({"price": 100})).await.ok();
    market.set("GREAM__REDIS__URL", redis);
}

/// A command whose workers end is counted before it begins; an attempt that ended with its connection is taken back.
async fn attempts(market: &Market) {
    const USER: u64 = 900_001;
    let (user, product) = (market.user(USER, 1_000).await, market.product(900_001).await);
    let suspect = buy("suspect", user, product, 10, market.now());
    market.broker.publish(market.partitions, std::slice::from_ref(&suspect)).await;
    for _ in 0..2 {
        let (mut worker, file) = market.halting_worker(&["bid", "relay"], "bid.locked");
        eventually("the suspect is being carried out", || async { file.exists().then_some(()) }).await;
        worker.kill();
        std::fs::remove_file(&file).unwrap();
    }
    let mut other = market.database.begin().await.unwrap();
    let lock = format!("SELECT * FROM balances WHERE user_id = {USER} FOR UPDATE");
    sqlx::query(AssertSqlSafe(lock)).fetch_one(&mut *other).await.unwrap();
    let _worker = market.worker(&["bid", "relay"]).await;
    eventually("its attempt waits, and is cut off", || async {
        (market.cut_off("%FROM balances%FOR UPDATE%").await > 0).then_some(())
    })
    .await;
    other.rollback().await.unwrap();
    market.reaches(suspect.id, "done").await;
}
