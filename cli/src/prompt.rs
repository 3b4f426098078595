//! Secrets that a person gives: from a file, from an environment variable, or typed without echo. Never from argv.

use crate::file::File;
use crate::output::Help;
use anyhow::Context;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{self, Read, Write};
use zeroize::{Zeroize, Zeroizing};

/// The places where a secret may be, in the order in which they are looked at.
pub(crate) struct Secret<'a> {
    /// What it is, for the prompt: "PIN of token cotter".
    pub(crate) name: &'a str,
    /// Its first line is the secret.
    pub(crate) file: Option<&'a File>,
    /// The environment variable.
    pub(crate) variable: &'a str,
    /// What to say if it is nowhere and nobody can be asked.
    pub(crate) help: &'static str,
}

impl Secret<'_> {
    /// The secret; `None` if neither file nor variable has it.
    pub(crate) fn given(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        if let Some(file) = self.file {
            let bytes = Zeroizing::new(file.read()?);
            let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = str::from_utf8(line).ok().with_context(|| format!("{file}: the first line is not UTF-8"))?;
            return Ok(Some(Zeroizing::new(text.to_owned())));
        }
        match std::env::var(self.variable) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => anyhow::bail!("{} is not UTF-8", self.variable),
        }
    }

    /// The secret, asked for if it is not given.
    pub(crate) fn get(&self) -> anyhow::Result<Zeroizing<String>> {
        match self.given()? {
            Some(secret) => Ok(secret),
            None => self.ask(self.name),
        }
    }

    /// As [`Self::get`], asked for twice, for a secret that is new.
    pub(crate) fn get_new(&self) -> anyhow::Result<Zeroizing<String>> {
        if let Some(secret) = self.given()? {
            return Ok(secret);
        }
        let first = self.ask(self.name)?;
        let second = self.ask("the same again")?;
        anyhow::ensure!(*first == *second, "the two are not the same");
        Ok(first)
    }

    /// Asks on the terminal, also if stdin is something else.
    fn ask(&self, name: &str) -> anyhow::Result<Zeroizing<String>> {
        let terminal = Hushed::open()
            .with_context(|| format!("{name} is needed, and there is no terminal to ask on"))
            .context(Help(self.help))?;
        let typed = terminal.ask(&format!("{name}: ")).with_context(|| format!("{name} was not given"))?;
        let text = str::from_utf8(&typed).context("what was typed is not UTF-8")?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// The terminal, as long as it does not show what is typed.
///
/// Ctrl-C and Ctrl-\ end the line there and not the process, which then lets the terminal show what is typed before it
/// takes the signal. A handler of the signals would stay in force for the rest of the process.
struct Hushed {
    terminal: std::fs::File,
    shown: Termios,
}

impl Hushed {
    fn open() -> io::Result<Self> {
        let terminal = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
        let shown = tcgetattr(&terminal)?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VEOL] = shown.special_codes[SpecialCodeIndex::VINTR];
        hidden.special_codes[SpecialCodeIndex::VEOL2] = shown.special_codes[SpecialCodeIndex::VQUIT];
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, shown })
    }

    /// Reads one line. Byte by byte, so that no buffer keeps a copy.
    fn ask(mut self, question: &str) -> io::Result<Zeroizing<Vec<u8>>> {
        self.terminal.write_all(question.as_bytes())?;
        let interrupt = self.shown.special_codes[SpecialCodeIndex::VINTR];
        let quit = self.shown.special_codes[SpecialCodeIndex::VQUIT];
        let mut line = Zeroizing::new(Vec::with_capacity(256));
        let mut byte = [0];
        loop {
            if self.terminal.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match byte[0] {
                b'\n' => break,
                signal if signal == interrupt || signal == quit => return self.give_way(signal == quit),
                _ if line.len() == line.capacity() => return Err(io::Error::other("longer than 256 bytes")),
                letter => line.push(letter),
            }
        }
        byte.zeroize();
        Ok(line)
    }

    /// Puts the terminal in order, then does as the terminal would have done: the signal is for the whole job, so that a
    /// script around this process ends too.
    fn give_way<T>(self, quit: bool) -> io::Result<T> {
        drop(self);
        kill_current_process_group(if quit { Signal::QUIT } else { Signal::INT })?;
        // Whoever ignores the signal gets no secret either.
        Err(io::ErrorKind::Interrupted.into())
    }
}

impl Drop for Hushed {
    fn drop(&mut self) {
        // If the terminal is gone, nobody is left to tell.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.shown);
        let _ = self.terminal.write_all(b"\n");
    }
}
