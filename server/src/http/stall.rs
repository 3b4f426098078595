//! A stream that fails when no byte moves for too long, whichever side stalls.
//!
//! Progress only raises a flag: the clock is looked at when it has run down, not with every byte. So a stall is
//! noticed after the limit at the earliest and after twice that at the latest.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Wraps a stream; any progress of reading or writing restarts the clock.
pub(super) struct StallLimit<S> {
    stream: S,
    limit: Duration,
    moved: bool,
    deadline: Pin<Box<Sleep>>,
}

impl<S> StallLimit<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, moved: false, deadline: Box::pin(tokio::time::sleep(limit)) }
    }

    /// The stream, without a limit.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Passes on what the stream says; while it says nothing, watches the clock.
    fn watch<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(outcome) => {
                self.moved = true;
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(context));
                while std::mem::take(&mut self.moved) {
                    self.deadline.as_mut().reset(Instant::now() + self.limit);
                    ready!(self.deadline.as_mut().poll(context));
                }
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, poll)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallLimit<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn fails_when_the_peer_sends_nothing() {
        let (_peer, ours) = duplex(64);
        let mut ours = StallLimit::new(ours, Duration::from_millis(5));
        assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn fails_when_the_peer_reads_nothing() {
        let (_peer, ours) = duplex(64);
        let mut ours = StallLimit::new(ours, Duration::from_millis(5));
        assert_eq!(ours.write_all(&[0; 65]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn passes_bytes_while_they_move() {
        let (mut peer, ours) = duplex(64);
        let mut ours = StallLimit::new(ours, Duration::from_secs(60));
        peer.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        ours.read_exact(&mut heard).await.unwrap();
        ours.write_all(b"pong").await.unwrap();
        peer.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"pong");
    }
}
