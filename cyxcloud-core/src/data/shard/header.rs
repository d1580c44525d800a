//! The first bytes of a frame, which say what the rest is.

use bytes::{BufMut, BytesMut};

use super::{HEADER_BYTES, MAX_PAYLOAD_BYTES, frame_bytes};
use crate::data::erasure::Scheme;
use crate::id::{ChunkId, ShardKey, ShardRoot};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"CYXSHARD";
const VERSION: u16 = 1;

/// The checked header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame says it is.
    pub key: ShardKey,
    /// The scheme of its chunk.
    pub scheme: Scheme,
    /// Length of the payload.
    pub payload_bytes: u64,
    /// BLAKE3 of the payload.
    pub root: ShardRoot,
}

impl Header {
    /// The stored form.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = BytesMut::with_capacity(HEADER_BYTES);
        out.put_slice(MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(self.scheme.data() as u16);
        out.put_u16_le(self.scheme.parity() as u16);
        out.put_u8(self.key.index);
        out.put_u8(0);
        out.put_u64_le(self.payload_bytes);
        out.put_slice(&self.key.chunk.0);
        out.put_slice(&self.root.0);
        out.put_u64_le(0);
        let check = blake3::hash(&out);
        out.put_slice(check.as_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&out);
        header
    }

    /// Reads and checks the first [`HEADER_BYTES`] of a frame.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] for damage and for versions this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bad = |what: &str| Error::corrupt(format!("shard frame: {what}"));
        let header: &[u8; HEADER_BYTES] =
            bytes.get(..HEADER_BYTES).and_then(|b| b.try_into().ok()).ok_or_else(|| bad("header cut short"))?;
        if &header[..8] != MAGIC {
            return Err(bad("not a shard"));
        }
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        if u16_at(8) != VERSION {
            return Err(bad(&format!("version {} is unknown; this program knows {VERSION}", u16_at(8))));
        }
        if blake3::hash(&header[..96]).as_bytes() != &header[96..] {
            return Err(bad("header damaged"));
        }
        let array = |at: usize| <[u8; 32]>::try_from(&header[at..at + 32]).expect("the slice has 32 bytes");
        let scheme = Scheme::new(u16_at(10).into(), u16_at(12).into()).map_err(|_| bad("impossible scheme"))?;
        let payload_bytes = u64::from_le_bytes(header[16..24].try_into().expect("the slice has 8 bytes"));
        if usize::from(header[14]) >= scheme.total() || payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(bad("impossible index or length"));
        }
        let key = ShardKey { chunk: ChunkId(array(24)), index: header[14] };
        Ok(Self { key, scheme, payload_bytes, root: ShardRoot(array(56)) })
    }

    /// Length of the whole frame.
    pub fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_bytes)
    }
}
