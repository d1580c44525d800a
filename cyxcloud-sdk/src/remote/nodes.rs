//! The nodes as the gateway told of them last.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use cyxcloud_core::Result;
use cyxcloud_core::data::placement::ClusterView;
use cyxcloud_core::id::NodeId;
use cyxcloud_core::port::Members;
use cyxcloud_proto::gateway::v1::NodeAddress;

use super::gateway::Gateway;
use crate::transport::grpc::Addresses;
use crate::wire;

pub(super) struct RemoteNodes {
    gateway: Gateway,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    view: Arc<ClusterView>,
    addresses: HashMap<NodeId, String>,
}

impl RemoteNodes {
    /// Nobody yet: see [`RemoteNodes::know`].
    pub(super) fn new(gateway: Gateway) -> Self {
        Self { gateway, known: RwLock::default() }
    }

    /// Takes over what the gateway says of all nodes.
    pub(super) fn know(&self, nodes: Vec<NodeAddress>) -> Result<()> {
        let nodes: Vec<_> = nodes.into_iter().map(wire::object::node).collect::<Result<_>>()?;
        let addresses = nodes.iter().map(|(view, address)| (view.id, address.clone())).collect();
        let view = ClusterView::new(nodes.into_iter().map(|(view, _)| view).collect());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // The same view stays the same object, so that what is derived from it is not made anew.
        if *known.view != view {
            known.view = Arc::new(view);
        }
        known.addresses = addresses;
        Ok(())
    }

    /// Learns where one node is.
    pub(super) fn learn(&self, node: NodeId, address: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !address.is_empty() && known.addresses.get(&node).is_none_or(|there| there != address) {
            known.addresses.insert(node, address.to_owned());
        }
    }
}

#[async_trait]
impl Members for RemoteNodes {
    fn view(&self) -> Arc<ClusterView> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).view.clone()
    }

    async fn refresh(&self) -> Result<()> {
        self.know(self.gateway.cluster().await?.nodes)
    }
}

impl Addresses for RemoteNodes {
    fn address(&self, node: NodeId) -> Option<String> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).addresses.get(&node).cloned()
    }
}
