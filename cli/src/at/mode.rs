//! What lies between the AT text and the wire, `--mode`: the one place where a mode and its keys become a line.

mod key_file;
mod noise;
mod tls;

pub(crate) use key_file::KeyFile;

use crate::file::File;
use crate::output::{self, BadUsage, Help};
use anyhow::Context;
use clap::ValueEnum;
use cotter_device::link::psk::Settings;
use cotter_formats::secret::Secret;
use cotter_twin::at::line::compat::{CompatHost, CompatKeys, CompatModule};
use cotter_twin::at::line::sealed::Psk;
use cotter_twin::at::line::{Line, Plain};
use cotter_wire::link::compat::{Cipher, CompatError, CompatKey, ExampleKeys, WHAT_COMPAT_LACKS};
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::{Suite, SuiteSet};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The mode, and the keys that it takes.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// What protects the line.
    #[arg(long, value_enum, default_value_t = Mode::Psk)]
    pub(crate) mode: Mode,
    /// psk, noise, tls: the key, 32 bytes raw or as hexadecimal digits, as `cotter at key psk` makes it; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "psk")]
    psk_file: Option<File>,
    /// psk, noise, tls: the key as 64 hexadecimal digits. Other users of this machine see it: better use --psk-file.
    #[arg(long, value_name = "HEX")]
    psk: Option<Hex>,
    /// psk: the only cipher to be used; without it, the best that both ends have.
    #[arg(long, value_name = "SUITE", value_parser = suite)]
    suite: Option<Suite>,
    #[command(flatten)]
    noise: noise::NoiseChoice,
    #[command(flatten)]
    tls: tls::TlsChoice,
    /// compat: key and IV of both directions from a file that `cotter at key` made, `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "iv"])]
    keys: Option<File>,
    /// compat: the key of both directions, in hexadecimal. Other users of this machine see it: better use --keys.
    #[arg(long, value_name = "HEX", requires = "iv")]
    key: Option<Hex>,
    /// compat: the IV of both directions, in hexadecimal.
    #[arg(long, value_name = "HEX", requires = "key")]
    iv: Option<Hex>,
    /// compat, with --key: the keystream. AES by the length of the key if it is not named.
    #[arg(long, value_name = "CIPHER", value_parser = cipher)]
    cipher: Option<Cipher>,
    /// Let the example's own key (all A) and IV (all T) be used, which everybody knows.
    #[arg(long)]
    allow_example_keys: bool,
}

/// How the line is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// By a key that both ends have: authenticated, whole and in order
    Psk,
    /// The same, and what was recorded stays secret when the key is lost: Noise NNpsk0
    #[serde(rename = "noise-nn")]
    NoiseNn,
    /// The same, with a static X25519 key of either end as well: Noise KKpsk0
    #[serde(rename = "noise-kk")]
    NoiseKk,
    /// By TLS 1.2 or 1.3, with a key or with certificates
    Tls,
    /// By a keystream, as ESP-AT's example does: protects from little
    Compat,
    /// Not at all
    Plain,
}

impl Mode {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Which end of the line this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It gives the commands.
    Host,
    /// It obeys.
    Module,
}

/// Makes the line of one power-up.
pub(crate) type Maker = Box<dyn FnMut() -> Box<dyn Line> + Send>;

impl Choice {
    /// Reads the keys, refuses what cannot be used, and says what a weak mode lacks.
    pub(crate) fn maker(&self, end: End) -> anyhow::Result<Maker> {
        match self.mode {
            Mode::Plain => {
                output::warning("mode plain protects nothing: who is at the line reads and changes all that is said");
                Ok(Box::new(|| Box::new(Plain)))
            }
            Mode::Psk => {
                let key = self.psk()?;
                let side = if end == End::Host { Side::Host } else { Side::Module };
                let suites = self.suite.map_or(SuiteSet::ALL, SuiteSet::only);
                let settings = Settings { suites, ..Settings::default() };
                // The key was checked once; each power-up has a copy.
                let copy = move || LinkPsk::allowing_example_keys(copy(&key));
                Ok(Box::new(move || Box::new(Psk::new(side, copy(), settings))))
            }
            Mode::NoiseNn => Ok(noise::NoiseChoice::nn(end, self.psk()?)),
            Mode::NoiseKk => self.noise.kk(end, self.psk()?),
            Mode::Tls => self.tls.maker(end, || Ok(Zeroizing::new(self.psk()?.expose().to_vec()))),
            Mode::Compat => {
                let keys = Arc::new(self.compat()?);
                output::warning(format_args!("mode compat: {}", WHAT_COMPAT_LACKS.join("; ")));
                Ok(match end {
                    End::Host => Box::new(move || Box::new(CompatHost::new(Arc::clone(&keys)))),
                    End::Module => Box::new(move || Box::new(CompatModule::new(&keys))),
                })
            }
        }
    }

    fn psk(&self) -> anyhow::Result<Secret<32>> {
        let read;
        let (bytes, name) = match (&self.psk_file, &self.psk) {
            (Some(file), _) => {
                read = Zeroizing::new(file.read()?);
                (&read, file.to_string())
            }
            (None, Some(Hex(bytes))) => (bytes, "--psk".to_owned()),
            (None, None) => {
                return Err(BadUsage(format!("mode {} needs a key", self.mode.name())))
                    .context(Help("make a file with `cotter at key psk` and name it with --psk-file, at both ends"));
            }
        };
        let key = bytes_of_key(bytes, &name)?;
        if !self.allow_example_keys {
            LinkPsk::new(copy(&key)).map_err(|error| anyhow::Error::from(error).context(EXAMPLE_KEYS))?;
        }
        Ok(key)
    }

    fn compat(&self) -> anyhow::Result<CompatKeys> {
        let examples = if self.allow_example_keys { ExampleKeys::Allow } else { ExampleKeys::Refuse };
        let keys = match (&self.keys, &self.key, &self.iv) {
            (Some(file), ..) => KeyFile::read(file)?.compat(examples),
            (None, Some(key), Some(iv)) => {
                let cipher = self.cipher.or_else(|| Cipher::aes_ctr(key.0.len()));
                let cipher = cipher
                    .with_context(|| format!("--key has {} bytes, but AES takes 16, 24 or 32", key.0.len()))
                    .context(Help("give 32, 48 or 64 hexadecimal digits"))?;
                let made = || CompatKey::new(cipher, &key.0, &iv.0, examples);
                made().and_then(|to_module| Ok(CompatKeys { to_module, to_host: made()? }))
            }
            _ => {
                return Err(BadUsage("mode compat needs a key and an IV".to_owned())).context(Help(
                    "make a file with `cotter at key compat` and name it with --keys, or say --key and --iv",
                ));
            }
        };
        keys.map_err(|error| match error {
            CompatError::ExampleKey | CompatError::ExampleIv => anyhow::Error::from(error).context(EXAMPLE_KEYS),
            _ => error.into(),
        })
    }
}

/// The 32 bytes of a key, raw or as hexadecimal digits.
fn bytes_of_key(bytes: &[u8], name: &str) -> anyhow::Result<Secret<32>> {
    let digits = str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<Hex>().ok());
    let bytes = match &digits {
        Some(Hex(bytes)) if bytes.len() == 32 => bytes,
        _ => bytes,
    };
    let help = Help("a key has 32 bytes: raw, or as 64 hexadecimal digits");
    anyhow::ensure!(bytes.len() == 32, anyhow::anyhow!("{name} holds {} bytes", bytes.len()).context(help));
    Ok(Secret::filled_by(|place| place.copy_from_slice(bytes)))
}

/// The same key again: each power-up of an end takes one.
fn copy(key: &Secret<32>) -> Secret<32> {
    Secret::filled_by(|place| place.copy_from_slice(key.expose()))
}

const EXAMPLE_KEYS: Help =
    Help("make keys of your own with `cotter at key`; to try the example itself, add --allow-example-keys");

pub(crate) fn cipher(name: &str) -> Result<Cipher, String> {
    let names = || Cipher::ALL.map(Cipher::as_str).join(", ");
    Cipher::from_name(name).ok_or_else(|| format!("expected one of {}", names()))
}

fn suite(name: &str) -> Result<Suite, String> {
    let names = || Suite::ALL.map(Suite::as_str).join(", ");
    Suite::from_name(name).ok_or_else(|| format!("expected one of {}", names()))
}

/// Bytes as hexadecimal digits; wiped when dropped.
#[derive(Clone)]
pub(crate) struct Hex(pub(crate) Zeroizing<Vec<u8>>);

impl std::str::FromStr for Hex {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Zeroizing<Vec<u8>> = Zeroizing::new(
            text.chars()
                .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(NO_HEX))
                .collect::<Result<_, _>>()?,
        );
        let pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(NO_HEX);
        }
        Ok(Self(Zeroizing::new(pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())))
    }
}

const NO_HEX: &str = "expected pairs of hexadecimal digits";
