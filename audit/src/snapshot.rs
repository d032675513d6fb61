//! One moment of the database: every query of an audit sees the same committed state, and none can write.

use super::report::Check;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Executor, MySql, MySqlConnection, MySqlPool, pool::PoolConnection};

/// Memory for one temporary table of a check; what is larger goes to the disk, which takes three times as long.
const TEMPORARY_TABLE_BYTES: u32 = 512 << 20;

/// A read-only transaction with a consistent snapshot. Dropping it ends it, and its session.
pub(super) struct Snapshot(PoolConnection<MySql>);

impl Snapshot {
    /// For what reads everything.
    pub(super) async fn take(pool: &MySqlPool) -> Result<Self, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        // MySQL heeds the smaller of the two.
        for limit in ["tmp_table_size", "max_heap_table_size"] {
            let enlarge = format!("SET SESSION {limit} = {TEMPORARY_TABLE_BYTES}");
            connection.execute(sqlx::raw_sql(AssertSqlSafe(enlarge))).await?;
        }
        Self::begin(connection).await
    }

    /// For what reads a few rows.
    pub(super) async fn take_small(pool: &MySqlPool) -> Result<Self, sqlx::Error> {
        Self::begin(pool.acquire().await?).await
    }

    async fn begin(mut connection: PoolConnection<MySql>) -> Result<Self, sqlx::Error> {
        connection.close_on_drop();
        // For the next transaction only; the pool's sessions are READ COMMITTED, where each query sees another moment.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        connection.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        Ok(Self(connection))
    }

    pub(super) fn connection(&mut self) -> &mut MySqlConnection {
        &mut self.0
    }

    pub(super) async fn end(mut self) -> Result<(), sqlx::Error> {
        self.0.execute("ROLLBACK").await.map(drop)
    }
}

/// Notes each offender that a query gives.
pub(super) async fn gather<E>(
    check: &mut Check,
    offenders: impl futures_util::Stream<Item = Result<String, E>>,
) -> Result<(), E> {
    let mut offenders = std::pin::pin!(offenders);
    while let Some(offender) = offenders.try_next().await? {
        check.findings.add(offender);
    }
    Ok(())
}

/// A check made of two queries: `examined` counts what is held against the rule (a column `n!: i64`), `offenders` gives
/// one line of text for each thing that breaks it (a column `offender!: String`). What a query binds follows it.
macro_rules! check {
    ($snapshot:expr, $name:literal, $rule:literal,
     examined: $examined:tt $([$($counted:expr),*])?, offenders: $offenders:tt $([$($bound:expr),*])?) => {{
        let mut check = $crate::report::Check::new($name, $rule);
        let examined = sqlx::query_scalar!($examined $(, $($counted),*)?).fetch_one($snapshot.connection()).await?;
        check.examined = u64::try_from(examined).unwrap_or(0);
        let offenders = sqlx::query_scalar!($offenders $(, $($bound),*)?).fetch($snapshot.connection());
        $crate::snapshot::gather(&mut check, offenders).await?;
        check
    }};
}

pub(super) use check;

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::mysql::MySqlPoolOptions;

    #[tokio::test]
    async fn nothing_can_be_written() {
        let server = std::env::var("GREAM_TEST_DATABASE_URL")
            .expect("GREAM_TEST_DATABASE_URL is not set: run the tests by `make test`, or see dev/test");
        let pool = MySqlPoolOptions::new().connect(&format!("{server}/information_schema")).await.unwrap();
        pool.execute("CREATE DATABASE IF NOT EXISTS gream_snapshot").await.unwrap();
        pool.execute("CREATE TABLE IF NOT EXISTS gream_snapshot.nothing (id INT)").await.unwrap();
        let mut snapshot = Snapshot::take(&pool).await.unwrap();
        // It would change nothing even if it were allowed.
        let write = snapshot.connection().execute("DELETE FROM gream_snapshot.nothing WHERE FALSE").await;
        let error = write.unwrap_err().to_string();
        assert!(error.contains("READ ONLY"), "{error}");
        snapshot.end().await.unwrap();
        pool.execute("DROP DATABASE gream_snapshot").await.unwrap();
    }
}
