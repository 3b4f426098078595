//! `cotter key inspect`, `digest` and `public`: what a key file is, and what of it may be known.

use super::KeyFile;
use crate::file::File;
use crate::image::hex;
use crate::output::{self, Format};
use cotter_factory::output::Visibility;
use cotter_formats::nvs::keys::{KEYS_PARTITION_SIZE, NvsKeys};
use serde::Serialize;
use std::fmt;

/// Say what kind of key a file holds, its size, and its Secure Boot digest. No secret is printed.
///
/// Example: cotter key inspect secure-boot.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeyFile,
}

/// The Secure Boot V2 digest of a key, as eFuses hold it.
///
/// Printed as hex; with --output, 32 bytes for `espefuse burn-key`.
///
/// Example: cotter key digest secure-boot.pem -o digest.bin
#[derive(clap::Args)]
pub(crate) struct DigestArgs {
    #[command(flatten)]
    key: KeyFile,
    /// Write the 32 bytes here, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
}

/// Take the public key out of a private one, as PEM.
///
/// With --v1, the 64 raw bytes that an ESP32 bootloader with Secure Boot V1 compiles in (espsecure extract-public-key).
///
/// Example: cotter key public secure-boot.pem -o secure-boot.pub.pem
#[derive(clap::Args)]
pub(crate) struct PublicArgs {
    #[command(flatten)]
    key: KeyFile,
    /// For Secure Boot V1: x and y as 64 raw bytes instead of PEM.
    #[arg(long)]
    v1: bool,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let bytes = args.key.read()?;
    let inspected = if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        let (key, private) = args.key.public(&bytes)?;
        let half = if private { "private" } else { "public" };
        let digest = key.secure_boot_digest().ok().map(|digest| hex(&digest));
        Inspected { kind: format!("{} {half} key", key.kind()), secret: private, secure_boot_digest: digest }
    } else {
        let kind = match bytes.len() {
            KEYS_PARTITION_SIZE if NvsKeys::parse(&bytes).is_ok() => {
                "NVS encryption keys, as partition nvs_keys".into()
            }
            16 | 24 | 32 | 64 => format!("raw bytes of a symmetric key or a digest, {} bits", 8 * bytes.len()),
            other => anyhow::bail!("{}: {other} bytes are no key that is known here", args.key.key),
        };
        Inspected { kind, secret: true, secure_boot_digest: None }
    };
    output::value(&inspected, format)?;
    Ok(true)
}

pub(super) fn digest(args: &DigestArgs, format: Format) -> anyhow::Result<bool> {
    let (key, _) = args.key.public(&args.key.read()?)?;
    let digest = key.secure_boot_digest()?;
    match &args.output {
        Some(file) => file.write(&digest, Visibility::Public)?,
        None => output::value(&Digest { secure_boot_digest: hex(&digest) }, format)?,
    }
    Ok(true)
}

pub(super) fn public(args: &PublicArgs) -> anyhow::Result<bool> {
    let (key, _) = args.key.public(&args.key.read()?)?;
    match args.v1 {
        true => args.output.write(key.secure_boot_v1()?.raw(), Visibility::Public)?,
        false => args.output.write(key.to_pem()?.as_bytes(), Visibility::Public)?,
    }
    Ok(true)
}

#[derive(Serialize)]
struct Inspected {
    kind: String,
    /// Must this file stay secret?
    secret: bool,
    secure_boot_digest: Option<String>,
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match &self.secure_boot_digest {
            Some(digest) => write!(f, "\nSecure Boot key digest {digest}"),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Digest {
    secure_boot_digest: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.secure_boot_digest)
    }
}
