//! Messages that are being stored: acknowledged in the order in which they came, each after it is durable.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Work that ends in a word about a message.
type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Durable.
    Stored,
    /// It is not what belongs there, and never will be.
    Rejected,
    /// Too many of its kind.
    TooMany,
    /// It cannot be stored now.
    Unavailable,
}

/// A queue of messages under way.
#[derive(Default)]
pub(super) struct Taken {
    under_way: VecDeque<Message>,
}

struct Message {
    number: Option<u16>,
    work: Work,
    has_begun: bool,
}

impl Taken {
    /// Takes a message with its number, if it has one. With `at_once`, the work begins now, unless one before it has not
    /// begun; without, when all before it are done.
    pub(super) fn push(&mut self, number: Option<u16>, mut work: Work, at_once: bool) {
        let is_first = self.under_way.is_empty();
        let has_begun = is_first || (at_once && self.under_way.back().is_some_and(|last| last.has_begun));
        if has_begun {
            // The store queues when it is asked. Who is to be woken, it is told by the next poll.
            if let Poll::Ready(outcome) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                work = Box::pin(std::future::ready(outcome));
            }
        }
        self.under_way.push_back(Message { number, work, has_begun });
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// What became of the oldest message; waits for ever if there is none.
    pub(super) async fn next(&mut self) -> (Option<u16>, Outcome) {
        poll_fn(|context| {
            let Some(Message { number, work, has_begun }) = self.under_way.front_mut() else { return Poll::Pending };
            let number = *number;
            *has_begun = true;
            let Poll::Ready(outcome) = work.as_mut().poll(context) else { return Poll::Pending };
            self.under_way.pop_front();
            Poll::Ready((number, outcome))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn messages_end_in_their_order_and_those_that_must_wait_begin_in_it() {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut taken = Taken::default();
        let mut ends = Vec::new();
        for (number, at_once) in [(1, true), (2, true), (3, false), (4, true)] {
            let (end, ended) = oneshot::channel();
            let begun = Arc::clone(&begun);
            let work = async move {
                begun.fetch_add(1, Ordering::Relaxed);
                ended.await.unwrap()
            };
            taken.push(Some(number), Box::pin(work), at_once);
            ends.push(end);
        }
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        let (fourth, third) = (ends.pop().unwrap(), ends.pop().unwrap());
        ends.pop().unwrap().send(Outcome::Rejected).unwrap();
        ends.pop().unwrap().send(Outcome::Stored).unwrap();
        assert_eq!(taken.next().await, (Some(1), Outcome::Stored));
        assert_eq!(taken.next().await, (Some(2), Outcome::Rejected));
        third.send(Outcome::Unavailable).unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), 2, "the fourth does not overtake the third");
        assert_eq!(taken.next().await, (Some(3), Outcome::Unavailable));
        fourth.send(Outcome::Stored).unwrap();
        assert_eq!(taken.next().await, (Some(4), Outcome::Stored));
        assert!(taken.is_empty() && begun.load(Ordering::Relaxed) == 4);
    }
}
