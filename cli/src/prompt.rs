//! Secrets that a person gives: from a file, from an environment variable, or typed without echo. Never from argv.

use crate::file::File;
use crate::output::{self, Help};
use anyhow::Context;
use zeroize::Zeroizing;

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
        let typed = output::secret(&format!("{name}: "))
            .with_context(|| format!("{name} is needed, and there is no terminal to ask on"))
            .context(Help(self.help))?;
        let text = str::from_utf8(&typed).context("what was typed is not UTF-8")?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}
