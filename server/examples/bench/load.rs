//! Uploads over so many connections, each waiting for its answer before it sends the next.

use crate::crowd::{self, EPOCH, SERVER_NAME};
use crate::meter;
use crate::peer::{Peer, Target};
use anyhow::{Result, ensure};
use cotter_wire::api;
use cotter_wire::ids::{Nonce, SecureVersion};
use cotter_wire::packet::{MAX_PACKET, seal};
use cotter_wire::reading::Reading;
use cotter_wire::version::Version;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// How many devices are enrolled; the uploads come from all of them in a scattered order
    #[arg(long)]
    devices: u32,
    #[arg(long)]
    connections: usize,
    /// Measured uploads; a tenth of it comes before and is not measured
    #[arg(long)]
    uploads: u32,
    /// Nonces begin above this
    #[arg(long)]
    nonce: u32,
    /// Spoil each MAC
    #[arg(long)]
    forged: bool,
}

/// Runs and prints one line of JSON.
///
/// # Errors
/// A connection fails. Answers other than expected are counted instead.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let warm_up = arguments.uploads / 10;
    let requests = Requests::prepare(arguments, warm_up + arguments.uploads)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = tokio::task::LocalSet::new().block_on(&runtime, drive(arguments, requests, warm_up))?;
    println!("{measured}");
    Ok(())
}

async fn drive(arguments: &Arguments, requests: Requests, warm_up: u32) -> Result<serde_json::Value> {
    let peers = arguments.target.connect(arguments.connections).await?;
    let shared = Rc::new(Shared { requests, next: Cell::new(0), end: Cell::new(warm_up), ..Shared::default() });
    let peers = phase(&shared, peers).await?;
    shared.latencies.borrow_mut().clear();
    shared.expected.set(0);
    shared.end.set(shared.requests.count());
    let (cpu, own) = (meter::cpu(&arguments.target.servers)?, meter::cpu(&[std::process::id()])?);
    let begun = Instant::now();
    phase(&shared, peers).await?;
    let wall = begun.elapsed();
    let cpu = meter::cpu(&arguments.target.servers)? - cpu;
    let own = meter::cpu(&[std::process::id()])? - own;
    let (peak, _) = meter::memory(&arguments.target.servers)?;

    let mut latencies = shared.latencies.take();
    latencies.sort_unstable();
    let at = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let uploads = f64::from(arguments.uploads);
    Ok(serde_json::json!({
        "uploads": arguments.uploads,
        "as_expected": shared.expected.get(),
        "seconds": wall.as_secs_f64(),
        "per_second": uploads / wall.as_secs_f64(),
        "p50_ms": at(0.50),
        "p99_ms": at(0.99),
        "server_cpu_us": cpu.as_secs_f64() * 1e6 / uploads,
        "client_cpu_us": own.as_secs_f64() * 1e6 / uploads,
        "peak_kib": peak,
    }))
}

/// Lets every connection work until `end`.
async fn phase(shared: &Rc<Shared>, peers: Vec<Peer>) -> Result<Vec<Peer>> {
    let mut tasks = Vec::new();
    for mut peer in peers {
        let shared = Rc::clone(shared);
        tasks.push(tokio::task::spawn_local(async move {
            while let Some(request) = shared.take() {
                let begun = Instant::now();
                let (status, _) = peer.ask(shared.requests.bytes(request)).await?;
                shared.note(status, begun.elapsed());
            }
            anyhow::Ok(peer)
        }));
    }
    let mut peers = Vec::new();
    for task in tasks {
        peers.push(task.await??);
    }
    Ok(peers)
}

#[derive(Default)]
struct Shared {
    requests: Requests,
    next: Cell<u32>,
    end: Cell<u32>,
    expected: Cell<u32>,
    latencies: RefCell<Vec<Duration>>,
}

impl Shared {
    fn take(&self) -> Option<u32> {
        let next = self.next.get();
        if next >= self.end.get() {
            return None;
        }
        self.next.set(next + 1);
        Some(next)
    }

    fn note(&self, status: u16, latency: Duration) {
        self.expected.set(self.expected.get() + u32::from(status == self.requests.expected));
        self.latencies.borrow_mut().push(latency);
    }
}

/// Whole requests, one after the other.
#[derive(Default)]
struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    expected: u16,
}

impl Requests {
    fn prepare(arguments: &Arguments, count: u32) -> Result<Self> {
        ensure!(arguments.devices > 0, "nobody to upload for");
        let mut requests = Self { expected: if arguments.forged { 401 } else { 200 }, ..Self::default() };
        let mut out = [0; MAX_PACKET];
        for index in 0..count {
            let number = scattered(index, arguments.devices);
            let (id, keys) = (crowd::device(number), crowd::keys(number));
            let nonce = arguments.nonce + 1 + index / arguments.devices;
            let mut reading = Reading::new(60, 1, Version::new(1, 0, 0), SecureVersion(0));
            for register in 0..4 {
                reading.push(register, 2300 + u16::from(register))?;
            }
            let mut plain = [0; Reading::MAX_LEN];
            let mut iv = [0; 16];
            iv[..4].copy_from_slice(&index.to_le_bytes());
            let packet = seal(&keys, &id, EPOCH, Nonce(nonce), &iv, reading.encode(&mut plain)?, &mut out)?;
            let head = format!(
                "POST {} HTTP/1.1\r\nhost: {SERVER_NAME}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                api::telemetry(&id),
                packet.len()
            );
            requests.bytes.extend_from_slice(head.as_bytes());
            requests.bytes.extend_from_slice(packet);
            if arguments.forged {
                // The last digit of the MAC; then come a quotation mark and a brace.
                let digit = requests.bytes.len() - 3;
                requests.bytes[digit] = if requests.bytes[digit] == b'0' { b'1' } else { b'0' };
            }
            requests.ends.push(requests.bytes.len());
        }
        Ok(requests)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    fn bytes(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[begin..self.ends[index]]
    }
}

/// Each device once in `devices` uploads, neighbours far apart.
fn scattered(index: u32, devices: u32) -> u32 {
    let place = u64::from(index % devices) * STRIDE % u64::from(devices);
    u32::try_from(place).unwrap_or(0)
}

/// A prime above any number of devices, so that it divides none of them.
const STRIDE: u64 = 2_147_483_647;
