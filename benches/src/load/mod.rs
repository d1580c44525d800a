//! The load client: PUT and GET against a running S3 endpoint, beside what the client alone and the disk alone can do.
//!
//! One round measures each [`report::Subject`] after the other on bytes made for that round, so that a machine that grows slower or
//! faster shows in all of them.

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
