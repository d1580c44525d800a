//! The aws-chunked body format: `size[;chunk-signature=...]\r\n data \r\n ... 0\r\n [name:value\r\n]... \r\n`.
//!
//! Data goes on as it comes; the signature of a chunk is checked when the chunk is complete. That is safe because nothing becomes
//! visible before the end of the body, and it keeps memory independent of the size of a chunk.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::error::BodyError;
use super::sigv4::Signer;

/// Longest line of chunk metadata; the longest legal one has some 100 bytes.
const MAX_LINE_BYTES: usize = 1024;
/// All trailer lines together.
const MAX_TRAILER_BYTES: usize = 16 << 10;

/// Decodes an aws-chunked body that is fed to it in pieces.
pub(super) struct ChunkDecoder {
    state: State,
    line: Vec<u8>,
    trailer_bytes: usize,
    trailers: HeaderMap,
    signing: Option<Signing>,
}

/// What verifies the signatures of chunks.
pub(super) struct Signing {
    /// The signer of the request.
    pub(super) signer: Signer,
    /// Signature of the request, then of the chunk before.
    pub(super) previous: String,
    /// Whether a signed trailer must follow the last chunk.
    pub(super) trailer: bool,
    chunk: Sha256,
    claimed: String,
    trailer_signature: Option<String>,
}

impl Signing {
    /// Begins with the signature of the request.
    pub(super) fn new(signer: Signer, seed: String, trailer: bool) -> Self {
        Self { signer, previous: seed, trailer, chunk: Sha256::new(), claimed: String::new(), trailer_signature: None }
    }
}

enum State {
    /// In the line that begins a chunk.
    Size,
    /// Inside data, with this many bytes to come.
    Data(u64),
    /// In the line end after data.
    DataEnd,
    /// In the lines after the last chunk.
    Trailer,
    /// After the empty line that ends all.
    Done,
}

impl ChunkDecoder {
    /// A decoder; without `signing`, chunks are not signed (`STREAMING-UNSIGNED-PAYLOAD-TRAILER`).
    pub(super) fn new(signing: Option<Signing>) -> Self {
        Self { state: State::Size, line: Vec::new(), trailer_bytes: 0, trailers: HeaderMap::new(), signing }
    }

    /// Takes `input` and appends the data in it to `out`.
    pub(super) fn feed(&mut self, mut input: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), BodyError> {
        while input.has_remaining() {
            match self.state {
                State::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(take);
                    if let Some(signing) = &mut self.signing {
                        signing.chunk.update(&data);
                    }
                    out.push_back(data);
                    self.state = if left == take as u64 { State::DataEnd } else { State::Data(left - take as u64) };
                }
                State::Done => return Err(BodyError::Malformed("bytes after the end")),
                State::Size | State::DataEnd | State::Trailer => {
                    if self.take_line(&mut input)? {
                        self.end_of_line()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves bytes up to and including a line end into `line`; true when it is complete.
    fn take_line(&mut self, input: &mut Bytes) -> Result<bool, BodyError> {
        let end = input.iter().position(|b| *b == b'\n');
        let part = input.split_to(end.map_or(input.len(), |at| at + 1));
        let limit = if matches!(self.state, State::Trailer) { MAX_TRAILER_BYTES } else { MAX_LINE_BYTES };
        if self.line.len() + part.len() > limit {
            return Err(BodyError::Malformed("a line is too long"));
        }
        self.line.extend_from_slice(&part);
        Ok(end.is_some())
    }

    fn end_of_line(&mut self) -> Result<(), BodyError> {
        let mut line = std::mem::take(&mut self.line);
        while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            line.pop();
        }
        let text = String::from_utf8(line).map_err(|_| BodyError::Malformed("a line is not UTF-8"))?;
        self.state = match self.state {
            State::Size => self.begin_chunk(&text)?,
            State::DataEnd if text.is_empty() => {
                self.check_chunk()?;
                State::Size
            }
            State::DataEnd => return Err(BodyError::Malformed("a chunk is longer than its size")),
            State::Trailer if text.is_empty() => State::Done,
            State::Trailer => {
                self.add_trailer(&text)?;
                State::Trailer
            }
            State::Data(_) | State::Done => return Err(BodyError::Malformed("a line where none belongs")),
        };
        Ok(())
    }

    fn begin_chunk(&mut self, line: &str) -> Result<State, BodyError> {
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let hex = !size.is_empty() && size.len() <= 16 && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = if hex { u64::from_str_radix(size, 16).ok() } else { None };
        let size = size.ok_or(BodyError::Malformed("a chunk has no size"))?;
        if let Some(signing) = &mut self.signing {
            let claimed = extension.trim().strip_prefix("chunk-signature=");
            signing.claimed = claimed.ok_or(BodyError::Malformed("a chunk has no signature"))?.to_owned();
        }
        if size > 0 {
            return Ok(State::Data(size));
        }
        self.check_chunk()?;
        Ok(State::Trailer)
    }

    fn check_chunk(&mut self) -> Result<(), BodyError> {
        let Some(signing) = &mut self.signing else { return Ok(()) };
        let hash = std::mem::take(&mut signing.chunk).finalize();
        if !signing.signer.verify_chunk(&signing.previous, &hash, &signing.claimed) {
            return Err(BodyError::ChunkSignature);
        }
        signing.previous = std::mem::take(&mut signing.claimed);
        Ok(())
    }

    fn add_trailer(&mut self, line: &str) -> Result<(), BodyError> {
        self.trailer_bytes += line.len();
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(BodyError::Trailer("too long"));
        }
        let (name, value) = line.split_once(':').ok_or(BodyError::Trailer("a line without a colon"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" {
            if let Some(signing) = &mut self.signing {
                signing.trailer_signature = Some(value.to_owned());
            }
            return Ok(());
        }
        let name = HeaderName::try_from(name).map_err(|_| BodyError::Trailer("not a header name"))?;
        let value = HeaderValue::try_from(value).map_err(|_| BodyError::Trailer("not a header value"))?;
        self.trailers.append(name, value);
        Ok(())
    }

    /// The body has ended: the trailers, once their signature holds.
    pub(super) fn finish(&mut self) -> Result<HeaderMap, BodyError> {
        // Some clients leave out the last empty line.
        let ended = matches!(self.state, State::Done) || (matches!(self.state, State::Trailer) && self.line.is_empty());
        if !ended {
            return Err(BodyError::Malformed("it ends inside a chunk"));
        }
        if let Some(signing) = self.signing.as_ref().filter(|s| s.trailer) {
            let mut lines: Vec<String> =
                self.trailers.iter().map(|(n, v)| format!("{n}:{}\n", String::from_utf8_lossy(v.as_bytes()))).collect();
            lines.sort();
            let signature = signing.trailer_signature.as_deref().ok_or(BodyError::Trailer("it is not signed"))?;
            if !signing.signer.verify_trailer(&signing.previous, lines.concat().as_bytes(), signature) {
                return Err(BodyError::ChunkSignature);
            }
        }
        Ok(std::mem::take(&mut self.trailers))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sigv4::tests::{SECRET, scope};
    use super::*;

    fn decode(decoder: &mut ChunkDecoder, body: &[u8], step: usize) -> Result<(Vec<u8>, HeaderMap), BodyError> {
        let mut out = VecDeque::new();
        for piece in body.chunks(step) {
            decoder.feed(Bytes::copy_from_slice(piece), &mut out)?;
        }
        let trailers = decoder.finish()?;
        Ok((out.into_iter().flatten().collect(), trailers))
    }

    /// The example of the AWS documentation: 65 KiB of `a` in chunks of 64 KiB and 1 KiB.
    fn documented_body() -> (Vec<u8>, Signing) {
        let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        let signatures = [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ];
        let mut body = Vec::new();
        for (size, signature) in [65536, 1024, 0].into_iter().zip(signatures) {
            body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
            body.extend(std::iter::repeat_n(b'a', size));
            body.extend(b"\r\n");
        }
        (body, Signing::new(Signer::new(SECRET, scope()), seed.into(), false))
    }

    #[test]
    fn the_documented_signed_body_in_any_pieces() {
        for step in [1, 7, 4096, 1 << 20] {
            let (body, signing) = documented_body();
            let (data, trailers) = decode(&mut ChunkDecoder::new(Some(signing)), &body, step).unwrap();
            assert_eq!(data, vec![b'a'; 66560]);
            assert!(trailers.is_empty());
        }
    }

    #[test]
    fn a_flipped_byte_is_a_wrong_signature() {
        let (mut body, signing) = documented_body();
        body[1000] ^= 1;
        assert_eq!(decode(&mut ChunkDecoder::new(Some(signing)), &body, 4096).unwrap_err(), BodyError::ChunkSignature);
    }

    #[test]
    fn unsigned_bodies_with_trailers() {
        let body = b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        let (data, trailers) = decode(&mut ChunkDecoder::new(None), body, 2).unwrap();
        assert_eq!(data, b"abcde");
        assert_eq!(trailers["x-amz-checksum-crc32"], "AAAAAA==");
        // The last line end may be missing, and there may be no trailer.
        assert_eq!(decode(&mut ChunkDecoder::new(None), b"1\r\na\r\n0\r\n", 3).unwrap().0, b"a");
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for bad in
            ["", "3\r\nab", "3\r\nabc", "3\r\nabcd\r\n0\r\n\r\n", "x\r\n", "-1\r\n", "0\r\n\r\nmore", "0\r\nno colon\r\n\r\n", "0\r\na:b"]
        {
            assert!(decode(&mut ChunkDecoder::new(None), bad.as_bytes(), 5).is_err(), "{bad:?}");
        }
        let endless = vec![b'1'; 5000];
        assert!(decode(&mut ChunkDecoder::new(None), &endless, 100).is_err());
    }
}
