//! `cargo xtask bench packet`: one telemetry packet on the chip, against a floor measured in the same run.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::firmware::{Stage, Toolchain, build_bench};
use crate::qemu;
use crate::workspace::root;

/// Measures and prints.
///
/// # Errors
/// No toolchain, no QEMU, or a measurement that did not end well.
pub(super) fn run(json: bool) -> Result<()> {
    let report = PacketReport::measure()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

/// One sealed packet, and what its two primitives cost at least.
#[derive(Debug, Serialize)]
struct PacketReport {
    rustc: String,
    qemu: String,
    /// Bytes on the wire.
    packet_bytes: u32,
    /// Bytes under AES, padding included.
    ciphertext_bytes: u32,
    /// Bytes under HMAC.
    authenticated_bytes: u32,
    /// The device crate's `Telemetry::seal`: nonce from NVS, keys from the root key, packet.
    sealed: Cost,
    /// wire's `packet::seal` alone: compression, encryption, MAC, JSON.
    seal_alone: Cost,
    /// HMAC-SHA256 over as many bytes, nothing else.
    hmac_sha256: Cost,
    /// AES-128-CBC over as many bytes, nothing else.
    aes_128_cbc: Cost,
    /// `sealed` over the sum of both floors.
    ratio: f64,
    /// `seal_alone` over the sum of both floors.
    ratio_seal_alone: f64,
}

/// What one call takes.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    instructions: u32,
    stack_bytes: u32,
    /// Of the whole measuring program.
    flash_bytes: u32,
}

impl PacketReport {
    fn measure() -> Result<Self> {
        let toolchain = Toolchain::find()?;
        let qemu = qemu::install()?;
        toolchain.complete_lock(&root().join("firmware"))?;
        let stage = Stage::prepare(root())?;
        let programs = build_bench(&toolchain, &stage)?;
        let sealed = qemu::numbers(&programs.join("packet"), 0)?;
        let seal_alone = qemu::numbers(&programs.join("seal"), 0)?;
        let (ciphertext, authenticated) = (value(&sealed, "ciphertext")?, value(&sealed, "authenticated")?);
        let hmac = Cost::of(&qemu::numbers(&programs.join("floor_hmac"), authenticated)?)?;
        let aes = Cost::of(&qemu::numbers(&programs.join("floor_aes"), ciphertext)?)?;
        let floor = f64::from(hmac.instructions) + f64::from(aes.instructions);
        let (whole, part) = (Cost::of(&sealed)?, Cost::of(&seal_alone)?);
        Ok(Self {
            rustc: toolchain.name().to_owned(),
            qemu,
            packet_bytes: value(&sealed, "packet")?,
            ciphertext_bytes: ciphertext,
            authenticated_bytes: authenticated,
            sealed: whole,
            seal_alone: part,
            hmac_sha256: hmac,
            aes_128_cbc: aes,
            ratio: f64::from(whole.instructions) / floor,
            ratio_seal_alone: f64::from(part.instructions) / floor,
        })
    }

    fn print(&self) {
        println!("One telemetry packet on riscv32imc ({}, {}, one instruction per clock)\n", self.rustc, self.qemu);
        println!("  {:<44} {:>12} {:>9} {:>9}", "", "instructions", "stack", "flash");
        let rows = [
            ("device: nonce from NVS, keys, sealed packet".to_owned(), self.sealed),
            ("wire: the sealed packet alone".to_owned(), self.seal_alone),
            (format!("floor: HMAC-SHA256 over {} bytes", self.authenticated_bytes), self.hmac_sha256),
            (format!("floor: AES-128-CBC over {} bytes", self.ciphertext_bytes), self.aes_128_cbc),
        ];
        for (name, cost) in rows {
            println!("  {name:<44} {:>12} {:>9} {:>9}", cost.instructions, cost.stack_bytes, cost.flash_bytes);
        }
        println!("\n  {} bytes per packet on the wire", self.packet_bytes);
        println!(
            "  {:.2} x the floors' sum by the device crate, {:.2} x for the packet alone",
            self.ratio, self.ratio_seal_alone
        );
        println!("  stack and flash in bytes; flash is that of the whole measuring program, formatting included");
    }
}

impl Cost {
    fn of(lines: &BTreeMap<String, u32>) -> Result<Self> {
        Ok(Self {
            instructions: value(lines, "instructions")?,
            stack_bytes: value(lines, "stack")?,
            flash_bytes: value(lines, "flash")?,
        })
    }
}

fn value(values: &BTreeMap<String, u32>, name: &str) -> Result<u32> {
    values.get(name).copied().with_context(|| format!("the program did not print {name}"))
}
