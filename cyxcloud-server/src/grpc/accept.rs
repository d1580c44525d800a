//! Accepts connections: bounded in number, and only of those who begin to speak.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Who has not begun to speak this long after connecting is closed.
const OPENING_TIME: Duration = Duration::from_secs(10);
/// What beginning to speak is: the preface of HTTP/2 and the head of the first frame ([RFC 9113](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
/// From there on pings tell who is alive. A handshake of TLS is longer, and has a limit of its own.
const OPENING_BYTES: usize = 24 + 9;

/// How many connections there are, and may be; more wait to be accepted.
#[derive(Clone, Debug)]
pub struct Connections {
    most: usize,
    room: Arc<Semaphore>,
}

impl Connections {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { most, room: Arc::new(Semaphore::new(most)) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.most - self.room.available_permits().min(self.most)
    }
}

/// The connections that `listener` accepts, for tonic's `serve_with_incoming`.
pub fn incoming(listener: TcpListener, connections: Connections) -> impl Stream<Item = io::Result<Connection>> {
    futures::stream::unfold((listener, connections), |(listener, connections)| async move {
        let permit = connections.room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = match listener.accept().await {
            Ok((tcp, _)) => tcp.set_nodelay(true).map(|()| Connection::new(tcp, permit, OPENING_TIME)),
            Err(error) => {
                // Out of descriptors, mostly: those of others must be closed first.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                Err(error)
            }
        };
        Some((accepted, (listener, connections)))
    })
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    tcp: TcpStream,
    /// Runs until the opening has come, of which so many bytes have.
    opening: Option<(Pin<Box<Sleep>>, usize)>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(tcp: TcpStream, permit: OwnedSemaphorePermit, opening_time: Duration) -> Self {
        Self { tcp, opening: Some((Box::pin(sleep(opening_time)), 0)), _permit: permit }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.tcp.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if let Some((deadline, came)) = &mut self.opening {
            *came += buf.filled().len() - before;
            if *came >= OPENING_BYTES {
                self.opening = None;
            } else if read.is_pending() && deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A connection on which `said` came and then nothing, after the time for the opening. What it ends with, if it ends.
    async fn hear(said: &[u8]) -> Option<io::ErrorKind> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(said).await.unwrap();
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let mut connection = Connection::new(listener.accept().await.unwrap().0, permit, Duration::ZERO);
        let mut heard = vec![0; said.len()];
        connection.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
        // Without it nothing ends the wait.
        connection.opening.as_ref()?;
        Some(connection.read_u8().await.unwrap_err().kind())
    }

    #[tokio::test]
    async fn who_does_not_begin_to_speak_is_closed() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        assert_eq!(preface.len(), OPENING_BYTES);
        for short in [0, 1, 24, OPENING_BYTES - 1] {
            assert_eq!(hear(&preface[..short]).await, Some(io::ErrorKind::TimedOut), "{short}");
        }
        assert_eq!(hear(preface).await, None);
    }
}
