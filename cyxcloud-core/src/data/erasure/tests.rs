//! Every kernel this machine has, against `reed-solomon-erasure`.

use proptest::prelude::*;
use reed_solomon_erasure::galois_8::ReedSolomon;

use super::*;
use crate::ErrorKind;
use crate::testing::SplitMix64;

/// `k` random data shards.
fn data(k: usize, len: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = SplitMix64(seed);
    (0..k).map(|_| random.bytes(len)).collect()
}

fn slices<S: AsRef<[u8]>>(shards: &[S]) -> Vec<&[u8]> {
    shards.iter().map(AsRef::as_ref).collect()
}

/// The parity that the oracle computes.
fn oracle(scheme: Scheme, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if scheme.parity() == 0 {
        return Vec::new();
    }
    let mut parity = vec![vec![0; data[0].len()]; scheme.parity()];
    ReedSolomon::new(scheme.data(), scheme.parity()).unwrap().encode_sep(data, &mut parity).unwrap();
    parity
}

#[test]
fn the_best_kernel_is_available_and_the_portable_one_always_is() {
    assert!(Kernel::best().is_available());
    assert_eq!(Kernel::available().last(), Some(Kernel::Portable));
    let mut names: Vec<_> = Kernel::ALL.iter().map(|kernel| kernel.to_string()).collect();
    names.dedup();
    assert_eq!(names.len(), Kernel::ALL.len());
}

#[cfg(target_arch = "aarch64")]
#[test]
fn neon_is_the_best_kernel_of_arm() {
    assert_eq!(Kernel::best(), Kernel::Neon);
}

#[test]
fn every_four_losses_of_ten_plus_four_are_rebuilt_by_every_kernel() {
    // Odd, and longer than the widest step, so that whole steps, single vectors and the overlapping one all take part.
    let data = data(10, 341, 1);
    let all = [data.clone(), oracle(Scheme::DEFAULT, &data)].concat();
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(Scheme::DEFAULT, kernel);
        let mut patterns = 0;
        for lost in (0u32..1 << 14).filter(|bits| bits.count_ones() == 4) {
            let shards: Vec<_> = all.iter().enumerate().map(|(i, shard)| (lost >> i & 1 == 0).then_some(shard)).collect();
            let wanted: Vec<usize> = (0..14).filter(|i| lost >> i & 1 == 1).collect();
            let made = coder.rebuild(&shards, &wanted).unwrap();
            assert!(wanted.iter().zip(&made).all(|(i, made)| made == &all[*i]), "{kernel}, lost {lost:014b}");
            patterns += 1;
        }
        assert_eq!(patterns, 1001);
    }
}

#[test]
fn what_cannot_be_coded_is_an_error() {
    let coder = Coder::new(Scheme::new(3, 2).unwrap());
    let invalid = |outcome: Result<()>| assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Invalid);
    invalid(coder.rebuild(&[Some(vec![1; 4]), None, None, None, Some(vec![2; 4])], &[1]).map(drop));
    invalid(coder.rebuild(&[Some(vec![1; 4]), Some(vec![1; 3]), Some(vec![1; 4]), None, None], &[3]).map(drop));
    invalid(coder.rebuild(&[Some(vec![1; 4]), None], &[1]).map(drop));
    invalid(coder.rebuild(&[Some([1]), Some([1]), Some([1]), None, None], &[5]).map(drop));
    invalid(coder.encode(&[&[1, 2], &[1, 2]]).map(drop));
    invalid(coder.encode(&[&[1, 2], &[1, 2], &[1]]).map(drop));
    invalid(coder.verify(&[&[1], &[1], &[1]], &[&[1]]).map(drop));
    let plain = Coder::new(Scheme::new(2, 0).unwrap());
    assert_eq!(plain.encode(&[&[1], &[2]]).unwrap(), Vec::<Vec<u8>>::new());
    assert!(plain.verify(&[&[1], &[2]], &[]).unwrap());
    invalid(plain.rebuild(&[Some([1]), None], &[1]).map(drop));
}

#[test]
fn nothing_wanted_and_empty_shards_are_no_error() {
    let coder = Coder::new(Scheme::new(2, 1).unwrap());
    assert!(coder.rebuild::<Vec<u8>>(&[None, None, None], &[]).unwrap().is_empty());
    assert_eq!(coder.encode(&[&[], &[]]).unwrap(), [[0u8; 0]]);
    // A shard that is there may be wanted all the same; none may be wanted twice, and asking so spoils nothing for others.
    let shards = [Some(vec![7u8; 3]), Some(vec![9; 3]), None];
    assert_eq!(coder.rebuild(&shards, &[0, 1]).unwrap(), [[7; 3], [9; 3]]);
    assert_eq!(coder.rebuild(&shards, &[0, 0]).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(coder.rebuild(&shards, &[0]).unwrap(), [[7; 3]]);
    assert_eq!(coder.rebuild(&shards, &[1, 0, 1]).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn the_largest_scheme_works() {
    let scheme = Scheme::new(200, 56).unwrap();
    let data = data(200, 70, 3);
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(scheme, kernel);
        let parity = coder.encode(&slices(&data)).unwrap();
        assert_eq!(parity, oracle(scheme, &data));
        let shards: Vec<_> = data.iter().chain(&parity).enumerate().map(|(i, shard)| (i >= 56).then_some(shard)).collect();
        let wanted: Vec<usize> = (0..56).collect();
        assert_eq!(coder.rebuild(&shards, &wanted).unwrap(), data[..56]);
    }
}

proptest! {
    #[test]
    fn parity_is_the_oracles(k in 1usize..40, m in 0usize..11, len in 1usize..700, starts in prop::collection::vec(0usize..64, 50), seed: u64) {
        let scheme = Scheme::new(k, m).unwrap();
        // Each shard at an alignment of its own, with bytes around it that must stay.
        let data = data(k, len, seed);
        let padded: Vec<Vec<u8>> = data.iter().zip(&starts).map(|(shard, start)| [&vec![0xEE; *start][..], shard].concat()).collect();
        let inputs: Vec<&[u8]> = padded.iter().zip(&starts).map(|(shard, start)| &shard[*start..]).collect();
        let expected = oracle(scheme, &data);
        for kernel in Kernel::available() {
            let coder = Coder::with_kernel(scheme, kernel);
            let mut made: Vec<Vec<u8>> = starts[..m].iter().map(|start| vec![0xEE; start + len + 64]).collect();
            let mut outputs: Vec<&mut [u8]> = made.iter_mut().zip(&starts).map(|(out, start)| &mut out[*start..*start + len]).collect();
            coder.encode_into(&inputs, &mut outputs).unwrap();
            for ((made, start), expected) in made.iter().zip(&starts).zip(&expected) {
                prop_assert_eq!(&made[*start..start + len], &expected[..], "{}", kernel);
                let around = made[..*start].iter().chain(&made[start + len..]);
                prop_assert!(around.copied().all(|byte| byte == 0xEE), "{} wrote outside its slice", kernel);
            }
        }
    }

    #[test]
    fn one_wrong_bit_is_noticed(k in 1usize..20, m in 1usize..8, len in 1usize..400, bit: prop::sample::Index, seed: u64) {
        let scheme = Scheme::new(k, m).unwrap();
        let mut shards = data(k, len, seed);
        shards.extend(oracle(scheme, &shards));
        let bit = bit.index((k + m) * len * 8);
        let mut wrong = shards.clone();
        wrong[bit / 8 / len][bit / 8 % len] ^= 1 << (bit % 8);
        for kernel in Kernel::available() {
            let coder = Coder::with_kernel(scheme, kernel);
            let verify = |shards: &[Vec<u8>]| coder.verify(&slices(&shards[..k]), &slices(&shards[k..])).unwrap();
            prop_assert!(verify(&shards), "{}", kernel);
            prop_assert!(!verify(&wrong), "{} did not notice bit {}", kernel, bit);
        }
    }

    #[test]
    fn any_k_shards_make_any_others(k in 1usize..40, m in 0usize..11, len in 1usize..300, seed: u64) {
        let scheme = Scheme::new(k, m).unwrap();
        let mut all = data(k, len, seed);
        all.extend(oracle(scheme, &all));
        let mut random = SplitMix64(seed);
        let mut shards: Vec<Option<&Vec<u8>>> = all.iter().map(Some).collect();
        for _ in 0..m {
            let at = random.below(shards.len());
            shards[at] = None;
        }
        let wanted: Vec<usize> = (0..all.len()).filter(|_| random.chance(500)).rev().collect();
        for kernel in Kernel::available() {
            let made = Coder::with_kernel(scheme, kernel).rebuild(&shards, &wanted).unwrap();
            prop_assert!(wanted.iter().zip(&made).all(|(i, made)| made == &all[*i]), "{}", kernel);
        }
    }
}
