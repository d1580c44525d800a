//! What the metadata place, beside what the nodes say they hold, page by page in the order of chunk ids.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};

use super::Engine;
use crate::Result;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::placement::NodeView;
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::port::{NodeRequest, NodeResponse};

/// Chunks of a page of a small cluster, and shards listed at a time.
const PAGE: usize = 1000;
/// Chunks of a page per node of a large one: each node is asked once per page, and should have something to say.
const PAGE_PER_NODE: usize = 20;
/// In clusters of up to so many nodes all are asked for what they hold of one chunk; in larger ones only those that its record names.
const ASK_ALL: usize = 64;
/// Nodes listed at the same time.
const PARALLEL: usize = 32;

type Held = BTreeMap<ChunkId, Vec<Copy>>;

/// Some referenced chunks and every shard of them that some node holds.
#[derive(Default)]
pub(super) struct Page {
    /// The chunks by id.
    pub(super) chunks: Vec<ChunkRecord>,
    /// What nodes hold of these chunks and of dead or unknown ones between them, by chunk.
    held: Held,
    /// Nodes that gave a whole answer. Of the others nothing is known.
    answered: BTreeSet<NodeId>,
}

impl Page {
    /// Whether the copy is certainly not where the record says.
    pub(super) fn lacks(&self, chunk: ChunkId, copy: Copy) -> bool {
        self.answered.contains(&copy.node) && !self.held.get(&chunk).is_some_and(|held| held.contains(&copy))
    }

    /// What nodes hold of the chunk and its record does not name.
    pub(super) fn strays(&self, record: &ChunkRecord) -> Vec<Copy> {
        let held = self.held.get(&record.id).map_or(&[][..], Vec::as_slice);
        held.iter().filter(|copy| !record.copies.contains(copy) && usize::from(copy.shard) < record.scheme.total()).copied().collect()
    }
}

impl Engine {
    /// The next page after `from`; None at the end. The records are read first: a copy that a record named was durable before, so that
    /// its absence from a later list is real unless the record has changed since.
    pub(super) async fn survey(&self, from: Option<ChunkId>) -> Result<Option<Page>> {
        let view = self.view();
        let chunks = self.meta().scan_chunks(from, PAGE.max(PAGE_PER_NODE * view.nodes().len())).await?;
        let Some(last) = chunks.last().map(|chunk| chunk.id) else { return Ok(None) };
        let nodes = view.nodes().iter().filter(|node| node.reachable).map(|node| node.id).collect();
        let (held, answered) = self.list_all(nodes, from.map(after), last, PAGE).await;
        Ok(Some(Page { chunks, held, answered }))
    }

    /// One chunk, compared with what nodes hold of it.
    pub(super) async fn survey_chunk(&self, record: ChunkRecord) -> Page {
        let view = self.view();
        let named = |node: NodeId| record.copies.iter().any(|copy| copy.node == node);
        let asked = |node: &&NodeView| node.reachable && (view.nodes().len() <= ASK_ALL || named(node.id));
        let nodes = view.nodes().iter().filter(asked).map(|node| node.id).collect();
        let (held, answered) = self.list_all(nodes, record.id.before().map(after), record.id, record.scheme.total() + 1).await;
        Page { chunks: vec![record], held, answered }
    }

    async fn list_all(&self, nodes: Vec<NodeId>, from: Option<ShardKey>, last: ChunkId, limit: usize) -> (Held, BTreeSet<NodeId>) {
        let list = |node: NodeId| async move { (node, self.list_node(node, from, last, limit).await) };
        let lists: Vec<_> = nodes.into_iter().map(list).collect();
        let lists: Vec<_> = stream::iter(lists).buffer_unordered(PARALLEL).collect().await;
        let mut held = Held::new();
        let mut answered = BTreeSet::new();
        for (node, keys) in lists {
            let Ok(keys) = keys else { continue };
            answered.insert(node);
            keys.iter().for_each(|key| held.entry(key.chunk).or_default().push(Copy { shard: key.index, node }));
        }
        held.values_mut().for_each(|copies| copies.sort_unstable());
        (held, answered)
    }

    /// The shards of `node` after `from` and up to those of `last`, `limit` at a time.
    async fn list_node(&self, node: NodeId, mut from: Option<ShardKey>, last: ChunkId, limit: usize) -> Result<Vec<ShardKey>> {
        let mut keys = Vec::new();
        loop {
            let page = match self.call(node, NodeRequest::List { after: from, limit }).await? {
                NodeResponse::Shards(page) => page,
                other => return Err(super::unexpected(node, &other)),
            };
            keys.extend(page.iter().map(|info| info.key).filter(|key| key.chunk <= last));
            match page.last() {
                Some(info) if info.key.chunk <= last => from = Some(info.key),
                _ => return Ok(keys),
            }
        }
    }
}

/// The last key of a chunk: a list after it begins with the next chunk.
fn after(chunk: ChunkId) -> ShardKey {
    ShardKey { chunk, index: u8::MAX }
}
