//! Who knows the nodes.

use std::sync::Arc;

use crate::data::placement::ClusterView;

/// Who knows the nodes.
pub trait Members: Send + Sync + 'static {
    /// The nodes as they are known now; cheap, called for every chunk.
    fn view(&self) -> Arc<ClusterView>;
}
