//! Drivers of [`cyxcloud_core::port::Store`]. `docs/store.md` says how to choose.

mod files;
mod media;
mod segment;

pub use files::{FilesOptions, FilesStore};
pub use segment::{SegmentOptions, SegmentStore};
