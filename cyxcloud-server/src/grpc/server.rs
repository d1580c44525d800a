//! The bounds of every gRPC listener of ours.

use std::time::Duration;

use cyxcloud_sdk::{Error, Result};
use tonic::transport::{Server, ServerTlsConfig};
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

/// What one stream may have on its way: a shard of the usual size.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// What one connection may have on its way.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Larger frames cost less per byte.
const FRAME_BYTES: u32 = 1 << 20;
/// Calls of one connection at once.
const MAX_STREAMS: u32 = 256;
/// Metadata of a call.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// A connection that does not answer a ping for this long is dropped.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// No call takes longer, its body included: whoever sends a byte a minute is cut off.
const CALL_TIME: Duration = Duration::from_secs(120);

/// A server with our bounds, to which services are added.
///
/// # Errors
/// [`cyxcloud_sdk::ErrorKind::Invalid`] when TLS cannot be used.
pub fn server(tls: Option<ServerTlsConfig>) -> Result<Server> {
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .timeout(CALL_TIME)
        .tcp_nodelay(true);
    match tls {
        None => Ok(server),
        Some(tls) => server.tls_config(tls).map_err(|e| Error::invalid(format!("TLS of the gRPC listener: {e}")).with_source(e)),
    }
}

/// The reflection service, which says what there is.
///
/// # Errors
/// [`cyxcloud_sdk::ErrorKind::Internal`] when the descriptors are no descriptors.
pub fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>> {
    let internal = |e: tonic_reflection::server::Error| Error::internal(format!("reflection: {e}"));
    Builder::configure()
        .register_encoded_file_descriptor_set(cyxcloud_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(internal)
}

/// Whether a path belongs to a service that anybody may ask: health and reflection. Everything else shows a credential.
pub fn open_to_all(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.v1.ServerReflection/")
}
