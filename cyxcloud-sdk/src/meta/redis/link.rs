//! A connection that is made when it is needed and made anew when it is lost or silent.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cyxcloud_core::{Error, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use tokio::sync::Mutex;

/// A server that cannot be connected to within this is not there.
const CONNECT: Duration = Duration::from_secs(2);

/// The way to Redis. Any number of calls may be on it at once.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    held: Arc<Mutex<Held>>,
    patience: Duration,
}

/// With a number, so that who finds a connection lost does not throw away the next one.
#[derive(Default)]
struct Held {
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {}, {}", self.number, if self.connection.is_some() { "open" } else { "closed" })
    }
}

impl Link {
    /// A call that takes longer than `patience`, connecting included, has failed.
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        Self { client, held: Arc::default(), patience }
    }

    /// Carries out a call, a second time where the connection turned out to be lost: one that lay idle while the server restarted shows it only then.
    pub(super) async fn ask<T, F: Future<Output = RedisResult<T>>>(&self, call: impl Fn(MultiplexedConnection) -> F) -> Result<T> {
        let tries = async {
            let mut last = None;
            for _ in 0..2 {
                let (number, connection) = self.connection().await?;
                match call(connection).await {
                    Err(e) if e.is_unrecoverable_error() => {
                        self.forget(number).await;
                        last = Some(e);
                    }
                    other => return other,
                }
            }
            Err(last.unwrap_or_else(lost))
        };
        match tokio::time::timeout(self.patience, tries).await {
            Ok(answered) => answered.map_err(|e| Error::unavailable("Redis cannot be used").with_source(e)),
            Err(_) => {
                // Nobody knows whether it will ever answer on this connection.
                if let Ok(mut held) = self.held.try_lock() {
                    held.connection = None;
                }
                Err(Error::unavailable(format!("Redis has not answered for {} ms", self.patience.as_millis())))
            }
        }
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut held = self.held.clone().lock_owned().await;
        if let Some(connection) = &held.connection {
            return Ok((held.number, connection.clone()));
        }
        let client = self.client.clone();
        // In a task of its own: connecting may take longer than whoever asks first has patience.
        let connecting = tokio::spawn(async move {
            let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
            let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            held.number += 1;
            held.connection = Some(connection.clone());
            Ok((held.number, connection))
        });
        connecting.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn forget(&self, number: u64) {
        let mut held = self.held.lock().await;
        if held.number == number {
            held.connection = None;
        }
    }
}

fn lost() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::NotConnected).into()
}
