//! The console: what a person types goes to the module, what the module says goes above the line being typed.

use super::commands::Commands;
use super::verdict::Step;
use super::{Shared, locked};
use crate::output::{self, Format};
use anyhow::Context;
use cotter_twin::at::host::{Host, HostError};
use cotter_twin::at::line::LineError;
use cotter_twin::at::script::{self, Pattern, Script};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{CompletionType, Config, Editor, ExternalPrinter};
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// What a line that was typed means.
enum Order {
    /// A command, or data in passthrough: the text and CR LF.
    Say(Vec<u8>),
    /// `:` and a step of a script.
    Step(Script),
    /// `:trace on`, `:trace off`
    Trace(bool),
    /// `:time on`, `:time off`
    Time(bool),
    /// `:help`
    Help,
    /// `:quit`
    Quit,
    /// Anything else that begins with a colon, with the reason.
    Unknown(String),
}

impl Order {
    fn parse(line: &str) -> Self {
        let line = line.trim_end_matches(['\r', '\n']);
        let Some(order) = line.strip_prefix(':') else { return Self::Say(line.as_bytes().to_vec()) };
        match order.split_whitespace().collect::<Vec<_>>()[..] {
            ["trace", "on"] => Self::Trace(true),
            ["trace", "off"] => Self::Trace(false),
            ["time", "on"] => Self::Time(true),
            ["time", "off"] => Self::Time(false),
            ["help"] => Self::Help,
            ["quit"] => Self::Quit,
            _ => match Script::parse(order) {
                Ok(script) => Self::Step(script),
                Err(mistakes) => {
                    let why = mistakes.first().map(|it| format!("column {}: {}", it.column, it.mistake));
                    Self::Unknown(why.unwrap_or_default())
                }
            },
        }
    }
}

const HELP: [&str; 6] = [
    "AT+GMR            a line goes to the module, with CR LF; Tab completes, arrows recall",
    ":escape           ends passthrough",
    ":raw \"\\x00\"       bytes as they are; also :file \"data.bin\"",
    ":expect \"OK\"      any step of a script (docs/at-host.md)",
    ":trace on|off     the wire in hexadecimal;  :time on|off  timestamps",
    ":quit             or Ctrl-D",
];

/// Talks until the person has enough, or until standard input ends if it is no terminal.
pub(super) fn run(host: Host, transcript: &Shared) -> anyhow::Result<bool> {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        interactive(host, transcript)
    } else {
        piped(host, transcript)
    }
}

fn interactive(host: Host, transcript: &Shared) -> anyhow::Result<bool> {
    let config = Config::builder().completion_type(CompletionType::List).build();
    // Commands hold passwords: what was typed is remembered as long as this runs, and in no file.
    let mut editor: Editor<Commands, MemHistory> =
        Editor::with_history(config, MemHistory::new()).context("cannot use the terminal")?;
    editor.set_helper(Some(Commands));
    let mut printer = editor.create_external_printer().context("cannot use the terminal")?;
    let show = Box::new(move |line: &str| drop(printer.print(format!("{line}\n"))));
    locked(transcript).show_with(show, false);
    locked(transcript).note(if host.is_ready() { GREETING } else { GREETING_NOT_READY });
    let (orders, received) = channel();
    let (ended, end) = channel();
    let shared = Arc::clone(transcript);
    std::thread::Builder::new().name("module".to_owned()).spawn(move || {
        let result = serve(host, &received, &shared);
        if let Err(error) = &result {
            locked(&shared).note(&format!("{error:#}; Enter ends"));
        }
        // The receiver is gone only if nobody wants to know.
        let _told = ended.send(result);
    })?;
    loop {
        let line = match editor.readline("") {
            Ok(line) => line,
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => break,
            Err(error) => return Err(error).context("cannot read the terminal"),
        };
        if line.is_empty() {
            if let Ok(result) = end.try_recv() {
                return result.map(|()| true);
            }
            continue;
        }
        editor.add_history_entry(line.as_str()).context("cannot remember a line")?;
        let order = Order::parse(&line);
        let quits = matches!(order, Order::Quit);
        if orders.send(order).is_err() || quits {
            break;
        }
    }
    drop(orders);
    match end.recv_timeout(GOODBYE) {
        Ok(result) => result.map(|()| true),
        // It is in the middle of a step, which ends with the process.
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(true),
    }
}

/// Carries what is ordered and what comes, until there are no orders any more.
fn serve(mut host: Host, orders: &Receiver<Order>, transcript: &Shared) -> anyhow::Result<()> {
    loop {
        host.pump(PUMP)?;
        locked(transcript).idle_after(IDLE);
        match orders.try_recv() {
            Ok(Order::Quit) | Err(TryRecvError::Disconnected) => return Ok(()),
            Ok(order) => obey(&order, &mut host, transcript)?,
            Err(TryRecvError::Empty) => {}
        }
    }
}

fn obey(order: &Order, host: &mut Host, transcript: &Shared) -> anyhow::Result<()> {
    match order {
        Order::Say(text) => {
            host.take(usize::MAX);
            match host.say(&[text, &b"\r\n"[..]].concat()) {
                Err(HostError::Line(LineError::NotReady { .. })) => locked(transcript).note(NOT_READY),
                other => other?,
            }
        }
        Order::Step(step) => {
            let told = |report: &script::Report, _: &script::Action| {
                locked(transcript).note(Step::new(report).to_string().trim_start());
            };
            script::run(step, Path::new(""), host, told);
        }
        Order::Trace(on) => locked(transcript).trace(*on),
        Order::Time(on) => locked(transcript).time(*on),
        Order::Help => HELP.iter().for_each(|line| locked(transcript).note(line)),
        Order::Unknown(why) => locked(transcript).note(&format!("{why}; :help")),
        Order::Quit => {}
    }
    Ok(())
}

/// One line after the other, each when the one before has its final answer. Ends when standard input has ended and all is
/// answered.
fn piped(mut host: Host, transcript: &Shared) -> anyhow::Result<bool> {
    locked(transcript).show_with(Box::new(|line: &str| output::progress(line, Format::Text)), true);
    let (sender, orders) = channel();
    std::thread::Builder::new().name("standard input".to_owned()).spawn(move || read(&sender))?;
    let ready = Pattern::Text(b"ready\r\n".to_vec());
    let start = Instant::now();
    // A module that is up already says nothing: the host asks it then.
    while ready.find(host.heard()).is_none() && !(host.is_ready() && start.elapsed() > SILENT) {
        host.pump(PUMP)?;
        anyhow::ensure!(start.elapsed() < PATIENCE, "the line did not come up within {} s", PATIENCE.as_secs());
    }
    let answer = Pattern::answer();
    loop {
        match orders.try_recv() {
            Ok(Order::Quit) | Err(TryRecvError::Disconnected) => break,
            Ok(order) => {
                let waits = matches!(order, Order::Say(_));
                obey(&order, &mut host, transcript)?;
                let said = Instant::now();
                while waits && answer.find(host.heard()).is_none() && said.elapsed() < ANSWER {
                    host.pump(PUMP)?;
                }
            }
            Err(TryRecvError::Empty) => host.pump(PUMP)?,
        }
        locked(transcript).idle_after(IDLE);
    }
    host.pump_for(IDLE)?;
    locked(transcript).idle();
    Ok(true)
}

fn read(orders: &Sender<Order>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok).filter(|line| !line.is_empty()) {
        if orders.send(Order::parse(&line)).is_err() {
            return;
        }
    }
}

const GREETING: &str = "type AT commands; :help tells the rest, Ctrl-D ends";
const GREETING_NOT_READY: &str = "waiting for the module: reset it if nothing comes; :help, Ctrl-D ends";
const NOT_READY: &str = "the line is not up, nothing was sent: reset the module";

/// How long the ports are waited for between two looks at the orders.
const PUMP: Duration = Duration::from_millis(20);

/// After so much silence a line is shown although it has no end.
const IDLE: Duration = Duration::from_millis(200);

/// How long a module may need to say that it is ready, before it is asked.
const SILENT: Duration = Duration::from_secs(2);

/// For the line to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// For the answer to a command, before the next one is said all the same.
const ANSWER: Duration = Duration::from_secs(16);

const GOODBYE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_is_for_the_console_and_the_rest_for_the_module() {
        assert!(matches!(Order::parse("AT+GMR\r"), Order::Say(text) if text == b"AT+GMR"));
        assert!(matches!(Order::parse(":trace on"), Order::Trace(true)));
        assert!(matches!(Order::parse(": time  off"), Order::Time(false)));
        assert!(matches!(Order::parse(":expect \"OK\" within 3s"), Order::Step(_)));
        assert!(matches!(Order::parse(":quit"), Order::Quit));
        let Order::Unknown(why) = Order::parse(":expect OK") else { panic!("it is no step") };
        assert_eq!(why, "column 8: expected a text in double quotes or an expression between slashes");
    }
}
