//! A kernel against `reed-solomon-erasure`: any scheme, length, alignment and pattern of losses.
#![no_main]

use cyxcloud_core::data::erasure::{Coder, Kernel, Scheme};
use cyxcloud_core::testing::SplitMix64;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use reed_solomon_erasure::galois_8::ReedSolomon;

#[derive(Arbitrary, Debug)]
struct Case {
    kernel: u8,
    data: u8,
    parity: u8,
    len: u16,
    /// Seed of the bytes and of the alignments.
    seed: u64,
    /// Which bit is damaged before the second check.
    bit: u32,
    lost: Vec<u8>,
    wanted: Vec<u8>,
}

/// A slice that ends where its allocation ends, so that AddressSanitizer sees the first byte too far, at an alignment of its own.
struct Shard {
    start: usize,
    bytes: Vec<u8>,
}

impl Shard {
    fn new(start: usize, bytes: &[u8]) -> Self {
        // Collected from an exact iterator: no spare capacity.
        Self {
            start,
            bytes: std::iter::repeat_n(0xEE, start).chain(bytes.iter().copied()).collect::<Vec<_>>().into_boxed_slice().into_vec(),
        }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn get_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    fn is_fenced(&self) -> bool {
        self.bytes[..self.start].iter().all(|byte| *byte == 0xEE)
    }
}

fn slices(shards: &[Shard]) -> Vec<&[u8]> {
    shards.iter().map(Shard::get).collect()
}

fuzz_target!(|case: Case| {
    // Small schemes mostly, the largest now and then: those take long and differ in nothing but the number of rows.
    let large = case.seed % 16 == 0;
    let k = 1 + usize::from(case.data) % if large { 200 } else { 24 };
    let m = usize::from(case.parity) % if large { 56 } else { 12 };
    let longest = if large {
        300
    } else if case.seed % 8 == 1 {
        9000
    } else {
        600
    };
    let len = 1 + usize::from(case.len) % longest;
    let scheme = Scheme::new(k, m).expect("at most 256 shards");
    let kernels: Vec<Kernel> = Kernel::available().collect();
    let coder = Coder::with_kernel(scheme, kernels[usize::from(case.kernel) % kernels.len()]);

    let mut random = SplitMix64(case.seed);
    let mut alignment = SplitMix64(!case.seed);
    let mut start = || if alignment.chance(300) { 0 } else { alignment.below(64) };
    let plain: Vec<Vec<u8>> = (0..k).map(|_| random.bytes(len)).collect();
    let data: Vec<Shard> = plain.iter().map(|bytes| Shard::new(start(), bytes)).collect();
    let mut expected = vec![vec![0; len]; m];
    if m > 0 {
        ReedSolomon::new(k, m).expect("a scheme").encode_sep(&plain, &mut expected).expect("shards of one length");
    }

    let mut parity: Vec<Shard> = (0..m).map(|_| Shard::new(start(), &random.bytes(len))).collect();
    coder.encode_into(&slices(&data), &mut parity.iter_mut().map(Shard::get_mut).collect::<Vec<_>>()).expect("shards of the scheme");
    assert_eq!(slices(&parity), expected, "{} {scheme}", coder.kernel());
    assert!(parity.iter().all(Shard::is_fenced), "{} {scheme} wrote before its slice", coder.kernel());
    assert!(data.iter().zip(&plain).all(|(shard, plain)| shard.get() == plain && shard.is_fenced()), "an input changed");

    assert!(coder.verify(&slices(&data), &slices(&parity)).expect("shards of the scheme"));
    let whole: Vec<Vec<u8>> = plain.into_iter().chain(expected).collect();
    if m > 0 {
        let bit = case.bit as usize % (whole.len() * len * 8);
        let mut damaged = whole.clone();
        damaged[bit / 8 / len][bit / 8 % len] ^= 1 << (bit % 8);
        let damaged: Vec<Shard> = damaged.iter().map(|bytes| Shard::new(start(), bytes)).collect();
        assert!(!coder.verify(&slices(&damaged[..k]), &slices(&damaged[k..])).expect("shards of the scheme"), "bit {bit} not noticed");
    }

    let lost: Vec<usize> = case.lost.iter().map(|index| usize::from(*index) % (k + m)).collect();
    let shards: Vec<Shard> = whole.iter().map(|bytes| Shard::new(start(), bytes)).collect();
    let present: Vec<Option<&[u8]>> =
        shards.iter().enumerate().map(|(index, shard)| (!lost.contains(&index)).then(|| shard.get())).collect();
    let mut wanted: Vec<(usize, Shard)> =
        case.wanted.iter().map(|index| (usize::from(*index) % (k + m), Shard::new(start(), &vec![0x55; len]))).collect();
    let outcome = coder.rebuild_into(&present, &mut wanted.iter_mut().map(|(index, shard)| (*index, shard.get_mut())).collect::<Vec<_>>());
    let enough = present.iter().flatten().count() >= k;
    let once = wanted.iter().map(|(index, _)| index).collect::<std::collections::BTreeSet<_>>().len() == wanted.len();
    assert_eq!(outcome.is_ok(), enough && once || wanted.is_empty(), "{scheme} with {lost:?} lost");
    if outcome.is_ok() {
        assert!(
            wanted.iter().all(|(index, shard)| shard.get() == whole[*index] && shard.is_fenced()),
            "{} {scheme} {lost:?}",
            coder.kernel()
        );
    }
});
