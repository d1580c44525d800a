//! Who knows the nodes.

use std::sync::Arc;

use crate::data::placement::ClusterView;
use crate::id::NodeId;

/// Who knows the nodes.
pub trait Members: Send + Sync + 'static {
    /// The nodes as they are known now; cheap, called for every chunk.
    fn view(&self) -> Arc<ClusterView>;

    /// Whether `node` itself has been heard lately, where nodes send heartbeats; None where they must be asked.
    fn heard(&self, _node: NodeId) -> Option<bool> {
        None
    }
}
