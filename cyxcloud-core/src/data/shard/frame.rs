//! A shard with all that is stored beside it.

use bytes::{Bytes, BytesMut};

use super::{Hashed, Header, MAX_PAYLOAD_BYTES};
use crate::data::erasure::Scheme;
use crate::id::{ShardKey, ShardRoot};
use crate::{Error, Result};

/// A shard ready to be stored: header, payload and tree.
///
/// Whoever has one knows that the payload is what the header's root names: it was hashed in this process, when the frame was made. A payload that comes from
/// anywhere else becomes a frame through [`Frame::checked`] only.
#[derive(Clone, Debug)]
pub struct Frame {
    header: Header,
    payload: Bytes,
    tree: Bytes,
}

impl Frame {
    /// The frame of `payload`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for an index beyond the scheme or an impossible length.
    pub fn new(key: ShardKey, scheme: Scheme, payload: Bytes) -> Result<Self> {
        let hashed = Hashed::new(&payload);
        Self::of_hashed(key, scheme, payload, hashed)
    }

    /// The frame of a `payload` that arrived as the one `expected` names.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when it is another; those of [`Frame::new`].
    pub fn checked(key: ShardKey, scheme: Scheme, expected: ShardRoot, payload: Bytes) -> Result<Self> {
        let frame = Self::new(key, scheme, payload)?;
        if frame.header.root != expected {
            return Err(Error::corrupt(format!("{key:?} does not have the bytes its root names")));
        }
        Ok(frame)
    }

    /// The frame of a payload that was hashed while it was made.
    pub(in crate::data) fn of_hashed(key: ShardKey, scheme: Scheme, payload: Bytes, Hashed { root, tree }: Hashed) -> Result<Self> {
        let payload_bytes = payload.len() as u64;
        if usize::from(key.index) >= scheme.total() || payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(Error::invalid(format!("shard {} of {payload_bytes} bytes does not fit scheme {scheme}", key.index)));
        }
        Ok(Self { header: Header { key, scheme, payload_bytes, root }, payload, tree })
    }

    /// What it says it is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The shard itself.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// What is stored, in pieces that lie one after another: nothing of it is copied.
    pub fn into_pieces(self) -> Vec<Bytes> {
        vec![Bytes::copy_from_slice(&self.header.encode()), self.payload, self.tree]
    }

    /// What is stored, in one piece.
    pub fn to_bytes(&self) -> Bytes {
        let mut frame = BytesMut::with_capacity(self.header.frame_bytes() as usize);
        self.clone().into_pieces().iter().for_each(|piece| frame.extend_from_slice(piece));
        frame.freeze()
    }
}
