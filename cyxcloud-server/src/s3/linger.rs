//! Request bodies that nobody reads to their end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::{Body as _, Frame, SizeHint};

/// So much of a body is read and thrown away after its request was refused, and no more.
const MAX_BYTES: usize = 8 << 20;
/// And no longer than this.
const MAX_TIME: Duration = Duration::from_secs(5);

/// A body that goes on being read for a while when it is dropped. Otherwise the connection would be reset while the client still sends,
/// and many clients then report a broken pipe instead of the answer that says why.
struct Linger(Option<Body>);

/// Makes `body` one that lingers, unless the client waits for permission to send it.
pub(super) fn linger(headers: &HeaderMap, body: Body) -> Body {
    if body.is_end_stream() || headers.contains_key(EXPECT) { body } else { Body::new(Linger(Some(body))) }
}

impl http_body::Body for Linger {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(MAX_TIME, discard(body)));
        }
    }
}

async fn discard(body: Body) {
    let mut stream = body.into_data_stream();
    let mut seen = 0;
    while let Some(Ok(bytes)) = stream.next().await {
        seen += bytes.len();
        if seen > MAX_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_nobody_reads_is_read_within_limits() {
        for (pieces, expected) in [(3, 3), (100, MAX_BYTES / (1 << 20) + 1)] {
            let read = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&read);
            let pieces = futures::stream::iter(0..pieces).map(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok::<_, axum::Error>(Bytes::from(vec![0; 1 << 20]))
            });
            drop(linger(&HeaderMap::new(), Body::from_stream(pieces)));
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(read.load(Ordering::SeqCst), expected);
        }
    }
}
