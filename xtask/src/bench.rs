//! `cargo xtask bench`: what things cost, against what is measured beside them in the same run.
//!
//! | file | noun |
//! |---|---|
//! | `packet` | a telemetry packet on the chip, in instructions |
//! | `tools` | our processes beside the tools that they replace: the table |
//! | `chip` | the virtual chip: boots, the serial line, rehearsals |
//! | `ingest` | the server beside nginx and beside the reference |
//! | `fota` | downloads, beside nginx |
//! | `link` | the AT link: frames beside the bare cipher, and what is left of a serial line |
//! | `link_cost` | the AT link on riscv32imc: memory, instructions, bytes |
//! | `link_noise` | the AT link over a noisy wire |
//! | `mqtt` | the bridge beside mosquitto |
//! | `contest` | servers side by side, and the load generator |
//! | `cases` | what that table compares, with its inputs |
//! | `elf` | the input of the image builders |
//! | `kernel` | AES-XTS beside OpenSSL's |
//! | `measure` | one process from outside |

mod cases;
mod chip;
mod contest;
mod elf;
mod fota;
mod ingest;
mod kernel;
mod link;
mod link_cost;
mod link_noise;
mod measure;
mod mqtt;
mod packet;
mod tools;

use anyhow::Result;

/// What `cargo xtask bench` can be told.
#[derive(clap::Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(clap::Subcommand)]
enum Subject {
    /// One telemetry packet on the chip: instructions, bytes, stack and flash on riscv32imc, counted under QEMU
    Packet {
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Our processes beside Espressif's tools, and our AES-XTS beside OpenSSL's: time, peak memory, targets
    Tools(tools::ToolsArguments),
    /// The virtual chip: a boot beside its cryptography alone, esptool over a pseudo-terminal, rehearsals on all cores
    Chip(chip::ChipArguments),
    /// The server: uploads per second, latency, processor time and memory, beside nginx and the reference: some minutes
    Ingest(ingest::IngestArguments),
    /// A thousand devices that download at once, beside nginx: bytes per second, processor time, memory
    Fota(fota::FotaArguments),
    /// The bridge: durable messages per second beside mosquitto, connections per second, memory of idle ones: some minutes
    Mqtt(mqtt::MqttArguments),
    /// The AT link: frames per second here beside the bare cipher, instructions on riscv32imc, what is left of a serial line
    Link(LinkArguments),
    /// Run one command and print what it took
    #[command(hide = true)]
    Run(measure::RunArguments),
    /// A second of AES-XTS, in bytes per second
    #[command(hide = true)]
    Kernel,
}

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct LinkArguments {
    /// For machines
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    subject: Option<Link>,
}

#[derive(clap::Subcommand)]
enum Link {
    /// On riscv32imc, counted under QEMU: RAM, stack, flash, instructions and bytes of each mode and suite
    Cost(link_cost::CostArguments),
    /// Over a noisy wire: what is delivered, what is sent again, how long a silence is: a minute or two
    Noise(link_noise::NoiseArguments),
}

/// The chore.
///
/// # Errors
/// What the subject says.
pub(crate) fn run(arguments: &BenchArguments) -> Result<()> {
    match &arguments.subject {
        Subject::Packet { json } => packet::run(*json),
        Subject::Tools(arguments) => tools::run(arguments),
        Subject::Chip(arguments) => chip::run(arguments),
        Subject::Ingest(arguments) => ingest::run(arguments),
        Subject::Fota(arguments) => fota::run(arguments),
        Subject::Mqtt(arguments) => mqtt::run(arguments),
        Subject::Link(LinkArguments { subject: None, json }) => link::run(*json),
        Subject::Link(LinkArguments { subject: Some(Link::Cost(arguments)), .. }) => link_cost::run(arguments),
        Subject::Link(LinkArguments { subject: Some(Link::Noise(arguments)), .. }) => link_noise::run(arguments),
        Subject::Run(arguments) => measure::run(arguments),
        Subject::Kernel => kernel::run(),
    }
}
