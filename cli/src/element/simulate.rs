//! `cotter element simulate`: a secure element on a TCP port or a pseudo-terminal, until it is told to quit.

use super::{Described, describe, load_or_make};
use crate::line::{Line, commands};
use crate::output::{self, Format};
use cotter_chip::atecc::Model;
use cotter_twin::element_port::{Clock, ElementPort, Language};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

/// Keep a secure element alive on its bus, so that a driver works with it as if it were soldered on.
///
/// The bus is lines of text that any I2C shim can speak: docs/element-bus.md has all of it on one page. The part is in the
/// state file, private keys included: the file is for its owner only, and holds every change before it is answered.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The part; a blank one is made if the file is not there.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    #[command(flatten)]
    line: Line,
    /// Speak Microchip's kit protocol, as its development boards do, instead of docs/element-bus.md: for cryptoauthlib with a
    /// kit interface, and `--bus kit:ADDR`.
    #[arg(long)]
    kit: bool,
    /// Which part is made.
    #[arg(long, value_enum, default_value = "atecc608a")]
    model: ModelOption,
    /// The six bytes of its serial number that differ from part to part, as 12 hexadecimal digits [default: random].
    #[arg(long, value_name = "HEX", value_parser = serial)]
    serial: Option<[u8; 6]>,
    /// What moves its time on: `real`, or `bus` for the `wait` requests on the bus only, so that nobody waits.
    #[arg(long, value_enum, default_value = "real")]
    clock: ClockOption,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ModelOption {
    Atecc608a,
    Atecc608b,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ClockOption {
    Real,
    Bus,
}

const EXAMPLES: &str = "\
Example:
  cotter element simulate --state element.bin --listen 127.0.0.1:6080 --clock bus
  printf 'wake\\nwait 1500\\nr 60 4\\n' | nc -N 127.0.0.1 6080
      ok
      ok
      data 04113343        (awake)

Commands on standard input:
  power off, on     cut its supply; switch it on again
  quit              end, as Ctrl-C does";

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let model = match args.model {
        ModelOption::Atecc608a => Model::Atecc608A,
        ModelOption::Atecc608b => Model::Atecc608B,
    };
    let clock = match args.clock {
        ClockOption::Real => Clock::Real,
        ClockOption::Bus => Clock::Bus,
    };
    let part = load_or_make(&args.state, model, args.serial)?;
    let (port, port_name) = args.line.open()?;
    let ready = Ready { part: describe(&part), port: port_name, device: port.device().map(PathBuf::from) };
    let language = if args.kit { Language::Kit } else { Language::Bus };
    let mut element = ElementPort::speaking(language, port, part, args.state.clone(), clock)?;
    output::value(&ready, format)?;
    let commands = commands(Command::parse, Command::Quit)?;
    loop {
        element.step(TICK)?;
        match commands.try_recv() {
            Ok(Command::Quit) => return Ok(true),
            Ok(Command::Power(is_on)) => element.set_power(is_on),
            Ok(Command::Unknown(line)) => {
                output::warning(format_args!("{line}: no such command; there are power off, power on, quit"));
            }
            // No more commands, but the part lives on.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }
}

/// How long a command may wait.
const TICK: Duration = Duration::from_millis(50);

enum Command {
    Power(bool),
    Quit,
    Unknown(String),
}

impl Command {
    fn parse(line: &str) -> Option<Self> {
        Some(match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => return None,
            ["power", state @ ("on" | "off")] => Self::Power(*state == "on"),
            ["quit" | "exit"] => Self::Quit,
            _ => Self::Unknown(line.trim().to_owned()),
        })
    }
}

#[derive(Serialize)]
struct Ready {
    #[serde(flatten)]
    part: Described,
    port: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<PathBuf>,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secure element on {}", self.port)?;
        if let Some(device) = &self.device {
            write!(f, " ({})", device.display())?;
        }
        write!(f, "\n{}", self.part)
    }
}

fn serial(text: &str) -> Result<[u8; 6], String> {
    let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 12 && !text.starts_with('+'));
    let bytes = number.map(u64::to_be_bytes).and_then(|bytes| bytes.last_chunk().copied());
    bytes.ok_or_else(|| "expected 12 hexadecimal digits".to_owned())
}
