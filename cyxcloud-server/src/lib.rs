//! CyxCloud's executables: thin shells over [`cyxcloud_sdk`].
//!
//! [`s3`] speaks S3 over the engine, [`http`] puts it on one listener with our own routes, and [`dev`] is `cyxcloud dev`: a
//! whole cluster in one process.

pub mod access_keys;
pub mod buckets;
pub mod config;
pub mod connect;
pub mod dev;
pub mod fleet;
pub mod gateway;
pub mod grpc;
pub mod http;
pub mod keys;
pub mod metrics;
pub mod node;
pub mod operate;
pub mod process;
pub mod rate_limit;
pub mod rebalancer;
pub mod s3;
pub mod telemetry;
pub mod tls;
pub mod transfer;
mod unread_body;
pub mod upkeep;
