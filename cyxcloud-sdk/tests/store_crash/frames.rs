//! Keys and frames that can be told apart from all others: a frame begins with its version, and everything after it follows from key and version.

use bytes::Bytes;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::testing::SplitMix64;

/// Bytes of a frame that hold its version.
const VERSION_BYTES: usize = 8;

/// Keys that a load uses, and how long its frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Sizes around the block size and shard size, some keys written by every task.
    Mixed,
    /// Large frames over few keys: most of what is written is garbage soon.
    Bulky,
    /// Every version of a key is equally long, as shards are; so a read during a failed put is judged byte for byte too.
    Steady,
}

impl Load {
    /// Numbers of the keys: `first..first + TASKS * own + shared`.
    pub fn keys(self) -> Keys {
        match self {
            Load::Mixed => Keys { first: 0, own: 16, shared: 8 },
            Load::Bulky => Keys { first: 100, own: 6, shared: 0 },
            Load::Steady => Keys { first: 200, own: 16, shared: 8 },
        }
    }

    fn of(number: u16) -> Self {
        match number {
            0..100 => Load::Mixed,
            100..200 => Load::Bulky,
            _ => Load::Steady,
        }
    }
}

/// Tasks that write at the same time.
pub const TASKS: u16 = 4;

/// The keys of a [`Load`]: some belong to one task, whose operations follow one another; the others everybody writes.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// The first number.
    pub first: u16,
    /// How many each task has.
    pub own: u16,
    /// How many all of them write.
    pub shared: u16,
}

impl Keys {
    /// One of `task`'s keys, or one in eight times a shared one.
    pub fn choose(self, task: u16, random: &mut SplitMix64) -> u16 {
        if self.shared > 0 && random.chance(125) {
            self.first + TASKS * self.own + random.below(self.shared.into()) as u16
        } else {
            self.first + task * self.own + random.below(self.own.into()) as u16
        }
    }

    /// Any of them.
    pub fn any(self, random: &mut SplitMix64) -> u16 {
        self.first + random.below((TASKS * self.own + self.shared).into()) as u16
    }
}

/// Key of a number. Three in a row differ in their index only.
pub fn key(number: u16) -> ShardKey {
    let mut chunk = [0; 32];
    chunk.copy_from_slice(&SplitMix64(u64::from(number / 3) << 32).bytes(32));
    ShardKey { chunk: ChunkId(chunk), index: (number % 3) as u8 }
}

/// The number of a key, None if it is not one of [`key`]'s.
pub fn number(wanted: ShardKey) -> Option<u16> {
    (0..300).find(|number| key(*number) == wanted)
}

/// The frame of a key in one version.
pub fn frame(number: u16, version: u64) -> Vec<u8> {
    const MIXED: [usize; 8] = [VERSION_BYTES, 100, 4072, 4088, 4096, 5000, 20_000, 100_000];
    let mut random = SplitMix64(u64::from(number).rotate_right(16) ^ version);
    let len = match Load::of(number) {
        Load::Mixed => MIXED[random.below(MIXED.len())],
        Load::Bulky => random.within(50_000..=200_000) as usize,
        Load::Steady => MIXED[usize::from(number) % MIXED.len()],
    };
    frame_of_len(number, version, len)
}

/// The frame of a key in one version, `len` bytes long.
pub fn frame_of_len(number: u16, version: u64, len: usize) -> Vec<u8> {
    let mut random = SplitMix64(u64::from(number).rotate_right(16) ^ !version);
    let words = (0..len.saturating_sub(VERSION_BYTES).div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
    let mut frame: Vec<u8> = version.to_le_bytes().into_iter().chain(words).collect();
    frame.truncate(len);
    frame
}

/// A frame as writers hand it over: in pieces.
pub fn pieces(frame: Vec<u8>) -> Vec<Bytes> {
    let whole = Bytes::from(frame);
    let cut = whole.len() / 3;
    vec![whole.slice(..cut), whole.slice(cut..)]
}

/// The version of what was served, None when it is not a frame of this key byte for byte.
pub fn recognise(number: u16, served: &[u8]) -> Option<u64> {
    let version = u64::from_le_bytes(served.get(..VERSION_BYTES)?.try_into().ok()?);
    (frame(number, version) == served).then_some(version)
}

/// Whether what was served while the key was being written is the beginning of a frame of this key.
pub fn begins_a_frame(number: u16, served: &[u8]) -> bool {
    let Some(Ok(version)) = served.get(..VERSION_BYTES).map(<[u8; VERSION_BYTES]>::try_from) else { return false };
    frame(number, u64::from_le_bytes(version)).starts_with(served)
}

#[test]
fn frames_tell_key_and_version() {
    for number in [0, 1, 7, 99, 100, 200, 271] {
        let good = frame(number, 1 << 32 | 5);
        assert_eq!(recognise(number, &good), Some(1 << 32 | 5));
        assert_eq!(recognise(number, &good[..good.len() - 1]), None);
        assert_eq!(number, super::frames::number(key(number)).unwrap());
    }
    let mut damaged = frame(100, 3);
    assert_eq!(recognise(101, &damaged), None);
    assert!(begins_a_frame(100, &damaged[..20_000]));
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(recognise(100, &damaged), None);
    assert!(!begins_a_frame(100, &damaged) && !begins_a_frame(100, b"short"));
}
