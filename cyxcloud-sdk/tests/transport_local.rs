//! The local transport over files against the suite of its port.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use cyxcloud_core::ErrorKind;
use cyxcloud_core::data::placement::Domains;
use cyxcloud_core::id::NodeId;
use cyxcloud_core::port::{NodeRecord, NodeRequest, Transport};
use cyxcloud_sdk::store::{FilesOptions, FilesStore};
use cyxcloud_sdk::transport::{LocalNode, LocalTransport};

const NODE: NodeId = NodeId([1; 16]);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

async fn local() -> LocalTransport {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    let store = FilesStore::open(root, FilesOptions { capacity_bytes: 1 << 30, reserve_bytes: 0 }).await.unwrap();
    let record = NodeRecord { id: NODE, name: "node-00".into(), domains: Domains::default(), endpoint: None };
    LocalTransport::new(vec![LocalNode::new(record, store)])
}

async fn one_node() -> (Arc<dyn Transport>, NodeId) {
    (Arc::new(local().await), NODE)
}

cyxcloud_core::transport_conformance!(block_on, one_node);

#[tokio::test]
async fn a_stopped_node_is_unavailable_until_it_starts() {
    let transport = local().await;
    transport.set_running(NODE, false).unwrap();
    assert_eq!(transport.call(NODE, NodeRequest::Space).await.unwrap_err().kind(), ErrorKind::Unavailable);
    transport.set_running(NODE, true).unwrap();
    transport.call(NODE, NodeRequest::Space).await.unwrap();
}
