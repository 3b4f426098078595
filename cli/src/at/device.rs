//! `cotter at device`: a virtual ESP-AT module on two pseudo-terminals, until it is told to quit.

use super::mode::{self, End};
use crate::file::File;
use crate::line::commands;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_twin::at::device::{Device, DeviceEvent};
use cotter_twin::at::flash::{Flash, MFG_NVS_SIZE};
use cotter_twin::at::module::{AccessPoint, Event, Surroundings};
use cotter_twin::at::{Network, Reach, TIME_PORT};
use cotter_twin::serial_port::SerialPort;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

/// Keep a virtual ESP-AT module alive, so that a host talks to it as if it were on its UART.
///
/// The module gets power when somebody opens its command port, says `ready` on it 0.6 seconds later, and loses power when
/// the port is hung up. Its sockets and its MQTT client are real, and reach this machine only unless --reach says
/// otherwise; the air is simulated. docs/at.md has its commands.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Make this a link to the command port.
    #[arg(long, value_name = "LINK")]
    cmd: PathBuf,
    /// Make this a link to the log port, where the module says what it does.
    #[arg(long, value_name = "LINK")]
    log: Option<PathBuf>,
    #[command(flatten)]
    mode: mode::Choice,
    /// How far its network reaches.
    #[arg(long, value_enum, default_value = "loopback")]
    reach: ReachOption,
    /// A name that the module knows an address for, such as broker.example=127.0.0.1.
    #[arg(long, value_name = "NAME=IP", value_parser = host)]
    host: Vec<(String, IpAddr)>,
    /// An access point in the air, open or with a password; without any, every one is there and takes any password.
    #[arg(long, value_name = "SSID[:PASSWORD]", value_parser = access_point)]
    ap: Vec<AccessPoint>,
    /// Its manufacturing partition, as `cotter nvs build` makes it: certificates for TLS and MQTT.
    #[arg(long, value_name = "FILE")]
    mfg_nvs: Option<File>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ReachOption {
    /// This machine
    Loopback,
    /// As far as this machine's own network
    Anywhere,
}

const EXAMPLES: &str = "\
Example:
  cotter at device --mode plain --cmd at.tty --log at-log.tty
  cotter at host --mode plain --cmd at.tty --log at-log.tty --script

Commands on standard input:
  quit     end, as Ctrl-C does";

/// How long a step may wait for the host.
const TICK: Duration = Duration::from_millis(3);

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let lines = args.mode.maker(End::Module)?;
    let flash = flash(args.mfg_nvs.as_ref())?;
    let command = terminal(&args.cmd)?;
    let log = args.log.as_deref().map(terminal).transpose()?;
    let device = |port: &SerialPort| port.device().map(PathBuf::from);
    let ready = Ready {
        event: "waiting",
        mode: args.mode.mode,
        cmd: args.cmd.clone(),
        cmd_device: device(&command),
        log: args.log.clone(),
        log_device: log.as_ref().and_then(device),
    };
    let reach = match args.reach {
        ReachOption::Loopback => Reach::Loopback,
        ReachOption::Anywhere => Reach::Anywhere,
    };
    let network = Network { reach, hosts: args.host.clone(), time_port: TIME_PORT };
    let surroundings = Surroundings { network, access_points: args.ap.clone(), mac: MAC };
    let mut device = Device::new(command, log, lines, surroundings, flash);
    output::event(&ready, format)?;
    let commands = commands(Command::parse, Command::Quit)?;
    loop {
        for event in device.step(TICK)? {
            output::event(&Shown::of(&event), format)?;
        }
        match commands.try_recv() {
            Ok(Command::Quit) => return Ok(true),
            Ok(Command::Unknown(line)) => output::warning(format_args!("{line}: no such command; there is quit")),
            // No more commands, but the module lives on.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }
}

/// Locally administered: no module has it.
const MAC: [u8; 6] = [0x02, 0xC0, 0x77, 0xE2, 0x00, 0x17];

fn flash(file: Option<&File>) -> anyhow::Result<Flash> {
    let Some(file) = file else { return Ok(Flash::default()) };
    let bytes = file.read()?;
    anyhow::ensure!(
        bytes.len() <= MFG_NVS_SIZE,
        "{file} is {} bytes, but the module's partition mfg_nvs has {MFG_NVS_SIZE}",
        bytes.len()
    );
    cotter_formats::nvs::read_partition(&bytes, None)
        .with_context(|| file.to_string())
        .context(Help("name an NVS partition in the clear, such as cotter nvs build makes"))?;
    Ok(Flash::new(bytes))
}

fn terminal(link: &Path) -> anyhow::Result<SerialPort> {
    SerialPort::terminal(link)
        .with_context(|| format!("cannot make {} a pseudo-terminal", link.display()))
        .context(Help("name a link that does not exist yet, in a directory that does"))
}

fn host(text: &str) -> Result<(String, IpAddr), String> {
    let (name, address) = text.split_once('=').ok_or("expected NAME=IP")?;
    let address = address.parse().map_err(|_| format!("{address} is no IP address"))?;
    Ok((name.to_owned(), address))
}

fn access_point(text: &str) -> Result<AccessPoint, String> {
    let (ssid, password) = text.split_once(':').map_or((text, None), |(ssid, password)| (ssid, Some(password)));
    if ssid.is_empty() || ssid.len() > 32 {
        return Err("an SSID has 1 to 32 bytes".to_owned());
    }
    Ok(AccessPoint { ssid: ssid.to_owned(), password: password.map(str::to_owned) })
}

enum Command {
    Quit,
    Unknown(String),
}

impl Command {
    fn parse(line: &str) -> Option<Self> {
        match line.trim() {
            "" => None,
            "quit" | "exit" => Some(Self::Quit),
            other => Some(Self::Unknown(other.to_owned())),
        }
    }
}

#[derive(Serialize)]
struct Ready {
    event: &'static str,
    mode: mode::Mode,
    cmd: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd_device: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_device: Option<PathBuf>,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AT module on {}", self.cmd.display())?;
        if let Some(log) = &self.log {
            write!(f, ", its log on {}", log.display())?;
        }
        f.write_str("; it gets power when the port is opened")
    }
}

/// What happened, for a line of its own.
#[derive(Serialize)]
struct Shown {
    event: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
}

impl Shown {
    fn of(event: &DeviceEvent) -> Self {
        let (event, text, code) = match event {
            DeviceEvent::Opened => ("opened", String::new(), None),
            DeviceEvent::Ready => ("ready", String::new(), None),
            DeviceEvent::Closed => ("closed", String::new(), None),
            DeviceEvent::Restarted => ("restarted", String::new(), None),
            DeviceEvent::LineFailed(error) => ("line failed", error.to_string(), None),
            DeviceEvent::Module(Event::Command(command)) => ("command", command.clone(), None),
            DeviceEvent::Module(Event::Refused(refusal)) => ("refused", refusal.to_string(), Some(refusal.code())),
            DeviceEvent::Module(Event::Note(note)) => ("note", note.clone(), None),
        };
        Self { event, text, code }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.text.as_str()) {
            (Some(code), text) => write!(f, "{} ({code:#010x}): {text}", self.event),
            (None, "") => f.write_str(self.event),
            (None, text) => write!(f, "{}: {text}", self.event),
        }
    }
}
