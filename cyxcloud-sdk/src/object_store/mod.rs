//! The `object_store` backend, for everything that takes an [`ObjectStore`](object_store::ObjectStore): SlateDB, parquet, zarrs and whoever else reads
//! and writes through that crate.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cyxcloud_sdk::{Cluster, object_store::CyxStore};
//! use object_store::{ObjectStore, ObjectStoreExt, path::Path};
//!
//! let cluster = Cluster::in_memory().await?;
//! let store = CyxStore::new(cluster.create_bucket("photos").await?);
//! store.put(&Path::from("2026/cat.jpg"), "meow".into()).await?;
//! assert_eq!(store.get(&Path::from("2026/cat.jpg")).await?.bytes().await?, "meow");
//! # Ok(())
//! # }
//! ```
//!
//! * Conditions are exact: `PutMode::Create` and `PutMode::Update` by entity tag, copies and renames that must not replace anything.
//! * A rename is one transaction: it moves no bytes and nobody sees both names or neither.
//! * Entity tags are new with every version of an object, whoever wrote it. Older versions are not kept, so `ObjectMeta::version` is None.
//! * Keys that are no [`Path`](object_store::path::Path) (S3 clients may make `a//b` or `a/`) are not listed.
//! * Tags and `Attribute::StorageClass` are refused: there is nothing they would do.

use ::object_store as api;

#[path = "backend/mod.rs"]
mod backend;
mod multipart;
mod results;
#[cfg(feature = "object-store-signer")]
mod sign;

pub use backend::*;
