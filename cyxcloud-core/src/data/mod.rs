//! Pure code and nouns of the data path, in data-path order.
//!
//! bytes -> [`chunk`] -> [`seal`] (by clients that encrypt) -> [`erasure`] -> [`shard`] -> [`placement`] -> [`manifest`]

pub mod chunk;
pub mod erasure;
pub mod manifest;
pub mod placement;
pub mod seal;
pub mod shard;
