//! Where pictures are kept: a folder, or a bucket of an S3-compatible store. Gifticons are bearer money, so neither is
//! ever public; the API reads and serves.
//!
//! Promises: every request ends in bounded time. Doesn't: know whose a picture is.

mod home;
mod key;
mod leftovers;

pub use home::{HomeError, MARK, is_home, is_settled, settle};
pub use key::{
    GIFTICON_FOLDERS, PRODUCT_FOLDER, command_of, gifticon_folder, gifticon_key, product_key, product_name_of,
};

use crate::config::{PicturesConfig, S3Config, StoreKind};
use bytes::Bytes;
use contracts::UnixMs;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path,
};
use std::{sync::Arc, time::Duration};

/// S3: a connection, one attempt, all attempts together.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
const ATTEMPTS_LIMIT: Duration = Duration::from_secs(15);
const MAX_RETRIES: usize = 3;
/// Idle connections to S3 that are kept.
const MAX_IDLE_CONNECTIONS: usize = 16;

/// Keeps pictures under keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PictureStore {
    store: Arc<dyn ObjectStore>,
    /// Of a store that is one.
    folder: Option<Arc<std::path::Path>>,
    /// For people: which folder or bucket.
    place: Arc<str>,
}

/// The store failed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the picture store failed: {0}. Check the folder and its free space, or the address, bucket and key in [pictures.s3]"
)]
pub struct StoreError(#[from] object_store::Error);

/// A picture in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// When it was stored, by the store's clock.
    pub stored_at: UnixMs,
}

/// A listing under way.
pub type Contents = BoxStream<'static, Result<Bytes, StoreError>>;

/// Pictures, as they are listed.
pub type Listing = BoxStream<'static, Result<Stored, StoreError>>;

impl PictureStore {
    /// As configured. A folder is made when it is missing; of a bucket nothing is asked yet.
    pub fn open(config: &PicturesConfig) -> Result<Self, StoreError> {
        match config.store {
            StoreKind::Folder => Self::folder(&config.folder),
            StoreKind::S3 => Self::bucket(&config.s3),
        }
    }

    fn folder(folder: &std::path::Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| object_store::Error::Generic { store: "folder", source: Box::new(error) })?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true));
        Ok(Self { store, folder: Some(folder.into()), place: format!("the folder {}", folder.display()).into() })
    }

    fn bucket(config: &S3Config) -> Result<Self, StoreError> {
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_LIMIT)
            .with_timeout(ATTEMPT_LIMIT)
            .with_pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .with_allow_http(config.speaks_plain_http());
        let retry =
            RetryConfig { backoff: BackoffConfig::default(), max_retries: MAX_RETRIES, retry_timeout: ATTEMPTS_LIMIT };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(client)
            .with_retry(retry)
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(config.key.expose())
            .with_secret_access_key(config.secret.expose())
            .with_virtual_hosted_style_request(!config.path_style);
        if !config.endpoint.is_empty() {
            builder = builder.with_endpoint(&config.endpoint);
        }
        let place = format!("the bucket {} at {}", config.bucket, config.endpoint_or_region());
        Ok(Self { store: Arc::new(builder.build()?), folder: None, place: place.into() })
    }

    /// Which folder or bucket, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Stores a picture.
    pub async fn put(&self, key: &str, picture: Bytes) -> Result<(), StoreError> {
        self.store.put(&Path::from(key), picture.into()).await?;
        Ok(())
    }

    /// Stores what must not be there yet; `false` when it was.
    pub async fn put_new(&self, key: &str, bytes: Bytes) -> Result<bool, StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&Path::from(key), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a picture, to be read as it is asked for: its length in bytes, and what is in it.
    pub async fn open_picture(&self, key: &str) -> Result<Option<(u64, Contents)>, StoreError> {
        match self.store.get(&Path::from(key)).await {
            Ok(found) => Ok(Some((found.meta.size, found.into_stream().map_err(StoreError::from).boxed()))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a picture; `None` when there is none under `key`.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        match self.store.get(&Path::from(key)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Destroys a picture. One that is not there is destroyed already.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.store.delete(&Path::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what killed processes left half written under `folder`, when it is older than `age`; how many there were.
    ///
    /// # Errors
    /// The folder cannot be read or written to.
    pub async fn remove_leftovers(&self, folder: &str, age: Duration) -> Result<u64, StoreError> {
        let Some(root) = &self.folder else { return Ok(0) };
        let folder = root.join(folder);
        let removed = tokio::task::spawn_blocking(move || leftovers::remove(&folder, age)).await;
        let removed = removed.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)));
        Ok(removed.map_err(|error| object_store::Error::Generic { store: "folder", source: Box::new(error) })?)
    }

    /// What is under `folder`, in no order, read on as it is asked for.
    pub fn list(&self, folder: &str) -> Listing {
        let listed = self.store.list(Some(&Path::from(folder)));
        let stored = listed.map_ok(|found| Stored {
            key: found.location.to_string(),
            stored_at: UnixMs(found.last_modified.timestamp_millis()),
        });
        stored.map_err(StoreError::from).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_keeps_lists_and_destroys() {
        let folder = tempfile::tempdir().unwrap();
        let store = PictureStore::folder(&folder.path().join("a/b")).unwrap();
        assert!(store.put_new("x/1.png", Bytes::from_static(b"1")).await.unwrap());
        assert!(!store.put_new("x/1.png", Bytes::from_static(b"2")).await.unwrap());
        store.put("x/2.png", Bytes::from_static(b"2")).await.unwrap();
        store.put("y/3.png", Bytes::from_static(b"3")).await.unwrap();
        assert_eq!(store.get("x/1.png").await.unwrap().unwrap(), "1");
        let listed = async |folder: &str| {
            let mut keys: Vec<String> = store.list(folder).map_ok(|stored| stored.key).try_collect().await.unwrap();
            keys.sort();
            keys
        };
        assert_eq!(listed("x").await, ["x/1.png", "x/2.png"]);
        for _ in 0..2 {
            store.delete("x/1.png").await.unwrap();
        }
        assert_eq!(store.get("x/1.png").await.unwrap(), None);
        assert_eq!(listed("x").await, ["x/2.png"]);
        assert!(listed("z").await.is_empty());
    }
}
