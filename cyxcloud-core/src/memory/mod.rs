//! The ports in memory: the simplest implementation of each, and so the specification that every other driver is tested by. Nothing survives them.

mod meta;
mod store;

pub use meta::{MemoryCopy, MemoryMeta};
pub use store::MemoryStore;
