//! The gRPC services of CyxCloud: messages, clients and servers made of the .proto files beside this. Their documentation is there.
//!
//! Every byte field is a [`bytes::Bytes`] that shares the buffer it arrived in.

/// What storage nodes serve.
pub mod node {
    /// Version 1.
    #[allow(missing_docs, clippy::all, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("cyxcloud.node.v1");
    }
}

/// What gateways serve.
pub mod gateway {
    /// Version 1.
    #[allow(missing_docs, clippy::all, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("cyxcloud.gateway.v1");
    }
}

/// All files as one encoded `FileDescriptorSet`, for reflection and for tests that walk every service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
