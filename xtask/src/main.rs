//! The chores of the project: `cargo xtask test` runs all of them, in the order in which CI does.
//!
//! | file | noun |
//! |---|---|
//! | `check` | what needs no test run: formatting, lints, floors, licences, sources, advisories, file rules |
//! | `test` | the whole run, with a summary |
//! | `tools` | the venv with Espressif's tools, espflash, and SoftHSM |
//! | `transcript` | the guide whose commands are run |
//! | `firmware` | the programs that run on the chip, and their images |
//! | `emulate` | a chip to run those images on |
//! | `link_c` | the AT link as a static library for C, built and run bare |
//! | `bench` | what things cost, against a floor of the same run |
//! | `qemu` | the emulator that `emulate` and `bench` need |
//! | `fuzz` | cargo-fuzz on the bodies of `fuzz/`, and the table of flipped bits |
//! | `advisories` | the condensed copy of RustSec's database, read by `check` and written from a checkout |
//! | `workspace` | the repository: its root, its locked packages, commands run in it |

// This program is a person's hand, not a library: it speaks through its output.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod advisories;
mod bench;
mod check;
mod emulate;
mod firmware;
mod fuzz;
mod link_c;
mod qemu;
mod test;
mod tools;
mod transcript;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of the project. `cargo xtask test` runs everything that CI runs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Formatting, clippy, crate floors, licences, sources, advisories and file rules (about a minute)
    Check,
    /// Everything: check, tools, all tests, device build without an allocator, firmware rebuilt and executed
    Test,
    /// Make or refresh the venv with Espressif's tools, for the cross-checks in interop/; build espflash
    Tools,
    /// Run the commands of docs/provisioning.md and write down what they print
    Transcript(transcript::TranscriptArguments),
    /// Build the programs that run on the chip, and make or check the images in firmware/images
    Firmware(firmware::FirmwareArguments),
    /// Build the AT link as a static library for C, with its header, for riscv32imc and x86-64
    LinkC(link_c::LinkCArguments),
    /// Measure: instructions, bytes, stack
    Bench(bench::BenchArguments),
    /// Run one fuzz target, or list them
    Fuzz(fuzz::FuzzArguments),
    /// Flip every bit of a small file of each format, and print what refuses it
    Flips,
    /// Write xtask/advisories.toml from a checkout of github.com/rustsec/advisory-db
    Advisories {
        /// The checkout (a git work tree)
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Check => check::run(),
        Chore::Test => test::run(),
        Chore::Tools => tools::install().map(|summary| println!("{summary}")),
        Chore::Transcript(arguments) => transcript::run(&arguments),
        Chore::Firmware(arguments) => firmware::run(&arguments),
        Chore::LinkC(arguments) => link_c::run(&arguments),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
        Chore::Flips => fuzz::flips(),
        Chore::Advisories { from } => advisories::write_snapshot(&from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
