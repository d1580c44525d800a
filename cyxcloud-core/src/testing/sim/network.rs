//! The way between gateways and nodes. Every request is a task of its own, so that it arrives even when its caller is gone.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use async_trait::async_trait;
use futures::channel::oneshot;

use super::disk::SimStore;
use super::faults::FaultKind;
use super::sabotage::Sabotage;
use super::trace::{Ask, Delivery, Event};
use super::world::{World, number};
use crate::engine::serve::serve;
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::port::{Deleted, NodeRequest, NodeResponse, Store, Transport};
use crate::{Error, ErrorKind, Result};

/// A late duplicate arrives at most this much later.
const LATEST_MS: u64 = 3 * 3_600_000;

/// One gateway's way to the nodes.
pub(super) struct SimTransport {
    world: Arc<World>,
    gateway: u8,
}

/// What sabotaged transports remember, all of them together.
#[derive(Debug, Default)]
pub(super) struct Lies {
    /// Shards claimed as stored, by chunk.
    claimed: BTreeMap<ChunkId, u8>,
    /// Deletes claimed as done.
    hidden: Vec<(NodeId, ShardKey)>,
    /// What was stored, for the read-back.
    stored: BTreeMap<(NodeId, ShardKey), bytes::Bytes>,
}

fn ask(request: &NodeRequest) -> Ask {
    match request {
        NodeRequest::Store { epoch, frame } => Ask::Store(frame.header().key.into(), *epoch),
        NodeRequest::Read { key } => Ask::Read((*key).into()),
        NodeRequest::ReadRange { key, .. } => Ask::Range((*key).into()),
        NodeRequest::Delete { key, fence } => Ask::Delete((*key).into(), *fence),
        NodeRequest::List { .. } => Ask::List,
        NodeRequest::Stat { .. } => Ask::Stat,
        NodeRequest::Space => Ask::Space,
    }
}

impl SimTransport {
    pub(super) fn new(world: Arc<World>, gateway: u8) -> Self {
        Self { world, gateway }
    }

    fn start(&self, node: u8, request: NodeRequest, delay_ms: u64, reply: Option<oneshot::Sender<Result<NodeResponse>>>) {
        let way = Way { world: self.world.clone(), gateway: self.gateway, node, ask: ask(&request) };
        self.world.time.spawn(async move {
            if delay_ms > 0 {
                way.world.time.timer(delay_ms).await;
            }
            way.deliver(request, reply).await;
        });
    }

    async fn send(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        let (world, number) = (&self.world, number(node));
        world.event(Event::Message { gateway: self.gateway, node: number, ask: ask(&request), now: Delivery::Sent });
        let delay_ms = world.up_to(world.plan.delay_ms);
        if world.hits(FaultKind::Duplicate, number) {
            self.start(number, request.clone(), world.up_to(world.plan.delay_ms * 3), None);
        }
        if world.hits(FaultKind::LateDuplicate, number) {
            let most_ms = [5_000, 600_000, LATEST_MS][world.dice().below(3)];
            self.start(number, request.clone(), delay_ms + world.up_to(most_ms), None);
        }
        let (give, take) = oneshot::channel();
        self.start(number, request, delay_ms, Some(give));
        if world.hits(FaultKind::CrashAtSend, self.gateway) {
            world.drop_gateway(self.gateway);
        }
        match take.await {
            Ok(answer) => answer,
            // Nobody will ever answer.
            Err(oneshot::Canceled) => pending().await,
        }
    }
}

#[async_trait]
impl Transport for SimTransport {
    async fn call(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        match self.world.sabotage {
            Some(Sabotage::QuorumTwelve) => self.claim_twelve(node, request).await,
            Some(Sabotage::LostDelete) => self.lose_deletes(node, request).await,
            Some(Sabotage::NoReadBack) => self.remember(node, request).await,
            _ => self.send(node, request).await,
        }
    }
}

impl SimTransport {
    async fn claim_twelve(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        let chunk = match &request {
            NodeRequest::Store { frame, .. } => frame.header().key.chunk,
            _ => return self.send(node, request).await,
        };
        let answer = self.send(node, request).await;
        let mut lies = self.world.lies.lock().unwrap();
        let claimed = lies.claimed.entry(chunk).or_default();
        if answer.is_err() && *claimed < 2 {
            *claimed += 1;
            return Ok(NodeResponse::Stored);
        }
        answer
    }

    async fn lose_deletes(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        let deleted = match &request {
            NodeRequest::Delete { key, .. } => Some(*key),
            _ => None,
        };
        let mut answer = self.send(node, request).await;
        let mut lies = self.world.lies.lock().unwrap();
        if let (Some(key), Err(error)) = (deleted, &answer)
            && error.kind() == ErrorKind::Unavailable
        {
            lies.hidden.push((node, key));
            return Ok(NodeResponse::Deleted(Deleted::Absent));
        }
        if let Ok(NodeResponse::Shards(page)) = &mut answer {
            page.retain(|info| !lies.hidden.contains(&(node, info.key)));
        }
        answer
    }

    async fn remember(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        match &request {
            NodeRequest::Store { frame, .. } => {
                let (key, payload) = (frame.header().key, frame.payload().clone());
                let answer = self.send(node, request).await;
                if answer.is_ok() {
                    self.world.lies.lock().unwrap().stored.insert((node, key), payload);
                }
                answer
            }
            NodeRequest::Read { key } => {
                let stored = self.world.lies.lock().unwrap().stored.remove(&(node, *key));
                match stored {
                    Some(payload) => Ok(NodeResponse::Payload(payload)),
                    None => self.send(node, request).await,
                }
            }
            _ => self.send(node, request).await,
        }
    }
}

/// One request on its way.
struct Way {
    world: Arc<World>,
    gateway: u8,
    node: u8,
    ask: Ask,
}

impl Way {
    fn event(&self, now: Delivery) {
        self.world.event(Event::Message { gateway: self.gateway, node: self.node, ask: self.ask, now });
    }

    async fn deliver(self, request: NodeRequest, reply: Option<oneshot::Sender<Result<NodeResponse>>>) {
        if reply.is_none() {
            self.event(Delivery::Again);
        }
        let cut = self.world.link(self.gateway, self.node).deaf;
        if cut || self.world.hits(FaultKind::DropRequest, self.node) {
            return self.lost(reply);
        }
        if !self.world.is_up(self.node) {
            self.event(Delivery::Away);
            return self.fail(reply);
        }
        let Some(answer) = self.carry_out(request).await else {
            self.event(Delivery::Cut);
            return self.fail(reply);
        };
        self.event(if answer.is_ok() { Delivery::Done } else { Delivery::Refused });
        let Some(reply) = reply else { return };
        let back_ms = self.world.up_to(self.world.plan.delay_ms);
        if back_ms > 0 {
            self.world.time.timer(back_ms).await;
        }
        if self.world.link(self.gateway, self.node).mute || self.world.hits(FaultKind::DropReply, self.node) {
            return self.lost(Some(reply));
        }
        let _ = reply.send(answer);
    }

    fn lost(&self, reply: Option<oneshot::Sender<Result<NodeResponse>>>) {
        self.event(Delivery::Lost);
        self.fail(reply);
    }

    /// Silence, or a connection that is refused or reset.
    fn fail(&self, reply: Option<oneshot::Sender<Result<NodeResponse>>>) {
        let Some(reply) = reply else { return };
        let refused = !self.world.is_up(self.node) && self.world.dice().chance(700);
        if refused || self.world.hits(FaultKind::Reset, self.node) {
            let _ = reply.send(Err(Error::unavailable("the node cannot be reached")));
        }
    }

    /// The node's side; None when the node stops before it is done, which drops everything it was at.
    async fn carry_out(&self, request: NodeRequest) -> Option<Result<NodeResponse>> {
        let node = self.world.node(self.node);
        let slow_ms = node.slow_ms.load(Ordering::Relaxed);
        let life = node.life.load(Ordering::Relaxed);
        if slow_ms > 0 {
            let slow_ms = self.world.up_to(slow_ms);
            self.world.time.timer(slow_ms).await;
        }
        let store = SimStore { world: self.world.clone(), node: self.node };
        let mut serving = pin!(serve(&store as &dyn Store, request));
        std::future::poll_fn(|context| {
            let stopped = || node.life.load(Ordering::Relaxed) != life || !node.up.load(Ordering::Relaxed);
            if stopped() {
                return Poll::Ready(None);
            }
            let answer = serving.as_mut().poll(context);
            // It may have stopped while it was at it.
            if stopped() { Poll::Ready(None) } else { answer.map(Some) }
        })
        .await
    }
}
