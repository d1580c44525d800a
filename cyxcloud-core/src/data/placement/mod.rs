//! Which nodes get the shards of a chunk.
//!
//! [`plan`] spreads shards so that no domain (node, host, operator, subnet, region) holds two where one would do, prefers free
//! space without piling onto the emptiest node, and adds the fewest extra copies that let any `node_tolerance` nodes be lost.
//! [`tolerance`] says what a placement really survives.

mod spread;
mod tolerance;
mod view;

pub use spread::{Demand, plan};
pub use tolerance::tolerance;
pub use view::{ClusterView, Domains, Level, NodeView};
