//! Drivers of [`cyxcloud_core::port::Store`]. `docs/store.md` says how to choose.

#[cfg(feature = "bucket")]
mod bucket;
mod files;
mod media;
mod segment;

#[cfg(feature = "bucket")]
pub use bucket::{BucketOptions, BucketStore};
pub use files::{FilesOptions, FilesStore};
pub use segment::{SegmentOptions, SegmentStore};
