//! Opening what comes back.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cyxcloud_core::data::manifest::Manifest;
use cyxcloud_core::data::seal::{Position, Sealer, TAG_BYTES};
use cyxcloud_core::engine::{ByteStream, Engine};
use cyxcloud_core::{Error, Result};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Envelope, plain_size};

/// Chunks that are opened ahead of the one that is read.
const AHEAD: usize = 2;

/// An object's sealed bytes and how they are cut.
#[derive(Clone, Copy, Debug)]
struct Layout {
    chunk_bytes: u64,
    plain_chunk_bytes: u64,
    sealed_bytes: u64,
    plain_bytes: u64,
}

impl Layout {
    fn new(envelope: &Envelope, sealed_bytes: u64) -> Result<Self> {
        let plain_bytes = plain_size(sealed_bytes, envelope.chunk_size_bytes())?;
        let chunk_bytes = u64::from(envelope.chunk_size_bytes());
        Ok(Self { chunk_bytes, plain_chunk_bytes: chunk_bytes - TAG_BYTES as u64, sealed_bytes, plain_bytes })
    }

    /// The chunks that `range` lies in. For a range without bytes, as of an empty object, it is the last one, which proves where the object ends.
    fn chunks(&self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            let last = self.plain_bytes.div_ceil(self.plain_chunk_bytes).max(1) - 1;
            return last..last + 1;
        }
        range.start / self.plain_chunk_bytes..range.end.div_ceil(self.plain_chunk_bytes)
    }

    /// The sealed bytes of a chunk.
    fn sealed(&self, chunk: u64) -> Range<u64> {
        chunk * self.chunk_bytes..((chunk + 1) * self.chunk_bytes).min(self.sealed_bytes)
    }

    fn position(&self, chunk: u64) -> Result<Position> {
        let index = u32::try_from(chunk).map_err(|_| Error::corrupt("no encrypted object has so many chunks"))?;
        Ok(Position { index, last: self.sealed(chunk).end == self.sealed_bytes })
    }

    /// What of an opened chunk lies in `range`.
    fn wanted(&self, chunk: u64, range: &Range<u64>) -> Range<usize> {
        let begin = chunk * self.plain_chunk_bytes;
        let within = |at: u64| at.saturating_sub(begin).min(self.plain_chunk_bytes) as usize;
        within(range.start)..within(range.end)
    }
}

/// The plain bytes `range` of an object. The first chunk is opened before this returns.
pub(super) async fn open(
    engine: &Arc<Engine>,
    sealer: Sealer,
    envelope: &Envelope,
    manifest: &Manifest,
    range: Range<u64>,
) -> Result<ByteStream> {
    let layout = Layout::new(envelope, manifest.size_bytes())?;
    if range.start > range.end || range.end > layout.plain_bytes {
        return Err(Error::invalid(format!("range {range:?} lies outside an object of {} bytes", layout.plain_bytes)));
    }
    let chunks = layout.chunks(&range);
    let sealed = engine.read(manifest, layout.sealed(chunks.start).start..layout.sealed(chunks.end - 1).end).await?;
    let gather = move |(mut sealed, mut left): (Gather, Range<u64>)| async move {
        let Some(chunk) = left.next() else { return Ok(None) };
        let sealed_range = layout.sealed(chunk);
        let bytes = sealed.take((sealed_range.end - sealed_range.start) as usize).await?;
        Ok(Some(((chunk, bytes), (sealed, left))))
    };
    let (engine, sealer) = (engine.clone(), Arc::new(sealer));
    let open = move |(chunk, mut bytes): (u64, BytesMut)| {
        let (engine, sealer, wanted) = (engine.clone(), sealer.clone(), layout.wanted(chunk, &range));
        async move {
            let position = layout.position(chunk)?;
            let opened = engine.compute(move || {
                let plain_bytes = sealer.open(position, &mut bytes)?.len();
                bytes.truncate(plain_bytes);
                Ok::<_, Error>(bytes.freeze())
            });
            Ok(opened.await??.slice(wanted))
        }
    };
    let mut opened = stream::try_unfold((Gather { sealed, input: Bytes::new() }, chunks), gather).map_ok(open).try_buffered(AHEAD).boxed();
    let first = opened.try_next().await?;
    let first = first.filter(|bytes| !bytes.is_empty());
    Ok(stream::iter(first.map(Ok)).chain(opened).boxed())
}

/// Sealed bytes in pieces as they come, put together to chunks.
struct Gather {
    sealed: ByteStream,
    input: Bytes,
}

impl Gather {
    async fn take(&mut self, len: usize) -> Result<BytesMut> {
        let mut chunk = BytesMut::with_capacity(len);
        while chunk.len() < len {
            if self.input.is_empty() {
                self.input = self.sealed.try_next().await?.ok_or_else(|| Error::corrupt("the object ends before its last chunk"))?;
            }
            chunk.extend_from_slice(&self.input.split_to((len - chunk.len()).min(self.input.len())));
        }
        Ok(chunk)
    }
}
