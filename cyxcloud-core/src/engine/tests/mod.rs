//! The flows over ports in memory, with virtual time.

mod adopting;
mod coding;
mod collecting;
mod deleting;
mod direct;
mod reading;
mod repairing;
mod stale;
mod writing;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, TryStreamExt};

use super::{Engine, Ports, StageKind, StageOptions, Staged};
use crate::data::erasure::Scheme;
use crate::id::{AccountId, BucketId, BucketName, ObjectKey, VersionId};
use crate::memory::MemoryMeta;
use crate::policy::Policy;
use crate::port::{Bucket, BucketSettings, Environment, Fate, Metadata, NewVersion, Object, Precondition};
use crate::testing::{MemoryNodes, SplitMix64, VirtualTime};
use crate::{Error, Result};

const BUCKET: BucketId = BucketId([1; 16]);

struct World {
    time: VirtualTime,
    nodes: Arc<MemoryNodes>,
    meta: Arc<MemoryMeta>,
    engine: Arc<Engine>,
}

/// Small chunks, so that objects of a few KiB have many.
fn policy() -> Policy {
    Policy { chunk_size_bytes: 40_000, inline_max_bytes: 100, ..Policy::default() }
}

impl World {
    fn new(nodes: u8, policy: Policy) -> Self {
        Self::with_capacity(nodes, policy, 1 << 40)
    }

    fn with_capacity(nodes: u8, policy: Policy, capacity_bytes: u64) -> Self {
        let time = VirtualTime::new(1);
        let env: Arc<dyn Environment> = Arc::new(time.clone());
        let nodes = Arc::new(MemoryNodes::new(nodes, capacity_bytes));
        let meta = Arc::new(MemoryMeta::new(env.clone()));
        let ports = Ports { meta: meta.clone(), transport: nodes.clone(), members: nodes.clone(), env };
        let engine = Engine::new(ports, policy).unwrap();
        let name = BucketName::new("bucket").unwrap();
        let bucket = Bucket { id: BUCKET, name, owner: AccountId([0; 16]), created: engine.now(), settings: BucketSettings::default() };
        time.run(engine.meta().create_bucket(bucket)).unwrap();
        Self { time, nodes, meta, engine }
    }

    fn stage(&self, bytes: &[u8], kind: StageKind) -> Result<Staged> {
        let pieces: Vec<_> = bytes.chunks(1000).map(|piece| Ok::<_, Error>(Bytes::copy_from_slice(piece))).collect();
        self.time.run(self.engine.stage(stream::iter(pieces), kind))
    }

    /// As into a bucket that has settings of its own.
    fn stage_with(&self, bytes: &[u8], settings: BucketSettings) -> Result<Staged> {
        let body = stream::iter([Ok::<_, Error>(Bytes::copy_from_slice(bytes))]);
        self.time.run(self.engine.stage(body, StageOptions { settings, ..StageKind::Object.into() }))
    }

    fn commit(&self, staged: Staged, key: &str) -> Result<Object> {
        self.time.run(self.engine.commit(staged, self.version(key)))
    }

    fn version(&self, key: &str) -> NewVersion {
        NewVersion {
            bucket: BUCKET,
            key: ObjectKey::new(key).unwrap(),
            version: VersionId(self.engine.new_id()),
            etag: "etag".into(),
            modified: self.engine.now(),
            metadata: Metadata::default(),
            precondition: Precondition::None,
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<Object> {
        self.commit(self.stage(bytes, StageKind::Object)?, key)
    }

    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.time.run(async {
            let object = self.engine.meta().object(BUCKET, &ObjectKey::new(key)?).await?;
            self.collect(&object, 0..object.head.size_bytes).await
        })
    }

    async fn collect(&self, object: &Object, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        let parts: Vec<Bytes> = self.engine.read(&object.manifest, range).await?.try_collect().await?;
        Ok(parts.concat())
    }

    fn delete(&self, key: &str) {
        let key = ObjectKey::new(key).unwrap();
        let deleted = self.engine.meta().delete_object(BUCKET, &key, Precondition::None, Fate::Release);
        assert!(self.time.run(deleted).unwrap());
    }

    fn shards(&self) -> usize {
        use crate::port::Store;
        self.nodes.stores().map(|store| self.time.run(store.list(None, usize::MAX)).unwrap().len()).sum()
    }
}

fn payload(seed: u64, len: usize) -> Vec<u8> {
    SplitMix64(seed).bytes(len)
}

fn small(k: usize, m: usize) -> Policy {
    Policy { scheme: Scheme::new(k, m).unwrap(), ..policy() }
}
