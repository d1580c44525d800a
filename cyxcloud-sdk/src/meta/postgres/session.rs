//! Connections, transactions, and how often a transaction is tried.

use std::ops::Deref;
use std::time::Duration;

use cyxcloud_core::Result;
use deadpool_postgres::{Object, Pool};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fail::{Again, Fail, Outcome};

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

/// A connection of the pool. One that goes while a transaction is open is closed.
pub(super) struct Session {
    client: Option<Object>,
    in_transaction: std::sync::atomic::AtomicBool,
}

impl Session {
    pub(super) async fn take(pool: &Pool) -> Outcome<Self> {
        Ok(Self { client: Some(pool.get().await?), in_transaction: false.into() })
    }

    /// Begins a transaction. Statements that are polled after this one are sent without waiting for the answer.
    pub(super) async fn begin(&self) -> Outcome<()> {
        self.in_transaction.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(self.client().batch_execute("BEGIN").await?)
    }

    /// Commits what succeeded, rolls back what did not.
    pub(super) async fn end<T>(mut self, done: Outcome<T>) -> Outcome<T> {
        let last = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.client().batch_execute(last).await;
        if ended.is_ok() {
            *self.in_transaction.get_mut() = false;
        }
        let value = done?;
        // Whether a commit that got no answer has happened, nobody knows: it must not be tried again.
        match ended.map_err(Fail::from) {
            Ok(()) => Ok(value),
            Err(fail) if fail.again() == Again::Conflicted => Err(fail),
            Err(fail) => Err(fail.into_error().into()),
        }
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("taken only when dropped")
    }

    pub(super) async fn query(&self, sql: &'static str, params: Params<'_>) -> Outcome<Vec<Row>> {
        let statement = self.client().prepare_cached(sql).await?;
        Ok(self.client().query(&statement, params).await?)
    }

    /// The first row, if any.
    pub(super) async fn first(&self, sql: &'static str, params: Params<'_>) -> Outcome<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// How many rows were changed.
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Outcome<u64> {
        let statement = self.client().prepare_cached(sql).await?;
        Ok(self.client().execute(&statement, params).await?)
    }
}

impl Deref for Session {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.client()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if *self.in_transaction.get_mut()
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
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
