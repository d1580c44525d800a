//! The `object_store` backend over a cluster on other machines: control through a gateway, shards straight to the nodes.

use cyxcloud_sdk::object_store::CyxStore;

use super::direct::Fleet;

async fn place() -> (CyxStore, Fleet) {
    let fleet = Fleet::new(6).await;
    let bucket = fleet.client().await.ensure_bucket("suite").await.unwrap();
    (CyxStore::new(bucket), fleet)
}

crate::suite::object_store_suite!(place());
