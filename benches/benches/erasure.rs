//! Coding 10+4 on one core: our kernels, each forced in turn, and their peers, in one process over the same bytes.

use bytes::Bytes;
use criterion::measurement::Measurement;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_benches::load::bodies;
use cyxcloud_core::data::buffer::{Buffer, Pool};
use cyxcloud_core::data::chunk::shard_len;
use cyxcloud_core::data::erasure::{Coder, Kernel, Scheme};
use reed_solomon_erasure::galois_8::ReedSolomon;

const K: usize = 10;
const M: usize = 4;

/// Shard lengths: small, the size of a cache, and the shard of a 4 MiB chunk.
fn lengths() -> [usize; 3] {
    [4 << 10, 64 << 10, shard_len(Scheme::DEFAULT, 4 << 20)]
}

/// Ten data shards and their four parity shards, each at the beginning of a cache line as in the data path.
struct Shards {
    all: Vec<Buffer>,
}

impl Shards {
    fn new(len: usize) -> Self {
        let data: Vec<Bytes> = (0..K).map(|i| bodies::object(i as u64, len)).collect();
        let parity = Coder::new(Scheme::DEFAULT).encode(&data.iter().map(|shard| &shard[..]).collect::<Vec<_>>());
        let parity = parity.expect("the shards have one length");
        let aligned = |bytes: &[u8]| {
            let mut buffer = buffers(1, len).remove(0);
            buffer.copy_from_slice(bytes);
            buffer
        };
        Self { all: data.iter().map(|shard| &shard[..]).chain(parity.iter().map(Vec::as_slice)).map(aligned).collect() }
    }

    fn data(&self) -> Vec<&[u8]> {
        self.all[..K].iter().map(|shard| &shard[..]).collect()
    }

    fn parity(&self) -> Vec<&[u8]> {
        self.all[K..].iter().map(|shard| &shard[..]).collect()
    }
}

/// Aligned memory.
fn buffers(count: usize, len: usize) -> Vec<Buffer> {
    let pool = Pool::new(0);
    (0..count).map(|_| pool.take(len)).collect()
}

fn erasure(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("erasure");
    for len in lengths() {
        let shards = Shards::new(len);
        group.throughput(Throughput::Bytes((K * len) as u64));
        encode(&mut group, &shards, len);
        for lost in [1, 4] {
            reconstruct(&mut group, &shards, len, lost);
        }
        verify(&mut group, &shards, len);
    }
    group.finish();
}

fn encode(group: &mut BenchmarkGroup<'_, impl Measurement>, shards: &Shards, len: usize) {
    let data = shards.data();
    let mut parity = buffers(M, len);
    let mut parity: Vec<&mut [u8]> = parity.iter_mut().map(|shard| &mut shard[..]).collect();
    let oracle = ReedSolomon::new(K, M).expect("10+4 is a scheme");
    group.bench_function(BenchmarkId::new("encode/reed-solomon-erasure", len), |b| {
        b.iter(|| oracle.encode_sep(&data, &mut parity).expect("the shards have one length"));
    });
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(Scheme::DEFAULT, kernel);
        group.bench_function(BenchmarkId::new(format!("encode/{kernel}"), len), |b| {
            b.iter(|| coder.encode_into(&data, &mut parity).expect("the shards have one length"));
        });
    }
    let mut copy = buffers(K, len);
    group.bench_function(BenchmarkId::new("encode/memcpy", len), |b| {
        b.iter(|| copy.iter_mut().zip(&data).for_each(|(to, from)| to.copy_from_slice(from)));
    });
    let mut other = reed_solomon_simd::ReedSolomonEncoder::new(K, M, len).expect("it codes even lengths");
    group.bench_function(BenchmarkId::new("encode/reed-solomon-simd", len), |b| {
        b.iter(|| {
            data.iter().for_each(|shard| other.add_original_shard(shard).expect("ten shards are expected"));
            other.encode().expect("all shards were given").recovery(0).map(<[u8]>::len)
        });
    });
}

fn reconstruct(group: &mut BenchmarkGroup<'_, impl Measurement>, shards: &Shards, len: usize, lost: usize) {
    let oracle = ReedSolomon::new(K, M).expect("10+4 is a scheme");
    let mut present: Vec<(Vec<u8>, bool)> = shards.all.iter().map(|shard| (shard.to_vec(), true)).collect();
    group.bench_function(BenchmarkId::new(format!("reconstruct-{lost}/reed-solomon-erasure"), len), |b| {
        b.iter(|| {
            present[..lost].iter_mut().for_each(|(_, present)| *present = false);
            oracle.reconstruct(&mut present).expect("ten shards are there");
        });
    });
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(Scheme::DEFAULT, kernel);
        let present: Vec<Option<&[u8]>> = shards.all.iter().enumerate().map(|(i, shard)| (i >= lost).then_some(&shard[..])).collect();
        let mut made = buffers(lost, len);
        let mut wanted: Vec<(usize, &mut [u8])> = made.iter_mut().map(|shard| &mut shard[..]).enumerate().collect();
        group.bench_function(BenchmarkId::new(format!("reconstruct-{lost}/{kernel}"), len), |b| {
            b.iter(|| coder.rebuild_into(&present, &mut wanted).expect("ten shards are there"));
        });
    }
}

fn verify(group: &mut BenchmarkGroup<'_, impl Measurement>, shards: &Shards, len: usize) {
    let oracle = ReedSolomon::new(K, M).expect("10+4 is a scheme");
    group.bench_function(BenchmarkId::new("verify/reed-solomon-erasure", len), |b| {
        b.iter(|| assert!(oracle.verify(&shards.all).expect("the shards have one length")));
    });
    let (data, parity) = (shards.data(), shards.parity());
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(Scheme::DEFAULT, kernel);
        group.bench_function(BenchmarkId::new(format!("verify/{kernel}"), len), |b| {
            b.iter(|| assert!(coder.verify(&data, &parity).expect("the shards have one length")));
        });
    }
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = erasure }
criterion_main!(benches);
