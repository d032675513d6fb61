//! Schema and partition count: made once by `gream migrate`, checked by every process at start.

use contracts::{PartitionCount, UnixMs};
use sqlx::MySqlPool;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Why a process cannot work on this database.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The database cannot be asked.
    #[error("the database cannot be asked: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("migration failed: {0}. Nothing runs until it is mended; migrations/README.md says how")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// No installation yet.
    #[error("this database holds no installation: run `gream migrate` first")]
    Missing,
    /// Made for another number of partitions.
    #[error(
        "this database was made for {found} partitions, but partitions.count is {configured}. The count is part of every \
         bid's id and cannot change: set partitions.count = {found}"
    )]
    OtherPartitionCount {
        /// The database's.
        found: i16,
        /// The configuration's.
        configured: u16,
    },
}

/// Brings the schema up to date and makes the installation's and the partitions' rows. Repeating it changes nothing.
pub async fn migrate(pool: &MySqlPool, count: PartitionCount, now: UnixMs) -> Result<(), InstallationError> {
    MIGRATOR.run(pool).await?;
    let count_column = i16::try_from(count.get()).unwrap_or(i16::MAX);
    sqlx::query!(
        "INSERT IGNORE INTO installation (id, partition_count, created_at_ms) VALUES (1, ?, ?)",
        count_column,
        now.0
    )
    .execute(pool)
    .await?;
    check_installation(pool, count).await?;
    for partition in count.all() {
        sqlx::query!(
            "INSERT IGNORE INTO partitions (partition_id, epoch, owner, connection_id, last_sequence, last_time_ms)
             VALUES (?, 0, '', 0, 0, 0)",
            i16::try_from(partition.0).unwrap_or(i16::MAX)
        )
        .execute(pool)
        .await?;
    }
    Ok(())
}

/// Refuses a database that was made for another number of partitions.
pub async fn check_installation(pool: &MySqlPool, count: PartitionCount) -> Result<(), InstallationError> {
    let found = sqlx::query_scalar!("SELECT partition_count FROM installation WHERE id = 1").fetch_optional(pool).await;
    match found {
        Ok(Some(found)) if i32::from(found) == i32::from(count.get()) => Ok(()),
        Ok(Some(found)) => Err(InstallationError::OtherPartitionCount { found, configured: count.get() }),
        Ok(None) => Err(InstallationError::Missing),
        // 1146: there is no such table.
        Err(sqlx::Error::Database(error)) if error.message().contains("doesn't exist") => {
            Err(InstallationError::Missing)
        }
        Err(error) => Err(error.into()),
    }
}
