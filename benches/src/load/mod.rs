//! The load client: PUT and GET against a running S3 endpoint, beside what the client alone and the disk alone can do.
//!
//! One round measures each [`report::Subject`] after the other on bytes made for that round, so that a machine that grows slower or
//! faster shows in all of them.
//!
//! ```sh
//! cargo build --release -p cyxcloud-server -p cyxcloud-benches
//! target/release/load --dev target/release/cyxcloud --data-dir target/load-data
//! ```
//!
//! What is written lands in fresh pages of the page cache. A virtual machine that hands free memory back to its host pays for each
//! page again, so writes vary from round to round there, with and without the server; compare figures of one run.

pub mod args;
pub mod bodies;
pub mod client;
pub mod cpu;
pub mod null_server;
pub mod phase;
pub mod processes;
pub mod raw;
pub mod report;
pub mod rounds;
