//! The node's gRPC listener.

use std::sync::Arc;

use cyxcloud_proto::node::v1::chunk_service_server::ChunkServiceServer;
use cyxcloud_proto::node::v1::data_service_server::DataServiceServer;
use cyxcloud_sdk::Result;
use cyxcloud_sdk::transport::grpc::MAX_MESSAGE_BYTES;
use tokio::net::TcpListener;
use tonic::transport::ServerTlsConfig;
use tonic_health::server::{HealthReporter, health_reporter};

use super::guard::GuardLayer;
use super::services::Services;
use super::work::Node;
use crate::grpc::{Connections, incoming, reflection, server};
use crate::metrics::MeasureLayer;

/// Says at the health service whether the node takes shards.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// Whether the node can do its work.
    pub async fn set(&self, serving: bool) {
        if serving {
            self.0.set_serving::<ChunkServiceServer<Services>>().await;
            self.0.set_serving::<DataServiceServer<Services>>().await;
        } else {
            self.0.set_not_serving::<ChunkServiceServer<Services>>().await;
            self.0.set_not_serving::<DataServiceServer<Services>>().await;
        }
        let status = if serving { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
        self.0.set_service_status("", status).await;
    }
}

/// Serves `node` on `listener` until `stop` resolves; then ends when the calls in flight have. The future is to be polled; [`Health`] works at once.
///
/// # Errors
/// [`cyxcloud_sdk::ErrorKind::Invalid`] when TLS cannot be used.
pub fn serve(
    node: Arc<Node>,
    listener: TcpListener,
    connections: Connections,
    tls: Option<ServerTlsConfig>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(Health, impl Future<Output = ()> + Send + 'static)> {
    let (reporter, health) = health_reporter();
    let guard = GuardLayer::new(node.trust.clone());
    let services = Services::new(node);
    let chunks =
        ChunkServiceServer::new(services.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let router = server(tls)?
        .layer(MeasureLayer::default())
        .layer(guard)
        .add_service(health)
        .add_service(reflection()?)
        .add_service(chunks)
        .add_service(DataServiceServer::new(services));
    let serving = async move {
        if let Err(error) = router.serve_with_incoming_shutdown(incoming(listener, connections), stop).await {
            tracing::error!(%error, "the gRPC listener ended");
        }
    };
    Ok((Health(reporter), serving))
}
