//! A transport that tells the registry what became of every call.

use std::sync::Arc;

use async_trait::async_trait;
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::id::NodeId;
use cyxcloud_core::port::{NodeRequest, NodeResponse, Transport};
use cyxcloud_core::{Error, ErrorKind, Result};
use futures::future::{Either, select};

use super::Registry;
use crate::wire;

/// How often a call that waits looks whether its node has stalled.
const LOOK_MS: u64 = 200;

/// A transport that tells the registry what became of every call, and gives up calls to nodes that stall.
pub struct Watched {
    inner: Arc<dyn Transport>,
    registry: Arc<Registry>,
}

impl Watched {
    /// `inner`, watched by `registry`.
    pub fn new(inner: Arc<dyn Transport>, registry: Arc<Registry>) -> Self {
        Self { inner, registry }
    }
}

/// A call that is counted as long as it lasts, dropped or not.
struct Call<'a> {
    registry: &'a Registry,
    node: NodeId,
}

impl<'a> Call<'a> {
    fn begin(registry: &'a Registry, node: NodeId) -> Self {
        registry.signs(node, |signs, now| signs.begin_call(now));
        Self { registry, node }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.registry.signs(self.node, |signs, now| signs.end_call(now));
    }
}

#[async_trait]
impl Transport for Watched {
    async fn announce(&self, epoch: u64, chunk: &ChunkRecord, copies: &[Copy]) -> Result<()> {
        self.inner.announce(epoch, chunk, copies).await
    }

    async fn call(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        let registry = &*self.registry;
        let call = Call::begin(registry, node);
        let stalled = Box::pin(async {
            loop {
                registry.env.sleep(LOOK_MS).await;
                if registry.has_stalled(node) {
                    break;
                }
            }
        });
        let answer = match select(self.inner.call(node, request), stalled).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => return Err(Error::unavailable(format!("{node:?} leaves calls without an answer; it is not waited for"))),
        };
        note(registry, node, &answer);
        drop(call);
        answer
    }
}

/// Tells the registry how a call ended.
pub(super) fn note(registry: &Registry, node: NodeId, answer: &Result<NodeResponse>) {
    match answer {
        Ok(NodeResponse::Space(space)) => registry.signs(node, |signs, now| {
            signs.answered(now);
            signs.note_space(*space, now);
        }),
        Ok(_) => registry.signs(node, |signs, now| signs.answered(now)),
        Err(error) => match wire::is_from_service(error) {
            Some(true) => registry.signs(node, |signs, now| {
                signs.answered(now);
                if error.kind() == ErrorKind::Full {
                    signs.note_full();
                }
            }),
            Some(false) => registry.signs(node, |signs, _| signs.failed()),
            // It was never sent.
            None => {}
        },
    }
}
