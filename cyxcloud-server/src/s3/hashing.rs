//! Hashing a body as it passes, and holding it to what the request says of it.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::HeaderMap;
use s3s::S3ErrorCode;
use sha2::Digest;

use super::checksum::{Algorithm, Sums};
use super::digesting::{Digesting, Hashers, Offload};
use super::error::{BodyError, S3Result, invalid, with};
use super::payload::Trailers;

/// Errors of body streams.
pub(super) type StreamError = Box<dyn StdError + Send + Sync>;

/// What a request says its body hashes to, and what is to be computed beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    md5: Option<Vec<u8>>,
    compute_md5: bool,
    values: Sums,
    trailing: Vec<Algorithm>,
    compute: BTreeSet<Algorithm>,
}

impl Expected {
    /// Reads `Content-MD5`, `x-amz-checksum-*`, `x-amz-trailer` and `x-amz-sdk-checksum-algorithm`.
    pub(super) fn from_headers(headers: &HeaderMap) -> S3Result<Self> {
        let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?").trim());
        let mut expected = Self::default();
        if let Some(value) = text("content-md5") {
            let md5 = BASE64.decode(value).ok().filter(|bytes| bytes.len() == 16);
            expected.md5 = Some(md5.ok_or_else(|| with(S3ErrorCode::InvalidDigest, "The Content-MD5 you specified is not valid."))?);
        }
        for algorithm in Algorithm::ALL {
            let Some(value) = text(algorithm.header()) else { continue };
            if algorithm.decode(value).is_none() {
                return Err(with(S3ErrorCode::InvalidRequest, format!("Value for {} header is invalid.", algorithm.header())));
            }
            expected.values.insert(algorithm, value.to_owned());
        }
        for name in text("x-amz-trailer").unwrap_or("").split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let known = Algorithm::ALL.into_iter().find(|a| a.header().eq_ignore_ascii_case(name));
            expected.trailing.push(known.ok_or_else(|| with(S3ErrorCode::InvalidRequest, format!("The trailer {name} is not supported")))?);
        }
        if expected.values.len() + expected.trailing.len() > 1 {
            return Err(with(
                S3ErrorCode::InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.",
            ));
        }
        if let Some(name) = text("x-amz-sdk-checksum-algorithm") {
            expected.compute.insert(Algorithm::parse(name).ok_or_else(|| invalid(format!("Unknown checksum algorithm {name}")))?);
        }
        expected.compute.extend(expected.values.keys().chain(&expected.trailing));
        Ok(expected)
    }

    /// Has `algorithm` computed too, if it is one.
    pub(super) fn and(mut self, algorithm: Option<Algorithm>) -> Self {
        self.compute.extend(algorithm);
        self
    }

    /// Has MD5 computed too where `wanted`, though nothing is expected of it.
    pub(super) fn and_md5(mut self, wanted: bool) -> Self {
        self.compute_md5 |= wanted;
        self
    }

    /// Whether MD5 must be computed.
    pub(super) fn wants_md5(&self) -> bool {
        self.compute_md5 || self.md5.is_some()
    }

    /// The checksums that must be computed.
    pub(super) fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.compute.iter().copied()
    }

    /// The algorithm the request itself brings a checksum of.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.values.keys().chain(&self.trailing).next().copied()
    }

    /// Verifies a body that is in memory.
    pub(super) fn verify(&self, body: &[u8], trailers: &Trailers) -> S3Result<()> {
        let mut hashers = Hashers::new(self);
        hashers.update(body);
        self.judge(hashers, trailers).map(drop).map_err(Into::into)
    }

    /// The digests, if they are what the request said.
    fn judge(&self, hashers: Hashers, trailers: &Trailers) -> Result<Digests, BodyError> {
        let md5 = hashers.md5.map(Digest::finalize);
        if let (Some(expected), Some(md5)) = (&self.md5, &md5)
            && expected.as_slice() != md5.as_slice()
        {
            return Err(BodyError::Digest("Content-MD5"));
        }
        let sums: Sums = hashers.others.into_iter().map(|(algorithm, hasher)| (algorithm, hasher.finish())).collect();
        for (algorithm, value) in &self.values {
            if sums.get(algorithm) != Some(value) {
                return Err(BodyError::Digest(algorithm.name()));
            }
        }
        for algorithm in &self.trailing {
            let value = trailers.get(algorithm.header()).ok_or(BodyError::Trailer("the checksum announced in x-amz-trailer is missing"))?;
            if sums.get(algorithm) != Some(&value) {
                return Err(BodyError::Digest(algorithm.name()));
            }
        }
        Ok(Digests { md5: md5.map(hex::encode), sums })
    }
}

/// What a body hashed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digests {
    /// MD5 in hex, where it was wanted.
    pub(super) md5: Option<String>,
    /// The additional checksums.
    pub(super) sums: Sums,
}

/// A body that is hashed as it passes. Its last item is an error unless every expectation holds.
pub(super) struct Hashing<S> {
    inner: S,
    expected: Expected,
    trailers: Trailers,
    digesting: Digesting,
    /// Whether `inner` has ended.
    ended: bool,
    /// Whether it has failed: then nothing is said of it any more.
    failed: bool,
    digests: Option<Digests>,
}

impl<S> Hashing<S> {
    /// Wraps `inner`.
    pub(super) fn new(inner: S, expected: Expected, trailers: Trailers, offload: Offload) -> Self {
        let digesting = Digesting::new(Hashers::new(&expected), offload);
        Self { inner, expected, trailers, digesting, ended: false, failed: false, digests: None }
    }

    /// The digests, once the stream has ended well.
    pub(super) fn digests(self) -> Option<Digests> {
        self.digests
    }
}

impl<S, E> Stream for Hashing<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<StreamError>,
{
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.digests.is_some() || this.failed {
            return Poll::Ready(None);
        }
        if !this.ended {
            ready!(this.digesting.poll_ready(cx))?;
            match ready!(this.inner.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => {
                    this.digesting.push(&bytes);
                    // Work that was handed over begins when it is polled, and nobody may poll again for a while.
                    if let Poll::Ready(Err(error)) = this.digesting.poll_ready(cx) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Err(error)) => {
                    this.failed = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => this.ended = true,
            }
        }
        let hashers = ready!(this.digesting.poll_finish(cx))?;
        this.digests = Some(this.expected.judge(hashers, &this.trailers)?);
        Poll::Ready(None)
    }
}

// A hashing body is never pinned structurally: every poll goes through `poll_next_unpin`.
impl<S> Unpin for Hashing<S> {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn every_expectation_is_verified() {
        let verify = |pairs: &[(&'static str, &str)]| Expected::from_headers(&headers(pairs))?.verify(b"123456789", &Trailers::default());
        let body = b"123456789";
        let code = |r: S3Result<()>| r.err().map(|e| e.code().as_str().to_owned()).unwrap_or_default();
        assert_eq!(code(verify(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")])), "");
        assert_eq!(code(verify(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCg==")])), "BadDigest");
        assert_eq!(code(verify(&[("content-md5", "abc")])), "InvalidDigest");
        for algorithm in Algorithm::ALL {
            assert_eq!(code(verify(&[(algorithm.header(), &algorithm.of(body))])), "");
            assert_eq!(code(verify(&[(algorithm.header(), &algorithm.of(b"other"))])), "BadDigest");
            assert_eq!(code(verify(&[(algorithm.header(), "AAA=")])), "InvalidRequest");
        }
        assert_eq!(code(verify(&[("x-amz-trailer", "x-amz-checksum-crc32")])), "MalformedTrailerError");
        assert_eq!(code(verify(&[("x-amz-trailer", "x-other")])), "InvalidRequest");
        let two = [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")];
        assert_eq!(code(verify(&two)), "InvalidRequest");
    }

    /// Hands work to another thread and yields once, so that the stream goes on in between.
    fn elsewhere() -> Offload {
        Arc::new(|hashers: Hashers, pieces| {
            let done = tokio::task::spawn_blocking(move || hashers.updated(pieces));
            async move { Ok(done.await.unwrap()) }.boxed()
        })
    }

    #[tokio::test]
    async fn digests_come_out_at_the_end_whatever_the_pieces() {
        let whole: Vec<u8> = (0..3_000_000u32).map(|i| (i >> 3) as u8).collect();
        for piece in [1000, 300_000, 5_000_000] {
            let body = futures::stream::iter(whole.chunks(piece).map(|piece| Ok::<_, StreamError>(Bytes::copy_from_slice(piece))));
            let expected = Expected::default().and(Some(Algorithm::Crc32)).and_md5(true);
            let mut hashing = Hashing::new(body, expected, Trailers::default(), elsewhere());
            let mut passed = Vec::new();
            while let Some(item) = hashing.next().await {
                passed.extend(item.unwrap());
            }
            assert!(passed == whole && hashing.next().await.is_none());
            let digests = hashing.digests().unwrap();
            assert_eq!(digests.md5.unwrap(), hex::encode(md5::Md5::digest(&whole)));
            assert_eq!(digests.sums[&Algorithm::Crc32], Algorithm::Crc32.of(&whole));
        }
    }

    #[tokio::test]
    async fn a_wrong_body_ends_in_an_error_and_what_is_not_wanted_is_not_computed() {
        let body = || futures::stream::iter([Ok::<_, StreamError>(Bytes::from(vec![7; 700_000]))]);
        let expected = Expected::from_headers(&headers(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")])).unwrap();
        let mut hashing = Hashing::new(body(), expected, Trailers::default(), elsewhere());
        assert!(hashing.next().await.unwrap().is_ok() && hashing.next().await.unwrap().is_err());
        let never: Offload = Arc::new(|_, _| unreachable!("nothing was asked for"));
        let mut hashing = Hashing::new(body(), Expected::default(), Trailers::default(), never);
        assert!(hashing.next().await.unwrap().is_ok() && hashing.next().await.is_none());
        assert_eq!(hashing.digests(), Some(Digests::default()));
    }
}
