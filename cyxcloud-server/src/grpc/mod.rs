//! What the gRPC services of gateways and nodes share.

mod accept;
mod authenticate;
mod caller;
mod methods;
mod replay;
mod server;

pub use accept::{Connection, Connections, incoming};
pub use authenticate::{AuthenticateLayer, Authenticated, KnowsNode};
pub use caller::Caller;
pub use methods::{Method, methods};
pub use server::{open_to_all, reflection, server};
