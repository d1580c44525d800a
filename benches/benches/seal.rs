//! Sealing and opening one chunk in place, by each backend and by its peers: `cargo bench -p cyxcloud-benches --bench seal`.
//!
//! `memcpy` is what merely touching the bytes costs; `raw` peers are the crates without our nonce, associated data and checks.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aes_gcm::aead::{AeadInOut, KeyInit};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_core::data::seal::{Backend, Position, Sealer};

const SIZES: [(&str, usize); 4] = [("4KiB", 4 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20), ("4MiB", 4 << 20)];
const KEY: [u8; 32] = [7; 32];
const AT: Position = Position { index: 3, last: false };

fn seal(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("seal");
    for (size, bytes) in SIZES {
        let mut chunk: Vec<u8> = (0..bytes).map(|i| (i * 31 + i / 251) as u8).collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        for &backend in Backend::available() {
            let sealer = Sealer::with_backend(&KEY, [1; 16], backend);
            group.bench_function(BenchmarkId::new(format!("seal/{backend}"), size), |b| b.iter(|| sealer.seal(AT, black_box(&mut chunk))));
        }
        for &backend in Backend::available() {
            let sealer = Sealer::with_backend(&KEY, [1; 16], backend);
            group.bench_function(BenchmarkId::new(format!("open/{backend}"), size), |b| {
                let tag = sealer.seal(AT, &mut chunk).expect("within the limit");
                let sealed = [&chunk[..], &tag].concat();
                let mut work = sealed.clone();
                // Opening changes its input, so each round begins with a copy, which is not counted.
                b.iter_custom(|rounds| {
                    let mut took = Duration::ZERO;
                    for _ in 0..rounds {
                        work.copy_from_slice(&sealed);
                        let start = Instant::now();
                        black_box(sealer.open(AT, &mut work).expect("what was sealed opens"));
                        took += start.elapsed();
                    }
                    took
                });
            });
        }
        group.bench_function(BenchmarkId::new("seal/raw aws-lc-rs", size), |b| {
            use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("32 bytes"));
            b.iter(|| key.seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), black_box(&mut chunk)));
        });
        group.bench_function(BenchmarkId::new("seal/raw ring", size), |b| {
            use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("32 bytes"));
            b.iter(|| key.seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), black_box(&mut chunk)));
        });
        group.bench_function(BenchmarkId::new("seal/raw aes-gcm", size), |b| {
            let cipher = aes_gcm::Aes256Gcm::new(&KEY.into());
            b.iter(|| cipher.encrypt_inout_detached(&[0; 12].into(), &[], black_box(&mut chunk[..]).into()));
        });
        group.bench_function(BenchmarkId::new("seal/memcpy", size), |b| {
            let mut copy = vec![0; bytes];
            b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&chunk)));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = seal }
criterion_main!(benches);
