//! Drivers of [`cyxcloud_core::port::Meta`]: where the cluster's metadata live.

#[cfg(any(feature = "directory", feature = "postgres"))]
mod common;
#[cfg(feature = "directory")]
mod directory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "directory")]
mod sqlite;

#[cfg(feature = "directory")]
pub use directory::{share_directory, take_directory};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresCopy, PostgresMeta, PostgresOptions};
#[cfg(feature = "redis")]
pub use redis::{RedisMeta, RedisOptions, RedisStats};
#[cfg(feature = "directory")]
pub use sqlite::{Copied, SqliteMeta, WriteStats, copy_file, put_back};
