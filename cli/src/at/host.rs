//! `cotter at host`: a host that talks to an AT module, by a script or by hand.

mod commands;
mod console;
mod transcript;
mod verdict;

use super::mode::{self, End};
use crate::file::File;
use crate::output::{self, BadUsage, Format, Help};
use anyhow::Context;
use cotter_twin::at::host::Host;
use cotter_twin::at::port::{FlowControl, Port, Speed};
use cotter_twin::at::script::{self, EXAMPLE, Script};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use transcript::{Screen, Transcript};
use verdict::{Step, Verdict};

/// Talk to an AT module: by hand, or by a script with a verdict on each of its steps.
///
/// Without --script this is a console: a line goes to the module, `:help` tells the rest. If standard input is no terminal,
/// its lines are said one after the other, each when the one before is answered.
///
/// A script says what is sent and what must be heard (docs/at-host.md); the exit code is 0 only if every step passed.
/// With --script and no FILE, it is the sequence of ESP-AT's example at_interface_security. The conversation is kept in a
/// file, with a hex trace of what was on the wire.
#[derive(clap::Args)]
#[command(after_help = "Example: cotter at host --psk-file link.key --cmd /dev/ttyUSB1 --log /dev/ttyUSB0 --script")]
pub(crate) struct Args {
    /// The module's command port: a serial port or a pseudo-terminal.
    #[arg(long, value_name = "PORT")]
    cmd: PathBuf,
    /// The module's log port, read beside it.
    #[arg(long, value_name = "PORT")]
    log: Option<PathBuf>,
    #[command(flatten)]
    mode: mode::Choice,
    /// Bits per second of the command port.
    #[arg(long, value_name = "RATE", default_value_t = 115_200)]
    baud: u32,
    /// Bits per second of the log port.
    #[arg(long, value_name = "RATE", default_value_t = 115_200)]
    log_baud: u32,
    /// Let RTS and CTS of the command port stop the sender.
    #[arg(long)]
    rts_cts: bool,
    /// Run a script, `-` for standard input; without FILE the sequence of ESP-AT's example.
    #[arg(long, value_name = "FILE")]
    script: Option<Option<File>>,
    /// Where to keep the conversation instead of `at_log/YYYYmmdd_HHMMSS.log`.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Show what is on the wire in hexadecimal, too.
    #[arg(long)]
    trace: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let script = args.script.as_ref().map(|file| script_of(file.as_ref())).transpose()?;
    if script.is_none() && format == Format::Json {
        return Err(BadUsage("--json needs --script: a console has no result".to_owned()).into());
    }
    let mut line = args.mode.maker(End::Host)?;
    let flow = if args.rts_cts { FlowControl::Hardware } else { FlowControl::None };
    let open = |name: &Path, speed| Port::open(name, speed).context(PORT_HELP);
    let log = args.log.as_deref().map(|log| open(log, Speed { baud: args.log_baud, flow: FlowControl::None }));
    let log = log.transpose()?;
    let command = open(&args.cmd, Speed { baud: args.baud, flow })?;
    let show = Box::new(move |line: &str| output::progress(line, format));
    let screen = Screen { trace: args.trace, time: true, said: true, show };
    let transcript = Arc::new(Mutex::new(Transcript::create(args.log_file.as_deref(), screen)?));
    let watcher = Arc::clone(&transcript);
    let mut host = Host::new(command, log, line(), move |event| locked(&watcher).event(event))?;
    let Some((script, folder)) = script else { return console::run(host, &transcript) };
    let verdict = script::run(&script, &folder, &mut host, |report, action| {
        let mut transcript = locked(&transcript);
        match action {
            script::Action::Log(text) => transcript.note(&String::from_utf8_lossy(text)),
            _ => transcript.note(Step::new(report).to_string().trim_start()),
        }
    });
    let file = locked(&transcript).path().to_owned();
    let verdict = Verdict::new(&verdict, args.mode.mode, file);
    locked(&transcript).finish(&verdict.summary());
    output::value(&verdict, format)?;
    Ok(verdict.passed)
}

/// Told by the host, read and changed by whoever talks.
type Shared = Arc<Mutex<Transcript>>;

/// The script, and the folder in which its files are.
fn script_of(file: Option<&File>) -> anyhow::Result<(Script, PathBuf)> {
    let (text, folder) = match file {
        None => (EXAMPLE.to_owned(), PathBuf::new()),
        Some(file) => {
            let folder = match file {
                File::Path(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
                File::Standard => PathBuf::new(),
            };
            (String::from_utf8(file.read()?).ok().with_context(|| format!("{file} is not UTF-8"))?, folder)
        }
    };
    let script = Script::parse(&text).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    });
    Ok((script.context(Help("the steps are described in docs/at-host.md"))?, folder))
}

/// A transcript whose last writer panicked is as good as before.
fn locked(transcript: &Mutex<Transcript>) -> std::sync::MutexGuard<'_, Transcript> {
    transcript.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const PORT_HELP: Help = Help(
    "name a serial port (ls /dev/ttyUSB* /dev/ttyACM*) or the link of `cotter at device`, free and with permission",
);
