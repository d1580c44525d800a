#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]
use cyxcloud_core::data::erasure::*;
use std::time::Instant;
fn main() {
    let off: usize = std::env::args().nth(1).map_or(0, |a| a.parse().unwrap());
    let len: usize = std::env::args().nth(2).map_or(65536, |a| a.parse().unwrap());
    let stride = len + std::env::args().nth(3).map_or(64, |a| a.parse::<usize>().unwrap());
    let mut buf = vec![7u8; 14 * stride + 256];
    let base = buf.as_ptr().align_offset(64) + off;
    let (_, rest) = buf.split_at_mut(base);
    let mut shards: Vec<&mut [u8]> = rest.chunks_mut(stride).take(14).map(|c| &mut c[..len]).collect();
    let (data, parity) = shards.split_at_mut(10);
    let data: Vec<&[u8]> = data.iter().map(|d| &**d).collect();
    let rse = reed_solomon_erasure::galois_8::ReedSolomon::new(10, 4).unwrap();
    let mut best = std::collections::BTreeMap::<String, Vec<f64>>::new();
    let ks: Vec<_> = Kernel::available().filter(|k| *k != Kernel::Portable).map(|k| (k, Coder::with_kernel(Scheme::DEFAULT, k))).collect();
    let reps = (1 << 20) / len + 1;
    for _ in 0..300 {
        let t = Instant::now();
        for _ in 0..reps { rse.encode_sep(&data, parity).unwrap(); }
        best.entry("rse".into()).or_default().push(t.elapsed().as_nanos() as f64 / reps as f64);
        for (k, c) in &ks {
            let t = Instant::now();
            for _ in 0..reps { c.encode_into(&data, parity).unwrap(); }
            best.entry(k.to_string()).or_default().push(t.elapsed().as_nanos() as f64 / reps as f64);
        }
    }
    let m = |v: &Vec<f64>| { let mut v = v.clone(); v.sort_by(f64::total_cmp); (v[0], v[v.len() / 2]) };
    let r = m(&best["rse"]);
    for (n, v) in &best { let (b, md) = m(v); println!("{n:12} min {:8.1} us {:6.1} GB/s  med {:6.1} GB/s  ratio min {:.2} med {:.2}", b / 1e3, 10.0 * len as f64 / b, 10.0*len as f64/md, r.0 / b, r.1 / md); }
}
