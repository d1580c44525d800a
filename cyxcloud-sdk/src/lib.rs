//! Embed CyxCloud: an erasure-coded object store in a directory.
//!
//! Every object is cut into chunks, each chunk is coded into 10 data and 4 parity shards, and each shard is synced to a
//! node of its own before a put returns. Any 4 shards may be lost; every byte read is verified.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> cyxcloud_sdk::Result<()> {
//! use cyxcloud_sdk::Cluster;
//!
//! let cluster = Cluster::in_memory().await?; // or Cluster::open("./data"), Cluster::connect(options)
//! let photos = cluster.create_bucket("photos").await?;
//! photos.put("2026/cat.jpg", "meow").await?;
//! assert_eq!(photos.get("2026/cat.jpg").await?, "meow");
//! # Ok(())
//! # }
//! ```
//!
//! | Feature | Brings |
//! |---|---|
//! | `directory` (default) | `Cluster::open`, the stores on disks, metadata in SQLite |
//! | `object-store` (default), `object-store-signer`, `compat-object-store-013` | the backends for the crate `object_store` 0.14 and 0.13, presigned URLs |
//! | `remote` | `Cluster::connect`; without it no gRPC is linked |
//! | `encryption`, `aws-lc` | `Bucket::with_encryption`, and the faster backend of it |
//! | `bucket-store`, `postgres`, `redis`, `rocksdb` | drivers for nodes and gateways |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod bucket;
mod builder;
mod cluster;
#[cfg(feature = "remote")]
pub mod credential;
#[cfg(feature = "directory")]
mod directory_lock;
pub mod encryption;
pub mod environment;
#[cfg(feature = "remote")]
pub mod members;
pub mod meta;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "compat-object-store-013")]
pub mod object_store_013;
#[cfg(feature = "remote")]
mod remote;
pub mod store;
pub mod transport;
mod upkeep;
#[cfg(feature = "remote")]
pub mod wire;

pub use bucket::{Bucket, CopyOptions, Download, GetOptions, Progress, PutOptions, ReadRange};
pub use builder::ClusterBuilder;
pub use cluster::Cluster;
/// The engine and its vocabulary, for shells and driver authors.
pub use cyxcloud_core as core;
pub use cyxcloud_core::data::erasure::Scheme;
pub use cyxcloud_core::engine::{ByteStream, ClusterHealth, Durability, Event, ListQuery, Listing, NodeHealth, Report, Schedule};
pub use cyxcloud_core::id::{AccountId, BucketId, NodeId, ObjectKey, VersionId};
pub use cyxcloud_core::policy::Policy;
pub use cyxcloud_core::port::{AccountUsage, BucketSettings, Metadata, ObjectHead, Precondition, ScanStart, Trashed, Usage};
pub use cyxcloud_core::{Error, ErrorKind, Result, Timestamp};
#[cfg(feature = "directory")]
pub use directory_lock::DirectoryLock;
#[cfg(feature = "remote")]
pub use remote::ConnectOptions;
pub use upkeep::Upkeep;
