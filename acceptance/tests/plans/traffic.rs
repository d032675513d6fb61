//! Everything that users and workers ask of the database: a small market day, and what a day without faults leaves out.

use acceptance::{
    Market,
    commands::{WEEK_MS, buy, envelope, sell},
    process::metric,
    visitor::start_api,
    voucher,
    wait::eventually,
};
use contracts::{Command, CouponId, Won};
use load::{Login, Options};
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::path::PathBuf;

const ADMINISTRATOR: (&str, &str) = ("boss", "password1");
const USER: u64 = 900_001;

/// What the day's clients were told.
pub fn journal(market: &Market) -> PathBuf {
    market.folder().join("journal.jsonl")
}

pub async fn run(market: &mut Market) {
    day(market).await;
    without_redis(market).await;
    full_batches(market).await;
    vouchers(market).await;
    attempts(market).await;
}

async fn day(market: &mut Market) {
    let (_sandbox_process, sandbox) = market.sandbox().await;
    let (_api, api) = market.api().await;
    let _workers = market.worker(&["bid", "payment", "refund", "relay", "notifier", "scheduler"]).await;
    let (login_id, password) = ADMINISTRATOR;
    let password = platform::Secret::new(password);
    api::create_administrator(&market.database, login_id, &password, market.now()).await.unwrap();
    let day = load::play(Options {
        api: format!("http://{api}").parse().unwrap(),
        sandbox: format!("http://{sandbox}").parse().unwrap(),
        administrator: Login { login_id: login_id.to_owned(), password: ADMINISTRATOR.1.to_owned() },
        clock_file: Some(market.folder().join("clock")),
        journal: journal(market),
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

/// What waits in the queues is carried out together, and asked for together.
async fn full_batches(market: &Market) {
    const FIRST: u64 = 900_101;
    let (buyer, seller) = (market.user(FIRST, 1_000_000).await, market.user(FIRST + 1, 0).await);
    let mut commands = Vec::new();
    for id in FIRST..FIRST + 100 {
        let (product, now) = (market.product(id).await, market.now());
        commands.push(buy(&format!("b{id}"), buyer, product, 100, now));
        commands.push(sell(&format!("s{id}"), seller, product, 200, now));
    }
    market.broker.publish(market.partitions, &commands).await;
    let _worker = market.worker(&["bid", "relay"]).await;
    for command in commands {
        market.reaches(command.id, "done").await;
    }
}

/// A voucher with a barcode is offered, shown, taken back, offered again; its first picture is destroyed. Meanwhile the
/// sweeper comes by products' pictures too.
async fn vouchers(market: &mut Market) {
    market.set("GREAM__SCHEDULER__SWEEP_INTERVAL_MS", "5");
    market.set("GREAM__SCHEDULER__SWEEP_GRACE_MS", 0);
    let (_api, visitor) = start_api(market).await;
    let mut workers = market.worker(&["bid", "relay", "scheduler"]).await;
    let seller = visitor.join("voucher").await;
    let path = format!("/api/sell/{}", visitor.get("/api/products").await.ok()[0]["id"]);
    let picture = voucher::png("9876543210123456");
    let offer = seller.upload(&path, &[("price", "90000000")], &picture).await.ok();
    let url = seller.get("/api/sell/history/onprogress").await.ok()[0]["gifticonImageUrl"].as_str().unwrap().to_owned();
    let shown = format!("{}/api/{}", visitor.base, url.split_once("/api/").unwrap().1);
    assert_eq!(visitor.client.get(&shown).send().await.unwrap().status(), 200);
    seller.delete(&format!("/api/sell/bid/{}", offer["sellId"])).await.ok();
    seller.upload(&path, &[("price", "90000000")], &picture).await.ok();
    eventually("the picture of the cancelled offer is destroyed", || async {
        (visitor.client.get(&shown).send().await.unwrap().status() == 404).then_some(())
    })
    .await;
    let admin = workers.ready().await;
    eventually("every folder was looked into", || async {
        (metric(&admin, "gream_scheduler_runs_total").await > 600.0).then_some(())
    })
    .await;
}

/// A command whose workers end is counted before it begins; an attempt that ended with its connection is taken back. It
/// uses a coupon, of which the day has none.
async fn attempts(market: &Market) {
    let (user, product) = (market.user(USER, 1_000).await, market.product(900_001).await);
    let coupon = "INSERT INTO coupons (coupon_id, user_id, name, discount_type, discount, state, created_at_ms) \
                  VALUES (900001, ?, 'welcome', 'FIX', 1, 'available', 0)";
    sqlx::query(coupon).bind(USER).execute(&market.database).await.unwrap();
    let granted = "INSERT INTO coupon_entries (coupon_id, step, reference, created_at_ms) \
                   VALUES (900001, 'granted', 'user:1', 0)";
    sqlx::query(granted).execute(&market.database).await.unwrap();
    let bid = Command::PlaceBuyBid {
        product,
        price: Won(10),
        period_days: 7,
        deadline: market.now().plus_ms(WEEK_MS),
        coupon: Some(CouponId(900_001)),
    };
    let suspect = envelope("suspect", user, market.now(), bid);
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
        (market.cut_off(&["FROM balances", "FOR UPDATE"]).await > 0).then_some(())
    })
    .await;
    other.rollback().await.unwrap();
    market.reaches(suspect.id, "done").await;
}
