//! What the gRPC services of gateways and nodes share.

mod authenticate;
mod caller;
mod replay;

pub use authenticate::{AuthenticateLayer, Authenticated, KnowsNode};
pub use caller::Caller;
