//! The guides whose commands are run: in each of [`GUIDES`], a line that begins with `$ ` in a block named `console` is a
//! command, and what follows it is what it prints.
//!
//! All commands of a guide run in one directory, with the tools, `cotter`, `cotter-server`, the vectors (`$VECTORS`) and the
//! firmware (`$FIRMWARE`) at hand. What is exported holds for the commands behind it. A command that ends with ` &` goes on
//! beside the others until `kill %1`; what it prints first is shown, and is in the file `beside`. Times and rates become an
//! ellipsis, in some guides also what is random.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::{cargo, root, run as run_command};

#[derive(Args)]
pub(crate) struct TranscriptArguments {
    /// Run the commands and compare, instead of writing down what they print
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &TranscriptArguments) -> Result<()> {
    if arguments.check {
        println!("{}", check()?);
        return Ok(());
    }
    for guide in &GUIDES {
        let (path, _, now) = renewed(guide)?;
        std::fs::write(&path, now).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Fails if a guide does not say what its commands print.
pub(crate) fn check() -> Result<String> {
    Ok(GUIDES.iter().map(check_one).collect::<Result<Vec<_>>>()?.join("; "))
}

fn check_one(guide: &Guide) -> Result<String> {
    let (path, before, now) = renewed(guide)?;
    for (number, (said, found)) in before.lines().zip(now.lines()).enumerate() {
        if said != found {
            bail!(
                "{}:{}: says\n  {said}\nbut it is\n  {found}\nhelp: cargo xtask transcript",
                path.display(),
                number + 1
            );
        }
    }
    if before != now {
        bail!("{}: one has more lines than the other\nhelp: cargo xtask transcript", path.display());
    }
    let commands = now.lines().filter(|line| line.starts_with(PROMPT)).count();
    Ok(format!("{}: {commands} commands print what it says", guide.path))
}

/// The guide as it is, and with what its commands print now.
fn renewed(guide: &Guide) -> Result<(PathBuf, String, String)> {
    run_command(cargo().args(["build", "--package", "cotter", "--package", "cotter-server", "--locked", "--quiet"]))?;
    let path = root().join(guide.path);
    let before = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let directory = root().join("target/transcript");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let mut desk = Desk { directory, exports: String::new(), is_random: guide.is_random, beside: None };
    let mut now = String::new();
    let mut is_console = false;
    for line in before.lines() {
        if line.starts_with("```") {
            is_console = line == "```console";
        }
        if is_console && !line.starts_with("```") && !line.starts_with(PROMPT) {
            continue;
        }
        now.push_str(line);
        now.push('\n');
        if let (true, Some(command)) = (is_console, line.strip_prefix(PROMPT)) {
            now.push_str(&desk.run(command).with_context(|| format!("$ {command}"))?);
        }
    }
    Ok((path, before, now))
}

/// Where the commands run.
struct Desk {
    directory: PathBuf,
    /// Commands that are run before each other one.
    exports: String,
    /// What is random is left out.
    is_random: bool,
    /// The one that ended with ` &`.
    beside: Option<(Child, BufReader<ChildStdout>)>,
}

impl Desk {
    /// What a command prints, both outputs as they come; a last line tells an exit status other than 0.
    fn run(&mut self, command: &str) -> Result<String> {
        if command == "kill %1" {
            return self.end().map(|()| String::new());
        }
        if let Some(command) = command.strip_suffix(" &") {
            return self.start(command);
        }
        if command.starts_with("export ") {
            self.exports.push_str(&format!("{command}; "));
        }
        let output = self.shell(&format!("{{ {command}; }} 2>&1")).stdin(Stdio::null()).output()?;
        let mut text = self.tidy(&String::from_utf8_lossy(&output.stdout));
        match output.status.code() {
            Some(0) => {}
            Some(code) => text.push_str(&format!("(exit status {code})\n")),
            None => bail!("{}", output.status),
        }
        Ok(text)
    }

    fn start(&mut self, command: &str) -> Result<String> {
        self.end()?;
        let mut shell = self.shell(&format!("exec {command}"));
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut text = String::new();
        let lines = if command.starts_with("cotter serve ") { 1 } else { BESIDE_LINES };
        for _ in 0..lines {
            if output.read_line(&mut text)? == 0 {
                bail!("it has ended: {}", child.wait()?);
            }
        }
        self.beside = Some((child, output));
        std::fs::write(self.directory.join("beside"), &text)?;
        Ok(self.tidy(&text))
    }

    fn tidy(&self, text: &str) -> String {
        let text = tidy(text);
        if self.is_random { unpredictable(&text) } else { text }
    }

    /// Asks it to end, and waits until it has.
    fn end(&mut self) -> Result<()> {
        let Some((mut child, _output)) = self.beside.take() else { return Ok(()) };
        let id = child.id().to_string();
        run_command(Command::new("kill").arg(id))?;
        child.wait()?;
        Ok(())
    }

    fn shell(&self, command: &str) -> Command {
        let bins = ["target/espressif-tools/bin", "target/debug"].map(|bin| root().join(bin));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = bins.into_iter().chain(std::env::split_paths(&path));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{}{command}", self.exports)).current_dir(&self.directory);
        shell.env("FIRMWARE", root().join("firmware/images")).env("RUST_LOG", "error");
        shell.env("PATH", std::env::join_paths(all).unwrap_or(path)).env("VECTORS", root().join("vectors"));
        shell.env("NO_COLOR", "1").env("TERM", "dumb").env("COLUMNS", "118").env("PYTHONUTF8", "1");
        shell.env_remove("ESPTOOL_CFGFILE").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        shell
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.beside {
            // It has ended already, or it ends now.
            let _ended = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Without what differs each time, trailing blanks, and empty lines at the end.
fn tidy(text: &str) -> String {
    let home = root().display().to_string();
    let mut lines: Vec<String> = text.lines().map(|line| timeless(line).replace(&home, "...")).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// `in 0.3 seconds (123.4 kbit/s)` without the numbers; the device of a pseudo-terminal without its own; a dot for each
/// attempt to connect, and nothing else, is no line.
fn timeless(line: &str) -> String {
    let line = line.trim_end();
    if line.bytes().all(|byte| byte == b'.') {
        return String::new();
    }
    if let Some(rest) = line.strip_prefix("Connecting") {
        return format!("Connecting...{}", rest.trim_start_matches('.'));
    }
    if let Some((before, rest)) = line.split_once(" in ")
        && let Some((number, after)) = rest.split_once(" seconds")
        && number.parse::<f32>().is_ok()
    {
        let end = if after.ends_with('.') { "." } else { "" };
        return format!("{before} in ... seconds{end}");
    }
    if line.starts_with("Took ") {
        return "Took ...".to_owned();
    }
    match line.split_once("/dev/pts/") {
        Some((before, after)) => {
            format!("{before}/dev/pts/...{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}

/// Without digests, keys and ids of 12 hexadecimal digits and more, without moments, and without port numbers.
fn unpredictable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let word = rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if word >= 12 && rest[..word].bytes().all(is_hex) {
            out.push_str("...");
            rest = &rest[word..];
        } else if let Some(length) = moment(rest) {
            out.push_str("....-..-.. ..:..:..");
            rest = &rest[length..];
        } else if let Some(port) = rest.strip_prefix("127.0.0.1:") {
            out.push_str("127.0.0.1:...");
            rest = port.trim_start_matches(|digit: char| digit.is_ascii_digit());
        } else {
            let length = word.max(character.len_utf8());
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out
}

/// The length of `2026-11-22 00:31:22`, or of that with a `T` in the middle, at the beginning of a text.
fn moment(text: &str) -> Option<usize> {
    const FORM: &[u8] = b"0000-00-00 00:00:00";
    let found = text.as_bytes().get(..FORM.len())?;
    let fits = |(found, form): (&u8, &u8)| match form {
        b'0' => found.is_ascii_digit(),
        b' ' => matches!(found, b' ' | b'T'),
        _ => found == form,
    };
    found.iter().zip(FORM).all(fits).then_some(FORM.len())
}

/// A guide with commands.
struct Guide {
    path: &'static str,
    /// Its commands draw keys and name moments.
    is_random: bool,
}

const GUIDES: [Guide; 2] =
    [Guide { path: "docs/provisioning.md", is_random: false }, Guide { path: "docs/operating.md", is_random: true }];
const PROMPT: &str = "$ ";
/// How many lines of a command that goes on are shown.
const BESIDE_LINES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_each_time_is_left_out() {
        assert_eq!(
            timeless("Wrote 4096 bytes at 0x0 in 0.1 seconds (384.8 kbit/s).  "),
            "Wrote 4096 bytes at 0x0 in ... seconds."
        );
        assert_eq!(timeless("erased in 2.0 seconds"), "erased in ... seconds");
        assert_eq!(timeless("burned in this session in two seconds"), "burned in this session in two seconds");
        assert_eq!((timeless(". "), timeless("Connecting......")), (String::new(), "Connecting...".to_owned()));
        assert_eq!(timeless("on ttyC6 (/dev/pts/12)"), "on ttyC6 (/dev/pts/...)");
    }

    #[test]
    fn what_is_random_is_left_out_and_nothing_else() {
        for (text, expected) in [
            ("release 0123456789abcdef, one", "release ..., one"),
            ("at 2026-11-22 00:31:22.", "at ....-..-.. ..:..:..."),
            ("2026-11-22T00:31:22Z", "....-..-.. ..:..:..Z"),
            ("{\"listening\":\"127.0.0.1:40123\"}", "{\"listening\":\"127.0.0.1:...\"}"),
            ("200720 bytes, 0123456789ag, 2026-11-22, abc", "200720 bytes, 0123456789ag, 2026-11-22, abc"),
            ("e\u{e4}\n", "e\u{e4}\n"),
        ] {
            assert_eq!(unpredictable(text), expected);
        }
    }
}
