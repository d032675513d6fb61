//! A backup, a disaster, and the market as it was just before it: by the scripts of `deploy/backup`, on a second server.

use super::crossing_commands;
use acceptance::{
    Market, Servers,
    process::Process,
    servers::root,
    versions::Versions,
    wait::{PATIENCE, becomes},
};
use contracts::Envelope;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, MySqlPool, Row};
use std::{os::unix::fs::OpenOptionsExt, path::PathBuf, process::Command};

/// What a person would compare first.
const SUMS: &str = "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM bids), \
                    (SELECT COUNT(*) FROM ledger_entries), (SELECT SUM(available) FROM balances), \
                    (SELECT COUNT(*) FROM commands WHERE state = 'done'))";

/// A script of `deploy/backup`, with the client programs that fit the server.
fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("deploy/backup").join(name));
    if let Ok(clients) = std::env::var("GREAM_TEST_DATABASE_CLIENTS") {
        command.env("PATH", format!("{clients}:{}", std::env::var("PATH").unwrap()));
    }
    command.args(arguments);
    command
}

/// Runs a script; what it said.
fn script(name: &str, arguments: &[&str]) -> String {
    let output = command(name, arguments).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    said
}

/// A client's option file for the server that a variable names.
fn options(market: &Market, variable: &str) -> PathBuf {
    let url: reqwest::Url = std::env::var(variable).unwrap().parse().unwrap();
    let file = market.folder().join(format!("{variable}.cnf"));
    let text = format!(
        "[client]\nhost = {}\nport = {}\nuser = {}\npassword = {}\nprotocol = tcp\n",
        url.host_str().unwrap(),
        url.port().unwrap(),
        url.username(),
        url.password().unwrap()
    );
    let mut open = std::fs::OpenOptions::new();
    std::io::Write::write_all(
        &mut open.create(true).write(true).truncate(true).mode(0o600).open(&file).unwrap(),
        text.as_bytes(),
    )
    .unwrap();
    file
}

async fn carried_out(market: &Market, commands: &[Envelope], done: usize) {
    market.broker.publish(market.partitions, commands).await;
    becomes("every command is done", i64::try_from(done).unwrap(), || market.count("done")).await;
}

async fn sums(pool: &MySqlPool) -> String {
    sqlx::query_scalar(SUMS).fetch_one(pool).await.unwrap()
}

/// Where the server writes its binary log now.
async fn position(market: &Market, is_mariadb: bool) -> String {
    let mut server = MySqlConnection::connect(&std::env::var("GREAM_TEST_DATABASE_ADMIN_URL").unwrap()).await.unwrap();
    let ask = if is_mariadb { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
    let row = sqlx::raw_sql(ask).fetch_one(&mut server).await.unwrap();
    let position = row.try_get::<u64, _>(1).or_else(|_| row.try_get::<u32, _>(1).map(u64::from)).unwrap();
    assert!(market.database.acquire().await.is_ok());
    format!("{}:{position}", row.get::<String, _>(0))
}

async fn damage(market: &Market) {
    for sql in ["UPDATE balances SET available = available + 1000000", "DELETE FROM ledger_entries LIMIT 20"] {
        sqlx::query(sql).execute(&market.database).await.unwrap();
    }
}

#[tokio::test]
async fn a_market_is_restored_to_the_moment_before_a_disaster() {
    let servers = Servers::from_environment();
    servers.mend().await;
    servers.start("replica").await;
    let is_mariadb = Versions::of(&servers).await.is_mariadb();
    let market = Market::new("restore").await;
    let (source, target) =
        (options(&market, "GREAM_TEST_DATABASE_ADMIN_URL"), options(&market, "GREAM_TEST_REPLICA_ADMIN_URL"));
    let (source, target) = (source.to_str().unwrap(), target.to_str().unwrap());
    let (name, folder) = (market.database_name.as_str(), market.folder().join("backup"));
    let folder = folder.to_str().unwrap();

    let commands = crossing_commands(&market, 40).await;
    let worker = market.worker(&["bid", "relay"]).await;
    carried_out(&market, &commands[..40], 40).await;
    script("backup", &[source, name, folder]);
    // These are in no dump.
    carried_out(&market, &commands[40..], 80).await;
    market.audit_holds().await;
    let (good, before) = (sums(&market.database).await, position(&market, is_mariadb).await);
    damage(&market).await;
    let damaged = operator::audit_at_rest(&market.audit_sources(), PATIENCE).await.unwrap();
    assert!(!damaged.holds_at_rest(), "the disaster struck, and the audit sees such things");
    assert_ne!(sums(&market.database).await, good);
    drop(worker);

    script("archive", &[source, folder]);
    script("restore", &[target, name, folder, "--until-position", &before]);
    let url = format!("{}/{name}", std::env::var("GREAM_TEST_REPLICA_URL").unwrap());
    let restored = MySqlPool::connect(&url).await.unwrap();
    assert_eq!(sums(&restored).await, good, "to the last transaction before it, and none of the disaster's");
    let sources = operator::Sources { database: restored.clone(), ..market.audit_sources() };
    let report = operator::audit_at_rest(&sources, PATIENCE).await.unwrap();
    assert!(report.holds_at_rest(), "{}", serde_json::to_string_pretty(&report).unwrap());

    goes_on(&market, &url, &restored, &commands).await;
    restored.close().await;
    let mut server = MySqlConnection::connect(&std::env::var("GREAM_TEST_REPLICA_ADMIN_URL").unwrap()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name}"))).execute(&mut server).await.unwrap();
    servers.shut_down("replica").await;
}

/// Workers go on where the market was: what they know is done, and is not done again.
async fn goes_on(market: &Market, url: &str, restored: &MySqlPool, commands: &[Envelope]) {
    let good = sums(restored).await;
    let mut worker: Process = market.spawn_with(&["worker", "bid"], &[("GREAM__DATABASE__URL", url)]);
    worker.ready().await;
    market.broker.publish(market.partitions, commands).await;
    for queue in market.partitions.all().map(contracts::topology::bid_queue) {
        becomes("an empty queue", 0, || market.broker.depth(&queue)).await;
    }
    assert_eq!(worker.terminate(PATIENCE).await, Some(0), "in order: it has acked what it took");
    assert_eq!(sums(restored).await, good, "each of them was done before");
}

#[tokio::test]
async fn a_restore_says_what_it_needs() {
    let servers = Servers::from_environment();
    servers.mend().await;
    let market = Market::new("restore_refused").await;
    let source = options(&market, "GREAM_TEST_DATABASE_ADMIN_URL");
    let (source, folder) = (source.to_str().unwrap(), market.folder().join("backup"));
    let (folder, name) = (folder.to_str().unwrap(), market.database_name.as_str());
    let refused = |name: &str, arguments: &[&str]| {
        let output = command(name, arguments).output().unwrap();
        assert!(!output.status.success(), "{name} {arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused("archive", &[source, folder]).contains("run backup first"));
    script("backup", &[source, name, folder]);
    assert!(refused("backup", &[source, name, folder]).contains("holds a dump already"));
    assert!(refused("restore", &[source, name, folder, "--until-position", "x.1:4"]).contains("run archive first"));
    script("archive", &[source, folder]);
    let onto_itself = refused("restore", &[source, name, folder, "--until-end"]);
    assert!(onto_itself.contains("restore beside it"), "{onto_itself}");
    let open = market.folder().join("open.cnf");
    std::fs::write(&open, "[client]\n").unwrap();
    assert!(refused("backup", &[open.to_str().unwrap(), name, folder]).contains("chmod 600"));
}
