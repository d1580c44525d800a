//! What a node keeps its shards in.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use cyxcloud_sdk::core::port::Store;
use cyxcloud_sdk::store::{FilesOptions, FilesStore, SegmentOptions, SegmentStore};
use cyxcloud_sdk::{Error, Result};

/// What the cluster keeps of every node's capacity for itself: metadata, parity, moving shards.
pub const SYSTEM_RESERVE_BYTES: u64 = 2 << 30;

/// The stores there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// One file per shard.
    Files,
    /// Few large files.
    Segment,
}

impl StoreKind {
    const ALL: [Self; 2] = [Self::Files, Self::Segment];

    /// Where it lies in the storage path.
    fn directory(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Segment => "segment",
        }
    }
}

/// An open store, and whether it has failed.
#[derive(Clone)]
pub struct NodeStore {
    store: Arc<dyn Store>,
    failed: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl NodeStore {
    /// `store`, which refuses puts for good once `failed` says so.
    pub fn new(store: Arc<dyn Store>, failed: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { store, failed: Arc::new(failed) }
    }

    /// Opens the store in `storage` for `capacity_bytes` of frames.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] when the shards there are in a store of another kind; those of the store.
    pub async fn open(kind: StoreKind, storage: &Path, capacity_bytes: u64) -> Result<Self> {
        // Opened beside the shards of another kind, the node would seem to have lost them all.
        if let Some(other) = StoreKind::ALL.into_iter().find(|other| *other != kind && storage.join(other.directory()).exists()) {
            let (path, name) = (storage.join(other.directory()), other.directory());
            return Err(Error::invalid(format!("the shards of this node are in {}; start it with --store {name}", path.display())));
        }
        let root = storage.join(kind.directory());
        match kind {
            StoreKind::Files => {
                let store = FilesStore::open(root, FilesOptions { capacity_bytes, ..FilesOptions::default() }).await?;
                Ok(Self::new(Arc::new(store.clone()), move || store.has_failed()))
            }
            StoreKind::Segment => {
                let store = SegmentStore::open(root, SegmentOptions { capacity_bytes, ..SegmentOptions::default() }).await?;
                Ok(Self::new(Arc::new(store.clone()), move || store.has_failed()))
            }
        }
    }

    /// The store itself.
    pub fn as_store(&self) -> &dyn Store {
        &*self.store
    }

    /// Whether it refuses puts until the process restarts.
    pub fn has_failed(&self) -> bool {
        (self.failed)()
    }
}
