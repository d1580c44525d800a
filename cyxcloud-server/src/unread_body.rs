//! What happens to a request body that the answer did not wait for (a refusal, mostly).
//!
//! * Without `Expect: 100-continue` the client is still writing. Closing on it makes many clients report a broken pipe instead of our
//!   answer, so up to [`DRAIN_BYTES`] are read and dropped first.
//! * With it, the client waits for 100 or the answer. botocore remembers an answer that came without a 100 and takes the next
//!   one on the same connection for a continuation of it, until it times out: so such a connection is closed. An empty body counts,
//!   since hyper sends no 100 for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// So much of a body nobody wants is read before the connection is given up.
const DRAIN_BYTES: u64 = 16 << 20;
/// For so long.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The middleware.
pub async fn settle(request: Request, next: Next) -> Response {
    let expects = request.headers().get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !expects && request.body().is_end_stream() {
        return next.run(request).await;
    }
    let shared = Shared(Arc::new(Mutex::new(Watched { body: Body::empty(), asked: false })));
    let request = request.map(|body| {
        shared.lock().body = body;
        Body::new(shared.clone())
    });
    let mut response = next.run(request).await;
    if expects && !shared.lock().asked {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if response.status().is_client_error() || response.status().is_server_error() {
        // Whether the client ends in time or not, it gets the answer.
        let _ = tokio::time::timeout(DRAIN_TIME, shared.drain()).await;
    }
    response
}

struct Watched {
    body: Body,
    /// Somebody asked for a body that is not empty: hyper has sent 100 if it was expected.
    asked: bool,
}

/// A body that the middleware can still reach when its reader has dropped it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Watched>>);

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn drain(mut self) {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut self).poll_frame(context)).await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |data| data.len() as u64)) else { return };
            left = rest;
        }
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut watched = self.lock();
        watched.asked |= !watched.body.is_end_stream();
        Pin::new(&mut watched.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use axum::routing::put;
    use axum::{Router, middleware};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// `/refuse` answers 403 without looking at the body, `/take` reads it.
    async fn connect() -> TcpStream {
        let app = Router::new()
            .route("/refuse", put(|| async { StatusCode::FORBIDDEN }))
            .route("/take", put(|body: Bytes| async move { body.len().to_string() }))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .layer(middleware::from_fn(settle));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        TcpStream::connect(address).await.unwrap()
    }

    async fn read_head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    #[tokio::test]
    async fn a_refused_body_is_read_so_that_the_client_sees_the_answer() {
        let mut stream = connect().await;
        let body = vec![7; 8 << 20];
        let head = format!("PUT /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with("http/1.1 403") && !answer.contains("connection: close"), "{answer}");
    }

    #[tokio::test]
    async fn an_answer_without_100_closes_an_expecting_connection() {
        for (path, length) in [("/refuse", 10), ("/take", 0)] {
            let mut stream = connect().await;
            let head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = read_head(&mut stream).await;
            assert!(answer.contains("connection: close"), "{path}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_read_is_asked_for_with_100_and_the_connection_stays() {
        let mut stream = connect().await;
        stream.write_all(b"PUT /take HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n").await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("http/1.1 100"));
        stream.write_all(b"abc").await.unwrap();
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"), "{answer}");
    }
}
