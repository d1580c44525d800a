//! Drivers of [`cyxcloud_core::port::Store`]. `docs/store.md` says how to choose.

#[cfg(feature = "bucket")]
mod bucket;
mod directory;
mod files;
mod identity;
mod media;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod segment;

#[cfg(feature = "rocksdb")]
pub use self::rocksdb::{RocksDbOptions, RocksDbStore};
#[cfg(feature = "bucket")]
pub use bucket::{BucketOptions, BucketStore};
pub use files::{FilesOptions, FilesStore};
pub use segment::{SegmentOptions, SegmentStore};
