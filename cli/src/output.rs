//! The only file that prints: values as text for people or as JSON for machines.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use serde::Serialize;
use std::fmt::Display;
use std::io::Write;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people; colour only on a terminal.
    Text,
    /// For machines: one JSON value on stdout.
    Json,
}

/// Prints a result on stdout. A closed pipe is not an error.
pub(crate) fn value<T: Display + Serialize>(value: &T, format: Format) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let written = match format {
        Format::Text => writeln!(out, "{value}"),
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(value)?),
    };
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints what happened, one line each: text, or JSON that another program reads line by line.
pub(crate) fn event<T: Display + Serialize>(event: &T, format: Format) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let written = match format {
        Format::Text => writeln!(out, "{event}"),
        Format::Json => writeln!(out, "{}", serde_json::to_string(event)?),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a line that another program waits for.
pub(crate) fn line(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes raw bytes to stdout: what `-` as an output file means.
pub(crate) fn bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes raw bytes to stdout as `produce` has them.
pub(crate) fn piecewise<T>(produce: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut out = std::io::stdout().lock();
    let produced = produce(&mut out)?;
    out.flush()?;
    Ok(produced)
}

/// Prints a line of progress: stdout for people, nothing in JSON mode.
pub(crate) fn progress(line: impl Display, format: Format) {
    if format == Format::Text {
        // Progress is a courtesy: a reader that went away must not stop the work.
        let _ = writeln!(anstream::stdout(), "{line}");
    }
}

/// Prints what a person should know although the work goes on.
pub(crate) fn warning(warning: impl Display) {
    let (yellow, reset) = (anstyle::AnsiColor::Yellow.on_default().bold(), anstyle::Reset);
    let _ = writeln!(anstream::stderr(), "{yellow}warning:{reset} {warning}");
}

/// Prints an error with its causes, and the next step if the error names one.
pub(crate) fn error(error: &anyhow::Error) {
    let (bold, red, reset) =
        (anstyle::Style::new().bold(), anstyle::AnsiColor::Red.on_default().bold(), anstyle::Reset);
    let mut err = anstream::stderr();
    let help = error.downcast_ref::<Help>();
    // A help is a context among the others, and is no cause.
    let is_help = |cause: &String| help.is_some_and(|Help(help)| cause == help);
    let causes: Vec<String> = error.chain().map(ToString::to_string).filter(|cause| !is_help(cause)).collect();
    let _ = writeln!(err, "{red}error:{reset} {}", causes.join(": "));
    if let Some(Help(help)) = help {
        let _ = writeln!(err, "{bold}help:{reset} {help}");
    }
}

/// A table without lines, whose cells are not wrapped.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// The next step, attached to an error with `.context(Help("..."))`.
#[derive(Debug)]
pub(crate) struct Help(pub(crate) &'static str);

impl Display for Help {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Help {}

/// A command line that makes no sense as a whole: exit code 2, as for those that the parser refuses.
#[derive(Debug)]
pub(crate) struct BadUsage(pub(crate) String);

impl Display for BadUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUsage {}
