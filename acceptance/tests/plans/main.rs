//! Every query's plan: none on a path that users or workers take scans a table that grows.
//!
//! The statements are those that really ran: the server's general log records a small market day, the rare paths of
//! `traffic`, and the operator's audit, values included. Then the tables are filled with a crowd's rows, so that reading
//! all of them is dear, and each statement of users and workers is explained. Of `.sqlx`, whatever did not run and is
//! not the audit's is explained too, with values that stand for any.
//!
//! Runs on the stack that tests may change: the general log is a setting of the whole server.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod crowd;
mod plan;
mod record;
mod shape;
mod traffic;

use acceptance::{Market, Servers, servers, wait::PATIENCE};
use crowd::Tables;
use plan::Plan;
use record::Record;
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::LocalSet;

/// Tables whose rows do not become more with users, trades or time. To scan them is the best plan.
const SMALL: [(&str, &str); 8] = [
    ("_sqlx_migrations", "one row a migration"),
    ("circuit_breakers", "one row a service"),
    ("installation", "one row"),
    ("partitions", "one row a partition, fixed when the database is made"),
    ("replica_heartbeat", "one row"),
    ("role_limits", "one row a role"),
    ("scheduler_duties", "one row a duty"),
    ("worker_presence", "one row a living worker; the dead ones' are deleted"),
];

/// Scans that are meant: a part of the statement, the table, and why.
const MEANT: [(&str, &str, &str); 2] = [
    (
        "FROM products WHERE brand LIKE",
        "products",
        "looks for a word inside names, in a table that only administrators fill; read in id order up to a page",
    ),
    (
        "FROM (SELECT created_at_ms FROM outbox ORDER BY outbox_id LIMIT ?) AS unsent",
        "outbox",
        "the monitor counts the oldest thousand, in id order, and no more",
    ),
];

/// What the bid worker and others put together as text, which no list names: the traffic must have led to each.
const MUST_RUN: [&str; 29] = [
    "FROM partitions WHERE partition_id IN (?) ORDER BY partition_id FOR UPDATE",
    "FROM commands WHERE command_id IN (?) ORDER BY command_id FOR UPDATE",
    "UPDATE partitions SET epoch",
    "FROM products WHERE product_id IN (?)",
    "FROM bids WHERE bid_id IN (?)",
    "STRAIGHT_JOIN bids",
    "SELECT b.book_price FROM bids b",
    "book_price <= ? ORDER BY book_price, bid_id LIMIT",
    "FROM coupons WHERE coupon_id IN (?) ORDER BY coupon_id FOR UPDATE",
    "FROM balances WHERE user_id IN (?) ORDER BY user_id FOR UPDATE",
    "INSERT INTO bids",
    "UPDATE bids SET state",
    "INSERT INTO orders",
    "INSERT INTO outbox",
    "FROM barcode_claims WHERE barcode_hash IN (?) ORDER BY barcode_hash FOR UPDATE",
    "FROM barcode_claims c LEFT JOIN gifticons g",
    "INSERT INTO barcode_claims",
    "UPDATE barcode_claims SET gifticon_id",
    "INSERT INTO gifticon_reveals",
    "SELECT command_id, state, updated_at_ms FROM commands WHERE command_id IN",
    "FROM gifticons g LEFT JOIN bids b ON b.bid_id = g.bid_id WHERE g.command_id IN",
    "UPDATE gifticons SET picture_swept_at_ms",
    "ON DUPLICATE KEY UPDATE available",
    "UPDATE coupons SET state",
    "INSERT INTO coupon_entries",
    "SELECT attempts FROM commands WHERE command_id",
    "UPDATE commands SET attempts = attempts - ?",
    "FROM commands WHERE state IN (?) AND command_id IN (?)",
    "DELETE FROM outbox WHERE outbox_id IN (?)",
];

#[tokio::test]
async fn no_query_of_users_or_workers_scans_a_table_that_grows() {
    let done = LocalSet::new().run_until(async { tokio::task::spawn_local(every_plan()).await }).await;
    // Whatever happened: the other tests' statements are nobody's business.
    Record::end(&Servers::from_environment()).await;
    done.unwrap();
}

async fn every_plan() {
    let mut market = Market::new("plans").await;
    Record::begin(&market.servers).await;
    traffic::run(&mut market).await;
    let ran = Record::take(&market.servers).await;
    Record::begin(&market.servers).await;
    audit(&market).await;
    let audit = Record::take(&market.servers).await;
    Record::end(&market.servers).await;

    for part in MUST_RUN {
        assert!(ran.keys().any(|shape| shape.contains(part)), "the traffic no longer leads to: {part}");
    }

    let statements = with_those_of_sqlx(ran, &audit.into_keys().collect());
    crowd::write(&market.database).await;
    let tables = crowd::tables(&market.database).await;
    let few = |(table, rows): &(&String, &u64)| **rows < crowd::ROWS && !SMALL.iter().any(|(small, _)| small == table);
    let unfilled: Vec<_> = tables.iter().filter(few).collect();
    assert!(unfilled.is_empty(), "say in `crowd` how these grow, or here why they do not: {unfilled:?}");
    println!("{} statements explained", statements.len());
    assert!(statements.len() > 100, "only {} statements", statements.len());
    let scans = scans(&market, &tables, &statements).await;
    assert!(scans.is_empty(), "{} scans:\n{}", scans.len(), scans.join("\n"));

    // And a scan would have been noticed.
    sqlx::query("ALTER TABLE orders DROP INDEX orders_buyer_at").execute(&market.database).await.unwrap();
    let scans = self::scans(&market, &tables, &statements).await;
    assert!(scans.iter().any(|scan| scan.contains("orders o JOIN products")), "{scans:?}");
}

async fn scans(market: &Market, tables: &Tables, statements: &BTreeMap<String, String>) -> Vec<String> {
    let mut scans = Vec::new();
    for (shape, statement) in statements {
        let plan = Plan::of(&market.database, tables, statement).await;
        let unmeant = plan.scans().filter(|scan| !is_meant(shape, &scan.table));
        scans.extend(unmeant.map(|scan| format!("{scan}\n    {shape}")));
    }
    scans
}

/// With everything that it can compare, so that all of its queries run.
async fn audit(market: &Market) {
    let sources = operator::Sources {
        journal: Some(traffic::journal(market)),
        broker: Some(market.broker.page()),
        ..market.audit_sources()
    };
    let report = operator::audit_at_rest(&sources, PATIENCE).await.unwrap();
    assert!(report.holds_at_rest(), "{report}");
}

fn is_meant(shape: &str, table: &str) -> bool {
    SMALL.iter().any(|(small, _)| *small == table)
        || MEANT.iter().any(|(part, meant, _)| *meant == table && shape.contains(part))
}

/// Adds the statements of `.sqlx` that neither ran nor are the audit's, with values in place of their parameters.
fn with_those_of_sqlx(mut ran: BTreeMap<String, String>, audit: &BTreeSet<String>) -> BTreeMap<String, String> {
    let (mut added, mut operators) = (0, 0);
    for file in std::fs::read_dir(servers::root().join(".sqlx")).expect("the descriptions of the queries") {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let described: serde_json::Value = serde_json::from_str(&text).unwrap();
        let query = described["query"].as_str().expect("its text");
        let shape = shape::of(query);
        if ran.contains_key(&shape) {
            continue;
        }
        if audit.contains(&shape) {
            operators += 1;
            continue;
        }
        added += 1;
        ran.insert(shape, shape::with_values(query));
    }
    println!("of .sqlx: {operators} are the audit's alone, {added} did not run and are explained all the same");
    ran
}
