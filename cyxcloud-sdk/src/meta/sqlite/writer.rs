//! The one thread that writes, with group commit: what waits in the queue is carried out in one transaction with one sync.
//!
//! Each job runs in a savepoint, so that one that is refused rolls back only itself. Nobody is answered before the commit, and when
//! the commit fails everybody is told so: even a refusal may rest on something that another job of the group had written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use cyxcloud_core::{Error, Result};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::fail::{Fail, Outcome};

/// Jobs that may wait; callers beyond it wait to be queued.
const QUEUE: usize = 1024;

/// Jobs in one transaction at most, which bounds how long the first of them waits.
const GROUP: usize = 256;

/// How much was written. `jobs / transactions` is how well group commit groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteStats {
    /// Calls that write, refused ones included.
    pub jobs: u64,
    /// Transactions, each with at most one sync.
    pub transactions: u64,
}

/// A caller's operation and then its answer.
trait Job: Send {
    /// Carries it out; the error, if it failed.
    fn run(&mut self, c: &Connection) -> Option<Error>;
    /// Tells the caller, who may have gone, what became of it, or what became of the whole group.
    fn answer(self: Box<Self>, group: Result<()>);
}

struct Call<T, F> {
    op: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Outcome<T> + Send> Job for Call<T, F> {
    fn run(&mut self, c: &Connection) -> Option<Error> {
        let result = self.op.take()?(c).map_err(Fail::into_error);
        let error = result.as_ref().err().cloned();
        self.result = Some(result);
        error
    }

    fn answer(self: Box<Self>, group: Result<()>) {
        let Self { result, reply, .. } = *self;
        // A caller who has gone does not want the answer.
        drop(reply.send(group.and_then(|()| result.unwrap_or_else(|| Err(stopped())))));
    }
}

fn stopped() -> Error {
    Error::unavailable("the metadata store has stopped")
}

#[derive(Debug, Default)]
struct Counters {
    jobs: AtomicU64,
    transactions: AtomicU64,
}

/// The queue to the thread. Dropping it waits until the queue is empty.
#[derive(Debug)]
pub(super) struct Writer {
    /// None only while it is dropped.
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread, which owns `connection` from now on.
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (queue, mut jobs) = mpsc::channel::<Box<dyn Job>>(QUEUE);
        let counters = Arc::new(Counters::default());
        let mine = counters.clone();
        let work = move || {
            while let Some(first) = jobs.blocking_recv() {
                write_group(&connection, first, &mut jobs, &mine);
            }
        };
        let thread = std::thread::Builder::new().name("cyxcloud-meta".into()).spawn(work);
        let thread = thread.map_err(|e| Error::internal("cannot start the thread that writes metadata").with_source(e))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), counters })
    }

    /// Carries `op` out in a transaction, durable when this returns Ok. A caller who stops waiting leaves it undecided whether it was.
    pub(super) async fn run<T, F>(&self, op: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call { op: Some(op), result: None, reply });
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    pub(super) fn stats(&self) -> WriteStats {
        WriteStats { jobs: self.counters.jobs.load(Ordering::Relaxed), transactions: self.counters.transactions.load(Ordering::Relaxed) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It panicked only if an operation did, whose caller was told then.
            drop(thread.join());
        }
    }
}

/// One transaction of `first` and of what waits behind it; answers them all.
fn write_group(c: &Connection, first: Box<dyn Job>, waiting: &mut mpsc::Receiver<Box<dyn Job>>, counters: &Counters) {
    let mut group = vec![first];
    let outcome = transaction(c, &mut group, waiting).map_err(Fail::into_error);
    if outcome.is_err() && !c.is_autocommit() {
        // If even this fails, the next BEGIN fails too and says so.
        drop(c.execute_batch("ROLLBACK"));
    }
    counters.jobs.fetch_add(group.len() as u64, Ordering::Relaxed);
    counters.transactions.fetch_add(1, Ordering::Relaxed);
    for job in group {
        job.answer(outcome.clone());
    }
}

fn transaction(c: &Connection, group: &mut Vec<Box<dyn Job>>, waiting: &mut mpsc::Receiver<Box<dyn Job>>) -> Outcome<()> {
    let statement = |sql: &str| c.prepare_cached(sql)?.execute([]);
    statement("BEGIN IMMEDIATE")?;
    while let Some(job) = group.last_mut() {
        statement("SAVEPOINT job")?;
        if let Some(error) = job.run(c) {
            if c.is_autocommit() {
                // SQLite gave up the whole transaction, as it does without space.
                return Err(error.into());
            }
            statement("ROLLBACK TO job")?;
        }
        statement("RELEASE job")?;
        if group.len() == GROUP {
            break;
        }
        let Ok(next) = waiting.try_recv() else { break };
        group.push(next);
    }
    statement("COMMIT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cyxcloud_core::ErrorKind;
    use futures::future::{join_all, join3};

    /// A writer over a table of numbers that must stand in `known` by the time of the commit.
    fn writer() -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let c = Connection::open(dir.path().join("numbers")).unwrap();
        c.execute_batch(
            "PRAGMA foreign_keys = ON; CREATE TABLE known (n INTEGER PRIMARY KEY); INSERT INTO known VALUES (1), (2), (3);
             CREATE TABLE numbers (n INTEGER REFERENCES known DEFERRABLE INITIALLY DEFERRED, blob BLOB)",
        )
        .unwrap();
        (dir, Writer::start(c).unwrap())
    }

    fn insert(c: &Connection, n: i64) -> Outcome<()> {
        c.execute("INSERT INTO numbers (n) VALUES (?1)", [n])?;
        Ok(())
    }

    async fn numbers(writer: &Writer) -> Vec<i64> {
        let read = |c: &Connection| super::super::query::all(c, "SELECT n FROM numbers ORDER BY n", [], |row| Ok(row.get(0)?));
        writer.run(read).await.unwrap()
    }

    /// Holds the thread up until the others have queued, so that all make one group.
    fn hold_up(c: &Connection) -> Outcome<()> {
        std::thread::sleep(std::time::Duration::from_millis(100));
        insert(c, 1)
    }

    #[tokio::test]
    async fn a_refused_job_rolls_back_only_itself() {
        let (_dir, writer) = writer();
        let refused = writer.run(|c| {
            insert(c, 2)?;
            Err::<(), _>(Error::conflict("no").into())
        });
        let (one, refused, three) = join3(writer.run(hold_up), refused, writer.run(|c| insert(c, 3))).await;
        one.unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        three.unwrap();
        assert_eq!(writer.stats(), WriteStats { jobs: 3, transactions: 1 });
        assert_eq!(numbers(&writer).await, [1, 3]);
    }

    #[tokio::test]
    async fn a_failed_commit_fails_everybody() {
        let (_dir, writer) = writer();
        let refused = writer.run(|_| Err::<(), _>(Error::conflict("no").into()));
        let (one, unknown, refused) = join3(writer.run(hold_up), writer.run(|c| insert(c, 4)), refused).await;
        for result in [one, unknown, refused] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Internal);
        }
        assert_eq!(writer.stats().transactions, 1);
        assert!(numbers(&writer).await.is_empty());
        writer.run(|c| insert(c, 2)).await.unwrap();
        assert_eq!(numbers(&writer).await, [2]);
    }

    #[tokio::test]
    async fn a_transaction_given_up_fails_everybody_in_it() {
        let (_dir, writer) = writer();
        let gives_up = writer.run(|c| {
            c.execute_batch("ROLLBACK")?;
            Err::<(), _>(Error::full("no space").into())
        });
        let (one, given_up, three) = join3(writer.run(hold_up), gives_up, writer.run(|c| insert(c, 3))).await;
        assert_eq!(one.unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(given_up.unwrap_err().kind(), ErrorKind::Full);
        three.unwrap();
        assert_eq!(numbers(&writer).await, [3]);
    }

    #[tokio::test]
    async fn without_space_the_kind_is_full_and_the_rest_goes_on() {
        let (_dir, writer) = writer();
        let too_large = |c: &Connection| {
            c.pragma_update_and_check(None, "max_page_count", 16, |_| Ok(()))?;
            c.execute("INSERT INTO numbers (n, blob) VALUES (1, zeroblob(1000000))", [])?;
            Ok(())
        };
        assert_eq!(writer.run(too_large).await.unwrap_err().kind(), ErrorKind::Full);
        writer.run(|c| insert(c, 1)).await.unwrap();
        assert_eq!(numbers(&writer).await, [1]);
    }

    #[tokio::test]
    async fn a_long_queue_is_cut_into_groups() {
        let (_dir, writer) = writer();
        let first = writer.run(hold_up);
        let many = join_all((0..2 * GROUP).map(|_| writer.run(|c| insert(c, 1))));
        let (first, many) = futures::future::join(first, many).await;
        first.unwrap();
        many.into_iter().for_each(|result| result.unwrap());
        assert_eq!(writer.stats(), WriteStats { jobs: 2 * GROUP as u64 + 1, transactions: 3 });
        assert_eq!(numbers(&writer).await.len(), 2 * GROUP + 1);
    }

    #[tokio::test]
    async fn callers_who_have_gone_and_a_drop_leave_nothing_undone() {
        let (dir, writer) = writer();
        {
            let mut calls = [1, 2, 3].map(|n| Box::pin(writer.run(move |c| insert(c, n))));
            for call in &mut calls {
                let _ = futures::poll!(call);
            }
        }
        drop(writer);
        let c = Connection::open(dir.path().join("numbers")).unwrap();
        assert_eq!(c.query_row("SELECT count(*) FROM numbers", [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    }

    #[tokio::test]
    async fn a_panic_stops_the_writer_and_says_so() {
        let (_dir, writer) = writer();
        let panics = writer.run(|_| -> Outcome<()> { panic!("a defect") }).await;
        assert_eq!(panics.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(writer.run(|c| insert(c, 1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
