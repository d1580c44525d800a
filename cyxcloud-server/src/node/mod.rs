//! A storage node as a process: `cyxcloud-node`.
//!
//! [`services`] are its gRPC services behind the [`guard`], over [`work`], which the [`commands`] of a gateway use too; [`link`] registers with the
//! gateway and sends heartbeats; [`home`] keeps who the node is and whom it obeys.

pub mod args;
mod bounded;
mod check;
pub mod commands;
pub mod guard;
pub mod health;
pub mod home;
pub mod link;
pub mod machine;
pub mod run;
pub mod serve;
pub mod services;
pub mod store;
pub mod trust;
pub mod work;

pub use args::NodeArgs;
pub use check::check;
pub use run::{Running, run};
