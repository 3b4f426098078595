//! A server that means no good, with a certificate that the device trusts: a fallen server, or whoever holds its key.
//!
//! It opens genuine sessions and offers a genuine release, and then does one wrong thing at one place. The device must name
//! what was wrong, keep what it runs, and take the very same release from an honest server afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics where it fails")]

mod listener;
#[path = "power_cuts/product.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the power cuts")]
mod product;

use cotter_device::ota::Refusal;
use cotter_twin::firmware::{Firmware, FirmwareError, UpdateEnd};
use cotter_twin::net::NetError;
use cotter_twin::twin::Twin;
use cotter_wire::content::CHUNK;
use cotter_wire::session::{Hello, MAX_MESSAGE, SessionId};
use listener::listen;
use product::{ISSUED, Offer, Product, SMALL};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

/// Where the server does something wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Poll,
    /// The chunk in the middle.
    Chunk,
}

/// What it does instead of answering.
#[derive(Clone, Debug)]
enum Wrong {
    Nothing,
    /// These bytes and an end.
    Sends(Vec<u8>),
    /// A head, and then as many bytes as there is room for.
    Endless,
    /// A head, and then nothing.
    Stalls,
    /// A head, and then a byte now and then.
    Trickles,
    /// The honest answer with another body.
    Body(Change),
    /// The honest answer under another status.
    Status(u16),
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// One byte less.
    Shorter,
    /// One byte more.
    Longer,
    /// None at all.
    Empty,
    /// The whole artifact.
    Whole,
    /// Chunk 0.
    First,
    /// One bit.
    Flipped,
    /// The same place of another release.
    Swapped,
}

/// What is served, and to whom.
struct World {
    product: &'static Product,
    offer: Offer,
    other: Offer,
    at: At,
    wrong: Mutex<Wrong>,
    chunks: AtomicUsize,
}

async fn serve(world: Arc<World>) -> SocketAddr {
    let issued = world.product.server_certificate("localhost");
    listen(&issued, move |tls| {
        let world = Arc::clone(&world);
        async move { attend(tls, &world).await }
    })
    .await
}

/// Answers requests until one is answered wrongly, or the device hangs up.
async fn attend(mut tls: TlsStream<TcpStream>, world: &World) {
    while let Some((path, body)) = request(&mut tls).await {
        let (status, honest, at) = world.honest(&path, &body);
        let wrong = if at == Some(world.at) { world.wrong.lock().unwrap().clone() } else { Wrong::Nothing };
        let head = |status: u16, len: usize| format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\n\r\n");
        let answer = match wrong {
            Wrong::Nothing => [head(status, honest.len()).into_bytes(), honest].concat(),
            Wrong::Status(status) => [head(status, honest.len()).into_bytes(), honest].concat(),
            Wrong::Body(change) => {
                let body = world.changed(change, honest, &path);
                [head(status, body.len()).into_bytes(), body].concat()
            }
            Wrong::Sends(bytes) => {
                let _ = tls.write_all(&bytes).await;
                let _ = tls.shutdown().await;
                return;
            }
            Wrong::Endless => {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                while tls.write_all(&[b"400\r\n", &[0x41; 1024][..], b"\r\n"].concat()).await.is_ok() {}
                return;
            }
            Wrong::Stalls => {
                let _ = tls.write_all(head(200, 2048).as_bytes()).await;
                // Until the device hangs up.
                let _ = tls.read_u8().await;
                return;
            }
            Wrong::Trickles => {
                let _ = tls.write_all(head(200, 2048).as_bytes()).await;
                while tls.write_all(b"x").await.is_ok() && tls.flush().await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return;
            }
        };
        if tls.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Path and body of the next request.
async fn request(tls: &mut TlsStream<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    tls.read_exact(&mut body).await.ok()?;
    Some((path, body))
}

impl World {
    /// The answer that a good server would give, and which place that is.
    fn honest(&self, path: &str, body: &[u8]) -> (u16, Vec<u8>, Option<At>) {
        if path.ends_with("/session") {
            let keys = self.product.keys();
            let hello = Hello::parse(body).unwrap().verify(&keys.request).unwrap();
            let mut out = [0; MAX_MESSAGE];
            let (welcome, _) = hello.welcome(&keys, SessionId([1; 16]), &[2; 16], ISSUED, &mut out).unwrap();
            return (200, welcome.to_vec(), None);
        }
        if let Some((_, query)) = path.split_once("/update?") {
            let newest = query.starts_with("version=1.1.0&");
            return if newest { (204, Vec::new(), None) } else { (200, self.offer.envelope.clone(), Some(At::Poll)) };
        }
        if let Some(index) = index(path) {
            self.chunks.fetch_add(1, Ordering::Relaxed);
            let at = (index == self.middle()).then_some(At::Chunk);
            return (200, chunk(&self.offer, index), at);
        }
        (204, Vec::new(), None)
    }

    fn middle(&self) -> usize {
        self.offer.content.len() / CHUNK / 2
    }

    fn changed(&self, change: Change, mut honest: Vec<u8>, path: &str) -> Vec<u8> {
        match change {
            Change::Shorter => drop(honest.pop()),
            Change::Longer => honest.push(0),
            Change::Empty => honest.clear(),
            Change::Whole => honest = self.offer.content.repeat(4),
            Change::First => honest = chunk(&self.offer, 0),
            Change::Flipped => honest[77] ^= 1,
            Change::Swapped => {
                honest = index(path).map_or_else(|| self.other.envelope.clone(), |at| chunk(&self.other, at))
            }
        }
        honest
    }
}

fn index(path: &str) -> Option<usize> {
    path.rsplit_once("/chunks/")?.1.parse().ok()
}

fn chunk(offer: &Offer, index: usize) -> Vec<u8> {
    offer.content.chunks(CHUNK).nth(index).unwrap_or_default().to_vec()
}

/// What the device says about it: what was wrong with the network, or what it refused.
fn said(firmware: &Firmware<'_>) -> String {
    match (firmware.trouble(), firmware.refusal()) {
        (Some(NetError::TooLarge), None) => "too large or broke off".to_owned(),
        (Some(NetError::Timeout), None) => "timeout".to_owned(),
        (Some(NetError::Status { status }), None) => format!("status {status}"),
        (Some(NetError::Http(_)), None) => "not HTTP".to_owned(),
        (None, Some(refusal)) => Refusal::as_str(refusal).to_owned(),
        other => format!("{other:?}"),
    }
}

/// Powers the device on and lets it update once; what it said, and whether it wants to be reset.
async fn update(twin: &Twin) -> (String, UpdateEnd) {
    let life = twin
        .live(async |firmware: &mut Firmware<'_>| {
            firmware.client().set_patience(PATIENCE);
            let end = firmware.update().await?;
            Ok::<_, FirmwareError>((said(firmware), end))
        })
        .await
        .unwrap();
    let version = life.last_boot().booted().unwrap().version.clone();
    let (said, end) = life.outcome.unwrap();
    assert_eq!(version, "1.0.0", "it goes on running what it runs");
    (said, end)
}

/// A device meets the evil server, says what was wrong, stays what it is, and updates from the honest one.
async fn meets(board: &cotter_chip::board::VirtualChip, at: At, wrong: Wrong, expected: &str) {
    let name = format!("{at:?} {wrong:?}").chars().take(120).collect::<String>();
    let world = Arc::new(World {
        product: &SMALL,
        offer: SMALL.offer("1.1.0"),
        other: SMALL.offer("1.2.0"),
        at,
        wrong: Mutex::new(wrong),
        chunks: AtomicUsize::new(0),
    });
    let address = serve(Arc::clone(&world)).await;
    let twin = Twin::new(board.duplicate().unwrap(), "localhost", address);
    let (said, end) = update(&twin).await;
    assert_eq!((said.as_str(), end), (expected, UpdateEnd::Sleeping), "{name}");
    if at == At::Poll {
        assert_eq!(world.chunks.load(Ordering::Relaxed), 0, "{name}: nothing is downloaded");
    }

    *world.wrong.lock().unwrap() = Wrong::Nothing;
    let (_, end) = update(&twin).await;
    assert_eq!(end, UpdateEnd::Reboot, "{name}: an honest server is believed again");
    let life = twin.live(async |firmware: &mut Firmware<'_>| Ok(firmware.promise().version)).await.unwrap();
    assert_eq!(life.outcome.unwrap().to_string(), "1.1.0", "{name}");
}

fn answer(text: &str) -> Wrong {
    Wrong::Sends(text.as_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_answer_is_named_and_none_stops_the_next_update() {
    let board = SMALL.birth();
    let broke_off = "too large or broke off";
    for at in [At::Poll, At::Chunk] {
        for (wrong, expected) in [
            (answer("HTTP/1.1 200 OK\r\ncontent-length: 2048\r\n\r\ntruncated"), broke_off),
            (answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n400\r\ntruncated"), broke_off),
            (answer("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nendless"), broke_off),
            (Wrong::Endless, broke_off),
            (Wrong::Stalls, "timeout"),
            (Wrong::Trickles, "timeout"),
            (Wrong::Body(Change::Whole), broke_off),
            (answer(""), "not HTTP"),
            (answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"), "not HTTP"),
            (answer("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), "not HTTP"),
            (answer("SSH-2.0-OpenSSH\r\n"), "not HTTP"),
            (Wrong::Status(206), "status 206"),
            (Wrong::Status(404), "status 404"),
            (Wrong::Status(416), "status 416"),
            (Wrong::Status(503), "status 503"),
        ] {
            meets(&board, at, wrong, expected).await;
        }
    }
    for (wrong, expected) in [
        (Wrong::Body(Change::Empty), "manifest-malformed"),
        (Wrong::Body(Change::Shorter), "manifest-malformed"),
        (Wrong::Body(Change::Longer), "manifest-malformed"),
    ] {
        meets(&board, At::Poll, wrong, expected).await;
    }
    for (wrong, expected) in [
        (Wrong::Body(Change::Empty), "chunk-length"),
        (Wrong::Body(Change::Shorter), "chunk-length"),
        (Wrong::Body(Change::Longer), "chunk-length"),
        (Wrong::Status(204), "status 204"),
        (Wrong::Body(Change::First), "image-hash"),
        (Wrong::Body(Change::Flipped), "image-hash"),
        (Wrong::Body(Change::Swapped), "image-hash"),
    ] {
        meets(&board, At::Chunk, wrong, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirection_is_not_followed() {
    let board = SMALL.birth();
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = elsewhere.local_addr().unwrap();
    for status in [301, 302, 307, 308] {
        for at in [At::Poll, At::Chunk] {
            let head = format!("HTTP/1.1 {status} X\r\nlocation: https://{target}/\r\ncontent-length: 0\r\n\r\n");
            meets(&board, at, answer(&head), &format!("status {status}")).await;
        }
    }
    let contacted = tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await;
    assert!(contacted.is_err(), "nobody came");
}

/// Of the device under test: what stalls is given up after this.
const PATIENCE: Duration = Duration::from_millis(1500);
