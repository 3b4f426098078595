//! A client that means harm: it says what it likes, over TLS or below it, and reports what came back.

use super::Product;
use super::client::tls;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the server did.
#[derive(Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Status of each answer, in order.
    pub statuses: Vec<u16>,
    /// Whether it closed the connection, or still waits.
    pub closed: bool,
    pub bytes: Vec<u8>,
}

impl Reaction {
    pub fn is(&self) -> (&[u16], bool) {
        (&self.statuses, self.closed)
    }
}

/// Says this over TLS, then listens.
pub async fn says(product: &Product, address: SocketAddr, words: impl AsRef<[u8]>) -> Reaction {
    let mut stream = tls(address, &product.ca).await.unwrap();
    // The server may have closed while we still speak.
    let _ = stream.write_all(words.as_ref()).await;
    let _ = stream.flush().await;
    listen(&mut stream).await
}

/// Says this to the port, without TLS.
pub async fn says_plainly(address: SocketAddr, words: impl AsRef<[u8]>) -> Reaction {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(words.as_ref()).await;
    listen(&mut stream).await
}

/// Says one byte after the other, this far apart, until it is cut off; returns after how long.
pub async fn drips(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), byte: u8, apart: Duration) -> Duration {
    let begun = std::time::Instant::now();
    let mut buffer = [0; 1024];
    loop {
        if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
            return begun.elapsed();
        }
        if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(apart, stream.read(&mut buffer)).await {
            return begun.elapsed();
        }
    }
}

async fn listen(stream: &mut (impl AsyncRead + Unpin)) -> Reaction {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let closed = loop {
        match tokio::time::timeout(QUIET, stream.read(&mut buffer)).await {
            // A reset is the same as an end here.
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(more)) => bytes.extend_from_slice(&buffer[..more]),
            Err(_) => break false,
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let statuses = text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
    Reaction { statuses: statuses.collect(), closed, bytes }
}

/// After so long without a word, the server waits for us.
const QUIET: Duration = Duration::from_millis(400);
