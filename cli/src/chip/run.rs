//! `cotter chip run`: a virtual chip on a TCP port or a pseudo-terminal, until it is told to quit.

use super::{BoardFiles, Fresh};
use crate::element::{Attached, Attachment};
use crate::line::{Line, commands};
use crate::output::{self, Format};
use cotter_chip::report::Outcome;
use cotter_chip::uart::{Start, Strap, Uart};
use cotter_formats::addr::{FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::ChipRevision;
use cotter_twin::serial_port::{LineEvent, SerialPort};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// Keep a virtual chip alive, so that esptool, espefuse and others can work on it as if it were on a serial port.
///
/// Opening the port resets the chip, as a development board does. A plain socket and a pseudo-terminal do not carry DTR
/// and RTS, so a reset that a tool asks for with them does not happen: type `reset` here, or have the tool speak RFC 2217
/// to the same TCP port, which carries them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The chip.
    #[arg(long, value_parser = super::chip)]
    chip: Chip,
    /// Its flash contents; made if it is not there. Without it they are forgotten at the end.
    #[arg(long, value_name = "FILE")]
    flash: Option<PathBuf>,
    /// Its eFuses, in espefuse's --virt format; made if it is not there. What software cannot read is kept in a second
    /// file: F-cells.bin beside F.bin.
    #[arg(long, value_name = "FILE")]
    efuse: Option<PathBuf>,
    /// Size of a flash that is made: 1MB to 16MB.
    #[arg(long, value_name = "SIZE", default_value = "4MB", value_parser = flash_size)]
    flash_size: FlashLen,
    /// Revision of a chip whose eFuses are made, as in v1.0 [default: one that is sold today].
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    revision: Option<ChipRevision>,
    #[command(flatten)]
    second_stage: super::SecondStageOption,
    #[command(flatten)]
    line: Line,
    /// What the strap pins ask for: `download` as with the boot button held, or `run` what is in flash.
    #[arg(long, value_enum, default_value = "download")]
    strap: StrapOption,
    /// A secure element beside the chip: the file with its state, made if it is not there, and where its bus listens
    /// [default: a free port]. docs/element-bus.md is what a driver speaks with it.
    #[arg(long, value_name = "FILE[@ADDR]")]
    secure_element: Option<Attachment>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum StrapOption {
    Download,
    Run,
}

const EXAMPLES: &str = "\
Examples:
  cotter chip run --chip esp32c3 --flash flash.bin --efuse efuse.bin --listen 127.0.0.1:5333
  esptool -p socket://127.0.0.1:5333 flash-id
  espefuse -p socket://127.0.0.1:5333 summary
  esptool -p rfc2217://127.0.0.1:5333 flash-id        (with resets by DTR and RTS)
  cotter chip run --chip esp32c3 --listen 127.0.0.1:5333 --second-stage sdkconfig
  cotter chip run --chip esp32 --listen 127.0.0.1:5333 --secure-element element.bin@127.0.0.1:6080

Commands on standard input:
  reset             reset the chip with the strap pins as they are
  reset download    reset it with the boot button held
  reset run         reset it with the boot button released
  power off, on     cut its supply, between two operations; switch it on again
  quit              save and end, as Ctrl-C does

espefuse --virt --path-efuse-file efuse.bin reads and burns the same eFuse file while the chip is not running.";

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let files = BoardFiles { chip: args.chip, flash: args.flash.clone(), efuse: args.efuse.clone() };
    let board = files.load(Fresh { flash_size: args.flash_size, revision: args.revision })?;
    let board = args.second_stage.on(board)?;
    files.save_efuses(&board)?;
    files.save_flash(&board)?;
    let (mut port, port_name) = args.line.open()?;
    let strap = args.strap.strap();
    let attached = args.secure_element.as_ref().map(Attached::start).transpose()?;
    let secure_element = attached.as_ref().map(|attached| attached.description.clone());
    let device = port.device().map(PathBuf::from);
    output::value(&Ready { chip: args.chip.name(), port: port_name, device, secure_element }, format)?;
    let mut live = Live { files, uart: Uart::new(board, strap), format, flash_changed: None };
    live.start()?;
    live.serve(&mut port, &commands(Command::parse, Command::Quit)?)?;
    Ok(true)
}

impl StrapOption {
    const fn strap(self) -> Strap {
        match self {
            Self::Download => Strap::Download,
            Self::Run => Strap::Run,
        }
    }
}

/// The chip while it is alive.
struct Live {
    files: BoardFiles,
    uart: Uart,
    format: Format,
    /// Since when the flash file is behind.
    flash_changed: Option<Instant>,
}

impl Live {
    fn serve(&mut self, port: &mut SerialPort, commands: &Receiver<Command>) -> anyhow::Result<()> {
        let mut buffer = vec![0; 0x4000];
        loop {
            match port.wait(&mut buffer, TICK)? {
                LineEvent::Opened => self.start()?,
                LineEvent::Bytes(count) => {
                    let mut rest = buffer.get(..count).unwrap_or_default();
                    while !rest.is_empty() {
                        let taken = self.uart.receive(rest);
                        rest = rest.get(taken..).unwrap_or_default();
                        self.answer(port)?;
                    }
                }
                LineEvent::Lines(lines) => {
                    if let Some(start) = self.uart.set_modem_lines(lines.dtr, lines.rts) {
                        self.save_changes()?;
                        self.report(&start);
                    }
                }
                LineEvent::Closed => self.save_flash()?,
                LineEvent::Quiet => {}
            }
            self.answer(port)?;
            if self.flash_changed.is_some_and(|since| since.elapsed() > FLASH_DELAY) {
                self.save_flash()?;
            }
            match commands.try_recv() {
                Ok(Command::Quit) => break,
                Ok(command) => self.obey(&command)?,
                // No more commands, but the chip lives on.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
        }
        self.save()
    }

    /// What the chip changed is saved before the peer is told that it is done.
    fn answer(&mut self, port: &mut SerialPort) -> anyhow::Result<()> {
        let (bytes, started) = self.uart.send();
        self.save_changes()?;
        port.write(&bytes)?;
        if let Some(start) = started {
            self.report(&start);
        }
        Ok(())
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let start = self.uart.reset();
        self.save_changes()?;
        self.report(&start);
        Ok(())
    }

    fn obey(&mut self, command: &Command) -> anyhow::Result<()> {
        match command {
            Command::Reset(strap) => {
                if let Some(strap) = strap {
                    self.uart.set_strap(*strap);
                }
                self.start()
            }
            Command::PowerOff => {
                self.uart.power_off();
                self.save()
            }
            Command::PowerOn if self.uart.is_off() => self.start(),
            Command::PowerOn => {
                output::warning("it has power already");
                Ok(())
            }
            Command::Unknown(line) => {
                output::warning(format_args!(
                    "{line}: no such command; there are reset, reset download, reset run, power off, power on, quit"
                ));
                Ok(())
            }
            Command::Quit => Ok(()),
        }
    }

    fn report(&mut self, start: &Start) {
        for line in self.uart.lines() {
            output::progress(line, self.format);
        }
        match start {
            Start::Download(_) => {}
            Start::Flash(report) => match &report.outcome {
                Outcome::Booted(booted) => output::progress(
                    format_args!(
                        "cotter: {} {} in {} was started; applications are not executed here",
                        booted.project_name, booted.version, booted.slot
                    ),
                    self.format,
                ),
                Outcome::Refused(code) => {
                    output::progress(format_args!("cotter: nothing runs: {code}"), self.format);
                    if let Some(stranded) = report.stranded {
                        output::progress(format_args!("cotter: {stranded}"), self.format);
                    }
                }
            },
        }
    }

    fn save_changes(&mut self) -> anyhow::Result<()> {
        let changes = self.uart.changes();
        if changes.efuses {
            self.files.save_efuses(self.uart.board())?;
        }
        if changes.flash && self.flash_changed.is_none() {
            self.flash_changed = Some(Instant::now());
        }
        Ok(())
    }

    fn save_flash(&mut self) -> anyhow::Result<()> {
        if self.flash_changed.take().is_some() {
            self.files.save_flash(self.uart.board())?;
        }
        Ok(())
    }

    fn save(&mut self) -> anyhow::Result<()> {
        self.save_changes()?;
        self.save_flash()
    }
}

/// How long a command may wait.
const TICK: Duration = Duration::from_millis(50);

/// How far the flash file may be behind. It is written whole, which a block at a time would be slow.
const FLASH_DELAY: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Reset(Option<Strap>),
    PowerOff,
    PowerOn,
    Quit,
    Unknown(String),
}

impl Command {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match words.as_slice() {
            [] => return None,
            ["reset"] => Self::Reset(None),
            ["reset", "download"] => Self::Reset(Some(Strap::Download)),
            ["reset", "run"] => Self::Reset(Some(Strap::Run)),
            ["power", "off"] => Self::PowerOff,
            ["power", "on"] => Self::PowerOn,
            ["quit" | "exit"] => Self::Quit,
            _ => Self::Unknown(line.trim().to_owned()),
        })
    }
}

#[derive(Serialize)]
struct Ready {
    chip: &'static str,
    port: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secure_element: Option<String>,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.chip, self.port)?;
        if let Some(device) = &self.device {
            write!(f, " ({})", device.display())?;
        }
        if let Some(element) = &self.secure_element {
            write!(f, "\nsecure element {element}")?;
        }
        write!(f, "\ntry: esptool -p {} flash-id", self.port)
    }
}

fn flash_size(text: &str) -> Result<FlashLen, String> {
    let megabytes: Option<u32> = text.strip_suffix("MB").and_then(|digits| digits.parse().ok());
    let size = megabytes.filter(|size| size.is_power_of_two() && *size <= 16).map(|size| FlashLen(size << 20));
    size.filter(|size| size.0 >= SECTOR).ok_or_else(|| "expected 1MB, 2MB, 4MB, 8MB or 16MB".to_owned())
}

fn revision(text: &str) -> Result<ChipRevision, String> {
    let parts = text.strip_prefix('v').unwrap_or(text).split_once('.');
    let numbers = parts.and_then(|(major, minor)| Some((major.parse::<u16>().ok()?, minor.parse::<u16>().ok()?)));
    let known = numbers.filter(|(major, minor)| *major < 16 && *minor < 100);
    known.map(|(major, minor)| ChipRevision(100 * major + minor)).ok_or_else(|| "expected one like v1.0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words() {
        assert_eq!(Command::parse("  reset   download "), Some(Command::Reset(Some(Strap::Download))));
        assert_eq!(Command::parse("power off"), Some(Command::PowerOff));
        assert_eq!(Command::parse(" \n"), None);
        assert_eq!(Command::parse("reset now "), Some(Command::Unknown("reset now".to_owned())));
    }

    #[test]
    fn revisions_are_two_numbers() {
        assert_eq!((revision("v3.0"), revision("1.2")), (Ok(ChipRevision(300)), Ok(ChipRevision(102))));
        assert!(revision("3").is_err() && revision("v3.100").is_err() && revision("v99.0").is_err());
    }

    #[test]
    fn flash_sizes_are_powers_of_two() {
        assert_eq!(flash_size("16MB"), Ok(FlashLen(16 << 20)));
        assert!(flash_size("3MB").is_err() && flash_size("0MB").is_err() && flash_size("32MB").is_err());
    }
}
