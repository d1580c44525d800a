//! The pure heart of CyxCloud: an erasure-coded object store without runtime, clock, randomness, files or sockets.
//!
//! * [`data`] is pure and listed in data-path order: chunk, seal, erasure, shard, placement, manifest.
//! * [`control`] is pure as well: node lifecycle, chunk health, repair plan, balance, durability.
//! * [`port`] holds the traits that the outside implements ([`port::Store`], [`port::Meta`], [`port::Transport`],
//!   [`port::Environment`], [`port::Members`]).
//! * [`engine`] is plain async code over the ports: put, get, list, delete, multipart, gc, and the node side, serve.
//! * [`memory`] has the ports in memory, which are the reference of the drivers.
//! * `testing` (feature `testing`) has the conformance suites and the simulator.
//!
//! ARCHITECTURE.md walks one PUT and one GET through these files.

pub mod control;
pub mod data;
pub mod engine;
pub mod error;
pub mod id;
pub mod memory;
pub mod policy;
pub mod port;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, reason = "test support: a panic is the report")]
pub mod testing;
pub mod time;

pub use error::{Error, ErrorKind, Result};
pub use time::Timestamp;
