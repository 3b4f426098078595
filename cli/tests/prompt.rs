//! Passwords as a person types them, on a terminal of their own.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A terminal, and what runs on it.
struct Terminal {
    keyboard: File,
    screen: String,
    shell: Child,
}

impl Terminal {
    /// Runs `cotter` below a shell that outlives it, and then says how it ended and how the terminal is set.
    fn run(folder: &Path, arguments: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let line = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let end = || Stdio::from(OwnedFd::from(File::options().read(true).write(true).open(&line).unwrap()));
        let script = r#"trap : INT QUIT; ulimit -c 0; "$@"; echo "ended $?"; stty -a; echo "the end""#;
        let shell = Command::new("setsid")
            .args(["--ctty", "--wait", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_cotter"), "key"])
            .args(arguments)
            .current_dir(folder)
            .env_remove("COTTER_KEY_PASSWORD")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self { keyboard: keyboard.into(), screen: String::new(), shell }
    }

    /// Reads up to `text`, and returns all that was on the screen since the last time.
    fn wait_for(&mut self, text: &str) -> String {
        let mut bytes = [0; 1024];
        while !self.screen.contains(text) {
            let length = self.keyboard.read(&mut bytes).unwrap_or(0);
            assert!(length > 0, "\"{text}\" did not come, but\n{}", self.screen);
            self.screen += &String::from_utf8_lossy(&bytes[..length]);
        }
        std::mem::take(&mut self.screen)
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn what_is_typed_at_the_prompt_is_not_shown_and_opens_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(folder.path(), &["generate", "p256", "--encrypt", "-o", "key.pem"]);
    for prompt in ["new password: ", "the same again: "] {
        terminal.wait_for(prompt);
        terminal.type_in("correct hörse\n");
    }
    let screen = terminal.wait_for("the end");
    assert!(screen.contains("ended 0") && !screen.contains("hörse"), "{screen}");
    let mut terminal = Terminal::run(folder.path(), &["inspect", "key.pem", "--password-file", "none"]);
    assert!(terminal.wait_for("the end").contains("cannot read none"));
    let mut terminal = Terminal::run(folder.path(), &["digest", "key.pem"]);
    terminal.wait_for("password of key.pem: ");
    terminal.type_in("correct hörse\n");
    let screen = terminal.wait_for("the end");
    assert!(screen.contains("ended 0") && !screen.contains("hörse"), "{screen}");
}

#[test]
fn a_signal_at_the_prompt_ends_the_process_and_leaves_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for (key, code) in [("\x03", "ended 130"), ("half a pass\x03", "ended 130"), ("\x1c", "ended 131")] {
        let mut terminal = Terminal::run(folder.path(), &["generate", "p256", "--encrypt", "-o", "key.pem"]);
        terminal.wait_for("new password: ");
        terminal.type_in(key);
        let screen = terminal.wait_for("the end");
        assert!(screen.contains(code) && !screen.contains("half a pass"), "{screen}");
        for set in ["isig icanon iexten echo echoe", "intr = ^C", "quit = ^\\", "eol = <undef>", "eol2 = <undef>"] {
            assert!(screen.contains(set), "{set} in {screen}");
        }
        assert!(!folder.path().join("key.pem").exists());
    }
}

#[test]
fn an_end_of_input_is_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(folder.path(), &["generate", "p256", "--encrypt", "-o", "key.pem"]);
    terminal.wait_for("new password: ");
    terminal.type_in("\x04");
    let screen = terminal.wait_for("the end");
    assert!(screen.contains("new password was not given") && screen.contains(" echo "), "{screen}");
}
