//! Keeps a registry right: reads the metadata again and again, and looks whether nodes that are away are back.

use std::time::Duration;

use cyxcloud_core::Error;
use cyxcloud_core::id::NodeId;
use cyxcloud_core::port::{Members, Meta, NodeRequest, Transport};
use futures::stream::{self, StreamExt};

use super::{Registry, watched};
use crate::transport::grpc::Channels;

/// The metadata are read this often.
const REFRESH: Duration = Duration::from_secs(1);
/// A node that does not answer within this is still away.
const PROBE_MS: u64 = 2_000;
/// First pause before a node that is away is asked again; it doubles up to [`MAX_PAUSE_MS`].
const MIN_PAUSE_MS: u64 = 500;
const MAX_PAUSE_MS: u64 = 30_000;
/// What a node said of its space holds for so many heartbeats.
const SPACE_BEATS: u64 = 3;
/// Nodes asked at the same time.
const PARALLEL: usize = 32;

impl Registry {
    /// Keeps it right for ever. `transport` is the plain one, not [`super::Watched`]; `channels` are those it uses. `failed` hears of metadata that
    /// cannot be read.
    pub async fn keep(&self, meta: &dyn Meta, transport: &dyn Transport, channels: &Channels, failed: impl Fn(Error) + Send + Sync) {
        let refresh = async {
            loop {
                match self.refresh(meta).await {
                    Ok(()) => channels.retain(|address| self.uses(address)),
                    Err(error) => failed(error),
                }
                tokio::time::sleep(REFRESH).await;
            }
        };
        let probe = async {
            loop {
                let probes: Vec<_> = self.due().into_iter().map(|node| self.probe(node, transport)).collect();
                stream::iter(probes).buffer_unordered(PARALLEL).collect::<Vec<()>>().await;
                tokio::time::sleep(Duration::from_millis(MIN_PAUSE_MS)).await;
            }
        };
        futures::join!(refresh, probe);
    }

    fn uses(&self, address: &str) -> bool {
        self.state().records.values().any(|record| record.endpoint.as_ref().is_some_and(|endpoint| endpoint.address == address))
    }

    /// Nodes that are not reachable, or of whose space nothing is known of late, as when their heartbeats go to another gateway, and whose turn it is.
    fn due(&self) -> Vec<NodeId> {
        let (view, now) = (self.view(), self.env.now());
        let mut state = self.state();
        let mut due = Vec::new();
        for node in view.nodes() {
            let signs = state.signs.entry(node.id).or_default();
            let (at, pause_ms) = signs.probe;
            if node.reachable && signs.knows_space(SPACE_BEATS * self.options.timers.heartbeat_ms, now) {
                signs.probe = Default::default();
            } else if at <= now {
                let pause_ms = (pause_ms * 2).clamp(MIN_PAUSE_MS, MAX_PAUSE_MS);
                signs.probe = (now.plus_ms(pause_ms), pause_ms);
                due.push(node.id);
            }
        }
        due
    }

    async fn probe(&self, node: NodeId, transport: &dyn Transport) {
        let call = transport.call(node, NodeRequest::Space);
        if let Ok(answer) = tokio::time::timeout(Duration::from_millis(PROBE_MS), call).await {
            watched::note(self, node, &answer);
        }
    }
}
