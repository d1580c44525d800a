//! The `object_store` backend over clusters of this process: the crate's own suite, and what it does not ask.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod ours;
mod suite;
mod urls;

use cyxcloud_sdk::Cluster;
use cyxcloud_sdk::object_store::CyxStore;

pub async fn in_memory() -> (CyxStore, Cluster) {
    let cluster = Cluster::in_memory().await.unwrap();
    (CyxStore::new(cluster.create_bucket("suite").await.unwrap()), cluster)
}

mod memory {
    crate::suite::object_store_suite!(crate::in_memory());
}

#[cfg(feature = "directory")]
mod directory {
    use super::*;

    async fn place() -> (CyxStore, tempfile::TempDir) {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let cluster = Cluster::open(directory.path()).await.unwrap();
        (CyxStore::new(cluster.create_bucket("suite").await.unwrap()), directory)
    }

    crate::suite::object_store_suite!(place());
}
