//! Connections, transactions, and how often a transaction is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cyxcloud_core::port::Environment;
use cyxcloud_core::{Error, Result};
use deadpool_postgres::{Object, Pool};
use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Now;
use super::fail::{Again, Fail, Outcome};
use super::row::int;
use super::tls::Tls;

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Carries out `$body` as one transaction over `$tx`, again and again where others were in the way. The body begins the transaction
/// itself, so that the first statements need not wait for that: [`Session::begin`].
macro_rules! transact {
    ($meta:expr, $tx:ident, $body:expr) => {{
        let mut tries = $crate::meta::postgres::session::Tries::default();
        loop {
            let done = match $meta.session().await {
                Ok(session) => {
                    let $tx = &session;
                    let done: $crate::meta::postgres::fail::Outcome<_> = async { $body }.await;
                    session.end(done).await
                }
                Err(fail) => Err(fail),
            };
            match done {
                Ok(value) => break Ok(value),
                Err(fail) => tries.again(fail).await?,
            }
        }
    }};
}

/// As [`transact`], of statements that need no transaction: each sees what was committed before it. They may be carried out twice, where a
/// connection is lost.
macro_rules! look {
    ($meta:expr, $session:ident, $body:expr) => {{
        let mut tries = $crate::meta::postgres::session::Tries::default();
        loop {
            let done: $crate::meta::postgres::fail::Outcome<_> = async {
                let $session = &$meta.session().await?;
                $body
            }
            .await;
            match done {
                Ok(value) => break Ok(value),
                Err(fail) => tries.again(fail).await?,
            }
        }
    }};
}

pub(super) use {look, transact};

/// Where connections come from, and the time.
#[derive(Clone)]
pub(super) struct Sessions {
    pub(super) pool: Pool,
    pub(super) tls: Tls,
    /// Instead of the server's.
    pub(super) clock: Option<Arc<dyn Environment>>,
    /// A server that has not answered by then is gone; one that works ends a statement itself before.
    pub(super) patience: Duration,
}

impl Sessions {
    pub(super) async fn session(&self) -> Outcome<Session> {
        let (client, tls, patience) = (Some(self.pool.get().await?), self.tls.clone(), self.patience);
        Ok(Session { client, tls, patience, in_transaction: false.into(), is_spoilt: false.into(), running: 0.into() })
    }

    pub(super) fn clock(&self) -> Now {
        self.clock.as_ref().map(|clock| int(clock.now().0))
    }
}

/// A connection of the pool. It is closed instead of given back where it goes in the middle of something, as it does when its caller has gone.
pub(super) struct Session {
    client: Option<Object>,
    tls: Tls,
    patience: Duration,
    in_transaction: AtomicBool,
    /// It is of no more use: lost, silent, or connected to a server that does not write.
    is_spoilt: AtomicBool,
    /// Statements that have not been answered.
    running: AtomicUsize,
}

impl Session {
    /// Begins a transaction. Statements that are polled after this one are sent without waiting for the answer.
    pub(super) async fn begin(&self) -> Outcome<()> {
        self.in_transaction.store(true, Ordering::Relaxed);
        self.run(async { Ok(self.client().batch_execute("BEGIN").await?) }).await
    }

    /// Commits what succeeded, rolls back what did not.
    pub(super) async fn end<T>(self, done: Outcome<T>) -> Outcome<T> {
        if done.is_err() && self.is_spoilt.load(Ordering::Relaxed) {
            // Nobody would answer; the server rolls back when the connection is closed.
            return done;
        }
        let last = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        // Statements that nobody waits for any more are answered before this one.
        self.running.store(0, Ordering::Relaxed);
        let ended = self.run(async { Ok(self.client().batch_execute(last).await?) }).await;
        if ended.is_ok() {
            self.in_transaction.store(false, Ordering::Relaxed);
        }
        let value = done?;
        // Whether a commit that got no answer has happened, nobody knows: it must not be tried again.
        match ended {
            Ok(()) => Ok(value),
            Err(fail) if fail.again() == Again::Conflicted => Err(fail),
            Err(fail) => Err(fail.into_error().into()),
        }
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("taken only when dropped")
    }

    /// Counts a statement while it runs.
    async fn run<T>(&self, statement: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let Ok(done) = tokio::time::timeout(self.patience, statement).await else {
            // It counts as running, so that it is cancelled.
            self.is_spoilt.store(true, Ordering::Relaxed);
            return Err(Error::unavailable(format!("PostgreSQL has not answered for {} s", self.patience.as_secs())).into());
        };
        self.running.fetch_sub(1, Ordering::Relaxed);
        if done.as_ref().is_err_and(|fail| fail.again() == Again::Disconnected) {
            self.is_spoilt.store(true, Ordering::Relaxed);
        }
        done
    }

    /// Makes sure that the statement is sent without waiting, in the order in which statements are polled.
    pub(super) async fn prepare(&self, sql: &'static str) -> Outcome<()> {
        let client = self.client();
        self.run(async { Ok(client.prepare_cached(sql).await.map(drop)?) }).await
    }

    pub(super) async fn query(&self, sql: &'static str, params: Params<'_>) -> Outcome<Vec<Row>> {
        let client = self.client();
        self.run(async { Ok(client.query(&client.prepare_cached(sql).await?, params).await?) }).await
    }

    /// The first row, if any.
    pub(super) async fn first(&self, sql: &'static str, params: Params<'_>) -> Outcome<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// How many rows were changed.
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Outcome<u64> {
        let client = self.client();
        self.run(async { Ok(client.execute(&client.prepare_cached(sql).await?, params).await?) }).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let is_busy = *self.running.get_mut() > 0;
        if !(is_busy || *self.in_transaction.get_mut() || *self.is_spoilt.get_mut()) {
            return;
        }
        let Some(client) = self.client.take().map(Object::take) else { return };
        // A statement that nobody waits for would keep its locks until it is through.
        if let (true, Ok(runtime)) = (is_busy, Handle::try_current()) {
            let token = client.cancel_token();
            // Without an answer it ends by its own timeout.
            let tls = self.tls.clone();
            runtime.spawn(async move { drop(tls.cancel(token).await) });
        }
    }
}

/// Counts tries and waits between them.
#[derive(Debug, Default)]
pub(super) struct Tries {
    conflicts: u32,
    connections: u32,
}

/// Others were in the way so often before it is given up: with a hundred writers of one key some must wait for all others.
const MAX_CONFLICTS: u32 = 40;
/// Connections tried: those of the pool may all be dead after a restart of the server.
const MAX_CONNECTIONS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(200);

impl Tries {
    /// Waits before the next try, or says that there is none.
    pub(super) async fn again(&mut self, fail: Fail) -> Result<()> {
        let left = match fail.again() {
            Again::Conflicted => {
                self.conflicts += 1;
                self.conflicts < MAX_CONFLICTS
            }
            Again::Disconnected => {
                self.connections += 1;
                self.connections < MAX_CONNECTIONS
            }
            Again::Never => false,
        };
        if !left {
            return Err(fail.into_error());
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << (self.conflicts + self.connections).min(16)).min(MAX_PAUSE);
        // Those who met must not meet again.
        let part = getrandom::u32().unwrap_or(u32::MAX / 2);
        tokio::time::sleep(longest.mul_f64(f64::from(part) / f64::from(u32::MAX))).await;
        Ok(())
    }
}
