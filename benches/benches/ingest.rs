//! The CPU path of an upload on one core, from bytes in memory to shards ready to be stored, against the stack one would assemble from crates:
//! RustCrypto's AES-GCM, reed-solomon-erasure with its C kernel, and `blake3::hash` of every shard.
//!
//! `1MiB` chunks are always the same and stay in the cache; `4MiB` chunks rotate through more memory than the second-level cache holds. The groups `encode` and `blake3`
//! measure the parts by themselves over the same shards: what the whole would cost if nothing but they were done.

use std::sync::Arc;

use aes_gcm::aead::{AeadInOut, KeyInit};
use bytes::Bytes;
use criterion::measurement::Measurement;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_benches::load::bodies;
use cyxcloud_core::data::buffer::{Buffer, Pool};
use cyxcloud_core::data::chunk::{Chunk, shard_len};
use cyxcloud_core::data::coded::code;
use cyxcloud_core::data::erasure::{Coder, Scheme};
use cyxcloud_core::data::seal::{Position, Sealer};
use reed_solomon_erasure::galois_8::ReedSolomon;

const SCHEME: Scheme = Scheme::DEFAULT;
const KEY: [u8; 32] = [7; 32];
const AT: Position = Position { index: 3, last: false };

/// Size of a chunk, and how many of them take turns.
const SETUPS: [(&str, usize, usize); 2] = [("1MiB", 1 << 20, 1), ("4MiB", 4 << 20, 8)];

fn ingest(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("ingest");
    for (name, size, count) in SETUPS {
        group.throughput(Throughput::Bytes(size as u64));
        encrypted(&mut group, name, size, count);
        plain(&mut group, name, size, count);
        parts(&mut group, name, size);
    }
    group.finish();
}

/// Bytes of one chunk at a time, in buffers of the pool, with room for the padding.
fn chunks(pool: &Arc<Pool>, size: usize, count: usize) -> Vec<Buffer> {
    let room = shard_len(SCHEME, size as u32) * SCHEME.data();
    let filled = |seed| {
        let mut buffer = pool.take(room);
        buffer[..size].copy_from_slice(&bodies::object(seed, size));
        buffer
    };
    (0..count as u64).map(filled).collect()
}

fn encrypted(group: &mut BenchmarkGroup<'_, impl Measurement>, name: &str, size: usize, count: usize) {
    let pool = Pool::new(64 << 20);
    let (coder, sealer) = (Coder::new(SCHEME), Sealer::new(&KEY, [1; 16]));
    let mut turn = chunks(&pool, size, count);
    group.bench_function(BenchmarkId::new("encrypted/ours", name), |b| {
        b.iter(|| {
            // Sealed in place again and again: the bytes differ, the work does not. A chunk leaves the rotation as shards and comes back with the next one.
            let mut chunk = turn.remove(0);
            let tag = sealer.seal(AT, &mut chunk[..size]).expect("within the limit");
            let id = code(&coder, &pool, Chunk::from(chunk.freeze())).expect("a chunk can be coded").record.id;
            turn.push(pool.take(shard_len(SCHEME, size as u32) * SCHEME.data()));
            (tag, id)
        });
    });
    let cipher = aes_gcm::Aes256Gcm::new(&KEY.into());
    let mut stack = Stack::new(size);
    let mut turn: Vec<Buffer> = chunks(&pool, size, count);
    let mut at = 0;
    group.bench_function(BenchmarkId::new("encrypted/stack", name), |b| {
        b.iter(|| {
            at = (at + 1) % count;
            let tag = cipher.encrypt_inout_detached(&[0; 12].into(), &[], (&mut turn[at][..size]).into()).expect("within the limit");
            (tag, stack.code(&turn[at]))
        });
    });
}

fn plain(group: &mut BenchmarkGroup<'_, impl Measurement>, name: &str, size: usize, count: usize) {
    let pool = Pool::new(64 << 20);
    let coder = Coder::new(SCHEME);
    let turn: Vec<Bytes> = chunks(&pool, size, count).into_iter().map(Buffer::freeze).collect();
    let mut at = 0;
    group.bench_function(BenchmarkId::new("plain/ours", name), |b| {
        b.iter(|| {
            at = (at + 1) % count;
            code(&coder, &pool, Chunk::from(turn[at].clone())).expect("a chunk can be coded").record.id
        });
    });
    let mut stack = Stack::new(size);
    group.bench_function(BenchmarkId::new("plain/stack", name), |b| {
        b.iter(|| {
            at = (at + 1) % count;
            stack.code(&turn[at])
        });
    });
}

/// Encoding alone and hashing alone, over shards that stay where they are.
fn parts(group: &mut BenchmarkGroup<'_, impl Measurement>, name: &str, size: usize) {
    let pool = Pool::new(64 << 20);
    let coder = Coder::new(SCHEME);
    let len = shard_len(SCHEME, size as u32);
    let data = chunks(&pool, size, 1).remove(0);
    let shards: Vec<&[u8]> = data.chunks_exact(len).collect();
    let mut parity = pool.take(len * SCHEME.parity());
    group.bench_function(BenchmarkId::new("encode", name), |b| {
        let mut rows: Vec<&mut [u8]> = parity.chunks_exact_mut(len).collect();
        b.iter(|| coder.encode_into(&shards, &mut rows).expect("the shards have one length"));
    });
    group.bench_function(BenchmarkId::new("blake3", name), |b| {
        b.iter(|| shards.iter().copied().chain(parity.chunks_exact(len)).map(|shard| blake3::hash(shard).as_bytes()[0]).max());
    });
}

/// What one would assemble from crates.
struct Stack {
    code: ReedSolomon,
    len: usize,
    parity: Vec<Vec<u8>>,
}

impl Stack {
    fn new(size: usize) -> Self {
        let len = shard_len(SCHEME, size as u32);
        let code = ReedSolomon::new(SCHEME.data(), SCHEME.parity()).expect("10+4 is a scheme");
        Self { code, len, parity: vec![vec![0; len]; SCHEME.parity()] }
    }

    fn code(&mut self, chunk: &[u8]) -> Vec<blake3::Hash> {
        let data: Vec<&[u8]> = chunk.chunks_exact(self.len).collect();
        self.code.encode_sep(&data, &mut self.parity).expect("the shards have one length");
        data.into_iter().chain(self.parity.iter().map(Vec::as_slice)).map(blake3::hash).collect()
    }
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = ingest }
criterion_main!(benches);
