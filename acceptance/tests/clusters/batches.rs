//! Bid workers at two nodes.

use super::at_two_nodes;
use acceptance::{
    Market,
    commands::{buy, sell},
    settings,
};
use contracts::{CommandId, Envelope, Outcome, ProductId, UserId};
use domain::market::Limits;
use sqlx::{MySqlPool, Row};
use tokio::task::JoinSet;
use workers::bid::{Rules, Store, StoreError, carry_out};

/// What each worker carries out.
const BATCHES: u64 = 60;
const COMMANDS: u64 = 8;
/// Everybody has bids in every batch, so that their balances are what the batches meet at.
const USERS: u64 = 4;
/// Batches end after so many attempts, or something else is wrong.
const MAX_ATTEMPTS: u32 = 50;

/// A product of each partition.
async fn products(market: &Market) -> Vec<ProductId> {
    let mut products = Vec::new();
    for partition in market.partitions.all() {
        let id = (1..1_000).find(|id| market.partitions.of_product(ProductId(*id)) == partition).unwrap();
        products.push(market.product(id).await);
    }
    products
}

/// Bids around one price, so that every other one trades.
fn batch(market: &Market, users: &[UserId], product: ProductId, number: u64) -> Vec<Envelope> {
    let bid = |n: u64| {
        let user = users[usize::try_from((n + number) % USERS).unwrap()];
        let key = format!("{product} {number} {n}");
        let price = i64::try_from(1_000 + n % 3 * 100).unwrap();
        if n.is_multiple_of(2) {
            buy(&key, user, product, price, market.now())
        } else {
            sell(&key, user, product, price, market.now())
        }
    };
    (0..COMMANDS).map(bid).collect()
}

/// A worker's outcomes, and how often a batch of its began anew.
async fn work(mut store: Store, rules: Rules, batches: Vec<Vec<Envelope>>) -> (Vec<Outcome>, u32) {
    let (mut outcomes, mut anew) = (Vec::new(), 0);
    for batch in batches {
        let envelopes: Vec<&Envelope> = batch.iter().collect();
        let mut attempts = 0;
        loop {
            attempts += 1;
            assert!(attempts <= MAX_ATTEMPTS);
            match carry_out(&mut store, &rules, &envelopes).await {
                Ok(told) => break outcomes.extend(told),
                // As a lane does: from the inbox, what was committed after all; the rest again.
                Err(StoreError::Away(_) | StoreError::Contention { .. }) => anew += 1,
                Err(error @ StoreError::Defect(_)) => panic!("{error}"),
            }
        }
    }
    (outcomes, anew)
}

/// The outcome that is stored of a command.
async fn stored(pool: &MySqlPool, id: CommandId) -> Option<(String, u32)> {
    let sql = "SELECT state, result_code FROM commands WHERE command_id = ?";
    let row = sqlx::query(sql).bind(id.bytes().to_vec()).fetch_optional(pool).await.unwrap();
    row.map(|row| (row.get(0), u32::try_from(row.get::<i32, _>(1)).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_certification_ends_what_was_told_is_stored_and_the_books_balance() {
    let (market, pools) = at_two_nodes("two_workers").await;
    let products = products(&market).await;
    let mut users = Vec::new();
    for id in 1..=USERS {
        users.push(market.user(id, 10_000_000).await);
    }
    let rules = settings::rules(market.partitions);
    let rules = Rules { limits: Limits { max_open_bids_per_user_and_product: u32::MAX, ..rules.limits }, ..rules };
    let mut workers = JoinSet::new();
    for ((lane, product), pool) in (0_u16..).zip(&products).zip(pools.iter().cycle()) {
        let node = &market.servers.database_nodes[usize::from(lane) % pools.len()];
        let config = settings::database(&format!("{node}/{}", market.database_name));
        let store = Store::connect(&config, pool, &market.clock, "clusters", lane).await.unwrap();
        let batches = (0..BATCHES).map(|number| batch(&market, &users, *product, number)).collect();
        workers.spawn(work(store, rules, batches));
    }
    let (mut told, mut anew) = (Vec::new(), 0);
    while let Some(done) = workers.join_next().await {
        let (outcomes, times) = done.unwrap();
        told.extend(outcomes);
        anew += times;
    }
    println!("{} outcomes; {anew} batches began anew after eight contentions", told.len());
    for outcome in &told {
        let wanted = Some((outcome.state.as_str().to_owned(), outcome.code.code()));
        for pool in &pools {
            assert_eq!(stored(pool, outcome.id).await, wanted, "{}", outcome.id);
        }
    }
    // It takes the events of the trades away, without which nothing is at rest.
    let _relay = market.worker(&["relay"]).await;
    market.audit_holds().await;
}
