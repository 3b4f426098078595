//! The bytes of a connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The connection.
pub(super) struct Wire {
    stream: TlsStream<TcpStream>,
    stall: Duration,
}

impl Wire {
    /// `stall`: for how long the peer may take nothing.
    pub(super) const fn new(stream: TlsStream<TcpStream>, stall: Duration) -> Self {
        Self { stream, stall }
    }

    /// The end, in order if the peer is there still.
    pub(super) async fn close(&mut self) {
        let _ = tokio::time::timeout(self.stall, self.stream.shutdown()).await;
    }

    /// What came; `None` at the end. Who waits holds no buffer.
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
                Poll::Ready(read.ok().map(|()| buffer.filled().to_vec()).filter(|bytes| !bytes.is_empty()))
            })
        })
        .await
    }

    /// `None` if the peer is gone, or takes nothing.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(self.stall, written).await.ok()?.ok()
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 16 * 1024]);
}
