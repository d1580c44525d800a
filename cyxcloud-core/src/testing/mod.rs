//! Support for tests, ours and those of driver authors: the conformance suites of the ports, faulty nodes in memory, virtual time, the simulator.

mod memory_nodes;
pub mod meta_suite;
mod random;
pub mod sim;
pub mod store_suite;
pub mod transport_suite;
mod virtual_time;

pub use memory_nodes::{Fault, MemoryNodes};
pub use random::SplitMix64;
pub use virtual_time::{Budget, Stuck, Task, Timer, VirtualTime};
