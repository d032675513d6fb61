//! A small sound market in a database of its own, with a journal and a sandbox that agree with it.

mod vhost;

use audit::{AuditReport, Sources, Walk};
use contracts::{CommandId, CommandState, Kind, PartitionCount, UnixMs, UserId, Won, client_journal::Line};
use platform::{Clock, Secret, config::DatabaseConfig, database};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySqlPool};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use toss::{
    SecretKey,
    sandbox::{
        SandboxOptions,
        journal::{Effect, Entry},
    },
};

use vhost::Vhost;

const SOUND: &str = include_str!("../sound.sql");

/// What would keep damage out. A database that was restored badly, or written to by hand, may lack it, so the audit
/// does not rely on it.
const WITHOUT_GUARDS: &str = "
    ALTER TABLE orders DROP INDEX orders_gifticon, DROP INDEX orders_buy_bid, DROP INDEX orders_sell_bid,
          DROP CONSTRAINT orders_not_with_oneself, DROP CONSTRAINT orders_price;
    ALTER TABLE balances DROP CONSTRAINT balances_available, DROP CONSTRAINT balances_held;
    ALTER TABLE payments DROP CONSTRAINT payments_amount;
    ALTER TABLE ledger_entries DROP INDEX ledger_entries_transfer;";

const EMPTY: &str = "
    DELETE FROM users; DELETE FROM balances; DELETE FROM products; DELETE FROM commands; DELETE FROM bids;
    DELETE FROM coupons; DELETE FROM gifticons; DELETE FROM barcode_claims; DELETE FROM orders; DELETE FROM ledger_entries;
    DELETE FROM payments; DELETE FROM receivables; DELETE FROM differences;
    DELETE FROM refunds; DELETE FROM refund_legs; DELETE FROM outbox; DELETE FROM coupon_entries;";

pub struct Market {
    pub sources: Sources,
    server_url: String,
    name: String,
    folder: TempDir,
}

impl Market {
    pub async fn sound(name: &str) -> Self {
        let server_url = std::env::var("GREAM_TEST_DATABASE_URL")
            .expect("GREAM_TEST_DATABASE_URL is not set: run the tests by `make test`, or see dev/test");
        let name = format!("gream_{name}_{}", std::process::id());
        let server = database::pool(&config(&server_url, "information_schema")).unwrap();
        run(&server, &format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")).await;
        server.close().await;

        let pool = database::pool(&config(&server_url, &name)).unwrap();
        let partitions = PartitionCount::new(16).unwrap();
        database::migrate(&pool, partitions, UnixMs(0)).await.unwrap();
        run(&pool, WITHOUT_GUARDS).await;

        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.jsonl");
        write_journal(&journal, &journaled());
        let sandbox = sandbox(folder.path(), &captured()).await;
        let sources = Sources {
            database: pool,
            journal: Some(journal),
            broker: None,
            sandbox: Some(sandbox),
            partitions,
            clock: Clock::system(),
        };
        let market = Self { sources, server_url, name, folder };
        market.restore().await;
        market
    }

    /// Forgets every damage.
    pub async fn restore(&self) {
        self.run(&format!("{EMPTY}{SOUND}")).await;
    }

    /// Runs statements in which `c:NN` stands for a command's id.
    pub async fn run(&self, sql: &str) {
        run(&self.sources.database, &with_ids(sql)).await;
    }

    pub async fn audit(&self) -> AuditReport {
        audit::audit(&self.sources).await.unwrap()
    }

    /// One round of each walk, two rows at a time: the checks that were made, and those that found something.
    pub async fn slices(&self) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
        let (mut made, mut broken, mut slices) = (BTreeSet::new(), BTreeSet::new(), 0);
        for walk in Walk::ALL {
            let mut position = Some(Vec::new());
            while let Some(from) = position {
                let slice = audit::slice(&self.sources.database, walk, &from, 2).await.unwrap();
                made.extend(slice.checks.iter().map(|check| check.name));
                broken.extend(slice.checks.iter().filter(|check| !check.holds()).map(|check| check.name));
                (position, slices) = (slice.next, slices + 1);
            }
        }
        assert!(slices > 2 * Walk::ALL.len(), "{slices} slices are no walk");
        (made, broken)
    }

    /// Journals more answers.
    pub fn journal(&self, lines: &[Line]) {
        write_journal(self.sources.journal.as_deref().unwrap(), lines);
    }

    /// A second sandbox, which saw other moves of money.
    pub async fn other_sandbox(&mut self, effects: &[Effect]) {
        let folder = self.folder.path().join("other");
        fs::create_dir(&folder).unwrap();
        self.sources.sandbox = Some(sandbox(&folder, effects).await);
    }

    /// Repeats the audit until `enough`.
    pub async fn audit_until(&self, limit: Duration, enough: impl Fn(&AuditReport) -> bool) -> AuditReport {
        let end = Instant::now() + limit;
        loop {
            let report = self.audit().await;
            if enough(&report) {
                return report;
            }
            assert!(Instant::now() < end, "not within {limit:?}: {report}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// A vhost of the test's own with these queues, named to the audit.
    pub async fn with_broker(&mut self, queues: &[&str]) -> Vhost {
        let vhost = Vhost::make(&self.name, queues).await;
        self.sources.broker = Some(vhost.page());
        vhost
    }

    pub async fn drop(self) {
        self.sources.database.close().await;
        let server = database::pool(&config(&self.server_url, "information_schema")).unwrap();
        run(&server, &format!("DROP DATABASE {}", self.name)).await;
    }
}

pub fn broken(report: &AuditReport) -> BTreeSet<&str> {
    report.broken().map(|check| check.name).collect()
}

pub fn command(number: u128) -> CommandId {
    CommandId::from_slice(&number.to_be_bytes()).unwrap()
}

pub fn line(number: u128, kind: Kind, user: u64, state: CommandState, code: u32, data: Value) -> Line {
    Line { id: command(number), kind, user: UserId(user), sent_at: UnixMs(1), state, code, data }
}

fn journaled() -> Vec<Line> {
    vec![
        line(1, Kind::PlaceBuyBid, 1, CommandState::Accepted, 0, Value::Null),
        line(1, Kind::PlaceBuyBid, 1, CommandState::Done, 0, json!({"buyId": 258, "price": 5000})),
        line(14, Kind::CancelBid, 1, CommandState::Rejected, 3002, json!({})),
        line(15, Kind::PlaceBuyBid, 3, CommandState::Rejected, 1007, json!({})),
    ]
}

pub fn captured() -> Vec<Effect> {
    let (payment_key, order_id) = (String::from("key-1"), String::from("order-1"));
    vec![
        Effect::Opened { payment_key: payment_key.clone(), order_id: order_id.clone(), amount: Won(10_000) },
        Effect::Authenticated { payment_key: payment_key.clone() },
        Effect::Confirmed { payment_key: payment_key.clone(), order_id: order_id.clone(), amount: Won(10_000) },
        Effect::Cancelled {
            payment_key,
            order_id,
            amount: Won(3_000),
            balance: Won(7_000),
            reason: "refund 1:0".into(),
            transaction_key: "t1".into(),
        },
    ]
}

/// A real sandbox that takes up a journal of these effects. It ends with the test's process.
async fn sandbox(folder: &Path, effects: &[Effect]) -> reqwest::Url {
    platform::install_tls_provider();
    let journal = folder.join("sandbox.jsonl");
    let mut file = fs::File::create(&journal).unwrap();
    for (index, effect) in effects.iter().enumerate() {
        let entry = Entry { seq: index as u64 + 1, at: UnixMs(1), effect: effect.clone(), bound: None };
        writeln!(file, "{}", serde_json::to_string(&entry).unwrap()).unwrap();
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let options =
        SandboxOptions { secret_key: SecretKey::new("test_sk_x"), journal, now: Arc::new(|| Clock::system().now()) };
    tokio::spawn(toss::sandbox::serve(listener, options, std::future::pending()));
    url
}

fn write_journal(path: &Path, lines: &[Line]) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for line in lines {
        writeln!(file, "{}", serde_json::to_string(line).unwrap()).unwrap();
    }
}

fn with_ids(sql: &str) -> String {
    (1..=60)
        .fold(sql.to_owned(), |sql, number| sql.replace(&format!("c:{number:02}"), &format!("UNHEX('{number:032x}')")))
}

async fn run(pool: &MySqlPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

fn config(server_url: &str, database: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: Secret::new(format!("{server_url}/{database}")),
        pool_max: 4,
        acquire_timeout_ms: 10_000,
        statement_timeout_ms: 10_000,
        session_wait_timeout_s: 60,
        lock_wait_timeout_s: 10,
        replica_url: Secret::default(),
        replica_max_lag_ms: 2_000,
        replica_timeout_ms: 1_000,
        read_your_writes_ms: 4_000,
    }
}
