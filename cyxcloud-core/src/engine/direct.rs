//! Uploads of writers outside the cluster, who code and store their chunks themselves: nothing they say is believed until the nodes confirm it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;

use super::coding::Coding;
use super::serve::MAX_STAT;
use super::{Engine, Staged, unexpected};
use crate::control::health::Fleet;
use crate::data::chunk::shard_len;
use crate::data::erasure::Scheme;
use crate::data::manifest::{ChunkRecord, Content, Copy, Manifest};
use crate::data::placement::{ClusterView, Demand, plan};
use crate::id::{NodeId, ShardKey};
use crate::policy::Policy;
use crate::port::settings::check_scheme;
use crate::port::{BucketSettings, NodeRequest, NodeResponse, ShardStat};
use crate::{Error, Result};

/// More nodes than this no writer finds failed at once.
const MAX_AVOIDED: usize = 1024;

impl Engine {
    /// The copies of `chunk` to make beside those that are `held`, not on nodes to `avoid`. Its own copies mean nothing. Which bucket it is for is asked when it
    /// is staged.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the chunk's id does not follow from its roots or no bucket may have its scheme,
    /// [`crate::ErrorKind::Unavailable`] when too few nodes take shards.
    pub fn plan_copies(&self, chunk: &ChunkRecord, held: &[Copy], avoid: &BTreeSet<NodeId>) -> Result<Vec<Copy>> {
        self.check_any(chunk)?;
        check_copies(chunk, held, self.policy.node_tolerance)?;
        require_known(&self.view(), held)?;
        if avoid.len() > MAX_AVOIDED {
            return Err(Error::invalid(format!("at most {MAX_AVOIDED} nodes can be avoided, not {}", avoid.len())));
        }
        self.plan_beside(chunk, held, avoid)
    }

    /// Those of the chunk's own copies that may be made now: their nodes take shards. A writer whose view of the nodes is an old one goes elsewhere with the others.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] as for [`Engine::plan_copies`].
    pub fn admit_copies(&self, chunk: &ChunkRecord) -> Result<Vec<Copy>> {
        self.check_any(chunk)?;
        check_copies(chunk, &chunk.copies, self.policy.node_tolerance)?;
        let view = self.view();
        let takes = |copy: &&Copy| view.node(copy.node).is_some_and(|node| node.writable);
        Ok(chunk.copies.iter().filter(takes).copied().collect())
    }

    /// A chunk of some bucket.
    fn check_any(&self, chunk: &ChunkRecord) -> Result<()> {
        if chunk.scheme != self.policy.scheme {
            check_scheme(chunk.scheme)?;
        }
        check_chunk(chunk.scheme, chunk)
    }

    pub(super) fn plan_beside(&self, chunk: &ChunkRecord, held: &[Copy], avoid: &BTreeSet<NodeId>) -> Result<Vec<Copy>> {
        let demand = Demand {
            scheme: chunk.scheme,
            node_tolerance: self.policy.node_tolerance.into(),
            chunk: chunk.id,
            shard_bytes: shard_len(chunk.scheme, chunk.size_bytes) as u64,
            held,
            avoid,
        };
        plan(&self.view(), &demand)
    }

    /// Takes what a writer outside the cluster says he stored under the lease of `epoch`, after asking every node whether it has it: the shards of all
    /// chunks, under this epoch or a later one, with the roots that the chunks' ids commit to. What is returned can be committed like bytes staged here.
    ///
    /// A node may be gone since it took its shards, as it may after a PUT: copies that nobody confirms are left out, for repair to make anew, as long as
    /// each chunk keeps more shards than are urgent and survives the loss of nodes that it must.
    ///
    /// A bucket with a write quorum takes chunks that have it, each shard on a node of its own.
    ///
    /// Whether the shards of a chunk belong together is the writer's own affair: the id of a chunk names its roots, so nobody else's chunk has them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when manifest and chunks contradict the policy, the bucket's settings or themselves, [`crate::ErrorKind::Conflict`] when a node does not have what
    /// it is said to have, [`crate::ErrorKind::Unavailable`] when too many do not answer or the placement does not survive what it must.
    pub async fn stage_direct(
        &self,
        epoch: u64,
        settings: &BucketSettings,
        manifest: Manifest,
        mut chunks: Vec<ChunkRecord>,
    ) -> Result<Staged> {
        let coding = Coding::new(&self.policy, settings);
        if let Content::Inline(bytes) = &manifest.content
            && bytes.len() > self.policy.inline_max_bytes as usize
        {
            return Err(Error::invalid(format!("at most {} bytes are kept inline, not {}", self.policy.inline_max_bytes, bytes.len())));
        }
        let brought: BTreeMap<_, _> = chunks.iter().map(|chunk| (chunk.id, chunk.size_bytes)).collect();
        // A chunk that is only named is not his: whoever knows the name of one would otherwise be given the right to read it.
        if let Some(other) = manifest.chunks().iter().find(|named| brought.get(&named.id) != Some(&named.size_bytes)) {
            return Err(Error::invalid(format!("the manifest names {:?}, which the upload does not bring", other.id)));
        }
        let (view, fleet) = (self.view(), self.fleet());
        let mut by_node: BTreeMap<NodeId, Vec<(ShardKey, ShardStat)>> = BTreeMap::new();
        for chunk in &chunks {
            check_chunk(coding.scheme, chunk)?;
            check_copies(chunk, &chunk.copies, self.policy.node_tolerance)?;
            require_known(&view, &chunk.copies)?;
            self.require_spread(&fleet, coding, chunk)?;
            let payload_bytes = shard_len(chunk.scheme, chunk.size_bytes) as u64;
            for copy in &chunk.copies {
                let expected = ShardStat { root: chunk.roots[usize::from(copy.shard)], payload_bytes, epoch };
                by_node.entry(copy.node).or_default().push((ShardKey { chunk: chunk.id, index: copy.shard }, expected));
            }
        }
        let asked = by_node.into_iter().map(|(node, shards)| async move { Ok((node, self.ask_for_shards(node, shards).await?)) });
        let silent: BTreeMap<NodeId, Error> = try_join_all(asked).await?.into_iter().filter_map(|(node, why)| Some((node, why?))).collect();
        for chunk in &mut chunks {
            leave_out(coding, chunk, &silent, self.node_tolerance(&view))?;
        }
        Ok(Staged::new(epoch, manifest, chunks, coding))
    }

    /// What a commit says about a chunk holds for everybody who has the same bytes, so a careless placement would be theirs too: it must survive what
    /// ours survive, and crowd no node or wider domain more. Up to `m` nodes may have failed the writer and nobody else.
    fn require_spread(&self, fleet: &Fleet, coding: Coding, chunk: &ChunkRecord) -> Result<()> {
        let none = BTreeSet::new();
        let is_quorate = coding.is_quorate(&chunk.copies);
        let is_complete = is_quorate || self.plan_beside(chunk, &chunk.copies, &none)?.is_empty();
        let is_like = |plan: Result<Vec<Copy>>| match plan {
            Ok(plan) => is_spread_like(fleet, chunk, &plan),
            // Where no room is left for all of them, a quorum on nodes of their own is as good as it gets.
            Err(_) => is_quorate && fleet.crowding(&chunk.copies)[0] <= 1,
        };
        if is_complete && is_like(self.plan_beside(chunk, &[], &none)) {
            return Ok(());
        }
        let used: BTreeSet<NodeId> = chunk.copies.iter().map(|copy| copy.node).collect();
        let unused: BTreeSet<NodeId> = self.view().nodes().iter().filter(|node| node.writable).map(|node| node.id).collect();
        let unused = &unused - &used;
        if is_complete && unused.len() <= chunk.scheme.parity() && is_like(self.plan_beside(chunk, &[], &unused)) {
            return Ok(());
        }
        Err(Error::unavailable(format!("the copies of {:?} do not survive what they must; look the bucket up and upload again", chunk.id)))
    }

    /// Each shard must be on the node, under the epoch of its writer or a later one: a copy that lay there before is not safe from the collector.
    /// Ok(Some(why)) when the node does not answer, or not as a node should: one that is ill must not refuse the uploads of everybody.
    async fn ask_for_shards(&self, node: NodeId, shards: Vec<(ShardKey, ShardStat)>) -> Result<Option<Error>> {
        for some in shards.chunks(MAX_STAT) {
            let keys = some.iter().map(|(key, _)| *key).collect();
            let stats = match self.call(node, NodeRequest::Stat { keys }).await {
                Ok(NodeResponse::Stats(stats)) if stats.len() == some.len() => stats,
                Ok(other) => return Ok(Some(unexpected(node, &other))),
                Err(error) => return Ok(Some(error)),
            };
            let confirms = |is: &Option<ShardStat>, expected: &ShardStat| {
                is.is_some_and(|is| is.root == expected.root && is.payload_bytes == expected.payload_bytes && is.epoch >= expected.epoch)
            };
            if let Some((_, (key, _))) = stats.iter().zip(some).find(|(is, (_, expected))| !confirms(is, expected)) {
                return Err(Error::conflict(format!("{node:?} does not have {key:?} as it was uploaded; upload again")));
            }
        }
        Ok(None)
    }
}

fn check_chunk(scheme: Scheme, chunk: &ChunkRecord) -> Result<()> {
    let refused = |why: &str| Error::invalid(format!("{:?}: {why}", chunk.id));
    if chunk.scheme != scheme {
        return Err(refused(&format!("chunks of this bucket are coded {scheme}, not {}", chunk.scheme)));
    }
    if chunk.size_bytes == 0 || chunk.size_bytes > Policy::MAX_CHUNK_BYTES {
        return Err(refused(&format!("no chunk has {} bytes", chunk.size_bytes)));
    }
    chunk.check().map_err(|e| refused("its id does not follow from scheme, size and roots").with_source(e))
}

/// Copies that may be looked at at all: of shards there are, and not many more than any plan has.
fn check_copies(chunk: &ChunkRecord, copies: &[Copy], node_tolerance: u8) -> Result<()> {
    let total = chunk.scheme.total();
    let most = total * (usize::from(node_tolerance) + 2);
    if copies.len() > most || copies.iter().any(|copy| usize::from(copy.shard) >= total) {
        return Err(Error::invalid(format!("{:?} has {total} shards, and no more than {most} copies", chunk.id)));
    }
    Ok(())
}

/// A node that nobody here has heard of holds nothing: it may have come since.
fn require_known(view: &ClusterView, copies: &[Copy]) -> Result<()> {
    match copies.iter().find(|copy| view.node(copy.node).is_none()) {
        Some(copy) => Err(Error::unavailable(format!("{:?} is not known here; look at the nodes again", copy.node))),
        None => Ok(()),
    }
}

/// Whether no node holds more of the chunk than after `plan`, and no wider domain much more: a writer that had to go elsewhere may double up once.
fn is_spread_like(fleet: &Fleet, chunk: &ChunkRecord, plan: &[Copy]) -> bool {
    let (crowds, fair) = (fleet.crowding(&chunk.copies), fleet.crowding(plan));
    let bearable = |level: usize| if level == 0 { fair[level] } else { fair[level].max((fair[level] + 1).min(chunk.scheme.parity())) };
    crowds.iter().enumerate().all(|(level, crowd)| *crowd <= bearable(level))
}

/// Leaves out the copies on `silent` nodes, where what is left suffices.
fn leave_out(coding: Coding, chunk: &mut ChunkRecord, silent: &BTreeMap<NodeId, Error>, node_tolerance: usize) -> Result<()> {
    let Some(why) = chunk.copies.iter().find_map(|copy| silent.get(&copy.node)) else { return Ok(()) };
    chunk.copies.retain(|copy| !silent.contains_key(&copy.node));
    if coding.suffices(&chunk.copies, node_tolerance) {
        return Ok(());
    }
    let left = chunk.copies.len();
    Err(Error::unavailable(format!("only {left} copies of {:?} are confirmed by their nodes, too few; upload again: {why}", chunk.id)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Timestamp;
    use crate::data::placement::{Domains, NodeView};
    use crate::id::ChunkId;

    /// Fifteen hosts of fourteen nodes each: 14 copies on as many nodes of one host would be lost with it.
    #[test]
    fn copies_may_not_gather_on_one_host() {
        let node = |n: u8| NodeView {
            id: NodeId([n; 16]),
            domains: Domains { host: format!("host-{}", n / 14), ..Domains::default() },
            free_bytes: 1 << 30,
            reachable: true,
            writable: true,
        };
        let view = Arc::new(ClusterView::new((0..210).map(node).collect()));
        let fleet = Fleet::new(&view, &BTreeMap::new(), 1, Timestamp(0));
        let on = |node: fn(u8) -> u8| (0..14).map(|shard| Copy { shard, node: NodeId([node(shard); 16]) }).collect::<Vec<_>>();
        let spread = on(|shard| shard * 14);
        let is_like = |copies: Vec<Copy>| {
            let chunk = ChunkRecord { id: ChunkId([1; 32]), scheme: Scheme::DEFAULT, size_bytes: 1, roots: Vec::new(), copies };
            is_spread_like(&fleet, &chunk, &spread)
        };
        assert!(is_like(spread.clone()));
        assert!(is_like(on(|shard| if shard == 0 { 15 } else { shard * 14 })), "one host may have failed the writer");
        assert!(!is_like(on(|shard| shard)), "all on one host");
        assert!(!is_like(on(|shard| shard / 3 * 14 + shard % 3)), "three on each of some hosts");
        assert!(!is_like(on(|shard| shard / 2 * 14)), "two on each of some nodes");
    }
}
