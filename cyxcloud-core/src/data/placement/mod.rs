//! Which nodes get the shards of a chunk.
//!
//! [`plan`] spreads shards so that no domain (node, host, operator, subnet, region) holds two where one would do, prefers free
//! space without piling onto the emptiest node, and adds the fewest extra copies that let any `node_tolerance` nodes be lost.
//! [`tolerance`] says what a placement really survives.
//!
//! A [`ClusterView`] is made when the cluster changes and asked for every chunk, so it numbers the nodes and their domains once. A plan
//! draws lots for all nodes, which is a multiplication or two each, and looks closely only at the hundred that drew best; it goes
//! through all nodes when it cannot prove that the best is among these. `benches/placement.rs` holds it to that.

mod index;
mod numbers;
mod protect;
mod spread;
mod tolerance;
mod view;

pub(crate) use numbers::Numbers;
pub use spread::{Demand, plan};
pub use tolerance::tolerance;
pub use view::{ClusterView, Domains, Level, NodeView};
