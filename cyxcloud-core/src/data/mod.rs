//! Pure code and nouns of the data path, in data-path order.
//!
//! bytes -> [`chunk`] -> [`erasure`] -> [`shard`] -> [`placement`] -> [`manifest`]

pub mod chunk;
pub mod erasure;
pub mod manifest;
pub mod placement;
pub mod shard;
