//! The flows: plain async code over the ports.
//!
//! [`put`] makes bytes durable and then visible, [`get`] reads them back verified, [`list`] pages through keys, [`gc`] takes
//! away what nobody refers to, [`nodes`] watches who is there, [`repair`] makes lost shards anew, [`scrub`] looks for damage,
//! [`upkeep`] does these unasked, and [`serve`] is the node's side of all of them. What needs no bytes and makes nothing
//! visible (bucket and upload administration) goes straight to [`Meta`].

mod adopt;
mod balance;
mod coding;
mod copy;
mod delete;
mod direct;
mod durability;
mod events;
pub mod gc;
pub mod get;
mod health;
mod lease;
pub mod list;
pub mod nodes;
pub mod put;
pub mod repair;
mod scatter;
pub mod scrub;
pub mod serve;
mod slow;
mod survey;
mod suspects;
pub mod upkeep;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{Either, select};

use crate::data::buffer::Pool;
use crate::data::erasure::{Coder, Scheme};
use crate::id::NodeId;
use crate::policy::Policy;
use crate::port::{Environment, Members, Meta, NodeRequest, NodeResponse, Transport, compute};
use crate::{Error, Result, Timestamp};

pub use balance::Balanced;
pub use durability::Durability;
pub use events::{Event, Events};
pub use gc::Collected;
pub use get::ByteStream;
pub use health::{ClusterHealth, NodeHealth};
pub use list::{ListQuery, Listing};
pub use nodes::NodeChange;
pub use put::{NewPart, StageKind, StageOptions, Staged};
pub use repair::{RepairScan, Repaired};
pub use scrub::Scrubbed;
pub use upkeep::{Report, Schedule};

/// What an engine stands on.
#[derive(Clone)]
pub struct Ports {
    /// Buckets, objects, chunks, leases.
    pub meta: Arc<dyn Meta>,
    /// The way to the nodes.
    pub transport: Arc<dyn Transport>,
    /// Who the nodes are.
    pub members: Arc<dyn Members>,
    /// Time, randomness, CPU.
    pub env: Arc<dyn Environment>,
}

/// The flows over one set of ports. Shared by all requests; what it remembers (code tables, buffers, node states, suspected copies) can be found again.
pub struct Engine {
    ports: Ports,
    policy: Policy,
    coders: Mutex<BTreeMap<Scheme, Arc<Coder>>>,
    buffers: Arc<Pool>,
    nodes: nodes::Nodes,
    suspects: suspects::Suspects,
    slow: slow::Slow,
    listeners: events::Listeners,
    /// False only in the simulator, which must notice.
    verifies_shards: bool,
    /// The same: whether a copy is given up only when those that its record names are there.
    confirms_copies: bool,
}

impl Engine {
    /// An engine that works by `policy`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the policy contradicts itself.
    pub fn new(ports: Ports, policy: Policy) -> Result<Arc<Self>> {
        Self::build(ports, policy).map(Arc::new)
    }

    /// An engine with a planted bug: it believes whatever a node sends. The simulator must catch it.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    #[cfg(any(test, feature = "testing"))]
    pub fn gullible(ports: Ports, policy: Policy) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { verifies_shards: false, ..Self::build(ports, policy)? }))
    }

    /// An engine with another planted bug: it deletes every copy that a record does not name, without asking for those that it names. The simulator
    /// must catch it.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    #[cfg(any(test, feature = "testing"))]
    pub fn hasty(ports: Ports, policy: Policy) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { confirms_copies: false, ..Self::build(ports, policy)? }))
    }

    fn build(ports: Ports, policy: Policy) -> Result<Self> {
        policy.validate()?;
        let (nodes, suspects, slow, listeners) = Default::default();
        let buffers = Pool::new(policy.idle_buffer_bytes);
        let coders = Mutex::default();
        Ok(Self { ports, policy, coders, buffers, nodes, suspects, slow, listeners, verifies_shards: true, confirms_copies: true })
    }

    /// The metadata store.
    pub fn meta(&self) -> &dyn Meta {
        &*self.ports.meta
    }

    /// The policy this engine works by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The time its environment tells.
    pub fn now(&self) -> Timestamp {
        self.ports.env.now()
    }

    /// 16 bytes nobody can guess, for a new id.
    pub fn new_id(&self) -> [u8; 16] {
        self.ports.env.random()
    }

    /// Runs CPU-bound work where its environment wants it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when the work panicked.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        compute(self.env(), work).await
    }

    fn env(&self) -> &dyn Environment {
        &*self.ports.env
    }

    fn coder(&self, scheme: Scheme) -> Arc<Coder> {
        let mut coders = self.coders.lock().unwrap_or_else(PoisonError::into_inner);
        coders.entry(scheme).or_insert_with(|| Arc::new(Coder::new(scheme))).clone()
    }

    /// Asks a node, for at most [`Policy::request_timeout_ms`].
    async fn call(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        let answer = self.ports.transport.call(node, request);
        match select(answer, self.env().sleep(self.policy.request_timeout_ms)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Error::unavailable(format!("{node:?} did not answer within {} ms", self.policy.request_timeout_ms))),
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A node answered another question than was asked.
fn unexpected(node: NodeId, answer: &NodeResponse) -> Error {
    Error::internal(format!("{node:?} gave an answer that does not fit the question: {:?}", std::mem::discriminant(answer)))
}

#[cfg(test)]
mod tests;
