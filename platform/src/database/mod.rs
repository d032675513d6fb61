//! MySQL or MariaDB: the pool, what each session is set to, and what an error means.
//!
//! Promises: a statement does not wait for ever; a connection that was left inside a transaction, or whose server
//! became read-only, is never handed out again. Doesn't: know any table but `installation`.

mod failure;
mod installation;

pub use failure::{Trouble, is_duplicate, is_lock_wait, trouble};
pub use installation::{InstallationError, check_installation, migrate};

use crate::config::DatabaseConfig;
use sqlx::{
    ConnectOptions, Connection, Executor, MySqlConnection, MySqlPool, Row,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// How long the clean-up of a returned connection may take before it is closed instead.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(2);
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

fn options(config: &DatabaseConfig) -> Result<MySqlConnectOptions, sqlx::Error> {
    Ok(MySqlConnectOptions::from_str(config.url.expose())?.disable_statement_logging())
}

/// A pool that connects when it is first used, so that a process starts while the database is away.
pub fn pool(config: &DatabaseConfig) -> Result<MySqlPool, sqlx::Error> {
    let settings = session_settings(config);
    let pool = MySqlPoolOptions::new()
        .max_connections(config.pool_max)
        .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
        .max_lifetime(MAX_LIFETIME)
        .after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move { connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings))).await.map(drop) })
        })
        .after_release(|connection, _| {
            // An error closes it without a farewell, for which a silent server would keep the pool waiting.
            Box::pin(async move { within(CLEAN_UP_LIMIT, clean_up(connection)).await })
        });
    Ok(pool.connect_lazy_with(options(config)?))
}

/// Whether a returned connection may be handed out again. A cancelled `begin` can leave a transaction open, with which
/// the next borrower's writes would vanish; and a server that became read-only is a primary no longer.
async fn clean_up(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    const SQL: &str = "ROLLBACK; SELECT CAST(@@GLOBAL.read_only AS CHAR) IN ('0', 'OFF')";
    let rows = connection.fetch_all(sqlx::raw_sql(SQL)).await?;
    rows.first().map_or(Ok(false), |row| row.try_get(0))
}

/// A connection of one's own, outside any pool, with its server-side id (for `KILL`).
pub async fn connect(config: &DatabaseConfig) -> Result<(MySqlConnection, u64), sqlx::Error> {
    let open = async {
        let mut connection = MySqlConnection::connect_with(&options(config)?).await?;
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(session_settings(config)))).await?;
        let id: u64 = sqlx::query_scalar("SELECT CAST(CONNECTION_ID() AS UNSIGNED)").fetch_one(&mut connection).await?;
        Ok((connection, id))
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
