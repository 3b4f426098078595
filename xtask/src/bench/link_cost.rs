//! `cargo xtask bench link cost`: what each mode of the AT link costs on riscv32imc, through its C interface.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::link_c::{Bare, CIPHERS, MODES, Mode, Numbers};

/// What `cargo xtask bench link cost` can be told.
#[derive(clap::Args)]
pub(super) struct CostArguments {
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
///
/// # Errors
/// No toolchain, no C compiler, no QEMU, or a program that failed.
pub(super) fn run(arguments: &CostArguments) -> Result<()> {
    let costs = Costs::measure()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&costs)?);
    } else {
        costs.print();
    }
    Ok(())
}

/// The lengths of commands that are measured.
pub(super) const LENGTHS: [u32; 3] = [16, 64, 1024];

/// All modes on one machine.
#[derive(Serialize)]
pub(super) struct Costs {
    pub(super) rustc: String,
    pub(super) gcc: String,
    pub(super) qemu: String,
    pub(super) rows: Vec<Cost>,
    flash: Vec<Part>,
}

/// What a part of the library takes in flash, by the names of its functions. What the compiler puts into its callers counts
/// as theirs.
#[derive(Serialize)]
struct Part {
    name: &'static str,
    psk_bytes: u32,
    noise_kk_bytes: u32,
    compat_bytes: u32,
}

/// The parts, and what the names of their functions have in them; a name belongs to the first that fits.
const PARTS: [(&str, &[&str]); 8] = [
    ("X25519", &["curve25519", "x25519"]),
    ("Ascon-AEAD128", &["ascon"]),
    ("ChaCha20-Poly1305, ChaCha20", &["chacha", "poly1305"]),
    ("Salsa20", &["salsa"]),
    ("AES-128-GCM beyond AES", &["aes_gcm", "ghash", "polyval"]),
    ("AES-128-CCM beyond AES, both tags", &["ccm::"]),
    ("AES and CTR", &["aes::", "ctr::"]),
    ("SHA-256, HMAC, HKDF", &["sha2", "hmac", "hkdf"]),
];

impl Part {
    fn all(bare: &Bare) -> Result<Vec<Self>> {
        let [psk, noise, compat] = [Mode::Psk, Mode::NoiseKk, Mode::Compat].map(|mode| bare.symbols(mode));
        let (psk, noise, compat) = (psk?, noise?, compat?);
        let sum = |symbols: &[(String, u32)], part: usize| {
            let fits = |name: &str| PARTS.iter().position(|(_, words)| words.iter().any(|word| name.contains(word)));
            symbols.iter().filter(|(name, _)| fits(name) == Some(part)).map(|(_, size)| size).sum()
        };
        let parts = PARTS.iter().enumerate().map(|(part, (name, _))| Self {
            name,
            psk_bytes: sum(&psk, part),
            noise_kk_bytes: sum(&noise, part),
            compat_bytes: sum(&compat, part),
        });
        Ok(parts.collect())
    }
}

/// One mode with one suite.
#[derive(Serialize)]
pub(super) struct Cost {
    pub(super) mode: &'static str,
    pub(super) suite: &'static str,
    /// Storage of one end.
    ram_bytes: u32,
    /// Of the deepest call after the creation.
    stack_bytes: u32,
    /// Of the creation.
    stack_of_create_bytes: u32,
    /// A program with this mode without the same program without it.
    flash_bytes: u32,
    /// All of a handshake that the host begins, and its acknowledgement.
    handshake: Option<Handshake>,
    pub(super) commands: Vec<Command>,
}

#[derive(Serialize)]
struct Handshake {
    wire_bytes: u32,
    host_instructions: u32,
    module_instructions: u32,
}

/// One command from the host to the module, each frame acknowledged at once.
#[derive(Serialize)]
pub(super) struct Command {
    pub(super) bytes: u32,
    pub(super) frames: u32,
    /// Of the frames, delimiters included.
    pub(super) wire_bytes: u32,
    /// Of their acknowledgements.
    pub(super) acknowledgement_wire_bytes: u32,
    /// All calls of the sender until the last frame is written.
    pub(super) seal_instructions: u32,
    /// All calls of the receiver until the last byte is delivered.
    pub(super) open_instructions: u32,
    /// The acknowledgements: written by the one, read by the other.
    acknowledge_instructions: u32,
}

impl Costs {
    pub(super) fn measure() -> Result<Self> {
        let bare = Bare::find()?;
        let nothing = bare.flash(Mode::Nothing)?;
        let mut flash = BTreeMap::new();
        for mode in [Mode::Compat, Mode::Psk, Mode::NoiseNn, Mode::NoiseKk] {
            flash.insert(mode, bare.flash(mode)? - nothing);
        }
        let mut rows = Vec::new();
        for (mode, suite) in MODES {
            let numbers = bare.link(mode, suite)?;
            let number = |name: &str| number(&numbers, name);
            let handshake = Handshake {
                wire_bytes: number("handshake_wire")?,
                host_instructions: number("handshake_host")?,
                module_instructions: number("handshake_module")?,
            };
            let name = match mode {
                Mode::NoiseNn => "noise-nn",
                Mode::NoiseKk => "noise-kk",
                Mode::Nothing | Mode::Compat | Mode::Psk => "psk",
            };
            rows.push(Cost::of(name, SUITES[usize::from(suite) - 1], &numbers, flash[&mode], Some(handshake))?);
        }
        for cipher in CIPHERS {
            let numbers = bare.compat(cipher)?;
            let name = KEYSTREAMS[usize::from(cipher) - 1];
            rows.push(Cost::of("compat", name, &numbers, flash[&Mode::Compat], None)?);
        }
        let flash = Part::all(&bare)?;
        Ok(Self { rustc: bare.rustc, gcc: bare.gcc, qemu: bare.machine, rows, flash })
    }

    /// As docs/link.md has it.
    fn print(&self) {
        println!(
            "riscv32imc, optimised for size ({}, {}, {}, one instruction per clock)\n",
            self.rustc, self.gcc, self.qemu
        );
        println!(
            "| mode | suite | RAM | stack | stack of create | flash | handshake on the wire | host: instructions | module: instructions |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|--:|--:|");
        for row in &self.rows {
            let handshake = row.handshake.as_ref().map_or_else(
                || ["0", "0", "0"].map(str::to_owned),
                |it| [grouped(it.wire_bytes), grouped(it.host_instructions), grouped(it.module_instructions)],
            );
            let bytes = [row.ram_bytes, row.stack_bytes, row.stack_of_create_bytes, row.flash_bytes].map(grouped);
            println!("| {} | {} | {} | {} |", row.mode, row.suite, bytes.join(" | "), handshake.join(" | "));
        }
        println!();
        self.print_frames();
        println!("\n| of the flash | psk | noise | compat |");
        println!("|---|--:|--:|--:|");
        for Part { name, psk_bytes, noise_kk_bytes, compat_bytes } in &self.flash {
            println!("| {name} | {} |", [*psk_bytes, *noise_kk_bytes, *compat_bytes].map(grouped).join(" | "));
        }
    }

    /// A row each; of 1024 bytes all frames.
    pub(super) fn print_frames(&self) {
        println!(
            "| mode | suite | 16 bytes on the wire | 64 | 1024 | an acknowledgement | seal 16: instructions | open 16 | seal 64 | open 64 | seal 1024 | open 1024 | acknowledge |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        for row in &self.rows {
            let mut numbers: Vec<u32> = row.commands.iter().map(|it| it.wire_bytes).collect();
            let first = row.commands.first();
            numbers.extend(first.map(|it| it.acknowledgement_wire_bytes));
            numbers.extend(row.commands.iter().flat_map(|it| [it.seal_instructions, it.open_instructions]));
            numbers.extend(first.map(|it| it.acknowledge_instructions));
            let cells: Vec<String> = numbers.into_iter().map(grouped).collect();
            println!("| {} | {} | {} |", row.mode, row.suite, cells.join(" | "));
        }
    }
}

impl Cost {
    fn of(
        mode: &'static str,
        suite: &'static str,
        numbers: &Numbers,
        flash_bytes: u32,
        handshake: Option<Handshake>,
    ) -> Result<Self> {
        let mut commands = Vec::new();
        for bytes in LENGTHS {
            let number = |name: &str| number(numbers, &format!("{name}_{bytes}"));
            // compat has no frames: what is not there costs nothing.
            let framed = |name: &str| if handshake.is_some() { number(name) } else { Ok(0) };
            commands.push(Command {
                bytes,
                frames: framed("frames")?,
                wire_bytes: number("wire")?,
                acknowledgement_wire_bytes: framed("acknowledgement")?,
                seal_instructions: number("seal")?,
                open_instructions: number("open")?,
                acknowledge_instructions: framed("acknowledge")?,
            });
        }
        Ok(Self {
            mode,
            suite,
            ram_bytes: number(numbers, "ram")?,
            stack_bytes: number(numbers, "stack_calls")?,
            stack_of_create_bytes: number(numbers, "stack_create")?,
            flash_bytes,
            handshake,
            commands,
        })
    }
}

fn number(numbers: &Numbers, name: &str) -> Result<u32> {
    numbers.get(name).copied().with_context(|| format!("the program did not print {name}"))
}

/// With a comma before each three digits.
pub(super) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// By their numbers on the wire.
const SUITES: [&str; 5] = ["chacha20-poly1305", "aes-128-gcm", "ascon-aead128", "aes-128-ccm", "aes-128-ccm-8"];
/// By their numbers in the header.
const KEYSTREAMS: [&str; 5] = ["aes-128-ctr", "aes-192-ctr", "aes-256-ctr", "chacha20", "salsa20"];
