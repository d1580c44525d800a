//! Drivers of [`cyxcloud_core::port::Store`]. `docs/store.md` says how to choose.

#[cfg(feature = "bucket-store")]
mod bucket;
#[cfg(feature = "directory")]
mod directory;
#[cfg(feature = "directory")]
mod files;
#[cfg(feature = "directory")]
mod identity;
#[cfg(feature = "directory")]
mod media;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "directory")]
mod segment;

#[cfg(feature = "rocksdb")]
pub use self::rocksdb::{RocksDbOptions, RocksDbStore};
#[cfg(feature = "bucket-store")]
pub use bucket::{BucketOptions, BucketStore};
#[cfg(feature = "directory")]
pub use files::{FilesOptions, FilesStore};
#[cfg(feature = "directory")]
pub use segment::{SegmentOptions, SegmentStore};
