//! Drivers of [`cyxcloud_core::port::Transport`].

mod local;

pub use local::{LocalNode, LocalTransport};
