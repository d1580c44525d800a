//! Figures for Prometheus, and the layer that counts what gRPC services do.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use metrics::{Counter, counter, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::grpc;

/// Bounds of the latency histogram, in seconds.
const LATENCY_S: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What was measured in this process so far, to be rendered. The first call begins to measure.
pub fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let latency = Matcher::Suffix("_seconds".into());
        let recorder = builder.set_buckets_for_metric(latency, &LATENCY_S).expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        // An error says that another library measures already; then ours stays empty.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics are recorded elsewhere in this process; /metrics stays empty");
        }
        handle
    })
}

/// All that was measured, as Prometheus reads it.
pub fn render() -> String {
    let recorder = recorder();
    recorder.run_upkeep();
    recorder.render()
}

/// `/metrics`. `refresh` sets the gauges that are looked up rather than counted.
pub fn routes(refresh: impl Fn() + Clone + Send + Sync + 'static) -> Router {
    let answer = move || {
        let refresh = refresh.clone();
        async move {
            refresh();
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render())
        }
    };
    Router::new().route("/metrics", get(answer))
}

/// Counts the calls of a gRPC server by method and code, their time and their bytes.
#[derive(Clone, Debug)]
pub struct MeasureLayer {
    /// Labels by path. Only methods that exist: labels that a caller makes up would fill the memory.
    names: Arc<HashMap<String, Arc<str>>>,
    other: Arc<str>,
}

impl Default for MeasureLayer {
    fn default() -> Self {
        recorder();
        let names = grpc::methods().into_iter().map(|m| (m.path(), format!("{}/{}", m.service, m.name).into())).collect();
        Self { names: Arc::new(names), other: "other".into() }
    }
}

impl<S> Layer<S> for MeasureLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Measure<S> {
        Measure { inner, layer: self.clone() }
    }
}

/// See [`MeasureLayer`].
#[derive(Clone, Debug)]
pub struct Measure<S> {
    inner: S,
    layer: MeasureLayer,
}

impl<S> Service<http::Request<Body>> for Measure<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.layer.names.get(request.uri().path()).unwrap_or(&self.layer.other).clone();
        let bytes_in = counter!("cyxcloud_grpc_received_bytes_total", "method" => method.clone());
        let bytes_out = counter!("cyxcloud_grpc_sent_bytes_total", "method" => method.clone());
        let call = Call { method, begun: Instant::now(), code: None };
        let answer = self.inner.call(request.map(|body| Body::new(Counted { body, bytes: bytes_in, call: None })));
        Box::pin(async move {
            let mut call = call;
            let response = answer.await?;
            // A refusal has its code among the headers; anything else in the trailers.
            call.code = Status::from_header_map(response.headers()).map(|status| status.code());
            Ok(response.map(|body| Body::new(Counted { body, bytes: bytes_out, call: Some(call) })))
        })
    }
}

/// A call, recorded when it is over or given up.
struct Call {
    method: Arc<str>,
    begun: Instant,
    code: Option<tonic::Code>,
}

impl Drop for Call {
    fn drop(&mut self) {
        // Whoever was cut off got no code.
        let code = self.code.unwrap_or(tonic::Code::Cancelled);
        counter!("cyxcloud_grpc_requests_total", "method" => self.method.clone(), "code" => format!("{code:?}")).increment(1);
        histogram!("cyxcloud_grpc_request_seconds", "method" => self.method.clone()).record(self.begun.elapsed().as_secs_f64());
    }
}

/// A body whose bytes are counted. That of an answer carries its call.
struct Counted {
    body: Body,
    bytes: Counter,
    call: Option<Call>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            if let Some(data) = frame.data_ref() {
                self.bytes.increment(data.len() as u64);
            }
            let code = frame.trailers_ref().and_then(Status::from_header_map).map(|status| status.code());
            if let Some(call) = self.call.as_mut().filter(|_| code.is_some()) {
                call.code = code;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
