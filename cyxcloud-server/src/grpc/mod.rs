//! What the gRPC services of gateways and nodes share.

mod caller;

pub use caller::Caller;
