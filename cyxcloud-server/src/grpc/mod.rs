//! What the gRPC services of gateways and nodes share.

mod accept;
mod caller;
mod methods;
mod server;

pub use accept::{Connections, incoming};
pub use caller::Caller;
pub use methods::{Method, methods};
pub use server::{open_to_all, reflection, server};
