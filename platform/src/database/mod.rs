//! MySQL or MariaDB: the pool, what each session is set to, and what an error means.
//!
//! Promises: a statement does not wait for ever; a connection that was left inside a transaction is never handed out
//! again, and none whose server became read-only for longer than a second. Doesn't: know any table but `installation`.

mod failure;
mod installation;
mod lag;
mod nodes;
mod primary;
mod reads;
mod replica;

pub use failure::{Trouble, is_duplicate, is_lock_wait, trouble};
pub use installation::{InstallationError, check_installation, migrate};
pub use reads::Reads;

use crate::{Secret, config::DatabaseConfig};
use primary::Primary;
use sqlx::{
    ConnectOptions, Connection, Executor, MySqlConnection, MySqlPool, Row,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use std::{str::FromStr, sync::Arc, time::Duration};

/// How long the clean-up of a returned connection may take before it is closed instead.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(2);
/// A connection that was idle for less is handed out without asking whether it still stands.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long the question whether the database answers may take, beside getting a connection.
const READY_LIMIT: Duration = Duration::from_secs(2);
/// Connections are renewed after this, so that a changed primary or DNS name is followed.
const MAX_LIFETIME: Duration = Duration::from_mins(30);

/// The sessions' settings: READ COMMITTED (a batch reads what is committed now, and takes no gap locks), strict SQL,
/// and short waits.
fn session_settings(config: &DatabaseConfig) -> String {
    format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION wait_timeout = {}, innodb_lock_wait_timeout = {}, \
         sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,ONLY_FULL_GROUP_BY'",
        config.session_wait_timeout_s, config.lock_wait_timeout_s
    )
}

/// Readies a session with the server that takes the writes. Where that is a node of Galera's, what it begins or reads waits until
/// everything is there that was committed through the other nodes (`wsrep_sync_wait`, 0.03 ms on one machine): while two processes
/// disagree about who takes the writes, what one of them was told is committed is found by the other.
async fn settle(connection: &mut MySqlConnection, settings: String) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings))).await?;
    let galera = "SHOW SESSION VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON'";
    if connection.fetch_optional(sqlx::raw_sql(galera)).await?.is_some() {
        connection.execute(sqlx::raw_sql("SET SESSION wsrep_sync_wait = 1")).await?;
    }
    Ok(())
}

/// The addresses in `database.url` or `database.replica_url`, comma separated.
pub(crate) fn listed(url: &Secret) -> impl Iterator<Item = &str> {
    url.expose().split(',').map(str::trim).filter(|node| !node.is_empty())
}

/// Why these cannot be servers of one database; nothing where they can.
pub(crate) fn fault(url: &Secret) -> Option<&'static str> {
    let mut databases = std::collections::BTreeSet::new();
    for node in listed(url) {
        match options_of(node) {
            Ok(options) => drop(databases.insert(options.get_database().map(str::to_owned))),
            Err(_) => {
                return Some(
                    "database.url or replica_url has an address that is none: list them as mysql://user:password@host:port/gream,mysql://…",
                );
            }
        }
    }
    let differ = databases.len() > 1;
    differ
        .then_some("database.url or replica_url lists different databases: the nodes of one cluster hold the same one")
}

fn options_of(node: &str) -> Result<MySqlConnectOptions, sqlx::Error> {
    Ok(MySqlConnectOptions::from_str(node)?.disable_statement_logging())
}

/// A pool that connects when it is first used, so that a process starts while the database is away. Where several nodes are
/// listed, it is with the one that takes the writes (see [`nodes`]), which a task watches as long as the pool is open.
pub fn pool(config: &DatabaseConfig) -> Result<MySqlPool, sqlx::Error> {
    let settings = session_settings(config);
    let primary = Arc::new(Primary::new());
    let primary_of_release = primary.clone();
    let nodes = listed(&config.url).map(options_of).collect::<Result<Vec<_>, _>>()?;
    let first =
        nodes.first().cloned().ok_or_else(|| sqlx::Error::Configuration("database.url names no server".into()))?;
    let primary_of_watch = primary.clone();
    let pool = MySqlPoolOptions::new()
        .max_connections(config.pool_max)
        .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
        .max_lifetime(MAX_LIFETIME)
        // See `is_usable`: asking each time would cost every statement a round trip.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move { settle(connection, settings).await })
        })
        .before_acquire(move |connection, met| {
            let is_current = primary.is_current(met.age);
            Box::pin(async move { Ok(is_current && is_usable(connection, met.idle_for).await) })
        })
        .after_release(move |connection, met| {
            let primary = primary_of_release.clone();
            // An error closes it without a farewell, for which a silent server would keep the pool waiting.
            Box::pin(async move { within(CLEAN_UP_LIMIT, clean_up(connection, &primary, met.age)).await })
        });
    let pool = pool.connect_lazy_with(first);
    if nodes.len() > 1 {
        let connecting = Duration::from_millis(config.acquire_timeout_ms);
        tokio::spawn(nodes::watch(pool.clone(), nodes, primary_of_watch, connecting));
    }
    Ok(pool)
}

/// The server that `pool` connects to at the moment, as `host:port`.
pub fn node_of(pool: &MySqlPool) -> String {
    nodes::name(&pool.connect_options())
}

/// Whether an idle connection may be handed out. The server answered when it was returned; after a while it may have
/// ended the session, or have been restarted.
async fn is_usable(connection: &mut MySqlConnection, idle_for: Duration) -> bool {
    idle_for < TRUSTED_IDLE || within(CLEAN_UP_LIMIT, connection.ping()).await.is_ok()
}

/// Whether a returned connection may be handed out again. A cancelled `begin` can leave a transaction open, with which
/// the next borrower's writes would vanish; and a server that became read-only is a primary no longer, which is asked
/// now and then.
async fn clean_up(connection: &mut MySqlConnection, primary: &Primary, age: Duration) -> Result<bool, sqlx::Error> {
    if primary.is_time_to_ask() {
        const SQL: &str = "ROLLBACK; SELECT CAST(@@GLOBAL.read_only AS CHAR) IN ('0', 'OFF')";
        let rows = connection.fetch_all(sqlx::raw_sql(SQL)).await?;
        if !rows.first().map_or(Ok(false), |row| row.try_get(0))? {
            tracing::warn!("the database became read-only: its connections are given up");
            primary.is_gone();
        }
    } else {
        connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
    }
    Ok(primary.is_current(age))
}

/// A connection of one's own, outside any pool.
pub struct OwnConnection {
    /// The connection.
    pub connection: MySqlConnection,
    /// The server's number of it, for `KILL`.
    pub id: u64,
    /// Which server that is, as it says itself: to any other one the number means something else.
    pub server: String,
    /// Where it was connected to; see [`node_of`].
    pub node: String,
}

/// Connects to the same server as `pool`.
pub async fn connect(config: &DatabaseConfig, pool: &MySqlPool) -> Result<OwnConnection, sqlx::Error> {
    let options = pool.connect_options();
    let open = async {
        let mut connection = MySqlConnection::connect_with(&options).await?;
        settle(&mut connection, session_settings(config)).await?;
        let (id, server) =
            sqlx::query_as("SELECT CAST(CONNECTION_ID() AS UNSIGNED), LEFT(CONCAT(@@hostname, ':', @@port), 64)")
                .fetch_one(&mut connection)
                .await?;
        Ok(OwnConnection { connection, id, server, node: nodes::name(&options) })
    };
    within(Duration::from_millis(config.statement_timeout_ms), open).await
}

/// Gives up on `work` after `limit`. The connection it used is closed or rolled back when it is dropped.
///
/// # Errors
/// The work's own, or an I/O error of kind `TimedOut`.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => {
            Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "statement_timeout_ms is over")))
        }
    }
}

/// Whether the database answers, in bounded time.
pub async fn is_ready(pool: &MySqlPool) -> bool {
    let Ok(mut connection) = pool.acquire().await else { return false };
    within(READY_LIMIT, connection.execute("SELECT 1")).await.is_ok()
}
