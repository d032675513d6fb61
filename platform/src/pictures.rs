//! Pictures of gifticons: bearer money, so they lie in a store of their own and never in a public folder.

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use std::sync::Arc;

/// Keeps pictures under keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PictureStore(Arc<dyn ObjectStore>);

/// The store failed.
#[derive(Debug, thiserror::Error)]
#[error("the picture store failed: {0}. Check pictures.folder and its free space")]
pub struct StoreError(#[from] object_store::Error);

impl PictureStore {
    /// A folder, made when it is missing.
    pub fn open(folder: &std::path::Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| object_store::Error::Generic { store: "folder", source: Box::new(error) })?;
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(folder)?)))
    }

    /// Stores a picture.
    pub async fn put(&self, key: &str, picture: Bytes) -> Result<(), StoreError> {
        self.0.put(&Path::from(key), picture.into()).await?;
        Ok(())
    }

    /// Reads a picture; `None` when there is none under `key`.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        match self.0.get(&Path::from(key)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
