//! Commands of a gateway are checked like calls, and carried out once.

use bytes::Bytes;
use cyxcloud_proto::gateway::v1::command::Action;
use cyxcloud_proto::gateway::v1::{Command, DeleteCommand, DrainCommand, RepairCommand, TransferCommand};
use cyxcloud_sdk::core::port::NodeRequest;
use cyxcloud_sdk::credential::{Capability, Identity};
use cyxcloud_sdk::transport::grpc::with_capability;
use cyxcloud_sdk::wire;
use cyxcloud_server::node::commands::Commands;

use crate::fixture::*;

fn may_delete(fence: u64) -> Bytes {
    Capability::of(NODE, &NodeRequest::Delete { key: key(3), fence }, now()).sign(&cluster())
}

fn delete(id: u64, fence: u64, capability: Bytes) -> Command {
    let delete = DeleteCommand { chunk_id: wire::id(key(3).chunk), index: 3, fence, capability };
    Command { id, action: Some(Action::Delete(delete)) }
}

fn drain(id: u64, draining: bool, signer: &Identity) -> Command {
    let capability = Capability::drain(NODE, draining, now()).sign(signer);
    Command { id, action: Some(Action::Drain(DrainCommand { draining, capability })) }
}

/// Takes a command and waits until it was carried out; the error of its result.
async fn carry_out(commands: &std::sync::Arc<Commands>, command: Command) -> String {
    let id = command.id;
    commands.take(vec![command]);
    loop {
        if let Some(result) = commands.results().into_iter().find(|result| result.id == id) {
            commands.told(std::slice::from_ref(&result));
            return result.error;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_command_is_carried_out() {
    let (from, node) = (TestNode::start_as(OTHER, Some(cluster().public_key())).await, TestNode::start().await);
    let commands = Commands::new(node.node.clone());
    from.chunks().store_chunk(with_capability(store_message(3), &may_store(OTHER, 3))).await.unwrap();
    let root = wire::id(frame(3).header().root);
    let repair = RepairCommand { chunk_id: wire::id(key(3).chunk), index: 3, root: root.clone(), capability: may_read(NODE, 3) };
    let repair = |id| Command { id, action: Some(Action::Repair(repair.clone())) };
    assert!(carry_out(&commands, repair(1)).await.contains("missing"));
    let transfer = TransferCommand {
        chunk_id: wire::id(key(3).chunk),
        index: 3,
        data_shards: 10,
        parity_shards: 4,
        root,
        epoch: 5,
        source_node_id: wire::id(OTHER),
        source_address: from.address.to_string(),
        source_capability: may_read(OTHER, 3),
        capability: may_store(NODE, 3),
    };
    assert_eq!(carry_out(&commands, Command { id: 2, action: Some(Action::Transfer(transfer)) }).await, "");
    assert_eq!(node.shards().await, 1);
    assert_eq!(carry_out(&commands, repair(3)).await, "");
    assert_eq!(carry_out(&commands, drain(4, true, &cluster())).await, "");
    assert!(node.node.closed.is_draining());
    assert_eq!(carry_out(&commands, drain(5, false, &cluster())).await, "");
    assert!(!node.node.closed.is_draining());
    assert_eq!(carry_out(&commands, delete(6, 6, may_delete(6))).await, "");
    assert_eq!(node.shards().await, 0);
    assert!(carry_out(&commands, Command { id: 7, action: None }).await.contains("does not know"));
}

#[tokio::test]
async fn commands_without_the_right_capability_do_nothing() {
    let node = TestNode::start().await;
    let commands = Commands::new(node.node.clone());
    node.chunks().store_chunk(with_capability(store_message(3), &may_store(NODE, 3))).await.unwrap();
    let stranger = Identity::from_secret([2; 32]);
    let mut id = 0;
    for capability in [Bytes::new(), may_read(NODE, 3), may_delete(7), Bytes::from_static(&[7; 150])] {
        id += 1;
        let error = carry_out(&commands, delete(id, 6, capability)).await;
        assert!(error.starts_with("Unauthenticated") || error.starts_with("PermissionDenied"), "{error}");
    }
    assert!(carry_out(&commands, drain(10, true, &stranger)).await.starts_with("Unauthenticated"));
    let Some(Action::Drain(mut other)) = drain(11, false, &cluster()).action else { unreachable!() };
    other.draining = true;
    assert!(carry_out(&commands, Command { id: 11, action: Some(Action::Drain(other)) }).await.starts_with("PermissionDenied"));
    assert!(!node.node.closed.is_draining());
    assert_eq!(node.shards().await, 1);
}

#[tokio::test]
async fn a_command_is_carried_out_once_and_its_result_told_until_it_was_heard() {
    let node = TestNode::start().await;
    let commands = Commands::new(node.node.clone());
    assert_eq!(carry_out(&commands, delete(1, 6, may_delete(6))).await, "");
    assert!(commands.results().is_empty());
    // Stored again since; the command comes again because the answer to its result was lost.
    node.chunks().store_chunk(with_capability(store_message(3), &may_store(NODE, 3))).await.unwrap();
    assert_eq!(carry_out(&commands, delete(1, 6, may_delete(6))).await, "");
    assert_eq!(node.shards().await, 1);
    // A gateway that lost its memory counts from the beginning; this is another command.
    assert_eq!(carry_out(&commands, delete(1, 7, may_delete(7))).await, "");
    assert_eq!(node.shards().await, 0);
}
