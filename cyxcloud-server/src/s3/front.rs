//! The way of a request from the socket to the protocol library and back.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::core::id::AccountId;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3ErrorCode};

use super::auth::{self, Inbound, Verified};
use super::error::{S3Result, custom, internal, invalid, not_implemented, slow_down, with};
use super::gateway::Gateway;
use super::hashing::Expected;
use super::payload::{Payload, Trailers};
use super::query::Query;
use super::{Keys, S3Config, address, cdata, references, response, unsupported};

/// Largest body that is read into memory: the XML of a request. 1000 keys of 1024 bytes, each byte escaped, need about 5 MiB.
const MAX_DOCUMENT_BYTES: u64 = 8 << 20;
/// Largest object in one PUT, and largest part.
const MAX_PUT_BYTES: u64 = 5 << 30;

/// Headers that the protocol library must not see: it would parse them more narrowly than RFC 9110 does, or verify them again.
const HIDDEN_HEADERS: [&str; 17] = [
    "authorization",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
];

/// What the operations know of a request beside the protocol library's input.
#[derive(Clone)]
pub(super) struct Caller {
    /// Who sent it.
    pub(super) account: AccountId,
    /// The headers as they came.
    pub(super) headers: Arc<HeaderMap>,
    /// The trailers of a streamed body.
    pub(super) trailers: Trailers,
}

/// Everything between the router and the operations.
pub(super) struct Front {
    engine: Arc<Engine>,
    keys: Arc<dyn Keys>,
    config: Arc<S3Config>,
    s3: S3Service,
}

impl Front {
    pub(super) fn new(engine: Arc<Engine>, keys: Arc<dyn Keys>, config: S3Config) -> Self {
        let config = Arc::new(config);
        let gateway = Gateway { engine: Arc::clone(&engine), config: Arc::clone(&config) };
        Self { engine, keys, config, s3: S3ServiceBuilder::new(gateway).build() }
    }

    /// Answers a request.
    pub(super) async fn answer(&self, request: Request) -> Response {
        let id = hex::encode_upper(&self.engine.new_id()[..8]);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = match Box::pin(self.serve(request)).await {
            Ok(answer) => answer,
            Err(error) => response::of_error(error),
        };
        let answer = response::finish(answer, &id, &path, &self.config.region);
        tracing::debug!(%id, %method, %path, status = answer.status().as_u16(), "s3 request");
        answer
    }

    async fn serve(&self, request: Request) -> S3Result<http::Response<Body>> {
        let (mut parts, body) = request.into_parts();
        auth::insert_host(&mut parts.headers, parts.uri.authority())?;
        let query = Query::parse(parts.uri.query().unwrap_or("")).ok_or_else(not_utf8)?;
        // The protocol library takes a name that is repeated for one that is absent: a part for an object, a sub-resource for the bucket.
        if let Some(name) = query.repeated() {
            return Err(invalid(format!("The query parameter {name} is given more than once")));
        }
        let host = parts.headers.get(http::header::HOST).and_then(|h| h.to_str().ok());
        let path = address::path_style(host, parts.uri.path(), &self.config.domains)?;
        let (_, key) = address::split(&path);
        if unsupported::is_form_upload(&parts.method, key, &parts.headers) {
            return Err(not_implemented("Uploading with an HTML form"));
        }
        let inbound = Inbound { method: &parts.method, path: parts.uri.path(), query: &query, headers: &parts.headers };
        let verified = auth::verify(&inbound, &self.keys, &self.config.region, self.engine.now()).await?;
        if let Some(limit) = &self.config.limit {
            limit.admit(verified.account).await.map_err(slow_down)?;
        }
        let query = hoist_query(query, &mut parts.headers)?;
        unsupported::check(&parts.method, &query, &parts.headers)?;

        let trailers = Trailers::default();
        let streamed = parts.method == Method::PUT && !key.is_empty();
        let account = verified.account;
        let (body, length) = match parts.method {
            Method::PUT if streamed => stream_body(&parts.headers, body, verified, trailers.clone())?,
            Method::PUT | Method::POST => {
                // Completing an upload names checksums of the object, not of this document.
                let digests = if query.has("uploadId") { Expected::default() } else { Expected::from_headers(&parts.headers)? };
                document_body(&parts.headers, body, verified, digests, trailers.clone()).await?
            }
            _ => (Body::empty(), 0),
        };
        let mut headers = parts.headers.clone();
        HIDDEN_HEADERS.iter().for_each(|name| drop(headers.remove(*name)));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let mut inner = http::Request::new(body);
        *inner.method_mut() = parts.method;
        *inner.uri_mut() = uri(&path, &query)?;
        *inner.headers_mut() = headers;
        inner.extensions_mut().insert(Caller { account, headers: Arc::new(parts.headers), trailers });
        self.s3.call(inner).await.map_err(|e| internal(&e))
    }
}

fn not_utf8() -> s3s::S3Error {
    with(S3ErrorCode::InvalidURI, "The URI is not UTF-8 once decoded")
}

fn uri(path: &str, query: &Query) -> S3Result<Uri> {
    let text = if query.0.is_empty() { path.to_owned() } else { format!("{path}?{}", query.encode()) };
    Uri::try_from(text).map_err(|_| with(S3ErrorCode::InvalidURI, "Couldn't parse the specified URI."))
}

/// Presigned URLs carry headers in the query: takes out those of the signature and moves the others where they belong. Checksums stay
/// behind: SDKs put that of an empty body into the URLs they presign.
fn hoist_query(query: Query, headers: &mut HeaderMap) -> S3Result<Query> {
    let mut left = Vec::with_capacity(query.0.len());
    let presigned = query.has("X-Amz-Signature");
    for (name, value) in query.0 {
        let lower = name.to_ascii_lowercase();
        if !presigned || !lower.starts_with("x-amz-") {
            left.push((name, value));
            continue;
        }
        let signature = ["algorithm", "credential", "date", "expires", "signedheaders", "signature", "content-sha256"];
        let rest = &lower["x-amz-".len()..];
        let checksum = (rest.starts_with("checksum-") && rest != "checksum-mode") || rest == "sdk-checksum-algorithm";
        if signature.contains(&rest) || checksum || headers.contains_key(&lower) {
            continue;
        }
        let wrong = |_| invalid(format!("The query parameter {name} cannot stand for a header"));
        let value = HeaderValue::from_str(&value).map_err(|e| wrong(e.to_string()))?;
        headers.insert(HeaderName::try_from(&lower).map_err(|e| wrong(e.to_string()))?, value);
    }
    headers.remove(AUTHORIZATION);
    Ok(Query(left))
}

/// The body of an object or part: read as it comes.
fn stream_body(headers: &HeaderMap, body: axum::body::Body, verified: Verified, trailers: Trailers) -> S3Result<(Body, u64)> {
    let copies = headers.contains_key("x-amz-copy-source");
    let length = match auth::declared_length(headers, verified.chunked)? {
        Some(length) => length,
        None if copies => 0,
        None => return Err(with(S3ErrorCode::MissingContentLength, "You must provide the Content-Length HTTP header.")),
    };
    if length > MAX_PUT_BYTES {
        return Err(with(
            S3ErrorCode::EntityTooLarge,
            format!("Your proposed upload exceeds the maximum of {MAX_PUT_BYTES} bytes; use parts"),
        ));
    }
    if copies && length > 0 {
        return Err(custom("UnexpectedContent", http::StatusCode::BAD_REQUEST, "A copy has no body"));
    }
    let payload = Payload::new(body, length, verified.proof, trailers);
    Ok((Body::http_body_unsync(response::Streamed::new(payload, length)), length))
}

/// The XML of a request: read, verified and bounded before anything acts on it.
async fn document_body(
    headers: &HeaderMap,
    body: axum::body::Body,
    verified: Verified,
    digests: Expected,
    trailers: Trailers,
) -> S3Result<(Body, u64)> {
    let declared = auth::declared_length(headers, verified.chunked)?.unwrap_or(0);
    let payload = Payload::new(body, declared, verified.proof, trailers.clone());
    let bytes = payload.collect(MAX_DOCUMENT_BYTES).await?;
    let bytes = bytes.ok_or_else(|| with(S3ErrorCode::MaxMessageLengthExceeded, format!("The body exceeds {MAX_DOCUMENT_BYTES} bytes")))?;
    if !bytes.is_empty() {
        digests.verify(&bytes, &trailers)?;
    }
    // XML 1.0 has no such characters; the protocol library would let them through into answers nobody can parse.
    if bytes.iter().any(|b| *b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r')) {
        return Err(with(
            S3ErrorCode::MalformedXML,
            "The body has control characters, which XML does not allow; delete such keys one by one",
        ));
    }
    let bytes = references::expand(cdata::expand(bytes)?);
    let length = bytes.len() as u64;
    Ok((Body::from(bytes), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presigned_queries_become_headers() {
        let query = "X-Amz-Signature=s&X-Amz-Date=d&x-id=PutObject&x-amz-meta-a=b%20c&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-checksum-mode=ENABLED";
        let mut headers = HeaderMap::new();
        let left = hoist_query(Query::parse(query).unwrap(), &mut headers).unwrap();
        assert_eq!(left.encode(), "x-id=PutObject");
        assert_eq!(
            (&headers["x-amz-meta-a"], &headers["x-amz-checksum-mode"], headers.len()),
            (&"b c".parse().unwrap(), &"ENABLED".parse().unwrap(), 2)
        );
        // Without a signature in the query nothing moves.
        let left = hoist_query(Query::parse("x-amz-acl=private").unwrap(), &mut HeaderMap::new()).unwrap();
        assert!(left.has("x-amz-acl"));
    }
}
