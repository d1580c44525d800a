//! S3 over the engine.
//!
//! A request passes, in this order: `front` (request id, address, signature, body), the protocol library `s3s` (routing, XML) and
//! `gateway` (what each operation does). The signature is verified here and not in `s3s`, because there one path feeds both the
//! signature and the parsing, so that a prefix can be stripped only after verification and then keys lose the prefix's length of their
//! 1024 bytes; because regions, unsigned headers and the age of presigned URLs are not checked there; and because a chunk of an
//! aws-chunked body is held in memory there until its signature is known. Nothing outside this module names a type of `s3s`.

mod address;
mod auth;
mod buckets;
mod cdata;
mod checksum;
mod chunked;
mod claim;
mod combine;
mod complete;
mod conditions;
mod copy;
mod delete;
mod digesting;
mod error;
mod etag;
mod front;
mod gateway;
mod get;
mod hashing;
mod listing;
mod multipart;
mod parts;
mod payload;
mod put;
mod query;
mod range;
mod references;
mod response;
mod sigv4;
mod stored;
#[cfg(test)]
mod tests;
mod unsupported;
mod versions;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use axum::extract::Request;
use axum::response::Response;
use cyxcloud_sdk::core::Result;
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::core::id::AccountId;

use crate::http::{RESERVED, RESERVED_PREFIX};
use crate::rate_limit::RateLimit;
pub(crate) use stored::{CONTENT_HEADERS, MAX_USER_BYTES};

/// How S3 is served.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The only region there is; signatures for another are refused.
    pub region: String,
    /// Whether the entity tag of a single PUT is the MD5 of its body, as many tools expect. Otherwise it is made of the version id and
    /// does not look like an MD5.
    pub etag_md5: bool,
    /// Says which names no bucket may have: those of our own routes.
    pub reserved_bucket_name: fn(&str) -> bool,
    /// Domains below which the first label of `Host` is a bucket, e.g. `localhost`.
    pub domains: Vec<String>,
    /// How many requests an account may make.
    pub limit: Option<Arc<RateLimit>>,
}

impl Default for S3Config {
    fn default() -> Self {
        Self { region: "us-east-1".into(), etag_md5: true, reserved_bucket_name, domains: vec!["localhost".into()], limit: None }
    }
}

/// Whether `name` begins the path of a route of ours on the listener that S3 shares: no bucket may have it.
pub fn reserved_bucket_name(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX)
}

/// The secret half of a key pair and whose it is.
#[derive(Clone)]
pub struct KeyPair {
    /// The secret access key.
    pub secret: String,
    /// The account that requests signed with it act for.
    pub account: AccountId,
}

/// Where key pairs are looked up.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// The key pair of this access key id; Ok(None) when there is none.
    async fn lookup(&self, access_key_id: &str) -> Result<Option<KeyPair>>;
}

/// S3 at the root and under `/s3`, to be used as the fallback service of a router.
///
/// Every request is answered; errors are S3 error documents.
pub fn service(engine: Arc<Engine>, keys: Arc<dyn Keys>, config: S3Config) -> Service {
    Service { front: Arc::new(front::Front::new(engine, keys, config)) }
}

/// The service made by [`service`]. Clones share everything.
#[derive(Clone)]
pub struct Service {
    front: Arc<front::Front>,
}

impl tower::Service<Request> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let front = Arc::clone(&self.front);
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}
