//! A `cotter` that lives until it is told to quit.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses another part")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

pub struct Running {
    process: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(directory: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_cotter"))
            .current_dir(directory)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output: Some(output) }
    }

    /// What it prints next.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.as_mut().unwrap().read_line(&mut line).unwrap() > 0, "it has ended");
        line.trim_end().to_owned()
    }

    /// The next line that says so.
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// From here on, what it prints goes nowhere.
    pub fn is_not_heard(&mut self) {
        let mut output = self.output.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    }

    pub fn say(&mut self, command: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Takes its power.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn quit(mut self) {
        self.say("quit");
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already if the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
