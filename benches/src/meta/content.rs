//! Objects to be committed.

use anyhow::Result;
use cyxcloud_core::Timestamp;
use cyxcloud_core::data::chunk::chunk_id;
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, NodeId, ObjectKey, ShardRoot, VersionId};
use cyxcloud_core::port::{Bucket, CommitObject, Meta, Metadata, NewVersion, Precondition};
use cyxcloud_core::testing::SplitMix64;

/// The bucket of all objects.
pub const BUCKET: BucketId = BucketId([1; 16]);
/// Nodes of the cluster.
const NODES: u64 = 100;
const CHUNK_BYTES: u32 = 4 << 20;

/// Makes the bucket.
///
/// # Errors
/// The store's.
pub async fn make_bucket(meta: &dyn Meta) -> Result<()> {
    let name = BucketName::new("bench")?;
    Ok(meta
        .create_bucket(Bucket { id: BUCKET, name, owner: AccountId([1; 16]), created: Timestamp(0), settings: Default::default() })
        .await?)
}

/// The key of an object, in the order of its number.
pub fn key(number: u64) -> ObjectKey {
    ObjectKey::new(format!("photos/{:04}/{number:012}.jpg", number / 1000)).expect("it is short and has no dots")
}

/// Object `number` of so many chunks of 10+4; with none its bytes are in the metadata.
///
/// # Errors
/// The store's.
pub async fn commit(meta: &dyn Meta, number: u64, chunks: usize) -> Result<()> {
    let mut random = SplitMix64(number);
    let records: Vec<ChunkRecord> = (0..chunks).map(|_| record(&mut random)).collect();
    let refs = records.iter().map(|record| ChunkRef { id: record.id, size_bytes: record.size_bytes }).collect();
    let content = if chunks == 0 { Content::Inline(number.to_be_bytes().to_vec()) } else { Content::Chunks(refs) };
    let mut version = [0; 16];
    version.copy_from_slice(&random.bytes(16));
    let object = NewVersion {
        bucket: BUCKET,
        key: key(number),
        version: VersionId(version),
        etag: format!("{:032x}", u128::from_be_bytes(version)),
        modified: Timestamp(number),
        metadata: Metadata { headers: [("content-type".into(), "image/jpeg".into())].into(), ..Metadata::default() },
        precondition: Precondition::None,
    };
    let epoch = meta.begin_lease(60_000).await?.epoch;
    meta.commit_object(CommitObject { epoch, object, manifest: Manifest { content }, chunks: records }).await?;
    Ok(())
}

fn record(random: &mut SplitMix64) -> ChunkRecord {
    let scheme = Scheme::DEFAULT;
    let roots: Vec<ShardRoot> = (0..scheme.total())
        .map(|_| {
            let mut root = [0; 32];
            root.copy_from_slice(&random.bytes(32));
            ShardRoot(root)
        })
        .collect();
    let first = u64::from(roots[0].0[0]);
    let node = |shard: u8| NodeId(u128::from((first + 7 * u64::from(shard)) % NODES).to_be_bytes());
    let copies = (0..scheme.total() as u8).map(|shard| Copy { shard, node: node(shard) }).collect();
    ChunkRecord { id: chunk_id(scheme, CHUNK_BYTES, &roots), scheme, size_bytes: CHUNK_BYTES, roots, copies }
}
