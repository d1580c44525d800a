//! Drivers of [`cyxcloud_core::port::Transport`].

#[cfg(feature = "remote")]
pub mod grpc;
mod local;

#[cfg(feature = "remote")]
pub use grpc::GrpcTransport;
pub use local::{LocalNode, LocalStore, LocalTransport};
