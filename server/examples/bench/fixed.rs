//! The floor of this machine: TLS as ours, requests read as far as their length, and an answer that is made before. No
//! HTTP library, no keys, no store, no limits.

use crate::reference;
use anyhow::{Context, Result};
use std::io::Write;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Of a crowd, for its certificate
    directory: PathBuf,
}

/// Serves until it is killed; prints the address as the server does.
///
/// # Errors
/// It cannot start.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let tls = reference::acceptor(&arguments.directory)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{{\"listening\":\"{}\"}}", listener.local_addr()?);
        std::io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(attend(tls.clone(), stream));
        }
    })
}

async fn attend(tls: TlsAcceptor, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = tls.accept(stream).await?;
    let mut buffer = [0; 4096];
    let mut held = 0;
    loop {
        let more = stream.read(buffer.get_mut(held..).context("a longer request")?).await?;
        if more == 0 {
            return Ok(());
        }
        held += more;
        // A client that waits for its answer sends nothing behind its request.
        if buffer.get(..held).and_then(length).is_some_and(|length| held >= length) {
            stream.write_all(ANSWER).await?;
            stream.flush().await?;
            held = 0;
        }
    }
}

/// Of the whole request, if its head is there.
fn length(request: &[u8]) -> Option<usize> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let begin = request.windows(LENGTH.len()).position(|window| window == LENGTH)? + LENGTH.len();
    let digits = request.get(begin..)?.split(|byte| *byte == b'\r').next()?;
    Some(end + std::str::from_utf8(digits).ok()?.parse::<usize>().ok()?)
}

const LENGTH: &[u8] = b"content-length: ";

/// As long as that of a refused upload.
const ANSWER: &[u8] = b"HTTP/1.1 401 Unauthorized\r\ncache-control: no-store\r\ncontent-type: application/json\r\n\
    content-length: 20\r\ndate: Sun, 22 Nov 2026 08:00:00 GMT\r\n\r\n{\"result\":\"refused\"}";
