//! In front of every service: no valid capability, no answer. Bodies of refused calls are not read.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use cyxcloud_sdk::Error;
use cyxcloud_sdk::credential::{CAPABILITY_METADATA, CLUSTER_KEY_METADATA, Capability, Operation, PublicKey};
use cyxcloud_sdk::transport::grpc::MAX_MESSAGE_BYTES;
use futures::future::Either;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tower::{Layer, Service};

use super::bounded::Bounded;
use super::trust::Trust;
use crate::grpc::open_to_all;

const IDENTIFY: &str = "/cyxcloud.node.v1.ChunkService/Identify";
/// What stands around a payload, and the longest request without one: questions about 1024 shards.
const MESSAGE_BYTES: usize = 64 << 10;

/// What a caller has shown; in the extensions of every request that a service sees.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What he may ask.
    pub capability: Capability,
    /// Whose cluster signed it.
    pub cluster: PublicKey,
}

impl Shown {
    /// What the caller of `request` has shown.
    ///
    /// # Errors
    /// Unauthenticated when no guard stood before the service.
    #[allow(clippy::result_large_err, reason = "a Status is what services return")]
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request.extensions().get().cloned().ok_or_else(|| Status::unauthenticated("no capability was shown"))
    }
}

/// Puts a [`Guard`] before services.
#[derive(Clone)]
pub struct GuardLayer(Arc<Trust>);

impl GuardLayer {
    /// A guard that goes by `trust`.
    pub fn new(trust: Arc<Trust>) -> Self {
        Self(trust)
    }

    /// Judges by path and metadata alone.
    fn judge(&self, path: &str, metadata: &MetadataMap) -> Result<Shown, Error> {
        let bin = |key: &str| metadata.get_bin(key).and_then(|value| value.to_bytes().ok());
        let signed = bin(CAPABILITY_METADATA).ok_or_else(|| Error::invalid(format!("no capability in {CAPABILITY_METADATA}")))?;
        if path == IDENTIFY {
            let (capability, cluster) = self.0.verify_stranger(&signed, bin(CLUSTER_KEY_METADATA))?;
            return Ok(Shown { capability, cluster });
        }
        let capability = self.0.verify(&signed)?;
        let cluster = self.0.pinned().ok_or_else(|| Error::invalid("this node belongs to no cluster yet"))?;
        Ok(Shown { capability, cluster })
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, layer: self.clone() }
    }
}

/// See [`GuardLayer`].
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    layer: GuardLayer,
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if open_to_all(request.uri().path()) {
            return Either::Left(self.inner.call(request));
        }
        let (mut parts, body) = request.into_parts();
        let metadata = MetadataMap::from_headers(std::mem::take(&mut parts.headers));
        match self.layer.judge(parts.uri.path(), &metadata) {
            Err(why) => Either::Right(ready(Ok(Status::unauthenticated(why.to_string()).into_http()))),
            Ok(shown) => {
                parts.headers = metadata.into_headers();
                let body = limited(body, &shown.capability);
                parts.extensions.insert(shown);
                Either::Left(self.inner.call(http::Request::from_parts(parts, body)))
            }
        }
    }
}

/// No more of a body is read than what its capability is for may need.
fn limited(body: Body, capability: &Capability) -> Body {
    let payload = if capability.operation == Operation::Store { usize::try_from(capability.size_bytes).unwrap_or(usize::MAX) } else { 0 };
    let most = payload.saturating_add(MESSAGE_BYTES).min(MAX_MESSAGE_BYTES);
    Body::new(Bounded::new(body, most))
}
