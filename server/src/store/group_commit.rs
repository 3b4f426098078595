//! Group commit: one thread owns the write connection and commits many jobs with one flush.
//!
//! 1. Wait for a job; take what else is queued, up to [`MOST_JOBS`]. If there is company, wait [`COMPANY_WAIT`] for more:
//!    asleep, because waking up for each job costs more than the job.
//! 2. `BEGIN IMMEDIATE`; run each job in a savepoint of its own. A job that fails is rolled back alone. A job that
//!    writes nothing before all of its questions are answered needs no savepoint: if its writing fails, the disk has
//!    failed, and with it the transaction. Before and after them comes what all of them need ([`Around`]).
//! 3. `COMMIT` with `synchronous=FULL`: when it returns, the jobs are on the disk.
//! 4. Only then answer. If the commit failed, nobody hears a success.

use super::StoreError;
use crate::metrics::Commits;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Most jobs in one transaction.
pub(super) const MOST_JOBS: usize = 512;
/// How long jobs that are not alone wait for more.
const COMPANY_WAIT: Duration = Duration::from_millis(1);
/// Jobs that may queue before new ones are refused: bounds memory when the disk stalls.
const QUEUE: usize = 4096;

/// The handle to the writer thread. Dropping it finishes the queued jobs and closes the database.
pub(super) struct Writer {
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    commits: Commits,
    failing: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread that owns `connection`.
    pub(super) fn start(connection: Connection, around: impl Around) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let commits = Commits::default();
        let failing = Arc::new(AtomicBool::new(false));
        let (counted, failed) = (commits.clone(), Arc::clone(&failing));
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(&connection, &receiver, around, &counted, &failed))?;
        Ok(Self { queue: Some(sender), thread: Some(thread), commits, failing })
    }

    /// Whether the last transaction that changed something did not commit.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// What is counted.
    pub(super) const fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Queues `work`; the receiver resolves after the transaction that held it.
    pub(super) fn submit<T, F>(&self, work: F) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.submit_as(Undo::Alone, work)
    }

    /// As [`Self::submit`], for work that fails only before its first change, or because the disk does: then the whole
    /// transaction is undone. Without a savepoint it costs half.
    pub(super) fn submit_checked<T, F>(&self, work: F) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.submit_as(Undo::WithAll, work)
    }

    fn submit_as<T, F>(&self, undo: Undo, work: F) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { work: Some(work), undo, outcome: None, reply });
        match self.queue.as_ref().map(|queue| queue.try_send(job)) {
            Some(Ok(())) => {
                self.commits.queued.inc();
                Ok(answer)
            }
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => Err(StoreError::Unavailable),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already refused its jobs: their reply channels are closed.
            let _ = thread.join();
        }
    }
}

/// What belongs to each transaction, whatever its jobs are. If its work fails, nothing is committed.
pub(super) trait Around: Send + 'static {
    /// Before the first job.
    fn first(&mut self, _: &Connection) -> Result<(), StoreError> {
        Ok(())
    }

    /// After the last one.
    fn last(&mut self, connection: &Connection) -> Result<(), StoreError>;

    /// Whether it was committed; before anybody is answered.
    fn ended(&mut self, _committed: bool) {}
}

impl<F: FnMut(&Connection) -> Result<(), StoreError> + Send + 'static> Around for F {
    fn last(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self(connection)
    }
}

/// What is undone if a job fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// The job.
    Alone,
    /// The transaction.
    WithAll,
}

/// A unit of work inside the shared transaction.
trait Job: Send {
    /// What is undone if it fails.
    fn undo(&self) -> Undo;
    /// Runs the work and keeps its outcome; `true` if its changes are to be kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Replaces the outcome, because its changes could not be kept.
    fn fail(&mut self, error: StoreError);
    /// Sends the outcome to whoever waits. Called after the commit.
    fn answer(self: Box<Self>);
}

struct Task<T, F> {
    work: Option<F>,
    undo: Undo,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn undo(&self) -> Undo {
        self.undo
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let outcome = self.work.take().map(|work| work(connection));
        let keep = matches!(outcome, Some(Ok(_)));
        self.outcome = outcome;
        keep
    }

    fn fail(&mut self, error: StoreError) {
        // An error of its own says more than "not committed".
        if !matches!(self.outcome, Some(Err(_))) {
            self.outcome = Some(Err(error));
        }
    }

    fn answer(self: Box<Self>) {
        // The receiver may be gone (client hung up): the work is done all the same.
        let _ = self.reply.send(self.outcome.unwrap_or(Err(StoreError::NotCommitted)));
    }
}

fn write_all(
    connection: &Connection,
    queue: &Receiver<Box<dyn Job>>,
    mut around: impl Around,
    commits: &Commits,
    failing: &AtomicBool,
) {
    let mut batch: Vec<Box<dyn Job>> = Vec::with_capacity(MOST_JOBS);
    let mut busy = false;
    while let Ok(first) = queue.recv() {
        batch.push(first);
        batch.extend(queue.try_iter().take(MOST_JOBS - 1));
        busy |= batch.len() > 1;
        if busy && batch.len() < MOST_JOBS {
            std::thread::sleep(COMPANY_WAIT);
            batch.extend(queue.try_iter().take(MOST_JOBS - batch.len()));
        }
        busy = batch.len() > 1;
        let jobs = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        commits.sizes.observe(f64::from(jobs));
        commits.queued.dec_by(i64::from(jobs));
        let before = connection.total_changes();
        let committed = commit(connection, &mut batch, &mut around);
        if committed.is_err() || connection.total_changes() != before {
            failing.store(committed.is_err(), Ordering::Relaxed);
        }
        if let Err(error) = committed {
            commits.failed.inc();
            tracing::error!(%error, jobs = batch.len(), "store: transaction failed");
            if !connection.is_autocommit() {
                // Leaves no transaction open; if this fails too, the next BEGIN fails and refuses its jobs.
                let _ = connection.execute_batch("ROLLBACK");
            }
            around.ended(false);
            for job in &mut batch {
                job.fail(StoreError::NotCommitted);
            }
        } else {
            around.ended(true);
        }
        for job in batch.drain(..) {
            job.answer();
        }
    }
}

fn commit(connection: &Connection, batch: &mut [Box<dyn Job>], around: &mut impl Around) -> Result<(), StoreError> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    around.first(connection)?;
    for job in batch.iter_mut() {
        match job.undo() {
            Undo::Alone => {
                connection.prepare_cached("SAVEPOINT job")?.execute([])?;
                if !job.run(connection) {
                    connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
                }
                connection.prepare_cached("RELEASE job")?.execute([])?;
            }
            Undo::WithAll if job.run(connection) => {}
            Undo::WithAll => return Err(StoreError::NotCommitted),
        }
    }
    around.last(connection)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE mark (value INTEGER UNIQUE)").unwrap();
        Writer::start(connection, |_: &Connection| Ok(())).unwrap()
    }

    fn insert(value: i64) -> impl FnOnce(&Connection) -> Result<usize, StoreError> + Send + 'static {
        move |connection| Ok(connection.execute("INSERT INTO mark VALUES (?1)", [value])?)
    }

    #[test]
    fn an_error_in_one_job_loses_no_other() {
        let writer = writer();
        let answers: Vec<_> = [1, 2, 2, 3].map(|value| writer.submit(insert(value)).unwrap()).into();
        let outcomes: Vec<bool> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().is_ok()).collect();
        assert_eq!(outcomes, [true, true, false, true]);
        let count = writer
            .submit(|connection| Ok(connection.query_row("SELECT count(*) FROM mark", [], |row| row.get::<_, i64>(0))?))
            .unwrap()
            .blocking_recv()
            .unwrap()
            .unwrap();
        assert_eq!(count, 3);
    }

    #[test]
    fn a_failing_job_leaves_none_of_its_changes() {
        let writer = writer();
        let answer = writer
            .submit(|connection| {
                connection.execute("INSERT INTO mark VALUES (10)", [])?;
                connection.execute("INSERT INTO mark VALUES (10)", [])?;
                Ok(())
            })
            .unwrap();
        assert!(matches!(answer.blocking_recv().unwrap(), Err(StoreError::Sqlite(_))));
        let again = writer.submit(insert(10)).unwrap().blocking_recv().unwrap();
        assert_eq!(again.unwrap(), 1);
    }

    #[test]
    fn a_failing_job_without_a_savepoint_takes_its_transaction_with_it_and_no_other() {
        let writer = writer();
        // The first runs alone; what is queued meanwhile is one transaction.
        let (started, is_running) = sync_channel(1);
        let (go_on, may_end) = sync_channel::<()>(1);
        let first = writer
            .submit(move |_| {
                started.send(()).unwrap();
                may_end.recv().unwrap();
                Ok(())
            })
            .unwrap();
        is_running.recv().unwrap();
        let before = writer.submit(insert(1)).unwrap();
        let failing = writer
            .submit_checked(|connection| {
                connection.execute("INSERT INTO mark VALUES (2)", [])?;
                connection.execute("INSERT INTO mark VALUES (2)", [])?;
                Ok(())
            })
            .unwrap();
        go_on.send(()).unwrap();
        first.blocking_recv().unwrap().unwrap();
        assert!(matches!(before.blocking_recv().unwrap(), Err(StoreError::NotCommitted)));
        assert!(matches!(failing.blocking_recv().unwrap(), Err(StoreError::Sqlite(_))));
        for value in [1, 2] {
            assert_eq!(writer.submit(insert(value)).unwrap().blocking_recv().unwrap().unwrap(), 1, "none was left");
        }
    }

    #[test]
    fn a_job_that_ends_the_transaction_makes_all_of_it_fail_and_the_next_batch_works() {
        let writer = writer();
        let answer = writer.submit(|connection| Ok(connection.execute_batch("ROLLBACK")?)).unwrap();
        assert!(matches!(answer.blocking_recv().unwrap(), Err(StoreError::NotCommitted)));
        assert_eq!(writer.submit(insert(1)).unwrap().blocking_recv().unwrap().unwrap(), 1);
    }

    #[test]
    fn dropping_the_writer_finishes_what_was_queued() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marks");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE mark (value INTEGER UNIQUE)").unwrap();
        let writer = Writer::start(connection, |_: &Connection| Ok(())).unwrap();
        for value in 0..100 {
            drop(writer.submit(insert(value)).unwrap());
        }
        drop(writer);
        let count: i64 =
            Connection::open(&path).unwrap().query_row("SELECT count(*) FROM mark", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 100);
    }
}
