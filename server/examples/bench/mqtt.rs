//! Clients of the bridge: messages with QoS 1, each waiting for its acknowledgement, and connections that wait for nothing.
//! What they say is made by hand, so that they cost little; the broker beside ours is asked the same.

use crate::crowd::{self, SERVER_NAME};
use crate::meter;
use crate::peer::Target;
use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use cotter_wire::ids::UnixTime;
use cotter_wire::token::{Algorithm, Claims, MAX_TOKEN, ToBeSigned};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The keys that `crowd --keys` has made; without them nobody shows a token
    #[arg(long)]
    keys: Option<PathBuf>,
    #[arg(long)]
    connections: u32,
    /// Measured messages; a tenth of it comes before and is not measured. 0: the connections only wait
    #[arg(long)]
    messages: u32,
}

/// Runs and prints one line of JSON.
///
/// # Errors
/// A connection fails, or is refused.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = tokio::task::LocalSet::new().block_on(&runtime, drive(arguments))?;
    println!("{measured}");
    Ok(())
}

async fn drive(arguments: &Arguments) -> Result<serde_json::Value> {
    let servers = &arguments.target.servers;
    let keys = arguments.keys.as_deref().map(read_keys).transpose()?;
    let passwords: Vec<_> = (0..arguments.connections)
        .map(|number| keys.as_ref().map(|keys| token(keys.get(number as usize).context("too few keys")?)).transpose())
        .collect::<Result<_>>()?;
    let (_, before) = meter::memory(servers)?;
    let (cpu, begun) = (meter::cpu(servers)?, Instant::now());
    let mut peers = Vec::new();
    let tls = arguments.target.connector()?;
    for (number, password) in (0..arguments.connections).zip(&passwords) {
        let stream = arguments.target.shake_hands(&tls).await?;
        peers.push(Peer::greet(stream, number, password.as_deref()).await?);
    }
    let connected = begun.elapsed();
    let connect_cpu = meter::cpu(servers)? - cpu;
    // What was freed is given back.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, idle) = meter::memory(servers)?;
    let connections = f64::from(arguments.connections);
    #[allow(clippy::cast_precision_loss)]
    let each = idle.saturating_sub(before) as f64 / connections;
    let mut measured = serde_json::json!({
        "connections": arguments.connections,
        "connects_per_second": connections / connected.as_secs_f64(),
        "connect_cpu_us": connect_cpu.as_secs_f64() * 1e6 / connections,
        "idle_kib_each": each,
        "verify_us": verify_us()?,
    });
    if arguments.messages > 0 {
        let shared = Rc::new(Shared { left: Cell::new(arguments.messages / 10), latencies: RefCell::default() });
        let peers = phase(&shared, peers).await?;
        shared.latencies.borrow_mut().clear();
        shared.left.set(arguments.messages);
        let (cpu, begun) = (meter::cpu(servers)?, Instant::now());
        phase(&shared, peers).await?;
        let (wall, cpu) = (begun.elapsed(), meter::cpu(servers)? - cpu);
        let mut latencies = shared.latencies.take();
        latencies.sort_unstable();
        let at = |percent: usize| {
            latencies.get(latencies.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        let messages = f64::from(arguments.messages);
        let (peak, _) = meter::memory(servers)?;
        let more = serde_json::json!({
            "messages": arguments.messages,
            "per_second": messages / wall.as_secs_f64(),
            "p50_ms": at(50),
            "p99_ms": at(99),
            "server_cpu_us": cpu.as_secs_f64() * 1e6 / messages,
            "peak_kib": peak,
        });
        if let (Some(measured), serde_json::Value::Object(more)) = (measured.as_object_mut(), more) {
            measured.extend(more);
        }
    } else {
        // All of them are there still.
        for peer in &mut peers {
            peer.ping().await?;
        }
    }
    Ok(measured)
}

/// Lets every connection publish until nothing is left.
async fn phase(shared: &Rc<Shared>, peers: Vec<Peer>) -> Result<Vec<Peer>> {
    let mut tasks = Vec::new();
    for mut peer in peers {
        let shared = Rc::clone(shared);
        tasks.push(tokio::task::spawn_local(async move {
            while shared.take() {
                let begun = Instant::now();
                peer.publish().await?;
                shared.latencies.borrow_mut().push(begun.elapsed());
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

struct Shared {
    left: Cell<u32>,
    latencies: RefCell<Vec<Duration>>,
}

impl Shared {
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

/// A client of MQTT 3.1.1.
struct Peer {
    stream: TlsStream<TcpStream>,
    publish: Vec<u8>,
    number_at: usize,
    number: u16,
}

impl Peer {
    async fn greet(mut stream: TlsStream<TcpStream>, number: u32, password: Option<&str>) -> Result<Self> {
        let device = crowd::device(number);
        let flags = if password.is_some() { 0xc2 } else { 0x02 };
        let mut body = [text("MQTT")?, vec![4, flags, 0, 0], text(&client_id(device.as_str()))?].concat();
        if let Some(password) = password {
            body.extend(text("ignored")?);
            body.extend(text(password)?);
        }
        stream.write_all(&packet(0x10, &body)).await?;
        stream.flush().await?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await.with_context(|| format!("{SERVER_NAME} said nothing"))?;
        ensure!(connack == [0x20, 2, 0, 0], "refused: {connack:02x?}");
        let topic = text(&format!("/devices/{device}/events"))?;
        let payload = [b'x'; PAYLOAD];
        let publish = packet(0x32, &[&topic[..], &[0, 0], &payload].concat());
        let number_at = publish.len() - PAYLOAD - 2;
        Ok(Self { stream, publish, number_at, number: 0 })
    }

    async fn publish(&mut self) -> Result<()> {
        self.number = self.number.wrapping_add(1).max(1);
        let number = self.number.to_be_bytes();
        if let Some(at) = self.publish.get_mut(self.number_at..).and_then(<[u8]>::first_chunk_mut) {
            *at = number;
        }
        self.stream.write_all(&self.publish).await?;
        self.stream.flush().await?;
        let mut puback = [0; 4];
        self.stream.read_exact(&mut puback).await.context("the connection ended")?;
        ensure!(puback == [0x40, 2, number[0], number[1]], "not acknowledged: {puback:02x?}");
        Ok(())
    }

    async fn ping(&mut self) -> Result<()> {
        self.stream.write_all(&[0xc0, 0]).await?;
        self.stream.flush().await?;
        let mut answer = [0; 2];
        self.stream.read_exact(&mut answer).await.context("a connection ended while it waited")?;
        ensure!(answer == [0xd0, 0], "no answer to a ping: {answer:02x?}");
        Ok(())
    }
}

fn client_id(device: &str) -> String {
    format!("projects/{PROJECT}/locations/here/registries/all/devices/{device}")
}

fn text(text: &str) -> Result<Vec<u8>> {
    Ok([&u16::try_from(text.len())?.to_be_bytes(), text.as_bytes()].concat())
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).unwrap_or_default();
        left /= 128;
        packet.push(low | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// PKCS#8, one after the other, each behind its length.
fn read_keys(path: &Path) -> Result<Vec<EcdsaKeyPair>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut rest = &bytes[..];
    let mut keys = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let Some((key, behind)) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            bail!("{} is cut", path.display());
        };
        keys.push(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).map_err(|_| anyhow::anyhow!("a key"))?,
        );
        rest = behind;
    }
    Ok(keys)
}

fn token(key: &EcdsaKeyPair) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let claims = Claims { audience: PROJECT, issued_at: UnixTime(now), expires_at: UnixTime(now + 43_200) };
    let mut out = [0; MAX_TOKEN];
    let unsigned = ToBeSigned::new(Algorithm::Es256, &claims, &mut out)?;
    let signature =
        key.sign(&SystemRandom::new(), unsigned.signing_input()).map_err(|_| anyhow::anyhow!("no signature"))?;
    Ok(unsigned.finish(signature.as_ref())?.to_owned())
}

/// What the library takes to verify one signature.
fn verify_us() -> Result<f64> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow::anyhow!("no key"))?;
    let message = [0x5a; 127];
    let signature = key.sign(&SystemRandom::new(), &message).map_err(|_| anyhow::anyhow!("no signature"))?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref().to_vec());
    let begun = Instant::now();
    for _ in 0..VERIFIED {
        public.verify(&message, signature.as_ref()).map_err(|_| anyhow::anyhow!("not verified"))?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(VERIFIED))
}

/// What tokens are made for, and what the configuration says.
pub(crate) const PROJECT: &str = "bench";
const VERIFIED: u32 = 5_000;
/// Bytes of a message.
const PAYLOAD: usize = 128;
