//! A node that listens with TLS.

use std::path::PathBuf;
use std::sync::Arc;

use cyxcloud_sdk::ErrorKind;
use cyxcloud_sdk::core::port::{Environment, NodeRequest, Transport};
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::transport::GrpcTransport;
use cyxcloud_sdk::transport::grpc::{ChannelOptions, Channels, ClientTls};
use cyxcloud_server::tls::{ConnectTls, ListenTls};

use crate::fixture::*;

fn file(name: &str) -> Option<PathBuf> {
    Some([env!("CARGO_MANIFEST_DIR"), "tests/tls", name].iter().collect())
}

fn node_tls(client_ca: bool) -> ListenTls {
    ListenTls { tls_cert: file("node.pem"), tls_key: file("node.key"), tls_client_ca: if client_ca { file("ca.pem") } else { None } }
}

fn transport(node: &TestNode, tls: Option<ClientTls>) -> GrpcTransport {
    let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
    let channels = Channels::new(ChannelOptions { per_address: 1, tls, ..ChannelOptions::default() });
    GrpcTransport::new(Arc::new(Here(NODE, node.address)), Arc::new(cluster()), channels, env)
}

async fn asks(node: &TestNode, tls: Option<ClientTls>) -> Result<(), ErrorKind> {
    transport(node, tls).call(NODE, NodeRequest::Space).await.map(drop).map_err(|error| error.kind())
}

fn trusting(ca: &str, own: &ListenTls) -> Option<ClientTls> {
    cyxcloud_server::tls::install_provider();
    ConnectTls { tls_ca: file(ca), tls_domain: None }.client(own).unwrap()
}

#[tokio::test]
async fn only_who_trusts_its_authority_speaks_with_it() {
    let node = TestNode::start_with(&node_tls(false)).await;
    let nothing = ListenTls::default();
    asks(&node, trusting("ca.pem", &nothing)).await.unwrap();
    assert_eq!(asks(&node, trusting("other.pem", &nothing)).await, Err(ErrorKind::Unavailable));
    assert_eq!(asks(&node, None).await, Err(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_must() {
    let node = TestNode::start_with(&node_tls(true)).await;
    asks(&node, trusting("ca.pem", &node_tls(false))).await.unwrap();
    assert_eq!(asks(&node, trusting("ca.pem", &ListenTls::default())).await, Err(ErrorKind::Unavailable));
    let stranger = ListenTls { tls_cert: file("other.pem"), tls_key: file("other.key"), tls_client_ca: None };
    assert_eq!(asks(&node, trusting("ca.pem", &stranger)).await, Err(ErrorKind::Unavailable));
}

#[test]
fn files_that_do_not_fit_are_named() {
    cyxcloud_server::tls::install_provider();
    let mismatched = ListenTls { tls_key: file("other.key"), ..node_tls(false) };
    let refused = mismatched.grpc().unwrap_err().to_string();
    assert!(refused.contains("node.pem") && refused.contains("other.key"), "{refused}");
    let missing = ListenTls { tls_cert: file("nowhere.pem"), ..node_tls(false) };
    assert!(missing.grpc().unwrap_err().to_string().contains("nowhere.pem"));
    let no_key = ListenTls { tls_key: file("node.pem"), ..node_tls(false) };
    assert!(no_key.rustls().unwrap_err().to_string().contains("no private key"));
    let half = ListenTls { tls_key: None, ..node_tls(false) };
    assert!(half.grpc().unwrap_err().to_string().contains("--tls-key"));
    assert!(ListenTls::default().grpc().unwrap().is_none() && ListenTls::default().rustls().unwrap().is_none());
}
