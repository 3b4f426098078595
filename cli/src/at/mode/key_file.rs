//! The keys of a link in a file: one line each, a word and hexadecimal digits.
//!
//! ```text
//! # cotter at key compat
//! cipher aes-128-ctr
//! to-module-key 00112233445566778899aabbccddeeff
//! to-module-iv 00112233445566778899aabbccddeeff
//! to-host-key 00112233445566778899aabbccddeeff
//! to-host-iv 00112233445566778899aabbccddeeff
//! ```

use super::Hex;
use crate::file::File;
use anyhow::Context;
use cotter_twin::at::line::compat::CompatKeys;
use cotter_wire::link::compat::{Cipher, CompatError, CompatKey, ExampleKeys};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// What a file of `cotter at key compat` holds.
pub(crate) struct KeyFile {
    cipher: Cipher,
    /// Key and IV to the module, key and IV to the host.
    values: [Hex; 4],
}

impl KeyFile {
    pub(crate) fn read(file: &File) -> anyhow::Result<Self> {
        let bytes = Zeroizing::new(file.read()?);
        let text = str::from_utf8(&bytes).ok().with_context(|| format!("{file} is not UTF-8"))?;
        Self::parse(text).with_context(|| format!("{file} holds no keys of a link"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut cipher = None;
        let mut values = [const { None }; 4];
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, value) = line.split_once(' ').with_context(|| format!("line {}: no value", index + 1))?;
            let twice = || format!("line {}: {} for the second time", index + 1, word.escape_debug());
            if word == "cipher" {
                let named = Cipher::from_name(value).with_context(|| format!("line {}: no such cipher", index + 1))?;
                anyhow::ensure!(cipher.replace(named).is_none(), twice());
                continue;
            }
            let place = WORDS.iter().position(|known| *known == word).and_then(|at| values.get_mut(at));
            let place = place.with_context(|| format!("line {}: no such word", index + 1))?;
            let value = value.parse::<Hex>().map_err(|why| anyhow::anyhow!("line {}: {why}", index + 1))?;
            anyhow::ensure!(place.replace(value).is_none(), twice());
        }
        let cipher = cipher.context("no line `cipher`")?;
        let mut words = WORDS.iter();
        let mut found = Vec::new();
        for value in values {
            let word = words.next().copied().unwrap_or_default();
            found.push(value.with_context(|| format!("no line `{word}`"))?);
        }
        let values = <[Hex; 4]>::try_from(found).ok().context("one value for each word")?;
        Ok(Self { cipher, values })
    }

    pub(crate) fn compat(&self, examples: ExampleKeys) -> Result<CompatKeys, CompatError> {
        let [to_module_key, to_module_iv, to_host_key, to_host_iv] = &self.values;
        Ok(CompatKeys {
            to_module: CompatKey::new(self.cipher, &to_module_key.0, &to_module_iv.0, examples)?,
            to_host: CompatKey::new(self.cipher, &to_host_key.0, &to_host_iv.0, examples)?,
        })
    }

    /// As a file holds them.
    pub(crate) fn text(keys: &CompatKeys) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(512));
        let values = [keys.to_module.expose_key(), keys.to_module.iv(), keys.to_host.expose_key(), keys.to_host.iv()];
        // A string takes everything.
        let _written = writeln!(text, "# cotter at key compat\ncipher {}", keys.to_module.cipher().as_str());
        for (word, value) in WORDS.iter().zip(values) {
            let _written = write!(text, "{word} ");
            for byte in value {
                let _written = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }
}

const WORDS: [&str; 4] = ["to-module-key", "to-module-iv", "to-host-key", "to-host-iv"];

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let Err(error) = KeyFile::parse(text) else { panic!("{text}") };
        error.to_string()
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = |byte| CompatKey::new(Cipher::ChaCha20, &[byte; 32], &[byte + 1; 12], ExampleKeys::Refuse).unwrap();
        let keys = CompatKeys { to_module: key(1), to_host: key(3) };
        let text = KeyFile::text(&keys);
        let read = KeyFile::parse(&text).unwrap().compat(ExampleKeys::Refuse).unwrap();
        assert_eq!(*KeyFile::text(&read), *text);
        assert_eq!((read.to_module.expose_key(), read.to_host.iv()), (&[1; 32][..], &[4; 12][..]));
    }

    #[test]
    fn what_is_missing_or_twice_there_is_named() {
        assert_eq!(refusal(""), "no line `cipher`");
        assert_eq!(refusal("cipher aes-128-ctr\n"), "no line `to-module-key`");
        assert_eq!(refusal("cipher rot13"), "line 1: no such cipher");
        assert_eq!(refusal("cipher salsa20\ncipher salsa20"), "line 2: cipher for the second time");
        assert_eq!(refusal("to-host-iv 0"), "line 1: expected pairs of hexadecimal digits");
        assert_eq!(refusal("key 00"), "line 1: no such word");
        assert_eq!(refusal("cipher"), "line 1: no value");
    }
}
