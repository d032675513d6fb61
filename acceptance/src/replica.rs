//! A real replica of the stack's database: a second server that follows the first one's binary log.

use crate::{Servers, versions::Versions};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, Row, raw_sql};

/// Who replicates.
const USER: &str = "replicator";

/// The stack's second database server, while a test uses it.
pub struct Replica {
    servers: Servers,
    is_mariadb: bool,
}

impl Replica {
    /// Starts it, and has it follow whatever the primary writes from now on: make databases afterwards.
    pub async fn start(servers: &Servers) -> Self {
        servers.mend().await;
        servers.start("replica").await;
        let replica = Self { servers: servers.clone(), is_mariadb: Versions::of(servers).await.is_mariadb() };
        replica.follow().await;
        replica
    }

    async fn follow(&self) {
        let mut primary = self.servers.database_administrator().await;
        let url: reqwest::Url = variable("GREAM_TEST_DATABASE_ADMIN_URL").parse().expect("a URL");
        // MySQL takes no longer one.
        let password = url.password().and_then(|password| password.get(..32)).expect("32 characters");
        let user = format!(
            "CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{password}'; \
             GRANT REPLICATION SLAVE ON *.* TO {USER}@'127.0.0.1'"
        );
        raw_sql(AssertSqlSafe(user)).execute(&mut primary).await.expect("a user who may replicate");
        let status = if self.is_mariadb { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
        let status = raw_sql(status).fetch_one(&mut primary).await.expect("the primary's position");
        let file: String = status.try_get(0).expect("a file");
        // Unsigned on both, of different widths.
        let position = status.try_get::<u64, _>(1).or_else(|_| status.try_get::<u32, _>(1).map(u64::from));
        let (source, more) = if self.is_mariadb { ("MASTER", "") } else { ("SOURCE", ", GET_SOURCE_PUBLIC_KEY = 1") };
        let change = if self.is_mariadb { "CHANGE MASTER TO" } else { "CHANGE REPLICATION SOURCE TO" };
        let to = format!(
            "{source}_HOST = '127.0.0.1', {source}_PORT = {}, {source}_USER = '{USER}', {source}_PASSWORD = '{password}', \
             {source}_LOG_FILE = '{file}', {source}_LOG_POS = {}{more}",
            url.port().expect("a port"),
            position.expect("a position")
        );
        let word = self.word();
        self.ask(format!("STOP {word}; RESET {word} ALL; {change} {to}; START {word}")).await;
    }

    /// It goes on receiving, but applies nothing.
    pub async fn stop_applying(&self) {
        self.ask(format!("STOP {} SQL_THREAD", self.word())).await;
    }

    pub async fn apply(&self) {
        self.ask(format!("START {} SQL_THREAD", self.word())).await;
    }

    /// Forgets what to follow and stops the server.
    pub async fn end(&self) {
        let word = self.word();
        if let Ok(mut replica) = MySqlConnection::connect(&variable("GREAM_TEST_REPLICA_ADMIN_URL")).await {
            drop(raw_sql(AssertSqlSafe(format!("STOP {word}; RESET {word} ALL"))).execute(&mut replica).await);
        }
        self.servers.shut_down("replica").await;
    }

    /// Where an API reads a market from it.
    pub fn url(database: &str) -> String {
        format!("{}/{database}", variable("GREAM_TEST_REPLICA_URL"))
    }

    /// Runs statements on the replica alone.
    pub async fn ask(&self, sql: String) {
        let mut replica =
            MySqlConnection::connect(&variable("GREAM_TEST_REPLICA_ADMIN_URL")).await.expect("it answers");
        let head: String = sql.chars().take(60).collect();
        raw_sql(AssertSqlSafe(sql)).execute(&mut replica).await.unwrap_or_else(|error| panic!("{error}: {head}…"));
    }

    fn word(&self) -> &'static str {
        if self.is_mariadb { "SLAVE" } else { "REPLICA" }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `make test`, or see dev/test"))
}
