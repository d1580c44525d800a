//! What the workload draws, from a seed.

/// Keys that there may be.
pub const KEYS: u64 = 3000;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of the keys.
    pub fn key(&mut self) -> Vec<u8> {
        key(self.below(KEYS))
    }

    /// Up to 2 KiB that do not compress.
    pub fn value(&mut self) -> Vec<u8> {
        let words = 1 + self.below(256);
        (0..words).flat_map(|_| self.next().to_le_bytes()).collect()
    }
}

/// The key of a number.
pub fn key(number: u64) -> Vec<u8> {
    format!("key-{number:06}").into_bytes()
}
