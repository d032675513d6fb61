//! The pool of a replica: like the primary's, but nothing can be written through it, and that it is read-only is as it
//! should be.

use super::{CLEAN_UP_LIMIT, MAX_LIFETIME, Primary, is_usable, listed, options_of, session_settings, within};
use crate::config::DatabaseConfig;
use sqlx::{
    Executor, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use std::{sync::Arc, time::Duration};

/// The pool of the configured replicas, which connects to the first one when it is first used, and all of their addresses;
/// `None` where none is configured.
pub(super) fn pool(
    config: &DatabaseConfig,
    current: Arc<Primary>,
) -> Result<Option<(MySqlPool, Vec<MySqlConnectOptions>)>, sqlx::Error> {
    let nodes = listed(&config.replica_url).map(options_of).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = nodes.first().cloned() else { return Ok(None) };
    let settings = format!("{}; SET SESSION TRANSACTION READ ONLY", session_settings(config));
    let pool = MySqlPoolOptions::new()
        .max_connections(config.pool_max)
        .acquire_timeout(Duration::from_millis(config.replica_timeout_ms))
        .max_lifetime(MAX_LIFETIME)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move { connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings))).await.map(drop) })
        })
        .before_acquire(move |connection, met| {
            // Of the replica before this one none may be left: it is no longer looked at.
            let is_current = current.is_current(met.age);
            Box::pin(async move { Ok(is_current && is_usable(connection, met.idle_for).await) })
        })
        // A query that was given up leaves its answer behind: whoever borrows the connection next must not get it.
        .after_release(|connection, _| {
            Box::pin(async move {
                within(CLEAN_UP_LIMIT, connection.execute(sqlx::raw_sql("ROLLBACK"))).await.map(|_| true)
            })
        });
    Ok(Some((pool.connect_lazy_with(first), nodes)))
}
