//! Drivers of [`cyxcloud_core::port::Meta`]: where the cluster's metadata live.

mod sqlite;

pub use sqlite::{SqliteMeta, WriteStats};
