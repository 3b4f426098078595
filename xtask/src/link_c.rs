//! `cargo xtask link-c`: the AT link as a static library for C (`firmware/link-c`), and C programs that run on bare riscv32
//! with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::firmware::{Checked, Library, Stage, TARGET, Toolchain};
use crate::qemu;
use crate::tools::debian_package;
use crate::workspace::{cargo, output, root, run as run_command};

/// What `cargo xtask link-c` can be told.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask link-c --out build/cotter\n  \
    cc -std=c99 -Ibuild/cotter/include firmware/link-c/examples/serial_host.c \\\n     \
    build/cotter/lib/x86_64-unknown-linux-gnu/libcotter_link.a -o serial_host")]
pub(crate) struct LinkCArguments {
    /// Where include/cotter_link.h and lib/TARGET/libcotter_link.a go
    #[arg(long, value_name = "DIR", required_unless_present = "run")]
    out: Option<PathBuf>,
    /// Only for this target [default: both]
    #[arg(long, value_name = "TARGET", conflicts_with = "run")]
    target: Option<Target>,
    /// Link C programs with the riscv32imc library and run them on an emulated bare machine, in every mode and suite
    #[arg(long, conflicts_with = "out")]
    run: bool,
}

/// What the library is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// riscv32imc-unknown-none-elf: ESP32-C3 and other small RISC-V chips; no operating system, no C library
    Riscv32imc,
    /// x86_64-unknown-linux-gnu
    #[value(name = "x86-64")]
    X86_64,
}

/// The chore.
///
/// # Errors
/// No toolchain, a failed build, or a program that failed.
pub(crate) fn run(arguments: &LinkCArguments) -> Result<()> {
    let Some(out) = &arguments.out else {
        match check()? {
            Checked::Holds(words) => println!("{words}"),
            Checked::NotRun(words) => anyhow::bail!("{words}"),
        }
        return Ok(());
    };
    let include = out.join("include");
    fs::create_dir_all(&include).with_context(|| format!("cannot make {}", include.display()))?;
    fs::copy(source("include/cotter_link.h"), include.join("cotter_link.h"))?;
    println!("  {}", include.join("cotter_link.h").display());
    let stage = Stage::prepare(root())?;
    for target in [Target::Riscv32imc, Target::X86_64] {
        if arguments.target.is_some_and(|only| only != target) {
            continue;
        }
        let (name, library) = match target {
            Target::Riscv32imc => (TARGET, for_riscv32(&Toolchain::find()?, &stage)?),
            Target::X86_64 => (X86_64, for_x86_64(&stage)?),
        };
        let folder = out.join("lib").join(name);
        fs::create_dir_all(&folder)?;
        let place = folder.join("libcotter_link.a");
        let bytes = fs::copy(&library, &place).with_context(|| format!("cannot copy {}", library.display()))?;
        println!("  {} {bytes} bytes", place.display());
    }
    Ok(())
}

/// Runs C programs with the riscv32imc library on the emulated machine, in every mode and suite.
///
/// # Errors
/// One does not link, or something in it does not hold.
pub(crate) fn check() -> Result<Checked> {
    let bare = match Bare::find() {
        Ok(bare) => bare,
        Err(missing) => return Ok(Checked::NotRun(format!("{missing:#}"))),
    };
    let mut links = 0;
    for (mode, suite) in MODES {
        bare.link(mode, suite)?;
        links += 1;
    }
    for cipher in CIPHERS {
        bare.compat(cipher)?;
        links += 1;
    }
    Ok(Checked::Holds(format!(
        "{links} C programs linked for {TARGET} and run on {}: all as it should be",
        bare.machine
    )))
}

/// Every mode with every suite that it has.
pub(crate) const MODES: [(Mode, u8); 7] = [
    (Mode::Psk, 1),
    (Mode::Psk, 2),
    (Mode::Psk, 3),
    (Mode::Psk, 4),
    (Mode::Psk, 5),
    (Mode::NoiseNn, 1),
    (Mode::NoiseKk, 1),
];

/// The keystreams of compat, by their numbers in the header.
pub(crate) const CIPHERS: [u8; 5] = [1, 2, 3, 4, 5];

/// What a program is built for: `MODE` of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Nothing = 0,
    Compat = 1,
    Psk = 2,
    NoiseNn = 3,
    NoiseKk = 4,
}

/// What a program printed.
pub(crate) type Numbers = BTreeMap<String, u32>;

/// The riscv32imc library, a C compiler for it, and the machine.
pub(crate) struct Bare {
    library: PathBuf,
    folder: PathBuf,
    pub(crate) rustc: String,
    pub(crate) gcc: String,
    pub(crate) machine: String,
}

impl Bare {
    /// Builds the library.
    ///
    /// # Errors
    /// Something is missing here, or it does not build.
    pub(crate) fn find() -> Result<Self> {
        let toolchain = Toolchain::find()?;
        debian_package("/usr/bin/riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf")?;
        let machine = qemu::install()?;
        let stage = Stage::prepare(root())?;
        let library = for_riscv32(&toolchain, &stage)?;
        let folder = root().join("firmware/target/link-c");
        fs::create_dir_all(&folder)?;
        let version = output(Command::new(GCC).arg("--version"))?;
        let gcc = version.lines().next().and_then(|line| line.split(") ").nth(1)).unwrap_or_default();
        let rustc = toolchain.name().to_owned();
        Ok(Self { library, folder, rustc, gcc: format!("gcc {gcc}"), machine })
    }

    /// Two ends of a mode: what it costs.
    pub(crate) fn link(&self, mode: Mode, suite: u8) -> Result<Numbers> {
        self.run("cost.c", &[("MODE", mode as u8), ("SUITE", suite)])
    }

    /// Two ends of compat.
    pub(crate) fn compat(&self, cipher: u8) -> Result<Numbers> {
        self.run("compat.c", &[("CIPHER", cipher)])
    }

    /// What a program with no more than this mode takes in flash.
    pub(crate) fn flash(&self, mode: Mode) -> Result<u32> {
        let numbers = self.run("flash.c", &[("MODE", mode as u8)])?;
        numbers.get("flash").copied().context("the program did not print flash")
    }

    /// The functions and constants of that program: their names as Rust has them, and their bytes in flash.
    pub(crate) fn symbols(&self, mode: Mode) -> Result<Vec<(String, u32)>> {
        self.flash(mode)?;
        let program = self.folder.join(format!("flash-{}", mode as u8));
        let listed = output(Command::new(NM).args(["--demangle", "--print-size"]).arg(program))?;
        let mut symbols = Vec::new();
        for line in listed.lines() {
            // Address, size, kind, name; what has no size is no function.
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            if let [_, size, kind, name] = words[..]
                && ["T", "t", "W", "w", "R", "r", "D", "d"].contains(&kind)
            {
                symbols.push((name.to_owned(), u32::from_str_radix(size, 16)?));
            }
        }
        Ok(symbols)
    }

    fn run(&self, name: &str, defines: &[(&str, u8)]) -> Result<Numbers> {
        let mut program = self.folder.join(Path::new(name).file_stem().unwrap_or_default());
        let mut gcc = Command::new(GCC);
        gcc.args("-march=rv32imc_zicsr -mabi=ilp32 -mcmodel=medany -Os -std=c99 -ffreestanding -nostdlib".split(' '));
        gcc.args("-ffunction-sections -fdata-sections -Wall -Wextra -Wconversion -Werror -Wl,--gc-sections".split(' '));
        for (define, value) in defines {
            gcc.arg(format!("-D{define}={value}"));
            program.as_mut_os_string().push(format!("-{value}"));
        }
        gcc.arg("-I").arg(source("include")).arg("-T").arg(source("bare/bare.ld"));
        gcc.args(["bare/start.S", "bare/board.c"].map(source)).arg(source("bare").join(name)).arg(&self.library);
        output(gcc.arg("-o").arg(&program)).with_context(|| format!("{name} {defines:?} does not link"))?;
        let numbers = qemu::numbers(&program, 0).with_context(|| format!("{name} {defines:?}"))?;
        ensure!(!numbers.contains_key("failed_in_line"), "{name} {defines:?} failed: {numbers:?}");
        Ok(numbers)
    }
}

fn for_riscv32(toolchain: &Toolchain, stage: &Stage) -> Result<PathBuf> {
    toolchain.complete_lock(&root().join("firmware"))?;
    let mut cargo = toolchain.cargo(&stage.folder, "build", &stage.remap_flags()?, Library::Core);
    run_command(cargo.args(["--target-dir", "target/core", "--package", "cotter-link-c"]))?;
    Ok(stage.folder.join("target/core").join(TARGET).join("release/libcotter_link.a"))
}

fn for_x86_64(stage: &Stage) -> Result<PathBuf> {
    let target = stage.folder.join("target/x86-64");
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--release", "--locked", "--package", "cotter-link-c", "--target", X86_64]);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", stage.remap_flags()?.join("\u{1f}"));
    run_command(cargo.arg("--manifest-path").arg(stage.folder.join("Cargo.toml")).arg("--target-dir").arg(&target))?;
    Ok(target.join(X86_64).join("release/libcotter_link.a"))
}

fn source(name: &str) -> PathBuf {
    root().join("firmware/link-c").join(name)
}

const X86_64: &str = "x86_64-unknown-linux-gnu";
const GCC: &str = "riscv64-unknown-elf-gcc";
const NM: &str = "riscv64-unknown-elf-nm";
