//! PUT and GET through the engine on one thread, over nodes and metadata in memory: what the flows cost when neither disk nor network do.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_benches::load::bodies;
use cyxcloud_core::engine::{Engine, Ports, StageKind};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ObjectKey, VersionId};
use cyxcloud_core::memory::MemoryMeta;
use cyxcloud_core::policy::Policy;
use cyxcloud_core::port::{Bucket, Environment, Metadata, NewVersion, Object, Precondition};
use cyxcloud_core::testing::MemoryNodes;
use cyxcloud_core::{Result, Timestamp};
use futures::executor::block_on;
use futures::stream::{self, TryStreamExt};

const BUCKET: BucketId = BucketId([1; 16]);
/// Pieces as a socket brings them.
const PIECE_BYTES: usize = 64 << 10;

/// Work is done where it is asked for, and nothing is ever late.
#[derive(Default)]
struct OneThread {
    ids: AtomicU64,
}

#[async_trait]
impl Environment for OneThread {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }

    fn random(&self) -> [u8; 16] {
        u128::from(self.ids.fetch_add(1, Ordering::Relaxed)).to_le_bytes()
    }

    async fn sleep(&self, _: u64) {
        std::future::pending().await
    }

    async fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

async fn put(engine: &Engine, bytes: &Bytes) -> Result<Object> {
    let pieces = (0..bytes.len()).step_by(PIECE_BYTES).map(|at| Ok::<_, Infallible>(bytes.slice(at..bytes.len().min(at + PIECE_BYTES))));
    let staged = engine.stage(stream::iter(pieces), StageKind::Object).await?;
    let object = NewVersion {
        bucket: BUCKET,
        key: ObjectKey::new("key")?,
        version: VersionId(engine.new_id()),
        etag: "etag".into(),
        modified: engine.now(),
        metadata: Metadata::default(),
        precondition: Precondition::None,
    };
    engine.commit(staged, object).await
}

fn engine(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("engine");
    for (name, size) in [("64KiB", 64 << 10), ("8MiB", 8 << 20)] {
        let env: Arc<dyn Environment> = Arc::new(OneThread::default());
        let nodes = Arc::new(MemoryNodes::new(14, 1 << 40));
        let ports = Ports { meta: Arc::new(MemoryMeta::new(env.clone())), transport: nodes.clone(), members: nodes, env };
        let engine = Engine::new(ports, Policy::default()).expect("the default policy is valid");
        let bucket = BucketName::new("bucket").expect("a legal name");
        let bucket = Bucket { id: BUCKET, name: bucket, owner: AccountId([0; 16]), created: engine.now(), settings: Default::default() };
        block_on(engine.meta().create_bucket(bucket)).expect("it is the first");
        let bytes = bodies::object(1, size);
        group.throughput(Throughput::Bytes(size as u64));
        group
            .bench_function(BenchmarkId::new("put", name), |b| b.iter(|| block_on(put(&engine, &bytes)).expect("nothing fails in memory")));
        let object = block_on(put(&engine, &bytes)).expect("nothing fails in memory");
        group.bench_function(BenchmarkId::new("get", name), |b| {
            b.iter(|| {
                let read = block_on(async { engine.read(&object.manifest, 0..size as u64).await?.try_collect::<Vec<Bytes>>().await });
                read.expect("nothing fails in memory").len()
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = engine }
criterion_main!(benches);
