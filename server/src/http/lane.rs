//! The lane of packets: uploads in the spelling of every client of ours, read and answered without an HTTP library.
//!
//! Most requests by far are packets. Of the 32 µs of processor time that a refused one took, 14 were the kernel's, 4 went
//! to TLS, 4 to the MAC, the limits and the counters, and most of the rest to HTTP. So a connection begins here. A request
//! is taken that
//!
//! 1. is there as a whole, with one read, so that there is nothing to wait for;
//! 2. is a `POST` of HTTP/1.1 to where packets go;
//! 3. has no header but those of [`KNOWN`], each once at most, `host` and `content-length` among them;
//! 4. has a body that is not too long.
//!
//! With the first one that is anything else, what was read and the rest of the connection go to the library, which refuses
//! it or waits for the rest of it within its limits. So nothing is understood here that the library would understand
//! otherwise; a test puts mutated requests to both.

use super::answer;
use super::body::DEVICE_BODY;
use super::date::Date;
use super::device;
use super::house::leave;
use super::stall::StallLimit;
use super::whose::refusal;
use crate::app::App;
use crate::entrance::certificate::{Certified, Door};
use crate::entrance::gate::Gate;
use crate::ingest::Receipt;
use cotter_wire::answer::Answer;
use cotter_wire::ids::DeviceId;
use std::io::Write;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Who has come, and who attends to it.
pub(super) struct Visit<'a> {
    pub(super) app: &'a App,
    pub(super) gate: &'a Gate,
    pub(super) door: Option<&'a Door>,
    pub(super) certified: Option<Certified>,
    pub(super) address: IpAddr,
}

impl Visit<'_> {
    /// Takes packets in until something else comes: then the stream, to be read from there on. `None`: it has ended, or
    /// said nothing for `idle`, or `told_to_close` has resolved.
    pub(super) async fn attend<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        idle: Duration,
        told_to_close: impl Future<Output = ()>,
    ) -> Option<Rewound<S>> {
        let mut stream = StallLimit::new(stream, idle);
        let mut told_to_close = std::pin::pin!(told_to_close);
        let (mut buffer, mut out, mut date) = (vec![0; BUFFER], Vec::with_capacity(256), Date::default());
        loop {
            let read = tokio::select! {
                biased;
                () = &mut told_to_close => 0,
                read = stream.read(&mut buffer) => read.ok()?,
            };
            if read == 0 {
                // The peer may be gone.
                let _ = stream.shutdown().await;
                return None;
            }
            let mut rest = buffer.get(..read)?;
            while !rest.is_empty() {
                let taken = match Upload::parse(rest) {
                    Some((upload, after)) => self.take(&upload).await.map(|taken| (taken, after)),
                    None => None,
                };
                let Some((receipt, after)) = taken else {
                    return Some(Rewound { before: rest.to_vec(), stream: stream.into_inner() });
                };
                rest = after;
                write_answer(&mut out, receipt, date.now());
                stream.write_all(&out).await.ok()?;
                stream.flush().await.ok()?;
            }
        }
    }

    /// `None` if it is not for this door, or refused by it: nothing has been done.
    async fn take(&self, upload: &Upload<'_>) -> Option<Receipt> {
        let shut = self.door.is_some_and(|door| refusal(door, upload.path, self.certified).is_some());
        if shut {
            return None;
        }
        if let Some(retry_after) = self.gate.exceeded(self.address) {
            return Some(Receipt::TooMany(retry_after));
        }
        let receipt = device::take(self.app, upload.device, upload.body).await;
        leave(self.gate, self.address, answer::words(receipt).0);
        Some(receipt)
    }
}

/// A packet as it comes.
struct Upload<'a> {
    path: &'a str,
    device: DeviceId,
    body: &'a [u8],
}

impl<'a> Upload<'a> {
    /// One that is there as a whole, and what comes behind it.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (line, mut rest) = line(bytes)?;
        let path = line.strip_prefix("POST ")?.strip_suffix(" HTTP/1.1")?;
        let device = device::in_path(path)?;
        let (mut seen, mut length) = ([false; KNOWN.len()], None);
        loop {
            let (header, after) = self::line(rest)?;
            rest = after;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':')?;
            let value = value.strip_prefix(' ').unwrap_or(value);
            let known = KNOWN.iter().position(|known| known.eq_ignore_ascii_case(name))?;
            if std::mem::replace(seen.get_mut(known)?, true) {
                return None;
            }
            match known {
                LENGTH => length = Some(usize::try_from(device::number(value)?).ok()?),
                CONNECTION if !value.eq_ignore_ascii_case("keep-alive") => return None,
                _ => {}
            }
        }
        let body = rest.get(..length.filter(|length| seen[HOST] && *length <= DEVICE_BODY)?)?;
        Some((Self { path, device, body }, rest.get(body.len()..)?))
    }
}

/// What comes before the next CR LF, if it is printable ASCII, and what comes after it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| !matches!(byte, b' '..=b'~'))?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.strip_prefix(b"\r\n")?))
}

/// As the library would say what `answer::receipt` makes.
fn write_answer(out: &mut Vec<u8>, receipt: Receipt, date: &str) {
    let (status, words, retry_after) = answer::words(receipt);
    let mut body = [0; Answer::MAX_LEN];
    let body = words.write(&mut body).unwrap_or_default();
    out.clear();
    let reason = status.canonical_reason().unwrap_or_default();
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "HTTP/1.1 {} {reason}\r\ncache-control: no-store\r\ncontent-type: application/json\r\n",
        status.as_str()
    );
    if let Some(seconds) = retry_after {
        let _ = write!(out, "retry-after: {seconds}\r\n");
    }
    let _ = write!(out, "content-length: {}\r\ndate: {date}\r\n\r\n", body.len());
    out.extend_from_slice(body);
}

/// A stream of which something was read already.
pub(super) struct Rewound<S> {
    before: Vec<u8>,
    stream: S,
}

impl<S> Rewound<S> {
    /// Nothing was read.
    pub(super) const fn fresh(stream: S) -> Self {
        Self { before: Vec::new(), stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.before.len().min(buffer.remaining());
        let rest = self.before.split_off(count);
        buffer.put_slice(&std::mem::replace(&mut self.before, rest));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Headers that change nothing about a packet, and those that are understood.
const KNOWN: [&str; 6] = ["host", "content-length", "connection", "content-type", "user-agent", "accept"];
const HOST: usize = 0;
const LENGTH: usize = 1;
const CONNECTION: usize = 2;
/// A head, and the longest body that a device may send.
const BUFFER: usize = 2048 + DEVICE_BODY;

#[cfg(test)]
mod tests;
