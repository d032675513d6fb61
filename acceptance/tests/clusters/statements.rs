//! Transactions of many statements, and reads, at two nodes at once.

use super::{at_two_nodes, is_ended, number};
use acceptance::Market;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, MySqlPool, raw_sql};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// So many accounts; each transaction adds one to so many of them.
const ACCOUNTS: i64 = 20;
const TOUCHED: i64 = 6;
/// Transactions of each of two writers at each node.
const EACH: i64 = 300;
/// How long the cluster may take to show a fault that it is known to have.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy)]
enum Sent {
    /// One statement a packet, prepared: as everything but the bid workers.
    Prepared,
    /// As text, the commit in one packet with what it commits.
    InOnePacket,
}

/// What came of a race.
struct Raced {
    /// Transactions whose commit succeeded.
    told: i64,
    stored: i64,
    /// What the accounts hold beyond what the stored transactions added.
    surplus: i64,
}

/// Adds one to some accounts, under locks, and notes that.
async fn add(connection: &mut MySqlConnection, sent: Sent, entry: i64) -> sqlx::Result<()> {
    let mut touched: Vec<i64> = (0..TOUCHED).map(|n| (entry * 7 + n * 3) % ACCOUNTS).collect();
    touched.sort_unstable();
    match sent {
        Sent::Prepared => {
            let mut transaction = connection.begin().await?;
            for account in &touched {
                let lock = sqlx::query("SELECT amount FROM accounts WHERE id = ? FOR UPDATE").bind(account);
                transaction.execute(lock).await?;
            }
            transaction.execute(sqlx::query("INSERT INTO entries VALUES (?)").bind(entry)).await?;
            for account in &touched {
                let add = sqlx::query("UPDATE accounts SET amount = amount + 1 WHERE id = ?").bind(account);
                transaction.execute(add).await?;
            }
            transaction.commit().await
        }
        Sent::InOnePacket => {
            let lock = |id| format!("SELECT amount FROM accounts WHERE id = {id} FOR UPDATE; ");
            let locks: String = touched.iter().map(lock).collect();
            connection.execute(raw_sql(AssertSqlSafe(format!("START TRANSACTION; {locks}")))).await?;
            let update = |id| format!("UPDATE accounts SET amount = amount + 1 WHERE id = {id}; ");
            let updates: String = touched.iter().map(update).collect();
            let write = format!("INSERT INTO entries VALUES ({entry}); {updates}COMMIT");
            connection.execute(raw_sql(AssertSqlSafe(write))).await.map(drop)
        }
    }
}

/// How many of these the writer was told are committed.
async fn write(pool: MySqlPool, sent: Sent, entries: std::ops::Range<i64>) -> i64 {
    let mut told = 0;
    for entry in entries {
        // The pool ends what a transaction that failed has left open.
        let mut connection = pool.acquire().await.unwrap();
        match add(&mut connection, sent, entry).await {
            Ok(()) => told += 1,
            Err(error) => assert!(is_ended(&error), "{error}"),
        }
    }
    told
}

async fn accounts(market: &Market) {
    let rows: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, 0)")).collect();
    for sql in [
        "DROP TABLE IF EXISTS accounts, entries".to_owned(),
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL)".to_owned(),
        "CREATE TABLE entries (id BIGINT PRIMARY KEY)".to_owned(),
        format!("INSERT INTO accounts VALUES {}", rows.join(", ")),
    ] {
        raw_sql(AssertSqlSafe(sql)).execute(&market.database).await.unwrap();
    }
}

/// Two writers at each of two nodes.
async fn race(market: &Market, pools: &[MySqlPool; 2], sent: Sent) -> Raced {
    accounts(market).await;
    let (mut writers, mut told, mut first) = (JoinSet::new(), 0, 1);
    for pool in pools.iter().chain(pools) {
        writers.spawn(write(pool.clone(), sent, first..first + EACH));
        first += EACH;
    }
    while let Some(done) = writers.join_next().await {
        told += done.unwrap();
    }
    // By a connection of ours, which waits for what was committed elsewhere.
    let mut connection = pools[0].acquire().await.unwrap();
    let stored = number("SELECT COUNT(*) FROM entries", &mut connection).await;
    let held = number("SELECT CAST(SUM(amount) AS SIGNED) FROM accounts", &mut connection).await;
    Raced { told, stored, surplus: held - stored * TOUCHED }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_one_by_one_is_written_whole_or_not_at_all() {
    let (market, pools) = at_two_nodes("one_by_one").await;
    let raced = race(&market, &pools, Sent::Prepared).await;
    assert_eq!((raced.stored, raced.surplus), (raced.told, 0));
    assert!(raced.told < 4 * EACH, "they never met: nothing was tried");
}

/// The limit itself: why `workers::bid::store` has a savepoint, and commits in a packet of its own.
#[tokio::test(flavor = "multi_thread")]
async fn mariadb_may_lose_a_part_of_what_one_packet_commits() {
    let (market, pools) = at_two_nodes("one_packet").await;
    let began = Instant::now();
    loop {
        let raced = race(&market, &pools, Sent::InOnePacket).await;
        println!("told {}, stored {}, half done {}", raced.told, raced.stored, raced.surplus);
        if raced.told != raced.stored || raced.surplus != 0 {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "a packet is all or nothing now: the bid worker may commit in its last one"
        );
    }
}

/// Writes through the first node, and looks through the second, until a look finds nothing or `looks` found everything.
async fn looks_in_vain(pools: &[MySqlPool; 2], look: &mut MySqlConnection, looks: i64, in_transaction: bool) -> bool {
    let began = Instant::now();
    for _ in 0..looks {
        let id =
            sqlx::query("INSERT INTO written (text) VALUES ('')").execute(&pools[0]).await.unwrap().last_insert_id();
        let mut transaction = look.begin().await.unwrap();
        let sql = "SELECT COUNT(*) FROM written WHERE id = ?";
        let found: i64 = if in_transaction {
            sqlx::query_scalar(sql).bind(id).fetch_one(&mut *transaction).await.unwrap()
        } else {
            transaction.rollback().await.unwrap();
            sqlx::query_scalar(sql).bind(id).fetch_one(&mut *look).await.unwrap()
        };
        if found == 0 {
            return true;
        }
        assert!(began.elapsed() < PATIENCE, "too slow to tell");
    }
    false
}

/// While somebody else gives the nodes enough to do that the second one falls behind. And the limit itself: without
/// `wsrep_sync_wait` it is not found.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_acknowledged_is_found_at_the_other() {
    let (market, pools) = at_two_nodes("found").await;
    let table = "CREATE TABLE written (id BIGINT AUTO_INCREMENT PRIMARY KEY, text TEXT NOT NULL)";
    raw_sql(table).execute(&market.database).await.unwrap();
    let busy = market.database.clone();
    let load = tokio::spawn(async move {
        let rows = vec![format!("('{}')", "y".repeat(2_000)); 100].join(", ");
        let insert = format!("INSERT INTO written (text) VALUES {rows}");
        loop {
            raw_sql(AssertSqlSafe(insert.clone())).execute(&busy).await.unwrap();
        }
    });
    let mut ours = pools[1].acquire().await.unwrap();
    for in_transaction in [true, false] {
        assert!(!looks_in_vain(&pools, &mut ours, 200, in_transaction).await);
    }
    let mut another = pools[1].acquire().await.unwrap();
    raw_sql("SET SESSION wsrep_sync_wait = 0").execute(&mut *another).await.unwrap();
    assert!(looks_in_vain(&pools, &mut another, 100_000, true).await, "nodes never lag: sessions need not wait");
    load.abort();
}
