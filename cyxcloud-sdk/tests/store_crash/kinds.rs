//! The stores under test. Another driver is one more line of [`KINDS`] and one of `crash_suite!` in `main.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cyxcloud_core::Result;
use cyxcloud_core::port::Store;
use cyxcloud_sdk::store::{FilesOptions, FilesStore, SegmentOptions, SegmentStore};
#[cfg(feature = "rocksdb")]
use cyxcloud_sdk::store::{RocksDbOptions, RocksDbStore};
use futures::future::BoxFuture;

use super::unsynced::Unsynced;

/// A store with what only these tests ask of it.
#[async_trait]
pub trait Durable: Store {
    /// Whether it has stopped for good because a sync failed.
    fn has_failed(&self) -> bool;

    /// Rewrites what is garbage now, where the store does that; false where there is no such thing.
    async fn compact(&self) -> Result<bool> {
        Ok(false)
    }
}

/// How to open one kind of store.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What the child is told.
    pub name: &'static str,
    /// Opens it in a directory, with no reserve and whatever makes its background work frequent.
    pub open: fn(PathBuf) -> Opening,
    /// Whether it compacts; then some kills and cuts have to come while it does.
    pub compacts: bool,
    /// An engine of others. Debian builds RocksDB with assertions, so an I/O error may end the process, which stops the store for good too; and it
    /// appends through the page cache, see [`super::child::Running::doubt`].
    pub foreign: bool,
}

/// A store that is being opened.
pub type Opening = BoxFuture<'static, Result<Arc<dyn Durable>>>;

/// Every kind.
pub const KINDS: &[Kind] = &[
    Kind { name: "files", compacts: false, foreign: false, open: |root| Box::pin(async { shared(FilesStore::open(root, FILES).await) }) },
    Kind {
        name: "segment",
        compacts: true,
        foreign: false,
        open: |root| Box::pin(async { shared(SegmentStore::open(root, SEGMENT).await) }),
    },
    #[cfg(feature = "rocksdb")]
    Kind {
        name: "rocksdb",
        compacts: true,
        foreign: true,
        open: |root| Box::pin(async { shared(RocksDbStore::open(root, ROCKSDB).await) }),
    },
    Kind { name: "unsynced", compacts: false, foreign: false, open: |root| Box::pin(async { shared(Unsynced::open(root).await) }) },
];

const FILES: FilesOptions = FilesOptions { capacity_bytes: u64::MAX, reserve_bytes: 0 };

/// Small segments, and everything that dies is collected at once.
const SEGMENT: SegmentOptions = SegmentOptions {
    capacity_bytes: u64::MAX,
    reserve_bytes: 0,
    segment_bytes: 1 << 20,
    compact_bytes_per_second: u64::MAX,
    recycle_bytes: 4 << 20,
    punch_after: Duration::ZERO,
    prewrite: false,
    background: true,
};

/// Small files, and much that is collected. Copying what is alive takes room.
#[cfg(feature = "rocksdb")]
const ROCKSDB: RocksDbOptions = RocksDbOptions {
    capacity_bytes: u64::MAX,
    reserve_bytes: 6 << 20,
    write_buffer_bytes: 1 << 20,
    blob_file_bytes: 1 << 20,
    collect_bytes: 1 << 20,
};

/// The kind of this name.
pub fn kind(name: &str) -> Kind {
    *KINDS.iter().find(|kind| kind.name == name).unwrap()
}

fn shared<S: Durable>(opened: Result<S>) -> Result<Arc<dyn Durable>> {
    opened.map(|store| Arc::new(store) as Arc<dyn Durable>)
}

impl Durable for FilesStore {
    fn has_failed(&self) -> bool {
        FilesStore::has_failed(self)
    }
}

#[async_trait]
impl Durable for SegmentStore {
    fn has_failed(&self) -> bool {
        SegmentStore::has_failed(self)
    }

    async fn compact(&self) -> Result<bool> {
        self.compact_now().await.map(|()| true)
    }
}

#[cfg(feature = "rocksdb")]
#[async_trait]
impl Durable for RocksDbStore {
    fn has_failed(&self) -> bool {
        RocksDbStore::has_failed(self)
    }

    async fn compact(&self) -> Result<bool> {
        self.compact_now().await.map(|()| true)
    }
}

impl Durable for Unsynced {
    fn has_failed(&self) -> bool {
        false
    }
}
