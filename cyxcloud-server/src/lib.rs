//! CyxCloud's executables: thin shells over [`cyxcloud_sdk`].
//!
//! [`s3`] speaks S3 over the engine, [`http`] puts it on one listener with our own routes, and [`dev`] is `cyxcloud dev`: a
//! whole cluster in one process.

pub mod dev;
pub mod grpc;
pub mod http;
pub mod s3;
mod unread_body;
