//! Faults of real servers and processes, one at a time: what was accepted is carried out, once, and everything recovers by
//! itself. Runs serially, on a stack of its own that it may break (`dev/stack … crash`).
//!
//! Each test shows that its fault struck: a process halts at a named point and is killed or stopped exactly there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api;
mod failover;
mod notifications;
mod read_only;
mod replica;
mod restore;
mod servers;
mod workers;

use acceptance::{
    Market,
    commands::{buy, sell},
    process::Process,
    wait::{becomes, eventually},
};
use contracts::Envelope;
use std::path::Path;

/// Orders that cross, over all partitions, so that every table of a batch is written.
async fn crossing_commands(market: &Market, pairs: usize) -> Vec<Envelope> {
    let (buyer, seller) = (market.user(1, 90_000_000).await, market.user(2, 0).await);
    let mut products = Vec::new();
    for id in 1..=8 {
        products.push(market.product(id).await);
    }
    let now = market.now();
    (0..pairs)
        .flat_map(|n| {
            let product = products[n % products.len()];
            [sell(&format!("s{n}"), seller, product, 1_000, now), buy(&format!("b{n}"), buyer, product, 1_200, now)]
        })
        .collect()
}

/// Everything ended as it must, with one effect for each command.
async fn all_done_once(market: &Market, commands: &[Envelope]) {
    let wanted = i64::try_from(commands.len()).unwrap();
    becomes("every command is done", wanted, || market.count("done")).await;
    let trades = wanted / 2;
    assert_eq!(market.number("SELECT COUNT(*) FROM orders").await, trades, "each pair traded once");
    assert_eq!(market.number("SELECT available FROM balances WHERE user_id = 2").await, trades * 1_000);
    assert_eq!(market.broker.depth("dead.bid").await, 0, "nothing was dead-lettered");
    assert_eq!(market.number("SELECT CAST(MAX(attempts) AS SIGNED) FROM commands").await, 1, "no attempt was burnt");
    market.audit_holds().await;
}

async fn halted(worker: &mut Process, file: &Path, point: &str) {
    eventually(&format!("halted at {point}"), || async {
        (std::fs::read_to_string(file).ok()? == point).then_some(())
    })
    .await;
    assert!(worker.is_running());
}
