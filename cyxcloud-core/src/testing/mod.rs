//! Support for tests, ours and those of driver authors: the in-memory reference of every port and the conformance suites.

mod memory_meta;
mod memory_nodes;
mod memory_store;
pub mod meta_suite;
mod random;
pub mod sim;
pub mod store_suite;
pub mod transport_suite;
mod virtual_time;

pub use memory_meta::{MemoryCopy, MemoryMeta};
pub use memory_nodes::{Fault, MemoryNodes};
pub use memory_store::MemoryStore;
pub use random::SplitMix64;
pub use virtual_time::{Budget, Stuck, Task, Timer, VirtualTime};
