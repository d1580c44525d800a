//! Drivers of [`cyxcloud_core::port::Transport`].

pub mod grpc;
mod local;

pub use grpc::GrpcTransport;
pub use local::{LocalNode, LocalTransport};
