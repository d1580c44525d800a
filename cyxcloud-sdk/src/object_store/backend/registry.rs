//! Stores by their URLs.

use std::sync::Arc;

use url::Url;

use super::convert::invalid;
use super::{CyxStore, api};
use crate::Cluster;
use api::Result;
use api::path::Path;
use api::registry::ObjectStoreRegistry;

/// Registers every bucket of the cluster's account under `cyx://BUCKET`. How many.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "object-store")] {
/// use cyxcloud_sdk::{Cluster, object_store::register_all};
/// use object_store::registry::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
///
/// let cluster = Cluster::in_memory().await?;
/// cluster.create_bucket("photos").await?;
/// let registry = DefaultObjectStoreRegistry::new();
/// register_all(&registry, &cluster).await?;
/// let (store, path) = registry.resolve(&"cyx://photos/2026/cat.jpg".parse()?)?;
/// assert_eq!((store.to_string().as_str(), path.as_ref()), ("CyxCloud(photos)", "2026/cat.jpg"));
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of the metadata store.
pub async fn register_all(registry: &dyn ObjectStoreRegistry, cluster: &Cluster) -> Result<usize> {
    let failed = |error| super::failed(&Path::default(), error);
    let buckets = cluster.list_buckets().await.map_err(failed)?;
    let count = buckets.len();
    for bucket in buckets {
        let name = bucket.name();
        let url = Url::parse(&format!("cyx://{name}")).map_err(|error| invalid(format!("bucket {name} makes no URL: {error}")))?;
        registry.register(url, Arc::new(CyxStore::new(bucket)));
    }
    Ok(count)
}
