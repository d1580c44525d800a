//! Who knows the nodes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;
use crate::data::placement::ClusterView;
use crate::id::NodeId;

/// Who knows the nodes.
#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// The nodes as they are known now; cheap, called for every chunk.
    fn view(&self) -> Arc<ClusterView>;

    /// Whether `node` itself has been heard lately, where nodes send heartbeats; None where they must be asked.
    fn heard(&self, _node: NodeId) -> Option<bool> {
        None
    }

    /// Looks at the nodes anew, where [`Members::view`] says how they were some time ago: asked when its nodes do not suffice.
    ///
    /// # Errors
    /// When nobody can be asked; the view stays as it was.
    async fn refresh(&self) -> Result<()> {
        Ok(())
    }
}
