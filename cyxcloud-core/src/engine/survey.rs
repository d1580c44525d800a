//! What the metadata place, beside what the nodes say they hold, page by page in the order of chunk ids.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};

use super::Engine;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::placement::NodeView;
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::port::{NodeRequest, NodeResponse, ShardInfo};
use crate::{Error, Result};

/// Chunks of a page of a small cluster, and shards listed at a time.
const PAGE: usize = 1000;
/// Chunks of a page per node of a large one: each node is asked once per page, and should have something to say.
const PAGE_PER_NODE: usize = 20;
/// In clusters of up to so many nodes all are asked for what they hold of one chunk; in larger ones only those that its record names.
const ASK_ALL: usize = 64;
/// Nodes listed at the same time.
const PARALLEL: usize = 32;
/// Lists asked of one node for one page. Only a node with very many orphans has more to say, or one that invents shards.
const MAX_LISTS: usize = 100;

type Held = BTreeMap<ChunkId, Vec<Copy>>;
type Answered = BTreeMap<NodeId, ChunkId>;

/// Some referenced chunks and every shard of them that some node holds.
#[derive(Default)]
pub(super) struct Page {
    /// The chunks by id.
    pub(super) chunks: Vec<ChunkRecord>,
    /// What nodes hold of these chunks.
    held: Held,
    /// Nodes that answered, and up to which chunk. Of the others nothing is known.
    answered: Answered,
}

impl Page {
    /// Whether the copy is certainly not where the record says.
    pub(super) fn lacks(&self, chunk: ChunkId, copy: Copy) -> bool {
        self.answered.get(&copy.node).is_some_and(|through| chunk <= *through)
            && !self.held.get(&chunk).is_some_and(|held| held.contains(&copy))
    }

    /// The copy is there, whatever its node lists.
    pub(super) fn add(&mut self, chunk: ChunkId, copy: Copy) {
        self.held.entry(chunk).or_default().push(copy);
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
        if chunks.is_empty() {
            return Ok(None);
        }
        let nodes = view.nodes().iter().filter(|node| node.reachable).map(|node| node.id).collect();
        let (held, answered) = self.list_all(nodes, from.map(after), &chunks, PAGE).await;
        Ok(Some(Page { chunks, held, answered }))
    }

    /// One chunk, compared with what nodes hold of it: in a large cluster those that its record names, unless all are to be asked.
    pub(super) async fn survey_chunk(&self, record: ChunkRecord, everywhere: bool) -> Page {
        let view = self.view();
        let named = |node: NodeId| record.copies.iter().any(|copy| copy.node == node);
        let asked = |node: &&NodeView| node.reachable && (everywhere || view.nodes().len() <= ASK_ALL || named(node.id));
        let nodes = view.nodes().iter().filter(asked).map(|node| node.id).collect();
        let (from, limit) = (record.id.before().map(after), record.scheme.total() + 1);
        let chunks = vec![record];
        let (held, answered) = self.list_all(nodes, from, &chunks, limit).await;
        Page { chunks, held, answered }
    }

    async fn list_all(&self, nodes: Vec<NodeId>, from: Option<ShardKey>, chunks: &[ChunkRecord], limit: usize) -> (Held, Answered) {
        let list = |node: NodeId| async move { (node, self.list_node(node, from, chunks, limit).await) };
        let lists: Vec<_> = nodes.into_iter().map(list).collect();
        let lists: Vec<_> = stream::iter(lists).buffer_unordered(PARALLEL).collect().await;
        let mut held = Held::new();
        let mut answered = Answered::new();
        for (node, listed) in lists {
            let Ok((keys, Some(through))) = listed else { continue };
            answered.insert(node, through);
            keys.iter().for_each(|key| held.entry(key.chunk).or_default().push(Copy { shard: key.index, node }));
        }
        held.values_mut().for_each(|copies| copies.sort_unstable());
        (held, answered)
    }

    /// What `node` holds of `chunks`, which are in order, listed after `from` and `limit` at a time; and the last chunk that the answer tells
    /// everything of. What it holds besides is not kept, so that memory is bounded by the chunks whatever a node says.
    async fn list_node(
        &self,
        node: NodeId,
        mut from: Option<ShardKey>,
        chunks: &[ChunkRecord],
        limit: usize,
    ) -> Result<(Vec<ShardKey>, Option<ChunkId>)> {
        let Some(last) = chunks.last().map(|chunk| chunk.id) else { return Ok((Vec::new(), None)) };
        let wanted = |key: &ShardKey| chunks.binary_search_by_key(&key.chunk, |chunk| chunk.id).is_ok();
        let mut keys = Vec::new();
        for _ in 0..MAX_LISTS {
            let page = self.list_page(node, from, limit).await?;
            keys.extend(page.iter().map(|info| info.key).filter(wanted));
            match page.last() {
                Some(info) if info.key.chunk <= last => from = Some(info.key),
                _ => return Ok((keys, Some(last))),
            }
        }
        // Of the chunk it stopped at there may be more.
        Ok((keys, from.and_then(|key| key.chunk.before())))
    }

    /// One list of a node, refused when it is not what was asked for: a page that does not go on would be asked for again and again.
    pub(super) async fn list_page(&self, node: NodeId, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        let page = match self.call(node, NodeRequest::List { after, limit }).await? {
            NodeResponse::Shards(page) => page,
            other => return Err(super::unexpected(node, &other)),
        };
        let goes_on = page.is_sorted_by(|a, b| a.key < b.key) && page.first().is_none_or(|first| Some(first.key) > after);
        if goes_on && page.len() <= limit {
            return Ok(page);
        }
        Err(Error::unavailable(format!("{node:?} lists shards out of order, again, or more than were asked for")))
    }
}

/// The last key of a chunk: a list after it begins with the next chunk.
fn after(chunk: ChunkId) -> ShardKey {
    ShardKey { chunk, index: u8::MAX }
}
