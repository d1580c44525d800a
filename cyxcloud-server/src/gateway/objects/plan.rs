//! Where the shards of chunks go, and the right to store them there.

use std::collections::BTreeSet;

use cyxcloud_proto::gateway::v1 as message;
use cyxcloud_sdk::Result;
use cyxcloud_sdk::core::data::chunk::shard_len;
use cyxcloud_sdk::core::data::manifest::Copy;
use cyxcloud_sdk::core::id::{AccountId, ShardKey};
use cyxcloud_sdk::credential::Capability;
use cyxcloud_sdk::wire::{self, object as convert};

use super::{MAX_CHUNKS, Objects, at_most};

impl Objects {
    pub(super) async fn plan_all(&self, account: AccountId, request: message::PlanChunksRequest) -> Result<message::PlanChunksResponse> {
        let message::PlanChunksRequest { upload, chunks } = request;
        at_most(chunks.len(), MAX_CHUNKS, "chunks")?;
        let upload = self.live_upload(account, &upload).await?;
        let wanted = |plan: &message::PlanChunk| plan.chunk.as_ref().map_or(0, |chunk| chunk.copies.len());
        let wanted: Vec<usize> = chunks.iter().map(wanted).collect();
        let chunks: Vec<_> = chunks.into_iter().map(|chunk| self.plan(upload.epoch, chunk)).collect::<Result<_>>()?;
        let some_left_out = chunks.iter().zip(wanted).any(|(planned, wanted)| planned.copies.len() < wanted);
        Ok(message::PlanChunksResponse { chunks, nodes: if some_left_out { self.nodes() } else { Vec::new() } })
    }

    fn plan(&self, epoch: u64, plan: message::PlanChunk) -> Result<message::PlannedChunk> {
        let chunk = convert::chunk(plan.chunk)?;
        let held = convert::copies(&plan.held)?;
        let avoid: BTreeSet<_> = plan.avoid.iter().map(|id| wire::node_id(id)).collect::<Result<_>>()?;
        let copies =
            if chunk.copies.is_empty() { self.engine.plan_copies(&chunk, &held, &avoid)? } else { self.engine.admit_copies(&chunk)? };
        let payload_bytes = shard_len(chunk.scheme, chunk.size_bytes) as u64;
        let now = self.engine.now();
        let grant = |copy: Copy| {
            let key = ShardKey { chunk: chunk.id, index: copy.shard };
            let root = chunk.roots[usize::from(copy.shard)];
            self.granted(copy, &Capability::store(copy.node, key, root, payload_bytes, epoch, now))
        };
        Ok(message::PlannedChunk { copies: copies.into_iter().map(grant).collect() })
    }
}
