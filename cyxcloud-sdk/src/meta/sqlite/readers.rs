//! Connections that read beside the writer, each read in one snapshot, on threads made for blocking.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cyxcloud_core::{Error, Result};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::fail::{Fail, Outcome};
use super::schema;

/// Reads at once.
const CONNECTIONS: usize = 4;

/// A pool that opens connections as they are needed.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Readers of the file at `path`, which exists.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { pool: Arc::new(Pool { path, idle: Mutex::default() }), permits: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Carries `op` out in one snapshot that holds everything committed before the call.
    pub(super) async fn run<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let permits = self.permits.clone();
        let pool = self.pool.clone();
        let work = move |permit| {
            // Held to the end even when the caller stops waiting: it stands for the connection.
            let _permit: tokio::sync::OwnedSemaphorePermit = permit;
            pool.read(op).map_err(Fail::into_error)
        };
        let job = tokio::spawn(async move {
            let permit = permits.acquire_owned().await;
            let permit = permit.map_err(|e| Error::internal("the readers of metadata are closed").with_source(e))?;
            tokio::task::spawn_blocking(move || work(permit))
                .await
                .map_err(|e| Error::internal("a read of metadata was cut short").with_source(e))?
        });
        job.await.map_err(|e| Error::internal("a read of metadata was cut short").with_source(e))?
    }
}

impl Pool {
    fn read<T>(&self, op: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = idle().pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => schema::open_reader(&self.path)?,
        };
        let statement = |sql: &str| connection.prepare_cached(sql)?.execute([]);
        statement("BEGIN")?;
        let result = op(&connection);
        // A connection that cannot end its snapshot is closed instead.
        if statement("COMMIT").is_ok() {
            idle().push(connection);
        }
        result
    }
}
