//! The body of a request as the client's own promises have it: its length, its SHA-256, its chunk signatures.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::chunked::ChunkDecoder;
use super::error::BodyError;

/// Trailing headers of a body; there once the body has been read to its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers(Arc<Mutex<HeaderMap>>);

impl Trailers {
    fn set(&self, headers: HeaderMap) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = headers;
    }

    /// The trailer of this name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let headers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
    }
}

/// How a body proves itself.
pub(super) enum Proof {
    /// Only by its length.
    Length,
    /// It hashes to this.
    Sha256([u8; 32]),
    /// It is aws-chunked.
    Chunked(Box<ChunkDecoder>),
}

/// The decoded body. Its last item is an error unless it is complete and kept every promise.
pub(super) struct Payload {
    inner: axum::body::BodyDataStream,
    declared: u64,
    received: u64,
    hasher: Option<(Sha256, [u8; 32])>,
    decoder: Option<Box<ChunkDecoder>>,
    ready: VecDeque<Bytes>,
    trailers: Trailers,
    ended: bool,
}

impl Payload {
    /// The body `inner` that decodes to `declared` bytes.
    pub(super) fn new(inner: axum::body::Body, declared: u64, proof: Proof, trailers: Trailers) -> Self {
        let (hasher, decoder) = match proof {
            Proof::Length => (None, None),
            Proof::Sha256(expected) => (Some((Sha256::new(), expected)), None),
            Proof::Chunked(decoder) => (None, Some(decoder)),
        };
        let inner = inner.into_data_stream();
        Self { inner, declared, received: 0, hasher, decoder, ready: VecDeque::new(), trailers, ended: false }
    }

    /// Reads all of it into memory; None when it has more than `limit` bytes.
    pub(super) async fn collect(mut self, limit: u64) -> Result<Option<Bytes>, BodyError> {
        if self.declared > limit {
            return Ok(None);
        }
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await {
            all.extend_from_slice(&bytes?);
        }
        Ok(Some(all.into()))
    }

    fn account(&mut self, bytes: Bytes) -> Result<Bytes, BodyError> {
        self.received += bytes.len() as u64;
        if self.received > self.declared {
            return Err(BodyError::TooLong { declared: self.declared });
        }
        if let Some((hasher, _)) = &mut self.hasher {
            hasher.update(&bytes);
        }
        Ok(bytes)
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        if let Some(decoder) = &mut self.decoder {
            self.trailers.set(decoder.finish()?);
        }
        if self.received != self.declared {
            return Err(BodyError::Incomplete { received: self.received, declared: self.declared });
        }
        let hash_holds = self.hasher.take().is_none_or(|(hasher, expected)| <[u8; 32]>::from(hasher.finalize()) == expected);
        if hash_holds { Ok(()) } else { Err(BodyError::Sha256) }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(self.account(bytes).map(Some));
            }
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.inner.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => match &mut self.decoder {
                    Some(decoder) => decoder.feed(bytes, &mut self.ready)?,
                    None => self.ready.push_back(bytes),
                },
                Some(Err(error)) => return Poll::Ready(Err(BodyError::Broken(error.to_string()))),
                None => {
                    self.ended = true;
                    self.finish()?;
                }
            }
        }
    }
}

impl Stream for Payload {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let step = ready!(self.poll_step(cx));
        if step.is_err() {
            self.ended = true;
            self.ready.clear();
        }
        Poll::Ready(step.transpose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: &'static str, declared: u64, proof: Proof) -> Result<Option<Bytes>, BodyError> {
        Payload::new(body.into(), declared, proof, Trailers::default()).collect(100).await
    }

    #[tokio::test]
    async fn promises_are_kept_or_the_body_fails() {
        let hash: [u8; 32] = Sha256::digest(b"abc").into();
        assert_eq!(read("abc", 3, Proof::Length).await.unwrap().unwrap(), "abc");
        assert_eq!(read("abc", 3, Proof::Sha256(hash)).await.unwrap().unwrap(), "abc");
        assert_eq!(read("abd", 3, Proof::Sha256(hash)).await, Err(BodyError::Sha256));
        assert_eq!(read("ab", 3, Proof::Length).await, Err(BodyError::Incomplete { received: 2, declared: 3 }));
        assert_eq!(read("abcd", 3, Proof::Length).await, Err(BodyError::TooLong { declared: 3 }));
        assert_eq!(read("abc", 101, Proof::Length).await, Ok(None));
    }

    #[tokio::test]
    async fn trailers_arrive_with_the_end() {
        let trailers = Trailers::default();
        let proof = Proof::Chunked(Box::new(ChunkDecoder::new(None)));
        let payload = Payload::new("2\r\nab\r\n0\r\nx-amz-checksum-crc32:x\r\n\r\n".into(), 2, proof, trailers.clone());
        assert_eq!(payload.collect(10).await.unwrap().unwrap(), "ab");
        assert_eq!(trailers.get("x-amz-checksum-crc32").as_deref(), Some("x"));
        let short = read("2\r\nab\r\n0\r\n\r\n", 3, Proof::Chunked(Box::new(ChunkDecoder::new(None)))).await;
        assert_eq!(short, Err(BodyError::Incomplete { received: 2, declared: 3 }));
    }
}
