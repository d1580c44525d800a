#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]
use std::time::Instant;
use blake3::hazmat::*;
fn groups(data: &[u8]) -> Vec<[u8;32]> {
    data.chunks(16384).enumerate().map(|(i, g)| { let mut h = blake3::Hasher::new(); h.set_input_offset((i * 16384) as u64); h.update(g); h.finalize_non_root() }).collect()
}
fn lanes(shards: &[&[u8]]) -> usize {
    // every chunk of every shard, 16 at a time
    let p = blake3::platform::Platform::detect();
    let mut inputs: Vec<&[u8;1024]> = Vec::new();
    let mut out = [0u8; 32*16];
    let mut n = 0;
    for s in shards { for c in s.chunks_exact(1024) { inputs.push(c.try_into().unwrap()); if inputs.len()==16 { p.hash_many(&inputs, &[0u32;8], 0, blake3::IncrementCounter::Yes, 0, 1, 2, &mut out); inputs.clear(); n+=out[0] as usize; } } }
    n
}
fn main() {
    let len: usize = std::env::args().nth(1).map_or(104896, |a| a.parse().unwrap());
    let buf: Vec<u8> = (0..14*len).map(|i| (i*31>>3) as u8).collect();
    let shards: Vec<&[u8]> = buf.chunks(len).collect();
    let mut best = std::collections::BTreeMap::<&str, Vec<f64>>::new();
    for _ in 0..60 {
        let mut t = |name, f: &mut dyn FnMut() -> usize| { let t = Instant::now(); std::hint::black_box(f()); best.entry(name).or_default().push(t.elapsed().as_nanos() as f64); };
        t("hash", &mut || shards.iter().map(|s| blake3::hash(s).as_bytes()[0] as usize).sum());
        for b in [16384usize, 32768, 65536] {
            t(match b {16384=>"update16", 32768=>"update32",_=>"update64"}, &mut || { let mut hs: Vec<_> = shards.iter().map(|_| blake3::Hasher::new()).collect();
                for c in (0..len).step_by(b) { for (h,s) in hs.iter_mut().zip(&shards) { h.update(&s[c..len.min(c+b)]); } } hs.iter().map(|h| h.finalize().as_bytes()[0] as usize).sum() });
        }
        t("bao", &mut || shards.iter().map(|s| bao_tree::io::outboard::PreOrderMemOutboard::create(s, bao_tree::BlockSize::from_chunk_log(4)).root.as_bytes()[0] as usize).sum());
        t("groups", &mut || shards.iter().map(|s| groups(s)[0][0] as usize).sum());
        t("lanes", &mut || lanes(&shards));
    }
    for (n, v) in &best { let mut v = v.clone(); v.sort_by(f64::total_cmp); println!("{n:10} min {:6.2} med {:6.2} GB/s hashed", (14*len) as f64/v[0], (14*len) as f64/v[v.len()/2]); }
}
