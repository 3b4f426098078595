//! One finished run of a tool, accepted or refused.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a tool did. Say which outcome the test claims with [`ToolRun::accepted`] or [`ToolRun::refused`].
#[derive(Debug)]
#[must_use = "claim the outcome with accepted() or refused()"]
pub struct ToolRun {
    command: String,
    success: bool,
    stdout: String,
    stderr: String,
}

impl ToolRun {
    /// Runs to the end. Panics if the program cannot be started, with `help` as the remedy.
    pub(crate) fn of(command: &mut Command, help: &str) -> Self {
        Self::told(command, "", help)
    }

    /// As [`Self::of`], with something on its standard input.
    pub(crate) fn told(command: &mut Command, input: &str, help: &str) -> Self {
        let shown = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let finished = command.spawn().and_then(|mut child| {
            // Short enough for the pipe; a program that does not read it is none the worse for it.
            let _unread = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
            child.wait_with_output()
        });
        match finished {
            Ok(output) => Self {
                command: shown,
                success: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            },
            Err(error) => panic!("cannot start {shown}: {error}\nhelp: {help}"),
        }
    }

    /// The tool's output (standard output, then standard error) if it exited with 0; panics with all of it otherwise.
    #[track_caller]
    pub fn accepted(self) -> String {
        assert!(self.success, "expected the tool to accept:\n{}", self.evidence());
        self.stdout + &self.stderr
    }

    /// The tool's output if it exited with an error; panics with all of it otherwise.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(!self.success, "expected the tool to refuse:\n{}", self.evidence());
        self.stdout + &self.stderr
    }

    /// Did the tool exit with 0? For tests that compare our verdict with the tool's over many inputs.
    #[must_use]
    pub fn success(&self) -> bool {
        self.success
    }

    /// The command line and everything the tool printed.
    #[must_use]
    pub fn evidence(&self) -> String {
        format!("$ {}\n{}{}", self.command, self.stdout, self.stderr)
    }
}
