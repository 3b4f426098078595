//! A few threads that read, each over a connection of its own that stays open: opening one costs more than most questions.
//!
//! SQLite forgets the pages that a connection has read as soon as somebody else commits, which here is always. So short
//! questions that wait together are answered in one transaction, and share what they read.

use crate::store::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The handle to the threads. Dropping it answers what is queued and closes the connections.
pub(super) struct Readers {
    queue: Option<SyncSender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

/// How a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Alone: it may begin a transaction, and may take long.
    Own,
    /// With others that are as short. What they see is no older than the moment at which each was asked.
    Shared,
}

struct Question {
    view: View,
    work: Work,
}

/// Returns false if the connection met an error and is not to be used again.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> bool + Send>;

impl Readers {
    /// Starts threads that read the database at `path`.
    pub(super) fn start(path: &Path) -> std::io::Result<Self> {
        let (queue, questions) = sync_channel(QUEUE);
        let questions = Arc::new(Mutex::new(questions));
        let start = |number| {
            let (path, questions) = (path.to_owned(), Arc::clone(&questions));
            let thread = std::thread::Builder::new().name(format!("store-reader-{number}"));
            thread.spawn(move || answer_all(&path, &questions))
        };
        Ok(Self { queue: Some(queue), threads: (0..THREADS).map(start).collect::<Result<_, _>>()? })
    }

    /// Queues `work`; the receiver resolves to its result.
    pub(super) fn ask<T, F>(&self, view: View, work: F) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let result = connection.and_then(work);
            let sound = result.is_ok();
            // Who asked may be gone.
            let _ = reply.send(result);
            sound
        });
        match self.queue.as_ref().map(|queue| queue.try_send(Question { view, work })) {
            Some(Ok(())) => Ok(answer),
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => Err(StoreError::Unavailable),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        drop(self.queue.take());
        for thread in self.threads.drain(..) {
            // A panic has already refused its question: the reply channel is closed.
            let _ = thread.join();
        }
    }
}

fn answer_all(path: &Path, questions: &Mutex<Receiver<Question>>) {
    let mut kept: Option<Connection> = None;
    let mut batch = Vec::with_capacity(MOST_TOGETHER);
    loop {
        {
            let questions = questions.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(first) = questions.recv() else { return };
            batch.push(first);
            batch.extend(questions.try_iter().take(MOST_TOGETHER - 1));
        }
        for Question { view, work } in batch.drain(..) {
            let ready = match kept.take() {
                Some(connection) => Ok(connection),
                None => open(path),
            };
            kept = match ready.and_then(|connection| prepared(connection, view)) {
                Ok(connection) => work(Ok(&connection)).then_some(connection),
                Err(error) => {
                    work(Err(error));
                    None
                }
            };
        }
        // The next batch shall see what was committed meanwhile, and the log may be moved to the database.
        kept = kept.take().and_then(|connection| prepared(connection, View::Own).ok());
    }
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = super::connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Inside a transaction for a shared view, outside of one for its own.
fn prepared(connection: Connection, view: View) -> Result<Connection, StoreError> {
    let change = match (view, connection.is_autocommit()) {
        (View::Shared, true) => "BEGIN",
        (View::Own, false) => "COMMIT",
        (View::Shared, false) | (View::Own, true) => return Ok(connection),
    };
    connection.prepare_cached(change)?.execute([])?;
    Ok(connection)
}

/// Enough that a long answer to an administrator does not hold up the devices.
const THREADS: usize = 4;
/// Questions in one transaction.
const MOST_TOGETHER: usize = 64;
/// Questions that may queue before new ones are refused.
const QUEUE: usize = 4096;
