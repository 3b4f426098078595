//! The password of an encrypted key: from a file, from the environment, or typed at the terminal. Never from an
//! argument, which every user of the machine can read.

use crate::file::File;
use anyhow::Context;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use zeroize::Zeroizing;

/// Where the password of encrypted keys is. Without either option it is asked for at the terminal, if there is one.
#[derive(clap::Args, Default)]
pub(crate) struct Password {
    /// Password of encrypted keys: the first line of this file. Without it, a person at a terminal is asked.
    #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
    password_file: Option<File>,
    /// Password of encrypted keys: what this environment variable holds.
    #[arg(long, value_name = "NAME")]
    password_env: Option<OsString>,
}

impl Password {
    /// The password that was given, if one was.
    pub(super) fn given(&self) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
        if let Some(file) = &self.password_file {
            return Ok(Some(first_line(&Zeroizing::new(file.read()?))));
        }
        let Some(name) = &self.password_env else { return Ok(None) };
        let value = std::env::var_os(name);
        let value = value.with_context(|| format!("the environment variable {} is not set", name.display()))?;
        Ok(Some(Zeroizing::new(value.into_vec())))
    }

    /// Asks the person at the terminal, without echo; `None` if there is nobody to ask.
    pub(super) fn asked(&self, key: &File) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
        if !std::io::stderr().is_terminal() {
            return Ok(None);
        }
        let Ok(mut terminal) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty") else {
            return Ok(None);
        };
        write!(terminal, "Password of {key}: ")?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        let mut line = Zeroizing::new(Vec::with_capacity(1024));
        let read = BufReader::new(&terminal).read_until(b'\n', &mut line);
        tcsetattr(&terminal, OptionalActions::Flush, &before)?;
        read?;
        Ok(Some(first_line(&line)))
    }
}

fn first_line(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        for text in ["secret", "secret\n", "secret\r\n", "secret\nother"] {
            assert_eq!(first_line(text.as_bytes())[..], b"secret"[..]);
        }
        assert!(first_line(b"").is_empty());
    }
}
