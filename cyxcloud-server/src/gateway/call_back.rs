//! Asks the address that a node registers with whether that node is there: whoever answers must sign a fresh question with the node's key.

use std::time::Duration;

use cyxcloud_proto::node::v1::chunk_service_client::ChunkServiceClient;
use cyxcloud_proto::node::v1::{IdentifyRequest, IdentifyResponse};
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::credential::{CLUSTER_KEY_METADATA, Capability, Identity, PublicKey, identify_message};
use cyxcloud_sdk::transport::grpc::{ChannelOptions, with_capability};
use cyxcloud_sdk::wire;
use tonic::Status;
use tonic::metadata::MetadataValue;

/// For everything: finding the address, connecting, asking and being answered.
const TIME: Duration = Duration::from_secs(2);
/// No right answer is longer.
const MAX_ANSWER_BYTES: usize = 4 << 10;

/// Whoever answers at `address` proves to be `node` with the key `key`. The name is resolved once and the connection made to the address that was checked;
/// gRPC follows no redirects.
///
/// # Errors
/// Why it is not proven, for whoever wants to register.
pub async fn identify(
    node: NodeId,
    key: &PublicKey,
    address: &str,
    channels: &ChannelOptions,
    cluster: &Identity,
    env: &dyn Environment,
) -> Result<(), Box<Status>> {
    let mut nonce = [0; 32];
    nonce[..16].copy_from_slice(&env.random());
    nonce[16..].copy_from_slice(&env.random());
    let asked = async {
        let channel = channels.connect(address).await.map_err(|e| Box::new(wire::status(&e)))?;
        let mut client = ChunkServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
        let capability = Capability::identify(node, env.now()).sign(cluster);
        let mut request = with_capability(IdentifyRequest { nonce: wire::id(nonce) }, &capability);
        let public = MetadataValue::from_bytes(&cluster.public_key().to_bytes());
        request.metadata_mut().insert_bin(CLUSTER_KEY_METADATA, public);
        let answer = client.identify(request).await;
        answer.map_err(|status| failed(address, &format!("it answered {:?}: {}", status.code(), shortened(status.message()))))
    };
    let answer = tokio::time::timeout(TIME, asked).await;
    let answer = answer.map_err(|_| failed(address, &format!("no answer within {} s", TIME.as_secs())))??;
    check(answer.get_ref(), node, key, &cluster.public_key(), &nonce).map_err(|why| {
        let message = format!("what answers at {address} is not this node: {why}");
        Box::new(Status::permission_denied(message))
    })
}

fn failed(address: &str, why: &str) -> Box<Status> {
    let help = "can the gateway reach that address, and is it this node's?";
    Box::new(Status::unavailable(format!("calling the node back at {address} failed: {why}; {help}")))
}

/// What strangers answer is repeated only in part.
fn shortened(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn check(answer: &IdentifyResponse, node: NodeId, key: &PublicKey, cluster: &PublicKey, nonce: &[u8; 32]) -> Result<(), &'static str> {
    if answer.node_id.as_ref() != node.0 {
        return Err("it has another id");
    }
    if answer.public_key.as_ref() != key.to_bytes() {
        return Err("it has another key");
    }
    if !key.verifies(&identify_message(cluster, nonce, node), &answer.signature) {
        return Err("its signature is wrong");
    }
    Ok(())
}
