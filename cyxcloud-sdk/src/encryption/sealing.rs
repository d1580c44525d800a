//! Sealing a body on its way out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cyxcloud_core::data::seal::{Position, Sealer, TAG_BYTES};
use cyxcloud_core::engine::Engine;
use cyxcloud_core::policy::Policy;
use cyxcloud_core::{Error, Result};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use super::envelope::ObjectName;
use super::hook::BoxError;
use super::keyring::Keyring;
use super::{METADATA_NAME, sealed_size};
use crate::PutOptions;

/// Chunks that are sealed ahead of the one that is stored.
const AHEAD: usize = 2;

/// Makes a new data key: how to seal the body, and what the options of the put become.
pub(super) async fn prepare(
    engine: &Engine,
    keyring: &Keyring,
    name: ObjectName<'_>,
    mut options: PutOptions,
) -> Result<(Sealing, PutOptions)> {
    let chunk_size_bytes = options.chunk_size_bytes.unwrap_or(engine.policy().chunk_size_bytes);
    Policy::check_chunk_size(chunk_size_bytes)?;
    options.size_bytes = options.size_bytes.map(|plain| sealed_size(plain, chunk_size_bytes)).transpose()?;
    // So that every sealed chunk is a chunk of the cluster.
    options.chunk_size_bytes = Some(chunk_size_bytes);
    let (sealer, envelope) = keyring.seal(engine, name, chunk_size_bytes).await?;
    options.metadata.user.insert(METADATA_NAME.to_owned(), envelope.text());
    Ok((Sealing { sealer: Arc::new(sealer), chunk_size_bytes }, options))
}

/// How to seal one body. It can be used once, as a data key belongs to one version.
pub(super) struct Sealing {
    sealer: Arc<Sealer>,
    chunk_size_bytes: u32,
}

impl Sealing {
    /// The sealed body, a chunk at a time, each made on the threads for CPU work.
    pub fn seal<'a, S, E>(self, engine: &Arc<Engine>, body: S) -> BoxStream<'a, Result<Bytes, BoxError>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'a,
        E: Into<BoxError>,
    {
        let (engine, sealer) = (engine.clone(), self.sealer);
        let cutter = Cutter {
            body: body.map_err(|e| e.into()).boxed(),
            input: Bytes::new(),
            plain_chunk_bytes: self.chunk_size_bytes as usize - TAG_BYTES,
            chunk: BytesMut::new(),
            next: Some(0),
        };
        let cuts = stream::try_unfold(cutter, |mut cutter| async move { Ok(cutter.next().await?.map(|cut| (cut, cutter))) });
        let seal = move |cut: Cut| {
            let (engine, sealer) = (engine.clone(), sealer.clone());
            async move {
                let Cut::Chunk(position, mut chunk) = cut else { return Ok(Bytes::new()) };
                let sealed = engine.compute(move || {
                    let tag = sealer.seal(position, &mut chunk)?;
                    chunk.extend_from_slice(&tag);
                    Ok::<_, Error>(chunk.freeze())
                });
                Ok(sealed.await??)
            }
        };
        cuts.map_ok(seal).try_buffered(AHEAD).boxed()
    }
}

/// What came of the body.
enum Cut {
    /// Some bytes, or none, that fill no chunk yet: whoever counts how long the body is silent hears that it is not.
    Sign,
    Chunk(Position, BytesMut),
}

/// Cuts a body into full chunks and a last one.
struct Cutter<'a> {
    body: BoxStream<'a, Result<Bytes, BoxError>>,
    input: Bytes,
    plain_chunk_bytes: usize,
    chunk: BytesMut,
    /// Index of the next chunk; None after the last.
    next: Option<u32>,
}

impl Cutter<'_> {
    async fn next(&mut self) -> Result<Option<Cut>, BoxError> {
        let Some(index) = self.next else { return Ok(None) };
        if self.input.is_empty() {
            match self.body.next().await.transpose()? {
                Some(piece) => self.input = piece,
                None => {
                    self.next = None;
                    return Ok(Some(Cut::Chunk(Position { index, last: true }, std::mem::take(&mut self.chunk))));
                }
            }
        }
        let room_bytes = self.plain_chunk_bytes - self.chunk.len();
        // A full chunk is the last one only when nothing follows.
        if room_bytes == 0 && !self.input.is_empty() {
            self.next = Some(index.checked_add(1).ok_or_else(|| super::size::too_many((self.plain_chunk_bytes + TAG_BYTES) as u32))?);
            return Ok(Some(Cut::Chunk(Position { index, last: false }, std::mem::take(&mut self.chunk))));
        }
        if self.chunk.is_empty() && (index > 0 || self.input.len() >= room_bytes) {
            self.chunk.reserve(self.plain_chunk_bytes + TAG_BYTES);
        }
        self.chunk.extend_from_slice(&self.input.split_to(room_bytes.min(self.input.len())));
        Ok(Some(Cut::Sign))
    }
}
