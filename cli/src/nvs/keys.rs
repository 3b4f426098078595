//! `cotter nvs keys`, and the keys that the other verbs take.

use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::nvs::keys::{HmacUpKey, generate};
use cotter_factory::output::Visibility;
use cotter_formats::nvs::NvsKeys;
use cotter_formats::nvs::keys::KEYS_PARTITION_SIZE;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Make, derive and look at the keys of an encrypted NVS partition.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Make fresh keys with the system's CSPRNG: an nvs_keys partition, or with --hmac the 32-byte eFuse key.
    ///
    /// Example: cotter nvs keys generate -o nvs_keys.bin
    Generate {
        /// Make the key for the eFuse purpose HMAC_UP, from which the chip derives its NVS keys.
        #[arg(long)]
        hmac: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Derive the keys that a chip with this HMAC_UP key uses, as an nvs_keys partition.
    ///
    /// Example: cotter nvs keys from-hmac --hmac-key hmac_key.bin -o nvs_keys.bin
    FromHmac {
        /// The 32 raw bytes of the eFuse key.
        #[arg(long, value_name = "FILE")]
        hmac_key: File,
        #[command(flatten)]
        output: Output,
    },
    /// Check an nvs_keys partition and print its fingerprint; the keys only with --reveal.
    ///
    /// Example: cotter nvs keys show nvs_keys.bin
    Show {
        /// Print the keys.
        #[arg(long)]
        reveal: bool,
        /// The nvs_keys partition.
        #[arg(value_name = "FILE")]
        input: File,
    },
}

#[derive(clap::Args)]
pub(crate) struct Output {
    /// Where the keys go, mode 0600; `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace the file if it exists. The keys in it are then gone.
    #[arg(long)]
    force: bool,
}

/// The keys of the partition at hand.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(crate) struct KeyArgs {
    /// The nvs_keys partition with the keys.
    #[arg(long, value_name = "FILE")]
    keys: Option<File>,
    /// The 32-byte HMAC_UP key of the chip, from which the keys follow.
    #[arg(long, value_name = "FILE")]
    hmac_key: Option<File>,
}

impl KeyArgs {
    pub(crate) fn read(&self) -> anyhow::Result<Option<NvsKeys>> {
        match (&self.keys, &self.hmac_key) {
            (Some(file), _) => read_keys(file).map(Some),
            (None, Some(file)) => Ok(Some(read_hmac(file)?.nvs_keys())),
            (None, None) => Ok(None),
        }
    }
}

fn read_keys(file: &File) -> anyhow::Result<NvsKeys> {
    let bytes = Zeroizing::new(file.read()?);
    NvsKeys::parse(&bytes).with_context(|| format!("{file} holds no NVS keys"))
}

fn read_hmac(file: &File) -> anyhow::Result<HmacUpKey> {
    let bytes = Zeroizing::new(file.read()?);
    HmacUpKey::from_slice(&bytes)
        .with_context(|| format!("{file} is {} bytes, an HMAC key has 32", bytes.len()))
        .context(Help("an nvs_keys partition is given with --keys"))
}

/// The content of the nvs_keys partition.
pub(crate) fn partition(keys: &NvsKeys) -> Zeroizing<[u8; KEYS_PARTITION_SIZE]> {
    let mut partition = Zeroizing::new([0; KEYS_PARTITION_SIZE]);
    keys.encode(&mut partition);
    partition
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// First 8 bytes of the SHA-256 of both keys.
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tweak_key: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(output) = &self.output {
            write!(f, "{output}: ")?;
        }
        write!(f, "NVS keys with fingerprint {}", self.fingerprint)?;
        if let (Some(data), Some(tweak)) = (&self.data_key, &self.tweak_key) {
            write!(f, "\ndata key   {data}\ntweak key  {tweak}")?;
        }
        Ok(())
    }
}

fn report(keys: &NvsKeys, output: Option<&File>, reveal: bool) -> Report {
    let bytes = partition(keys);
    let (data, tweak) = bytes[..64].split_at(32);
    Report {
        output: output.map(ToString::to_string),
        fingerprint: hex(&Sha256::digest(&bytes[..64])[..8]),
        data_key: reveal.then(|| hex(data)),
        tweak_key: reveal.then(|| hex(tweak)),
    }
}

fn write(bytes: &[u8], keys: &NvsKeys, output: &Output, format: Format) -> anyhow::Result<bool> {
    output.output.write_new(bytes, Visibility::Secret, output.force)?;
    if output.output != File::Standard {
        output::value(&report(keys, Some(&output.output), false), format)?;
    }
    Ok(true)
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Generate { hmac: true, output } => {
            let key = HmacUpKey::generate()?;
            write(key.expose(), &key.nvs_keys(), output, format)
        }
        Verb::Generate { hmac: false, output } => {
            let keys = generate()?;
            write(&partition(&keys)[..], &keys, output, format)
        }
        Verb::FromHmac { hmac_key, output } => {
            let keys = read_hmac(hmac_key)?.nvs_keys();
            write(&partition(&keys)[..], &keys, output, format)
        }
        Verb::Show { reveal, input } => {
            output::value(&report(&read_keys(input)?, None, *reveal), format)?;
            Ok(true)
        }
    }
}
