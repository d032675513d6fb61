//! Is this the place where this installation's pictures are? A mark lies in the store, and the database knows what it says.
//!
//! ```text
//!                     the mark is missing      the mark is there
//! database knows none   it is made, noted        noted, if this installation made it; else refused
//! database knows one    refused                  the same: well; another: refused
//! ```
//! Only the API makes the mark: it is the one that stores. Promises: two hosts with a folder each do not both start, in
//! whatever order and however they crash meanwhile; a sweeper does not look into another installation's store.
//! Doesn't: notice a folder that was copied, or keep an API from starting while a store that is known is away: it looks
//! when the store is back, and ends if it is another.

use super::{PictureStore, StoreError};
use bytes::Bytes;
use sqlx::MySqlPool;
use uuid::Uuid;

/// Where the mark lies.
pub const MARK: &str = "gream-store";

/// Why a process must not use a picture store.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The database cannot be asked.
    #[error("the database cannot be asked: {0}")]
    Database(#[from] sqlx::Error),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This installation's pictures are elsewhere.
    #[error(
        "{place} is not where this installation keeps its pictures: its file {MARK} says {found:?}, and the database \
         {expected:?}. A folder serves one host only, unless all hosts mount the same one: use the folder that the other \
         processes use, or set pictures.store = \"s3\" for all of them"
    )]
    Elsewhere {
        /// Which folder or bucket.
        place: String,
        /// What the store says; empty when it has no mark.
        found: String,
        /// What the database says.
        expected: String,
    },
    /// The store is another installation's.
    #[error("{place} holds another installation's pictures: give this one a folder or bucket of its own")]
    Anothers {
        /// Which folder or bucket.
        place: String,
    },
}

/// Makes sure that `store` is where this installation's pictures are; the first process of all decides it.
pub async fn settle(store: &PictureStore, pool: &MySqlPool) -> Result<(), HomeError> {
    let (made_at_ms, known) = installation(pool).await?;
    let known = match known {
        Some(known) => known,
        None => note(store, pool, made_at_ms).await?,
    };
    compare(store, known).await
}

/// Whether it was decided already which place that is.
pub async fn is_settled(pool: &MySqlPool) -> Result<bool, HomeError> {
    Ok(installation(pool).await?.1.is_some())
}

/// Whether `store` is that place; `false` while nobody has decided it, and so nothing can be there.
pub async fn is_home(store: &PictureStore, pool: &MySqlPool) -> Result<bool, HomeError> {
    match installation(pool).await?.1 {
        Some(known) => compare(store, known).await.map(|()| true),
        None => Ok(false),
    }
}

async fn compare(store: &PictureStore, known: String) -> Result<(), HomeError> {
    match read(store).await? {
        Some(found) if found == known => Ok(()),
        found => Err(HomeError::Elsewhere {
            place: store.place().to_owned(),
            found: found.unwrap_or_default(),
            expected: known,
        }),
    }
}

/// Leaves a mark, unless one is there, and has the database know it. What the database then knows may be the mark of
/// another host, which was faster.
async fn note(store: &PictureStore, pool: &MySqlPool, made_at_ms: i64) -> Result<String, HomeError> {
    let ours = format!("{made_at_ms}-");
    let mark = format!("{ours}{}", Uuid::from_u128(rand::random()).simple());
    let mark = if store.put_new(MARK, Bytes::from(mark.clone())).await? {
        mark
    } else {
        read(store).await?.unwrap_or_default()
    };
    if !mark.starts_with(&ours) {
        return Err(HomeError::Anothers { place: store.place().to_owned() });
    }
    sqlx::query!("UPDATE installation SET picture_store = ? WHERE id = 1 AND picture_store IS NULL", mark)
        .execute(pool)
        .await?;
    Ok(installation(pool).await?.1.unwrap_or_default())
}

async fn read(store: &PictureStore) -> Result<Option<String>, StoreError> {
    Ok(store.get(MARK).await?.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
}

async fn installation(pool: &MySqlPool) -> Result<(i64, Option<String>), sqlx::Error> {
    let row =
        sqlx::query!("SELECT created_at_ms, picture_store FROM installation WHERE id = 1").fetch_one(pool).await?;
    Ok((row.created_at_ms, row.picture_store))
}
