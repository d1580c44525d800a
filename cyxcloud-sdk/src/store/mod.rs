//! Drivers of [`cyxcloud_core::port::Store`].

mod files;

pub use files::{FilesOptions, FilesStore};
