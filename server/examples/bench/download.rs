//! So many devices, each with a connection and a session of its own, each fetching a release chunk after chunk. For nginx
//! the same bytes are asked for as ranges of a file.

use crate::crowd::{self, EPOCH, RELEASE, SERVER_NAME};
use crate::meter;
use crate::peer::{Peer, Target};
use anyhow::{Context, Result, ensure};
use cotter_wire::api;
use cotter_wire::session::{DeviceSession, Greeting, MAX_HEADER, MAX_MESSAGE, Request};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// How many download at once
    #[arg(long)]
    devices: u32,
    /// Length of the release
    #[arg(long)]
    size: u32,
    /// Ask for ranges of this path, without a session
    #[arg(long)]
    file: Option<String>,
}

/// Runs and prints one line of JSON.
///
/// # Errors
/// A connection fails, or a chunk is refused or has the wrong length.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = tokio::task::LocalSet::new().block_on(&runtime, drive(arguments))?;
    println!("{measured}");
    Ok(())
}

async fn drive(arguments: &Arguments) -> Result<serde_json::Value> {
    let peers = arguments.target.connect(usize::try_from(arguments.devices)?).await?;
    let mut fetchers = Vec::with_capacity(peers.len());
    for (number, mut peer) in (0..).zip(peers) {
        let source = match &arguments.file {
            Some(path) => Source::File(path.clone()),
            None => Source::Session(number, Box::new(begin(&mut peer, number).await?)),
        };
        fetchers.push((peer, source));
    }
    let (_, before) = meter::memory(&arguments.target.servers)?;
    let (cpu, begun) = (meter::cpu(&arguments.target.servers)?, Instant::now());
    let size = arguments.size;
    let mut tasks = Vec::new();
    for (mut peer, mut source) in fetchers {
        tasks.push(tokio::task::spawn_local(async move {
            for chunk in 0..size.div_ceil(CHUNK) {
                let (request, expected) = source.request(chunk)?;
                let length = CHUNK.min(size - chunk * CHUNK) as usize;
                let (status, body) = peer.ask(&request).await?;
                ensure!(status == expected && body.len() == length, "chunk {chunk}: {status}, {} bytes", body.len());
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let wall = begun.elapsed().as_secs_f64();
    let cpu = (meter::cpu(&arguments.target.servers)? - cpu).as_secs_f64();
    let (peak, _) = meter::memory(&arguments.target.servers)?;
    let bytes = f64::from(arguments.devices) * f64::from(size);
    let chunks = f64::from(arguments.devices) * f64::from(size.div_ceil(CHUNK));
    Ok(serde_json::json!({
        "devices": arguments.devices,
        "seconds": wall,
        "bytes_per_second": bytes / wall,
        "server_cpu_us": cpu * 1e6 / chunks,
        "before_kib": before,
        "peak_kib": peak,
    }))
}

enum Source {
    Session(u32, Box<DeviceSession>),
    File(String),
}

impl Source {
    /// The bytes of a request, and the status that its answer must have.
    fn request(&mut self, chunk: u32) -> Result<(Vec<u8>, u16)> {
        Ok(match self {
            Self::Session(number, session) => {
                let path = api::chunk(&crowd::device(*number), &RELEASE, chunk);
                let mut out = [0; MAX_HEADER];
                let header = session.sign(&Request { method: "GET", path: &path, body: b"" }, &mut out)?;
                let name = api::SESSION_HEADER;
                (format!("GET {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\n{name}: {header}\r\n\r\n").into_bytes(), 200)
            }
            Self::File(path) => {
                let (first, last) = (chunk * CHUNK, chunk * CHUNK + CHUNK - 1);
                let range = format!("range: bytes={first}-{last}");
                (format!("GET {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\n{range}\r\n\r\n").into_bytes(), 206)
            }
        })
    }
}

async fn begin(peer: &mut Peer, number: u32) -> Result<DeviceSession> {
    let (id, keys) = (crowd::device(number), crowd::keys(number));
    let mut nonce = [0; 16];
    aws_lc_rs::rand::fill(&mut nonce).ok().context("no random bytes")?;
    let greeting = Greeting::new(id, EPOCH, nonce);
    let mut out = [0; MAX_MESSAGE];
    let hello = greeting.write(&keys, &mut out)?;
    let (path, length) = (api::session(&id), hello.len());
    let head = format!("POST {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\ncontent-length: {length}\r\n\r\n");
    let (status, welcome) = peer.ask(&[head.as_bytes(), hello].concat()).await?;
    ensure!(status == 200, "the hello of {id} was answered with {status}");
    Ok(greeting.accept(&keys, welcome)?)
}

/// What a device asks for at once.
const CHUNK: u32 = 2048;
