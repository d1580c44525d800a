//! Responses: error documents, request ids, bodies with a known length.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use s3s::{Body, S3Error};

/// A stream of bytes as a body of known length.
pub(super) struct Streamed<S> {
    stream: S,
    left: u64,
}

impl<S> Streamed<S> {
    /// The body `stream` of `length` bytes.
    pub(super) fn new(stream: S, length: u64) -> Self {
        Self { stream, left: length }
    }
}

impl<S, E> http_body::Body for Streamed<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let item = ready!(self.stream.poll_next_unpin(cx));
        if let Some(Ok(bytes)) = &item {
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(item.map(|item| item.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The error document of `error`.
pub(super) fn of_error(error: S3Error) -> http::Response<Body> {
    error.to_http_response().unwrap_or_else(|error| {
        tracing::error!(?error, "an error could not be written as XML");
        let mut answer = http::Response::new(Body::empty());
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}

/// Gives an answer its request id and completes its error document.
pub(super) fn finish(answer: http::Response<Body>, id: &str, path: &str, region: &str) -> Response {
    let (mut parts, body) = answer.into_parts();
    let id_value = HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("-"));
    parts.headers.insert("x-amz-id-2", id_value.clone());
    parts.headers.insert("x-amz-request-id", id_value);
    parts.headers.insert("server", HeaderValue::from_static("CyxCloud"));
    let failed = parts.status.is_client_error() || parts.status.is_server_error();
    let body = match body.bytes() {
        _ if parts.status == StatusCode::NOT_MODIFIED => {
            parts.headers.remove(CONTENT_TYPE);
            parts.headers.remove(CONTENT_LENGTH);
            axum::body::Body::empty()
        }
        Some(document) if failed => keep_returns(error_document(&document, id, path, region)).into(),
        // Only documents made here are in memory; objects are streams.
        Some(document) => keep_returns(document).into(),
        _ => axum::body::Body::new(body),
    };
    if parts.status.is_server_error() && parts.status != StatusCode::NOT_IMPLEMENTED {
        tracing::warn!(%id, %path, status = parts.status.as_u16(), "s3 request failed");
    }
    Response::from_parts(parts, body)
}

/// Writes carriage returns in the text of an XML document as references: as they are, parsers read them as newlines (XML 1.0, 2.11).
fn keep_returns(document: Bytes) -> Bytes {
    if !document.contains(&b'\r') {
        return document;
    }
    String::from_utf8_lossy(&document).replace('\r', "&#13;").into()
}

/// Adds to the XML what the protocol library leaves out: message, resource, request id, and the region clients ask for.
fn error_document(document: &[u8], id: &str, path: &str, region: &str) -> Bytes {
    let text = String::from_utf8_lossy(document);
    let Some((head, tail)) = text.split_once("</Error>") else { return Bytes::copy_from_slice(document) };
    let mut out = head.to_owned();
    if !head.contains("<Message>") {
        let code = head.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
        out.push_str(&format!("<Message>{code}</Message>"));
    }
    if head.contains("<Code>AuthorizationHeaderMalformed</Code>") {
        out.push_str(&format!("<Region>{region}</Region>"));
    }
    let path = path.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    out.push_str(&format!("<Resource>{path}</Resource><RequestId>{id}</RequestId></Error>{tail}"));
    out.into()
}

/// Engine errors as errors of a response body; the connection is cut, so that nobody takes the part for the whole.
pub(super) fn of_read(
    stream: impl Stream<Item = Result<Bytes, cyxcloud_sdk::core::Error>> + Send + 'static,
    length: u64,
) -> s3s::dto::StreamingBlob {
    let logged = stream.inspect(|item| {
        if let Err(error) = item {
            tracing::warn!(?error, "a download was cut off");
        }
    });
    Body::http_body_unsync(Streamed::new(Box::pin(logged), length)).into()
}

/// Fills the five checksum fields that several outputs of s3s have.
macro_rules! fill_checksums {
    ($output:expr, $sums:expr) => {{
        let sums: &$crate::s3::checksum::Sums = $sums;
        let sum = |algorithm| sums.get(&algorithm).cloned();
        $output.checksum_crc32 = sum($crate::s3::checksum::Algorithm::Crc32);
        $output.checksum_crc32c = sum($crate::s3::checksum::Algorithm::Crc32c);
        $output.checksum_crc64nvme = sum($crate::s3::checksum::Algorithm::Crc64Nvme);
        $output.checksum_sha1 = sum($crate::s3::checksum::Algorithm::Sha1);
        $output.checksum_sha256 = sum($crate::s3::checksum::Algorithm::Sha256);
    }};
}
pub(super) use fill_checksums;

/// Milliseconds as s3s has times.
pub(super) fn timestamp(time: cyxcloud_sdk::core::Timestamp) -> s3s::dto::Timestamp {
    let nanos = i128::from(time.0) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(time::OffsetDateTime::UNIX_EPOCH).into()
}

/// A size as s3s has sizes.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The account as the owner of something.
pub(super) fn owner(account: cyxcloud_sdk::core::id::AccountId) -> s3s::dto::Owner {
    s3s::dto::Owner { id: Some(account.to_string()), display_name: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_documents_are_completed() {
        let document = error_document(b"<?xml?><Error><Code>AuthorizationHeaderMalformed</Code></Error>", "ID", "/a&b", "here");
        assert_eq!(
            document,
            "<?xml?><Error><Code>AuthorizationHeaderMalformed</Code><Message>AuthorizationHeaderMalformed</Message>\
             <Region>here</Region><Resource>/a&amp;b</Resource><RequestId>ID</RequestId></Error>"
        );
    }
}
