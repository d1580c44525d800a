//! Pure code and nouns of the data path, in data-path order.
//!
//! bytes -> [`chunk`] (in a [`buffer`]) -> `seal` (feature `seal`, by clients that encrypt) -> [`coded`]: [`erasure`] and [`shard`] in one pass -> [`placement`] -> [`manifest`]

pub mod buffer;
pub mod chunk;
pub mod coded;
pub mod erasure;
pub mod manifest;
pub mod placement;
#[cfg(feature = "seal")]
pub mod seal;
pub mod shard;
