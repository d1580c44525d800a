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
use md5::Md5;
use s3s::S3ErrorCode;
use sha2::Digest as _;

use super::checksum::{Algorithm, Hasher, Sums};
use super::error::{BodyError, S3Result, invalid, with};
use super::payload::Trailers;

/// Errors of body streams.
pub(super) type StreamError = Box<dyn StdError + Send + Sync>;

/// What a request says its body hashes to, and what is to be computed beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    md5: Option<Vec<u8>>,
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

    /// The algorithm the request itself brings a checksum of.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.values.keys().chain(&self.trailing).next().copied()
    }

    /// Verifies a body that is in memory.
    pub(super) async fn verify(self, body: &Bytes, trailers: Trailers) -> S3Result<()> {
        let body = futures::stream::iter([Ok::<_, StreamError>(body.clone())]);
        let mut hashing = Hashing::new(body, self, trailers);
        while let Some(item) = hashing.next().await {
            item.map_err(|e| e.downcast::<BodyError>().map_or_else(|e| invalid(e.to_string()), |e| (*e).into()))?;
        }
        Ok(())
    }
}

/// What a body hashed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digests {
    /// MD5 in hex.
    pub(super) md5: String,
    /// The additional checksums.
    pub(super) sums: Sums,
}

/// A body that is hashed as it passes. Its last item is an error unless every expectation holds.
pub(super) struct Hashing<S> {
    inner: S,
    expected: Expected,
    trailers: Trailers,
    md5: Md5,
    hashers: Vec<(Algorithm, Hasher)>,
    digests: Option<Digests>,
}

impl<S> Hashing<S> {
    /// Wraps `inner`.
    pub(super) fn new(inner: S, expected: Expected, trailers: Trailers) -> Self {
        let hashers = expected.compute.iter().map(|a| (*a, Hasher::new(*a))).collect();
        Self { inner, expected, trailers, md5: Md5::new(), hashers, digests: None }
    }

    /// The digests, once the stream has ended well.
    pub(super) fn digests(self) -> Option<Digests> {
        self.digests
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        let md5 = std::mem::take(&mut self.md5).finalize();
        if self.expected.md5.as_ref().is_some_and(|expected| expected.as_slice() != md5.as_slice()) {
            return Err(BodyError::Digest("Content-MD5"));
        }
        let sums: Sums = self.hashers.drain(..).map(|(algorithm, hasher)| (algorithm, hasher.finish())).collect();
        for (algorithm, value) in &self.expected.values {
            if sums.get(algorithm) != Some(value) {
                return Err(BodyError::Digest(algorithm.name()));
            }
        }
        for algorithm in &self.expected.trailing {
            let value =
                self.trailers.get(algorithm.header()).ok_or(BodyError::Trailer("the checksum announced in x-amz-trailer is missing"))?;
            if sums.get(algorithm) != Some(&value) {
                return Err(BodyError::Digest(algorithm.name()));
            }
        }
        self.digests = Some(Digests { md5: hex::encode(md5), sums });
        Ok(())
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
        match ready!(this.inner.poll_next_unpin(cx)) {
            Some(Ok(bytes)) => {
                this.md5.update(&bytes);
                this.hashers.iter_mut().for_each(|(_, hasher)| hasher.update(&bytes));
                Poll::Ready(Some(Ok(bytes)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None if this.digests.is_some() => Poll::Ready(None),
            None => Poll::Ready(this.finish().err().map(|error| Err(error.into()))),
        }
    }
}

// A hashing body is never pinned structurally: every poll goes through `poll_next_unpin`.
impl<S> Unpin for Hashing<S> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn every_expectation_is_verified() {
        let body = Bytes::from_static(b"123456789");
        let verify = async |pairs: &[(&'static str, &str)]| {
            let expected = Expected::from_headers(&headers(pairs))?;
            expected.verify(&body, Trailers::default()).await
        };
        let code = |r: S3Result<()>| r.err().map(|e| e.code().as_str().to_owned()).unwrap_or_default();
        assert_eq!(code(verify(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")]).await), "");
        assert_eq!(code(verify(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCg==")]).await), "BadDigest");
        assert_eq!(code(verify(&[("content-md5", "abc")]).await), "InvalidDigest");
        for algorithm in Algorithm::ALL {
            assert_eq!(code(verify(&[(algorithm.header(), &algorithm.of(&body))]).await), "");
            assert_eq!(code(verify(&[(algorithm.header(), &algorithm.of(b"other"))]).await), "BadDigest");
            assert_eq!(code(verify(&[(algorithm.header(), "AAA=")]).await), "InvalidRequest");
        }
        assert_eq!(code(verify(&[("x-amz-trailer", "x-amz-checksum-crc32")]).await), "MalformedTrailerError");
        assert_eq!(code(verify(&[("x-amz-trailer", "x-other")]).await), "InvalidRequest");
        let two = [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")];
        assert_eq!(code(verify(&two).await), "InvalidRequest");
    }

    #[tokio::test]
    async fn digests_come_out_at_the_end() {
        let body = futures::stream::iter(["1234", "56789"].map(|s| Ok::<_, StreamError>(Bytes::from_static(s.as_bytes()))));
        let expected = Expected::default().and(Some(Algorithm::Crc32));
        let mut hashing = Hashing::new(body, expected, Trailers::default());
        while let Some(item) = hashing.next().await {
            item.unwrap();
        }
        let digests = hashing.digests().unwrap();
        assert_eq!(digests.md5, "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(digests.sums[&Algorithm::Crc32], "y/Q5Jg==");
    }
}
