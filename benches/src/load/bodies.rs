//! Object bytes: nothing compresses or deduplicates them, and a seed gives them again.

use bytes::Bytes;

/// What the null server answers with and its clients expect.
pub const NULL_SEED: u64 = 0;

/// `len` bytes that follow from `seed`. Different seeds share no chunk, because storage keeps equal chunks once.
pub fn object(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    let mut state = mix(seed ^ 0x6c6f_6164);
    for word in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word.copy_from_slice(&mix(state).to_le_bytes()[..word.len()]);
    }
    bytes.into()
}

/// The objects of one round of one run.
pub fn round(run_seed: u64, round: u32, objects: u32, len: usize) -> Vec<Bytes> {
    (0..objects).map(|i| object(mix(mix(run_seed) ^ (u64::from(round) << 32 | u64::from(i))), len)).collect()
}

/// SplitMix64's finaliser.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_differ_and_repeat() {
        let mut all: Vec<Bytes> = [round(1, 1, 3, 1001), round(1, 2, 3, 1001), round(2, 1, 3, 1001)].concat();
        assert_eq!(all, [round(1, 1, 3, 1001), round(1, 2, 3, 1001), round(2, 1, 3, 1001)].concat());
        assert!(all.iter().all(|object| object.len() == 1001));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 9);
    }
}
