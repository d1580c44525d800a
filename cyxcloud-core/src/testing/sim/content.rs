//! Bytes that name themselves: the entity tag of every object and part says what its bytes must be, so each read checks itself.

use bytes::Bytes;

use crate::testing::SplitMix64;

/// A run of bytes made from a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) seed: u32,
    pub(super) len: u16,
}

impl Block {
    fn fill(self, out: &mut Vec<u8>) {
        let mut random = SplitMix64(u64::from(self.seed) << 20);
        let end = out.len() + usize::from(self.len);
        while out.len() + 8 <= end {
            out.extend_from_slice(&random.next().to_le_bytes());
        }
        let last = random.next().to_le_bytes();
        out.extend_from_slice(&last[..end - out.len()]);
    }
}

/// What one write stores: its number, which no other write has, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) write: u32,
    pub(super) blocks: Vec<Block>,
}

impl Value {
    pub(super) fn len(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.len)).sum()
    }

    pub(super) fn bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len() as usize);
        self.blocks.iter().for_each(|block| block.fill(&mut out));
        out.into()
    }

    /// The entity tag, from which [`Value::parse`] reads all of it back.
    pub(super) fn etag(&self) -> String {
        use std::fmt::Write;
        let mut tag = format!("{:x}", self.write);
        for block in &self.blocks {
            write!(tag, "-{:x}.{:x}", block.seed, block.len).unwrap();
        }
        tag
    }

    pub(super) fn parse(etag: &str) -> Option<Self> {
        let mut fields = etag.split('-');
        let write = u32::from_str_radix(fields.next()?, 16).ok()?;
        let block = |field: &str| {
            let (seed, len) = field.split_once('.')?;
            Some(Block { seed: u32::from_str_radix(seed, 16).ok()?, len: u16::from_str_radix(len, 16).ok()? })
        };
        Some(Self { write, blocks: fields.map(block).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_everything() {
        let value = Value { write: 77, blocks: vec![Block { seed: 3, len: 1000 }, Block { seed: 0xffff, len: 7 }] };
        assert_eq!(Value::parse(&value.etag()), Some(value.clone()));
        assert_eq!(value.bytes().len() as u64, value.len());
        assert_eq!(Value::parse("77-x"), None);
    }
}
