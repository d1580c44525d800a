//! Signs every request on its way out: see [`crate::credential::RequestSigner`].

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cyxcloud_core::port::Environment;
use http::{HeaderValue, header};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::credential::RequestSigner;

/// Makes [`Signing`] services.
#[derive(Clone)]
pub struct SigningLayer {
    signer: RequestSigner,
    env: Arc<dyn Environment>,
}

impl SigningLayer {
    /// Signs as `signer`, with the time and the nonces of `env`.
    pub fn new(signer: RequestSigner, env: Arc<dyn Environment>) -> Self {
        Self { signer, env }
    }
}

impl<S> Layer<S> for SigningLayer {
    type Service = Signing<S>;

    fn layer(&self, inner: S) -> Signing<S> {
        Signing { inner, layer: self.clone() }
    }
}

/// A channel whose requests are signed. Requests are sent whole, so that their bodies can be signed too: not for streams.
#[derive(Clone)]
pub struct Signing<S> {
    inner: S,
    layer: SigningLayer,
}

impl<S> Service<http::Request<Body>> for Signing<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = http::Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The one that is ready is used, and a fresh one kept.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let SigningLayer { signer, env } = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let body: Bytes = body.collect().await?.to_bytes();
            let header = signer.header(parts.uri.path(), &body, env.now(), env.random());
            parts.headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&header)?);
            let body = Body::new(Full::new(body).map_err(|never: Infallible| match never {}));
            inner.call(http::Request::from_parts(parts, body)).await.map_err(Into::into)
        })
    }
}
