//! Accepts connections: bounded in number, and only of those who say something.

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

/// Who has connected and sends nothing for this long is closed.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(10);

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
            Ok((tcp, _)) => {
                tcp.set_nodelay(true).map(|()| Connection { tcp, silence: Some(Box::pin(sleep(FIRST_BYTE_TIME))), _permit: permit })
            }
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
    /// Runs until the first byte came.
    silence: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.tcp.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if read.is_ready() {
            self.silence = None;
        } else if self.silence.as_mut().is_some_and(|silence| silence.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
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
