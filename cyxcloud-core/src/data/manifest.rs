//! What the metadata store remembers of an object's bytes: the manifest of the object and the record of each chunk.
//!
//! Both are stored as one version byte followed by a [postcard](https://postcard.jamesmunns.com/wire-format) record; an unknown
//! version or a byte too many is refused. Golden bytes stand in the tests.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::erasure::Scheme;
use crate::id::{ChunkId, NodeId, ShardRoot};
use crate::{Error, Result};

/// The list of an object's chunks, or its bytes where they are few.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Where the bytes are.
    pub content: Content,
}

/// The bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// The bytes themselves: an object of at most [`crate::policy::Policy::inline_max_bytes`].
    Inline(Vec<u8>),
    /// Chunks in order.
    Chunks(Vec<ChunkRef>),
}

/// One chunk of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// The chunk.
    pub id: ChunkId,
    /// Bytes of object data in it.
    pub size_bytes: u32,
}

/// One chunk as the whole cluster knows it, shared by every object that holds the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// The chunk; commits to scheme, size and roots.
    pub id: ChunkId,
    /// How it is coded.
    pub scheme: Scheme,
    /// Bytes of object data in it.
    pub size_bytes: u32,
    /// BLAKE3 root of each of the `k+m` shards.
    pub roots: Vec<ShardRoot>,
    /// Where the shards are: at least one copy of each.
    pub copies: Vec<Copy>,
}

/// Copies of each shard that a record names at most, where uploads that lack shards added theirs.
const MOST_COPIES_OF_EACH: usize = 8;

/// One durable copy of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Copy {
    /// Index of the shard.
    pub shard: u8,
    /// The node that holds it.
    pub node: NodeId,
}

impl Manifest {
    const VERSION: u8 = 1;

    /// Object size in bytes.
    pub fn size_bytes(&self) -> u64 {
        match &self.content {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Chunks(chunks) => chunks.iter().map(|c| u64::from(c.size_bytes)).sum(),
        }
    }

    /// The chunks in order; none for inline content.
    pub fn chunks(&self) -> &[ChunkRef] {
        match &self.content {
            Content::Inline(_) => &[],
            Content::Chunks(chunks) => chunks,
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        encode(Self::VERSION, self)
    }

    /// Reads the stored form. [`crate::ErrorKind::Corrupt`] when it is not exactly one manifest of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode("manifest", Self::VERSION, bytes)
    }
}

/// How many shards have a copy.
pub(crate) fn distinct_shards(copies: &[Copy]) -> usize {
    let mut seen = [false; 256];
    copies.iter().filter(|copy| !std::mem::replace(&mut seen[usize::from(copy.shard)], true)).count()
}

impl From<Bytes> for Manifest {
    fn from(inline: Bytes) -> Self {
        Self { content: Content::Inline(inline.to_vec()) }
    }
}

impl ChunkRecord {
    const VERSION: u8 = 1;

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        encode(Self::VERSION, self)
    }

    /// Reads the stored form. [`crate::ErrorKind::Corrupt`] when it is not exactly one consistent record of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let record: Self = decode("chunk record", Self::VERSION, bytes)?;
        record.check()?;
        Ok(record)
    }

    /// Whether some of its shards have no copy.
    pub fn lacks_shards(&self) -> bool {
        distinct_shards(&self.copies) < self.scheme.total()
    }

    /// What a commit leaves of this record where one with copies `there` is referenced already. A whole one takes its place: its copies were made durable just
    /// now. To one that lacks shards the copies of the other are added, since whoever has the same bytes was promised them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when there would be more than eight copies for each shard: repair takes what is too many, long before that.
    pub fn beside(mut self, there: &[Copy]) -> Result<Self> {
        if !self.lacks_shards() {
            return Ok(self);
        }
        let others: Vec<Copy> = there.iter().copied().filter(|copy| !self.copies.contains(copy)).collect();
        self.copies.extend(others);
        if self.copies.len() <= MOST_COPIES_OF_EACH * self.scheme.total() {
            return Ok(self);
        }
        Err(Error::unavailable(format!(
            "{:?} has {} copies of its shards, more than there should be; try again when repair has been there",
            self.id,
            self.copies.len()
        )))
    }

    /// Whether the fields agree with each other, so that later code may index by them.
    pub fn check(&self) -> Result<()> {
        let total = self.scheme.total();
        let whole = self.roots.len() == total
            && self.copies.iter().all(|c| usize::from(c.shard) < total)
            && self.id == super::chunk::chunk_id(self.scheme, self.size_bytes, &self.roots);
        if whole { Ok(()) } else { Err(Error::corrupt(format!("record of {:?} contradicts itself", self.id))) }
    }

    /// The nodes that hold shard `index`.
    pub fn holders(&self, index: u8) -> impl Iterator<Item = NodeId> + '_ {
        self.copies.iter().filter(move |c| c.shard == index).map(|c| c.node)
    }
}

/// One version byte, then postcard.
pub fn encode<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("writing plain data to memory cannot fail")
}

/// The opposite of [`encode`].
pub fn decode<'a, T: Deserialize<'a>>(what: &str, version: u8, bytes: &'a [u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&found, rest)) if found == version => {
            let (value, left) =
                postcard::take_from_bytes(rest).map_err(|e| Error::corrupt(format!("stored {what} is damaged")).with_source(e))?;
            if left.is_empty() { Ok(value) } else { Err(Error::corrupt(format!("stored {what} has {} bytes too many", left.len()))) }
        }
        Some((found, _)) => Err(Error::corrupt(format!("stored {what} has version {found}; this program knows {version}"))),
        None => Err(Error::corrupt(format!("stored {what} is empty"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::chunk::chunk_id;

    fn record() -> ChunkRecord {
        let scheme = Scheme::new(2, 1).unwrap();
        let roots = vec![ShardRoot([1; 32]), ShardRoot([2; 32]), ShardRoot([3; 32])];
        let copies = (0..3).map(|i| Copy { shard: i, node: NodeId([i; 16]) }).collect();
        ChunkRecord { id: chunk_id(scheme, 100, &roots), scheme, size_bytes: 100, roots, copies }
    }

    #[test]
    fn golden_manifest() {
        let inline = Manifest::from(Bytes::from_static(b"hi"));
        assert_eq!(inline.encode(), [1, 0, 2, b'h', b'i']);
        let chunked = Manifest { content: Content::Chunks(vec![ChunkRef { id: ChunkId([7; 32]), size_bytes: 300 }]) };
        let mut golden = vec![1, 1, 1];
        golden.extend([7; 32]);
        golden.extend([0xac, 0x02]);
        assert_eq!(chunked.encode(), golden);
        assert_eq!(Manifest::decode(&golden).unwrap(), chunked);
    }

    #[test]
    fn golden_chunk_record() {
        let hash = blake3::hash(&record().encode()).to_hex();
        assert_eq!(hash.as_str(), "0d027e8f9ffad57e8605c4ee2524baf2867397c17d7c7ec096a9c9c4a824ffb1");
    }

    #[test]
    fn damage_is_refused() {
        let good = record().encode();
        assert_eq!(ChunkRecord::decode(&good).unwrap(), record());
        for length in 0..good.len() {
            assert!(ChunkRecord::decode(&good[..length]).is_err());
        }
        for at in 0..good.len() - 3 * 17 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(ChunkRecord::decode(&bad).is_err(), "byte {at}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(ChunkRecord::decode(&longer).is_err());
        assert!(Manifest::decode(&[2, 0, 0]).is_err());
    }
}
