//! A whole market for one test: database, vhost, secrets, and the processes that the test asks for.

use crate::{broker::Broker, process::Process, servers::Servers, wait::becomes, wire::Wire};
use contracts::{CommandId, PartitionCount, ProductId, UnixMs, UserId, topology::Topology};
use platform::Clock;
use sqlx::{MySqlPool, Row, mysql::MySqlRow};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Few, so that tests are quick; more than the lanes, so that each lane has several.
pub const PARTITIONS: u16 = 4;
/// The tests' retry ladder: short steps, and few.
pub const LADDER_MS: &str = "200,400,800";

/// See the module's words.
pub struct Market {
    pub servers: Servers,
    pub database: MySqlPool,
    pub database_name: String,
    pub broker: Broker,
    pub partitions: PartitionCount,
    pub environment: BTreeMap<String, String>,
    pub clock: Clock,
    folder: tempfile::TempDir,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Market {
    /// Database and vhost, and nothing running yet.
    pub async fn new(test: &str) -> Self {
        Self::with_ladder(test, LADDER_MS).await
    }

    /// The same with another retry ladder.
    pub async fn with_ladder(test: &str, ladder_ms: &str) -> Self {
        let servers = Servers::from_environment();
        servers.mend().await;
        let unique =
            format!("{}_{}_{}", test.replace('-', "_"), std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let database_name = format!("gream_{}", &unique[unique.len().saturating_sub(55)..]);
        let server = MySqlPool::connect(&servers.database_url).await.expect("the database server answers");
        for statement in [
            format!("DROP DATABASE IF EXISTS {database_name}"),
            format!("CREATE DATABASE {database_name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&server).await.expect("a database of the test's own");
        }
        server.close().await;
        let partitions = PartitionCount::new(PARTITIONS).expect("a valid count");
        let broker = Broker::create(&servers, &database_name, partitions, &steps(ladder_ms)).await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut environment = environment(&servers, &database_name, folder.path());
        environment.insert("GREAM__PAYMENT_WORKER__LADDER_MS".to_owned(), ladder_ms.to_owned());
        let clock = Clock::movable(folder.path().join("clock"));
        let database =
            MySqlPool::connect(&format!("{}/{database_name}", servers.database_url)).await.expect("the database");
        platform::database::migrate(&database, partitions, clock.now()).await.expect("the schema");
        Self { servers, database, database_name, broker, partitions, environment, clock, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the processes declare.
    pub fn topology(&self) -> Topology {
        Topology::new(self.partitions, &steps(&self.environment["GREAM__PAYMENT_WORKER__LADDER_MS"]))
    }

    /// Processes that are started from now on reach the server of this variable by the returned wire.
    pub async fn wire(&mut self, key: &str) -> Wire {
        self.wires(key).await.remove(0)
    }

    /// The same where the variable lists the nodes of a cluster: a wire to each, in the list's order.
    pub async fn wires(&mut self, key: &str) -> Vec<Wire> {
        let (mut wires, mut urls) = (Vec::new(), Vec::new());
        for node in self.environment[key].split(',') {
            let (wire, url) = Wire::to(node).await;
            wires.push(wire);
            urls.push(url);
        }
        self.set(key, urls.join(","));
        wires
    }

    /// Sets a configuration variable for the processes that are started from now on.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.environment.insert(key.to_owned(), value.to_string());
    }

    /// Starts `gream` with `arguments`, without waiting.
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        Process::start(arguments, &self.environment, self.folder.path())
    }

    /// The same with variables of its own.
    pub fn spawn_with(&self, arguments: &[&str], extra: &[(&str, &str)]) -> Process {
        self.spawn_program(&crate::process::binary(), arguments, extra)
    }

    /// The same of another version of the binary.
    pub fn spawn_program(&self, program: &Path, arguments: &[&str], extra: &[(&str, &str)]) -> Process {
        let mut environment = self.environment.clone();
        environment.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Process::start_program(program, arguments, &environment, self.folder.path())
    }

    /// Starts an API; its address.
    pub async fn api(&self) -> (Process, String) {
        let mut process = self.spawn(&["api"]);
        process.ready().await;
        let address = process.address("http").await;
        (process, address)
    }

    /// Starts the Toss sandbox; processes that are started from now on call it.
    pub async fn sandbox(&mut self) -> (Process, String) {
        let journal = self.folder.path().join("sandbox.jsonl");
        let journal = journal.to_str().expect("a UTF-8 path").to_owned();
        let mut process = self.spawn(&["sandbox", "--listen", "127.0.0.1:0", "--journal", &journal]);
        let address = process.address("http").await;
        self.set("GREAM__TOSS__BASE_URL", format!("http://{address}"));
        (process, address)
    }

    /// Starts a worker of these roles and waits until it is ready.
    pub async fn worker(&self, roles: &[&str]) -> Process {
        let arguments: Vec<&str> = ["worker"].iter().chain(roles).copied().collect();
        let mut process = self.spawn(&arguments);
        process.ready().await;
        process
    }

    /// A worker that halts at `point`; the path is the file that says so.
    pub fn halting_worker(&self, roles: &[&str], point: &str) -> (Process, PathBuf) {
        let file = self.folder.path().join(format!("halt-{}", point.replace('.', "-")));
        let arguments: Vec<&str> = ["worker"].iter().chain(roles).copied().collect();
        let process = self.spawn_with(
            &arguments,
            &[("GREAM__TEST__HALT_AT", point), ("GREAM__TEST__HALT_FILE", file.to_str().expect("a UTF-8 path"))],
        );
        (process, file)
    }

    /// Moves the time of every process.
    pub fn advance_clock(&self, by_ms: i64) {
        platform::clock::advance(&self.folder.path().join("clock"), by_ms).expect("the clock file");
    }

    pub fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// A user with points, written as sign-up would.
    pub async fn user(&self, id: u64, points: i64) -> UserId {
        let (user, at) = (i64::try_from(id).expect("a small id"), self.now().0);
        let command = CommandId::derived(UserId(id), "sign-up", "test").bytes();
        let name = format!("user{id}");
        let mut transaction = self.database.begin().await.expect("a transaction");
        let statements = [
            sqlx::query(
                "INSERT INTO users (user_id, login_id, nickname, role, provider, created_at_ms) VALUES (?, ?, ?, 'user', 'local', ?)",
            )
            .bind(user)
            .bind(&name)
            .bind(&name)
            .bind(at),
            sqlx::query("INSERT INTO balances (user_id, available, held) VALUES (?, ?, 0)").bind(user).bind(points),
            sqlx::query(
                "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms, \
                 updated_at_ms) VALUES (?, 'sign_up', ?, REPEAT('0', 32), 'done', 0, '{}', 1, ?, ?)",
            )
            .bind(command.to_vec())
            .bind(user)
            .bind(at)
            .bind(at),
        ];
        for statement in statements {
            statement.execute(&mut *transaction).await.expect("a user");
        }
        if points > 0 {
            for (account, owner, amount) in [("available", user, points), ("gift", 0, -points)] {
                sqlx::query(
                    "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, \
                     created_at_ms) VALUES (?, 0, 'gift', ?, ?, ?, 'sign-up', ?)",
                )
                .bind(command.to_vec())
                .bind(account)
                .bind(owner)
                .bind(amount)
                .bind(at)
                .execute(&mut *transaction)
                .await
                .expect("an entry");
            }
        }
        transaction.commit().await.expect("committed");
        UserId(id)
    }

    /// A product.
    pub async fn product(&self, id: u64) -> ProductId {
        sqlx::query(
            "INSERT INTO products (product_id, brand, name, description, price, image_url, created_at_ms) \
             VALUES (?, 'brand', ?, '', 1000, '', 0)",
        )
        .bind(i64::try_from(id).expect("a small id"))
        .bind(format!("product {id}"))
        .execute(&self.database)
        .await
        .expect("a product");
        ProductId(id)
    }

    /// The state of a command, `None` while it has no row.
    pub async fn state(&self, id: CommandId) -> Option<String> {
        sqlx::query_scalar("SELECT state FROM commands WHERE command_id = ?")
            .bind(id.bytes().to_vec())
            .fetch_optional(&self.database)
            .await
            .ok()
            .flatten()
    }

    /// How many commands are in `state`.
    pub async fn count(&self, state: &str) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM commands WHERE state = ? AND kind <> 'sign_up'")
            .bind(state)
            .fetch_one(&self.database)
            .await
            .unwrap_or(-1)
    }

    /// Waits until `id` is in `state`.
    pub async fn reaches(&self, id: CommandId, state: &str) {
        becomes(&format!("{id} in state {state}"), Some(state.to_owned()), || self.state(id)).await;
    }

    /// The tables in which a text stands anywhere.
    pub async fn tables_with(&self, text: &str) -> Vec<String> {
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.columns
             WHERE table_schema = DATABASE() AND (data_type LIKE '%char' OR data_type LIKE '%text' OR data_type LIKE '%binary'
                 OR data_type LIKE '%blob') ORDER BY table_name",
        )
        .fetch_all(&self.database)
        .await
        .expect("the rows");
        assert!(columns.len() > 50, "{columns:?}");
        let mut found = Vec::new();
        for (table, column) in columns {
            let rows = format!("SELECT COUNT(*) FROM {table} WHERE LOCATE(?, `{column}`) > 0");
            let rows = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(rows)).bind(text);
            if rows.fetch_one(&self.database).await.expect("the rows") > 0 {
                found.push(table);
            }
        }
        found
    }

    /// The database alone.
    pub fn audit_sources(&self) -> operator::Sources {
        operator::Sources {
            database: self.database.clone(),
            journal: None,
            broker: None,
            sandbox: None,
            partitions: self.partitions,
            clock: self.clock.clone(),
        }
    }

    /// Runs the audit over the database, and fails the test when a rule is broken or something is still under way.
    pub async fn audit_holds(&self) {
        let report =
            operator::audit_at_rest(&self.audit_sources(), crate::wait::PATIENCE).await.expect("the audit runs");
        assert!(report.holds_at_rest(), "{}", serde_json::to_string_pretty(&report).expect("a report"));
    }

    /// Ends every other connection to the database whose statement under way contains all `parts`; how many there were.
    pub async fn cut_off(&self, parts: &[&str]) -> usize {
        // Not by information_schema: MySQL refuses to show it at all while anybody's statement has binary in it.
        let mut connection = self.database.acquire().await.expect("a connection");
        let shown = sqlx::raw_sql("SHOW FULL PROCESSLIST").fetch_all(&mut *connection).await.expect("the processes");
        let waiting: Vec<i64> = shown
            .iter()
            .filter(|row| is_under_way(row, &self.database_name, parts))
            .map(|row| row.get_unchecked("Id"))
            .collect();
        for id in &waiting {
            // It may have ended by itself.
            drop(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("KILL {id}"))).execute(&mut *connection).await);
        }
        waiting.len()
    }

    /// One number from the database.
    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.database).await.expect(sql)
    }
}

fn steps(ladder_ms: &str) -> Vec<u32> {
    ladder_ms.split(',').map(|step| step.parse().expect("a number")).collect()
}

/// The database or virtual host of this name on every node, as a list.
fn behind(nodes: &[String], name: &str) -> String {
    nodes.iter().map(|node| format!("{node}/{name}")).collect::<Vec<_>>().join(",")
}

fn environment(servers: &Servers, name: &str, folder: &Path) -> BTreeMap<String, String> {
    let path = |file: &str| folder.join(file).to_str().expect("a UTF-8 path").to_owned();
    let pairs = [
        ("GREAM__MODE", "test".to_owned()),
        ("GREAM__DATABASE__URL", behind(&servers.database_nodes, name)),
        ("GREAM__DATABASE__REPLICA_URL", behind(&servers.database_nodes[1..], name)),
        ("GREAM__RABBITMQ__URL", behind(&servers.rabbitmq_nodes, name)),
        ("GREAM__REDIS__URL", servers.redis_url.clone()),
        ("GREAM__MONITOR__RABBITMQ_PAGE", servers.rabbitmq_http.clone()),
        ("GREAM__PARTITIONS__COUNT", PARTITIONS.to_string()),
        ("GREAM__HTTP__LISTEN", "127.0.0.1:0".to_owned()),
        ("GREAM__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("GREAM__AUTH__JWT_SECRET", "test-jwt-secret-0123456789abcdef-0".to_owned()),
        ("GREAM__AUTH__ADDRESS_SECRET", format!("test-address-secret-of-{name:-<32}")),
        ("GREAM__ACCOUNT_CIPHER__KEY", "5a".repeat(32)),
        ("GREAM__TOSS__BASE_URL", "http://127.0.0.1:9".to_owned()),
        ("GREAM__TOSS__SECRET_KEY", "test_sk_acceptance".to_owned()),
        ("GREAM__PICTURES__FOLDER", path("pictures")),
        ("GREAM__CLOCK__OFFSET_FILE", path("clock")),
        ("GREAM__TELEMETRY__LOG_FORMAT", "json".to_owned()),
        ("GREAM__MARKET__SIGN_UP_GIFT", "100000".to_owned()),
        // All of a test's visitors have one address.
        ("GREAM__RATE_LIMITS__LOGINS_PER_ADDRESS", "1000000".to_owned()),
        ("GREAM__RATE_LIMITS__SIGN_UPS_PER_ADDRESS", "1000000".to_owned()),
        ("RUST_BACKTRACE", "1".to_owned()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

impl Drop for Market {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Leave everything for whoever looks into it.
            let kept = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder")).keep();
            eprintln!("kept: logs in {}, database and vhost {}", kept.display(), self.database_name);
            return;
        }
        // Dozens of quorum queues a test would slow the broker down for those that follow.
        let (broker, server, name) =
            (self.broker.clone(), self.servers.database_url.clone(), self.database_name.clone());
        let clean_up = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let limit = std::time::Duration::from_secs(10);
                drop(tokio::time::timeout(limit, broker.remove()).await);
                drop(tokio::time::timeout(limit, drop_database(&server, &name)).await);
            });
        });
        drop(clean_up.join());
    }
}

/// Whether a row of the server's list of processes is of this database, and its statement contains all `parts`.
fn is_under_way(process: &MySqlRow, database: &str, parts: &[&str]) -> bool {
    let column = |name: &str| {
        let bytes: Option<Vec<u8>> = process.get_unchecked(name);
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let statement = column("Info");
    column("db") == database && parts.iter().all(|part| statement.contains(part))
}

/// What cannot be dropped is left behind: the stack is emptied before the next run anyway.
async fn drop_database(server: &str, name: &str) {
    if let Ok(pool) = MySqlPool::connect(server).await {
        drop(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).execute(&pool).await);
    }
}
