//! A few threads that read, each over a connection of its own that stays open: opening one costs more than most questions.

use crate::store::StoreError;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The handle to the threads. Dropping it answers what is queued and closes the connections.
pub(super) struct Readers {
    queue: Option<SyncSender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

/// Returns false if the connection met an error and is not to be used again.
type Question = Box<dyn FnOnce(Result<&Connection, StoreError>) -> bool + Send>;

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
    pub(super) fn ask<T, F>(&self, work: F) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            let result = connection.and_then(work);
            let sound = result.is_ok();
            // Who asked may be gone.
            let _ = reply.send(result);
            sound
        });
        match self.queue.as_ref().map(|queue| queue.try_send(question)) {
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

fn answer_all(path: &PathBuf, questions: &Mutex<Receiver<Question>>) {
    let mut kept = None;
    loop {
        let question = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(question) = question else { return };
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => super::connect(path).and_then(|connection| {
                connection.pragma_update(None, "query_only", true)?;
                Ok(connection)
            }),
        };
        match connection {
            Ok(connection) => kept = question(Ok(&connection)).then_some(connection),
            Err(error) => {
                question(Err(error));
            }
        }
    }
}

/// Enough that a long answer to an administrator does not hold up the devices.
const THREADS: usize = 4;
/// Questions that may queue before new ones are refused.
const QUEUE: usize = 4096;
