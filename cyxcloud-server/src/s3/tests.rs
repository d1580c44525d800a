//! The whole way of a request over a real cluster in a temporary directory: address, signature, body, operation, answer.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cyxcloud_core::memory::MemoryMeta;
use cyxcloud_core::testing::VirtualTime;
use cyxcloud_sdk::core::id::AccountId;
use cyxcloud_sdk::{Cluster, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use tower::Service as _;

use crate::rate_limit::RateLimit;

use super::query::Query;
use super::sigv4::{Scope, Signed, Signer};
use super::{KeyPair, Keys, S3Config, Service, service};

mod hostile;
mod limited;
mod presigned;

struct TwoKeys;

#[async_trait]
impl Keys for TwoKeys {
    async fn lookup(&self, id: &str) -> Result<Option<KeyPair>> {
        let account = |n| Some(KeyPair { secret: "secret".into(), account: AccountId([n; 16]) });
        Ok(match id {
            "alice" => account(1),
            "bob" => account(2),
            _ => None,
        })
    }
}

struct Client {
    service: Service,
    cluster: Cluster,
    key: &'static str,
    secret: &'static str,
    host: &'static str,
    _directory: Arc<tempfile::TempDir>,
}

impl Client {
    async fn new() -> Self {
        Self::limited(0).await
    }

    /// Whose accounts may make so many requests in a minute.
    async fn limited(per_minute: u32) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let cluster = Cluster::open(directory.path()).await.unwrap();
        let clock = Arc::new(VirtualTime::new(1));
        let limit = RateLimit::new(Arc::new(MemoryMeta::new(clock.clone())), clock, per_minute);
        let service = service(cluster.engine().clone(), Arc::new(TwoKeys), S3Config { limit, ..S3Config::default() });
        Self { service, cluster, key: "alice", secret: "secret", host: "localhost", _directory: directory }
    }

    fn with(&self, key: &'static str, secret: &'static str, host: &'static str) -> Self {
        let (service, cluster) = (self.service.clone(), self.cluster.clone());
        Self { service, cluster, key, secret, host, _directory: self._directory.clone() }
    }

    /// Sends a signed request for `target`; `body` goes as it is, and says in `payload` how it proves itself.
    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&'static str, &str)],
        payload: &str,
        body: &[u8],
    ) -> (u16, HeaderMap, Bytes) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let scope = self.scope();
        let Scope { timestamp, date, .. } = scope.clone();
        let signer = Signer::new(self.secret, scope);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut map = HeaderMap::new();
        let own = [("host", self.host), ("x-amz-date", &timestamp), ("x-amz-content-sha256", payload)];
        for (name, value) in own.iter().chain(headers) {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let signed_headers: Vec<String> = map.keys().map(|n| n.as_str().to_owned()).collect();
        let query = Query::parse(query).unwrap();
        let signed = Signed { method: &method, path, query: &query, headers: &map, signed_headers: &signed_headers, payload };
        let signature = signer.sign_request(&signed.canonical_requests()[0]);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{date}/us-east-1/s3/aws4_request, SignedHeaders={}, Signature={signature}",
            self.key,
            signed_headers.join(";")
        );
        map.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
        map.insert("content-length", HeaderValue::from(body.len()));
        let mut request = Request::builder().method(method).uri(target).body(Body::from(body.to_vec())).unwrap();
        *request.headers_mut() = map;
        answer(self.service.clone().call(request).await.unwrap()).await
    }

    /// The scope of a signature made now.
    fn scope(&self) -> Scope {
        let seconds = (self.cluster.engine().now().0 / 1000) as i64;
        let now = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let date = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
        let timestamp = format!("{date}T{:02}{:02}{:02}Z", now.hour(), now.minute(), now.second());
        Scope { timestamp, date, region: "us-east-1".into() }
    }

    async fn status(&self, method: &str, target: &str, body: &[u8]) -> String {
        let (status, _, document) = self.send(method, target, &[], "UNSIGNED-PAYLOAD", body).await;
        format!("{status} {}", code(&document)).trim().to_owned()
    }
}

async fn answer(response: Response) -> (u16, HeaderMap, Bytes) {
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, axum::body::to_bytes(body, usize::MAX).await.unwrap())
}

fn code(document: &[u8]) -> String {
    let text = String::from_utf8_lossy(document);
    text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or_else(String::new, |(code, _)| code.to_owned())
}

#[tokio::test]
async fn an_account_keeps_to_its_quota() {
    let client = Client::new().await;
    let (meta, alice) = (client.cluster.engine().meta(), AccountId([1; 16]));
    meta.set_quota(alice, Some(300_000)).await.unwrap();
    assert_eq!(client.status("PUT", "/photos", b"").await, "200");
    assert_eq!(client.status("PUT", "/photos/a", &[1; 200_000]).await, "200");
    assert_eq!(client.status("PUT", "/photos/b", &[2; 100_001]).await, "403 QuotaExceeded");
    assert_eq!(client.status("GET", "/photos/b", b"").await, "404 NoSuchKey");
    assert_eq!(client.status("PUT", "/photos/c", b"small").await, "200");
    let (_, _, begun) = client.send("POST", "/photos/d?uploads", &[], "UNSIGNED-PAYLOAD", b"").await;
    let begun = String::from_utf8_lossy(&begun).into_owned();
    let upload = begun.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0;
    let part = format!("/photos/d?partNumber=1&uploadId={upload}");
    assert_eq!(client.status("PUT", &part, &[3; 100_000]).await, "403 QuotaExceeded");
    assert_eq!(client.status("PUT", &part, &[3; 99_990]).await, "200");
    let source = [("x-amz-copy-source", "photos/c")];
    let (status, _, document) = client.send("PUT", "/photos/e", &source, "UNSIGNED-PAYLOAD", b"").await;
    assert_eq!((status, code(&document).as_str()), (200, ""));
    let (status, _, document) = client.send("PUT", "/photos/f", &source, "UNSIGNED-PAYLOAD", b"").await;
    assert_eq!((status, code(&document).as_str()), (403, "QuotaExceeded"));
    let usage = meta.account_usage(alice).await.unwrap();
    assert_eq!((usage.held.bytes(), usage.reserved_bytes), (300_000, 0));
    // Another account is not concerned.
    let bob = client.with("bob", "secret", "localhost");
    assert_eq!(bob.status("PUT", "/films", b"").await, "200");
    assert_eq!(bob.status("PUT", "/films/a", &[1; 400_000]).await, "200");
    // Deleting makes room.
    assert_eq!(client.status("DELETE", "/photos/a", b"").await, "204");
    assert_eq!(client.status("PUT", "/photos/b", &[2; 100_001]).await, "200");
}

/// Without its mark an encrypted object is lost, and a client that only changes a content type does not know of it.
#[tokio::test]
async fn the_mark_of_an_encrypted_object_stays_when_its_metadata_are_replaced() {
    let client = Client::new().await;
    assert_eq!(client.status("PUT", "/photos", b"").await, "200");
    let put = [("x-amz-meta-cyx-encryption", "mark"), ("x-amz-meta-author", "me")];
    assert_eq!(client.send("PUT", "/photos/a", &put, "UNSIGNED-PAYLOAD", b"sealed").await.0, 200);
    let replace = [("x-amz-copy-source", "photos/a"), ("x-amz-metadata-directive", "REPLACE")];
    let with = |more: &'static str| [replace[0], replace[1], ("x-amz-meta-cyx-encryption", more)];
    for (target, headers, mark) in
        [("/photos/b", &replace[..], "mark"), ("/photos/c", &with("newer")[..], "newer"), ("/photos/a", &replace[..], "mark")]
    {
        assert_eq!(client.send("PUT", target, headers, "UNSIGNED-PAYLOAD", b"").await.0, 200);
        let (_, found, _) = client.send("HEAD", target, &[], "UNSIGNED-PAYLOAD", b"").await;
        assert_eq!(
            (&found["x-amz-meta-cyx-encryption"], found.get("x-amz-meta-author")),
            (&HeaderValue::from_static(mark), None),
            "{target}"
        );
    }
}

#[tokio::test]
async fn the_longest_key_is_served_in_every_style() {
    let client = Client::new().await;
    assert_eq!(client.status("PUT", "/photos", b"").await, "200");
    let key = super::query::encode(&"é".repeat(512), false);
    assert_eq!(client.status("PUT", &format!("/photos/{key}"), b"body").await, "200");
    let inside = client.with("alice", "secret", "photos.localhost:8080");
    for (client, target) in [(&client, format!("/s3/photos/{key}")), (&inside, format!("/{key}"))] {
        let (status, headers, body) = client.send("GET", &target, &[], "UNSIGNED-PAYLOAD", b"").await;
        assert_eq!((status, &body[..]), (200, &b"body"[..]));
        assert!(headers.contains_key("x-amz-request-id"));
        assert_eq!(headers["etag"], "\"841a2d689ad86bd1611447453c22c6fc\"");
    }
    assert_eq!(client.status("PUT", &format!("/s3/photos/{key}a"), b"").await, "400 KeyTooLongError");
    assert_eq!(client.status("PUT", "/photos/a/../b", b"").await, "400 InvalidArgument");
    assert_eq!(client.status("PUT", "/s3/photos/s3/%2548%20%2B", b"nested").await, "200");
    assert_eq!(inside.status("GET", "/s3/%2548%20%2B", b"").await, "200");
}

#[tokio::test]
async fn nobody_gets_in_without_the_right_key() {
    let client = Client::new().await;
    client.send("PUT", "/photos", &[], "UNSIGNED-PAYLOAD", b"").await;
    assert_eq!(client.with("carol", "secret", "localhost").status("PUT", "/photos/k", b"x").await, "403 InvalidAccessKeyId");
    assert_eq!(client.with("alice", "wrong", "localhost").status("PUT", "/photos/k", b"x").await, "403 SignatureDoesNotMatch");
    let bob = client.with("bob", "secret", "localhost");
    assert_eq!(bob.status("PUT", "/photos/k", b"x").await, "403 AccessDenied");
    assert_eq!(bob.status("PUT", "/photos", b"").await, "409 BucketAlreadyExists");
    let anonymous = Request::get("/photos/k").header("host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(answer(client.service.clone().call(anonymous).await.unwrap()).await.0, 403);
    assert_eq!(client.status("GET", "/photos/k", b"").await, "404 NoSuchKey");
    assert_eq!(client.status("PUT", "/health", b"").await, "400 InvalidBucketName");
    assert_eq!(client.status("PUT", "/cyx-admin", b"").await, "400 InvalidBucketName");
    assert_eq!(client.status("PUT", "/photos?policy", b"").await, "501 NotImplemented");
}

/// Headers, payload claim, body, and the error code they deserve.
type Attempt<'a> = (&'a [(&'static str, &'a str)], &'a str, &'a [u8], &'a str);

#[tokio::test]
async fn a_body_that_breaks_its_promise_leaves_the_old_object() {
    let client = Client::new().await;
    client.send("PUT", "/photos", &[], "UNSIGNED-PAYLOAD", b"").await;
    client.send("PUT", "/photos/k", &[], "UNSIGNED-PAYLOAD", b"old").await;
    let unsigned = "UNSIGNED-PAYLOAD";
    let trailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let chunked = |length| [("x-amz-decoded-content-length", length), ("x-amz-trailer", "x-amz-checksum-crc32")];
    let right = b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    let wrong = b"9\r\n123456780\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    let zeros = "0".repeat(64);
    let signed = format!("3;chunk-signature={zeros}\r\nnew\r\n0;chunk-signature={zeros}\r\n\r\n");
    let attempts: [Attempt; 7] = [
        (&[], &zeros, b"new", "XAmzContentSHA256Mismatch"),
        (&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], unsigned, b"new", "BadDigest"),
        (&[("x-amz-checksum-crc32c", "AAAAAA==")], unsigned, b"new", "BadDigest"),
        (&chunked("9"), trailer, wrong, "BadDigest"),
        (&chunked("8"), trailer, right, "IncompleteBody"),
        (&chunked("10"), trailer, right, "IncompleteBody"),
        (&[("x-amz-decoded-content-length", "3")], "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", signed.as_bytes(), "SignatureDoesNotMatch"),
    ];
    for (headers, payload, body, expected) in attempts {
        let (status, _, document) = client.send("PUT", "/photos/k", headers, payload, body).await;
        assert_eq!(code(&document), expected);
        assert!((400..500).contains(&status), "{expected}: {status}");
    }
    let (_, _, body) = client.send("GET", "/photos/k", &[], unsigned, b"").await;
    assert_eq!(body, "old");
    let (status, headers, _) = client.send("PUT", "/photos/k", &chunked("9"), trailer, right).await;
    assert_eq!((status, &headers["x-amz-checksum-crc32"]), (200, &HeaderValue::from_static("y/Q5Jg==")));
}
