//! `cotter debug`: certificates of the ESP32-S31's Secure Debug Controller.

mod certificate;
mod configuration;
mod show;

use crate::file::File;
use crate::key::Password;
use crate::output::Format;
use anyhow::Context;
use clap::Subcommand;
use cotter_formats::secure_debug::{ChipInfo, SessionCounter};

/// Permissions to debug one ESP32-S31 in one session (Secure Debug Controller).
#[derive(Subcommand)]
pub(crate) enum Verb {
    Certificate(certificate::Args),
    Digest(certificate::DigestArgs),
    Show(show::Args),
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Certificate(args) => certificate::run(args, format),
        Verb::Digest(args) => certificate::digest(args, format),
        Verb::Show(args) => show::run(args, format),
    }
}

/// Which session of which chip.
#[derive(clap::Args)]
struct Session {
    /// The chip's MAC address as `espefuse summary` prints it: 30:ed:a0:ed:78:9c.
    #[arg(long, value_parser = mac, conflicts_with = "chip_info")]
    mac: Option<[u8; 6]>,
    /// SDC_SESSION_COUNTER in the chip's eFuses: 0, 1, 3 or 7.
    #[arg(long, value_name = "N", value_parser = counter, requires = "mac", default_value = "0")]
    session_counter: SessionCounter,
    /// What the chip's ROM said instead: 32 bytes of digest, 32 of nonce.
    #[arg(long, value_name = "FILE")]
    chip_info: Option<File>,
}

impl Session {
    /// The session, with this nonce if the chip did not choose one. `None` if no option names a chip.
    fn chip_info(&self, nonce: impl FnOnce() -> anyhow::Result<[u8; 32]>) -> anyhow::Result<Option<ChipInfo>> {
        match (&self.chip_info, self.mac) {
            (Some(file), _) => Ok(Some(ChipInfo::parse(&file.read()?).with_context(|| file.to_string())?)),
            (None, Some(mac)) => Ok(Some(ChipInfo::of(mac, self.session_counter, nonce()?))),
            (None, None) => Ok(None),
        }
    }
}

/// A public key, or the public half of a private one.
#[derive(clap::Args)]
struct PublicKeyFile {
    /// The key, PEM: P-256, public or private, `-` for stdin.
    #[arg(value_name = "PEM")]
    key: File,
    #[command(flatten)]
    password: Password,
}

impl PublicKeyFile {
    fn digest(&self) -> anyhow::Result<[u8; 32]> {
        key_digest(&self.key, &self.password)
    }
}

/// What is burned for the key in `file`.
fn key_digest(file: &File, password: &Password) -> anyhow::Result<[u8; 32]> {
    let key = crate::key::public_key(file, password)?;
    cotter_factory::debug_certificate::digest(&key).with_context(|| file.to_string())
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let mac = crate::mac::parse(text).and_then(|bytes| bytes.try_into().ok());
    mac.ok_or_else(|| "expected six bytes in hex: 30:ed:a0:ed:78:9c".to_owned())
}

fn counter(text: &str) -> Result<SessionCounter, String> {
    let bits = match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let counter = bits.ok().and_then(SessionCounter::new);
    counter.ok_or_else(|| "expected 0, 1, 3 or 7: eFuse bits that only go from 0 to 1, one per session".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mac_addresses_and_counters_in_every_spelling_and_nothing_else() {
        let expected = [0x30, 0xed, 0xa0, 0xed, 0x78, 0x9c];
        for text in ["30:ed:a0:ed:78:9c", "30-ED-A0-ED-78-9C", "30eda0ed789c"] {
            assert_eq!(mac(text), Ok(expected));
        }
        for text in ["", "30:ed:a0:ed:78", "30:ed:a0:ed:78:9c:00", "30:ed:a0:ed:78:9g", "+0:ed:a0:ed:78:9c"] {
            assert!(mac(text).is_err(), "{text}");
        }
        assert_eq!(counter("0x7").map(SessionCounter::bits), Ok(7));
        assert!(["2", "4", "15", "-1", "x"].into_iter().all(|text| counter(text).is_err()));
    }
}
