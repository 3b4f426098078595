//! AES-256-XTS on 128-byte units, one thread, nothing else: ours beside OpenSSL's.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cotter_formats::addr::FlashAddr;
use cotter_formats::flash_encryption::xts::{self, XtsKey};
use cotter_formats::secret::Secret;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

use super::measure::median;
use crate::workspace::output;

/// Both kernels, in bytes per second.
#[derive(Debug, Serialize)]
pub(super) struct Kernel {
    ours: f64,
    openssl: f64,
    ratio: f64,
    target: f64,
    reached: bool,
    openssl_version: String,
}

impl Kernel {
    /// Medians of as many seconds of each, in turns. `xtask`: this program, built with optimization.
    ///
    /// # Errors
    /// There is no openssl, or it prints something unknown.
    pub(super) fn measure(xtask: &Path, runs: usize) -> Result<Self> {
        let openssl_version = output(Command::new("openssl").arg("version"))
            .context("the AES-XTS kernel is compared with `openssl speed`, which is not there")?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            ours.push(output(Command::new(xtask).args(["bench", "kernel"]))?.trim().parse()?);
            theirs.push(openssl()?);
        }
        let (ours, openssl) = (median(ours.into_iter()), median(theirs.into_iter()));
        let ratio = ours / openssl;
        let openssl_version = openssl_version.split(" (").next().unwrap_or_default().trim().to_owned();
        Ok(Self { ours, openssl, ratio, target: TARGET, reached: ratio >= TARGET, openssl_version })
    }

    pub(super) const fn reached(&self) -> bool {
        self.reached
    }

    pub(super) fn print(&self) {
        let reached = if self.reached { "yes" } else { "NO" };
        println!("AES-256-XTS on 128-byte units, one thread ({}):\n", self.openssl_version);
        println!("| cotter | openssl speed | ratio | target | reached |");
        println!("|---:|---:|---:|---:|---|");
        let (ours, openssl, ratio, target) = (self.ours / 1e9, self.openssl / 1e9, self.ratio, self.target);
        println!("| {ours:.2} GB/s | {openssl:.2} GB/s | {ratio:.2} | {target} | {reached} |\n");
    }
}

/// The hidden chore: a second of encryption in memory, in bytes per second.
///
/// # Errors
/// This program is built without optimization.
pub(super) fn run() -> Result<()> {
    ensure!(!cfg!(debug_assertions), "a build without optimization says nothing: use --release");
    let key = XtsKey::Aes256(Secret::filled_by(|out| {
        for (byte, index) in out.iter_mut().zip(0..) {
            *byte = index;
        }
    }));
    // Small enough for the second cache, large enough that the key schedule is nothing.
    let mut data = vec![0x5a; PIECE as usize];
    let (begun, before) = (Instant::now(), processor_time()?);
    let mut rounds = 0;
    while begun.elapsed() < Duration::from_secs(1) {
        xts::encrypt(&key, FlashAddr(rounds % 64 * PIECE), black_box(&mut data))?;
        rounds += 1;
    }
    println!("{}", f64::from(rounds) * f64::from(PIECE) / (processor_time()? - before));
    Ok(())
}

/// Of this process so far, in seconds: what `openssl speed` divides by too, so that a busy machine lies to neither.
fn processor_time() -> Result<f64> {
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = used.user_time() + used.system_time();
    Ok(f64::from(u32::try_from(time.num_microseconds())?) / 1e6)
}

/// One second of `openssl speed`: each 128 bytes are one call with one tweak.
fn openssl() -> Result<f64> {
    let printed = output(Command::new("openssl").args("speed -mr -seconds 1 -evp aes-256-xts -bytes 128".split(' ')))?;
    let line = printed.lines().find(|line| line.starts_with("+F:"));
    let rate = line.and_then(|line| line.rsplit(':').next()).with_context(|| format!("openssl printed {printed:?}"))?;
    Ok(rate.parse()?)
}

const TARGET: f64 = 0.7;
const PIECE: u32 = 1 << 18;
