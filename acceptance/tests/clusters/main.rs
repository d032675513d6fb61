//! What holds while two nodes of a Galera cluster take writes: for a second at a switch, for ten when a process starts before the
//! first node is trusted again (ARCHITECTURE.md, "Whom we write to"). Runs on the nodes of `dev/ha`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod batches;
mod statements;

use acceptance::{Market, settings};
use platform::config::DatabaseConfig;
use sqlx::{MySqlConnection, MySqlPool};

/// A connection for each writer at a node.
const POOL_MAX: u32 = 2;

/// A market, and a pool as our processes have it at each of two nodes.
async fn at_two_nodes(test: &str) -> (Market, [MySqlPool; 2]) {
    let market = Market::new(test).await;
    assert!(market.servers.are_clusters(), "these tests are of the stack that `dev/ha` runs");
    let pools = market.servers.database_nodes.iter().take(2).map(|node| {
        let url = format!("{node}/{}", market.database_name);
        let config = DatabaseConfig { pool_max: POOL_MAX, ..settings::database(&url) };
        platform::database::pool(&config).unwrap()
    });
    let pools: Vec<MySqlPool> = pools.collect();
    (market, pools.try_into().expect("two nodes"))
}

/// Whether the cluster ended this transaction in favour of another one's.
fn is_ended(error: &sqlx::Error) -> bool {
    platform::database::trouble(error) == platform::database::Trouble::Contention
}

/// One number.
async fn number(sql: &'static str, connection: &mut MySqlConnection) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}
