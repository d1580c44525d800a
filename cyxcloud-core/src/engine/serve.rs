//! The node's side: what a node does with each request, over its own store.

use bytes::Bytes;

use crate::data::shard::{self, ByteRange, HEADER_BYTES, Header};
use crate::id::ShardKey;
use crate::port::{NodeRequest, NodeResponse, ShardStat, Store};
use crate::{Error, ErrorKind, Result};

/// Most shards one list answer holds, whatever was asked.
const MAX_LIST: usize = 10_000;
/// Most shards one question may be about.
pub const MAX_STAT: usize = 1024;

/// Carries out one request.
///
/// # Errors
/// Those of the store; [`crate::ErrorKind::Corrupt`] when a frame is damaged; [`crate::ErrorKind::Invalid`] for
/// requests no right client sends.
pub async fn serve(store: &dyn Store, request: NodeRequest) -> Result<NodeResponse> {
    match request {
        NodeRequest::Store { epoch, frame } => {
            store.put(frame.header().key, epoch, frame.into_pieces()).await?;
            Ok(NodeResponse::Stored)
        }
        NodeRequest::Read { key } => read(store, key).await.map(NodeResponse::Payload),
        NodeRequest::ReadRange { key, range } => read_range(store, key, range).await.map(NodeResponse::RangeProof),
        NodeRequest::Delete { key, fence } => store.delete(key, fence).await.map(NodeResponse::Deleted),
        NodeRequest::List { after, limit } => store.list(after, limit.min(MAX_LIST)).await.map(NodeResponse::Shards),
        NodeRequest::Stat { keys } => stat(store, keys).await.map(NodeResponse::Stats),
        NodeRequest::Space => store.space().await.map(NodeResponse::Space),
    }
}

async fn read(store: &dyn Store, key: ShardKey) -> Result<Bytes> {
    let info = store.info(key).await?.ok_or_else(|| Error::not_found(format!("{key:?} is not here")))?;
    let frame = store.read(key, 0, info.size_bytes).await?;
    let header = header_of(key, &frame)?;
    let end = HEADER_BYTES + header.payload_bytes as usize;
    if frame.len() < end {
        return Err(Error::corrupt(format!("{key:?}: frame cut short")));
    }
    Ok(frame.slice(HEADER_BYTES..end))
}

async fn read_range(store: &dyn Store, key: ShardKey, range: ByteRange) -> Result<Bytes> {
    let header = header_of(key, &store.read(key, 0, HEADER_BYTES as u64).await?)?;
    if range.start > range.end || range.end > header.payload_bytes {
        return Err(Error::invalid(format!("range {range:?} lies outside a payload of {} bytes", header.payload_bytes)));
    }
    let groups = shard::group_range(header.payload_bytes, range);
    let payload_at = HEADER_BYTES as u64;
    let window = store.read(key, payload_at + groups.start, groups.end - groups.start).await?;
    let tree_at = payload_at + header.payload_bytes;
    let tree = store.read(key, tree_at, header.frame_bytes() - tree_at).await?;
    shard::encode_range(&header, groups, &window, &tree)
}

/// What each header says, without reading payloads. A damaged header is as good as none.
async fn stat(store: &dyn Store, keys: Vec<ShardKey>) -> Result<Vec<Option<ShardStat>>> {
    if keys.len() > MAX_STAT {
        return Err(Error::invalid(format!("a node is asked about at most {MAX_STAT} shards at once, not {}", keys.len())));
    }
    let mut stats = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(info) = store.info(key).await? else {
            stats.push(None);
            continue;
        };
        let stat = match store.read(key, 0, HEADER_BYTES as u64).await.and_then(|bytes| header_of(key, &bytes)) {
            // A frame cut short has lost its payload, whatever its header says.
            Ok(header) if header.frame_bytes() == info.size_bytes => {
                Some(ShardStat { root: header.root, payload_bytes: header.payload_bytes, epoch: info.epoch })
            }
            Ok(_) => None,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => None,
            Err(e) => return Err(e),
        };
        stats.push(stat);
    }
    Ok(stats)
}

/// The header, if it belongs to `key`: media may return what was written elsewhere.
fn header_of(key: ShardKey, frame: &[u8]) -> Result<Header> {
    let header = Header::decode(frame)?;
    if header.key == key { Ok(header) } else { Err(Error::corrupt(format!("found {:?} where {key:?} belongs", header.key))) }
}
