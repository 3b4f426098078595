//! `cotter debug certificate` and `digest`: the permission, and what a chip must trust to believe it.

use super::{PublicKeyFile, Session, configuration};
use crate::file::File;
use crate::image::hex;
use crate::key::{Password, TokenArgs, read_private_key};
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::debug_certificate::{sign, sign_with_token};
use cotter_factory::output::Visibility;
use cotter_factory::signing::random;
use cotter_formats::secure_debug::{Feature, Unlock};
use serde::Serialize;
use std::fmt;

/// Sign the permission to debug one ESP32-S31 in one session.
///
/// With a private key, or with one on a PKCS#11 token. The chip is named by its MAC address and session counter, or by what
/// its ROM answered (--chip-info). After the session, burn one more bit of SDC_SESSION_COUNTER: that voids the certificate.
///
/// Example: cotter debug certificate --key sdc.pem --mac 30:ed:a0:ed:78:9c --enable-jtag -o sdc_cert.bin
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("chip").required(true).args(["mac", "chip_info"])))]
#[command(group(clap::ArgGroup::new("signer").required(true).args(["key", "pkcs11"])))]
pub(crate) struct Args {
    /// Sign with this private key, PEM: P-256.
    #[arg(long, value_name = "PEM")]
    key: Option<File>,
    #[command(flatten)]
    password: Password,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    session: Session,
    /// Unlock JTAG.
    #[arg(long)]
    enable_jtag: bool,
    /// Unlock download mode.
    #[arg(long)]
    enable_download_reuse: bool,
    /// Boot from SPI flash whatever the strapping pins say.
    #[arg(long)]
    enable_force_spi_boot: bool,
    /// What to unlock, in espsecure's JSON (version 1). Flags that it names win over the options.
    #[arg(long, value_name = "JSON")]
    usc: Option<File>,
    /// Where to write the certificate, `-` for stdout. It is for its owner only: with the chip in hand, it opens it.
    #[arg(short, long, value_name = "FILE")]
    output: File,
}

/// The digest of a debug key, as `espefuse burn-key BLOCK FILE SDC_KEY_DIGEST` takes it.
///
/// Printed as hex; with --output, 32 bytes.
///
/// Example: cotter debug digest sdc.pem -o sdc_digest.bin
#[derive(clap::Args)]
pub(crate) struct DigestArgs {
    #[command(flatten)]
    key: PublicKeyFile,
    /// Write the 32 bytes here, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let chip = args.session.chip_info(|| {
        let mut nonce = [0; 32];
        random(&mut nonce)?;
        Ok(nonce)
    })?;
    let chip = chip.context("no chip is named")?;
    let unlock = unlock(args)?;
    if unlock == Unlock::NOTHING {
        output::warning("this certificate unlocks nothing: none of the --enable options is given");
    }
    let certificate = match (args.token.key()?, &args.key) {
        (Some(key), _) => sign_with_token(&key, unlock, &chip)?,
        (None, file) => {
            let file = file.as_ref().context("no key is named")?;
            let key = read_private_key(file, &args.password)?;
            sign(&key, unlock, &chip).with_context(|| file.to_string())?
        }
    };
    args.output.write(&certificate.encode(), Visibility::Secret)?;
    if let File::Path(path) = &args.output {
        let unlocks = Feature::ALL.into_iter().filter(|&feature| unlock.has(feature)).map(Feature::name).collect();
        let key_digest = hex(&certificate.key_digest());
        output::value(&Made { file: path.display().to_string(), unlocks, key_digest }, format)?;
    }
    Ok(true)
}

fn unlock(args: &Args) -> anyhow::Result<Unlock> {
    let mut wanted = [args.enable_jtag, args.enable_download_reuse, args.enable_force_spi_boot];
    if let Some(file) = &args.usc {
        let configuration = configuration::read(&file.read()?).with_context(|| file.to_string())?;
        for group in &configuration.ignored {
            output::warning(format_args!("{file}: group {group:?} is not known and ignored"));
        }
        for (wanted, named) in wanted.iter_mut().zip(configuration.flags) {
            *wanted = named.unwrap_or(*wanted);
        }
    }
    let chosen = Feature::ALL.into_iter().zip(wanted).filter(|&(_, wanted)| wanted);
    Ok(chosen.fold(Unlock::NOTHING, |unlock, (feature, _)| unlock.with(feature)))
}

pub(super) fn digest(args: &DigestArgs, format: Format) -> anyhow::Result<bool> {
    let digest = args.key.digest()?;
    match &args.output {
        Some(file) => file.write(&digest, Visibility::Public)?,
        None => output::value(&Digest { sdc_key_digest: hex(&digest) }, format)?,
    }
    Ok(true)
}

#[derive(Serialize)]
struct Made {
    file: String,
    unlocks: Vec<&'static str>,
    key_digest: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unlocks = if self.unlocks.is_empty() { "nothing".to_owned() } else { self.unlocks.join(", ") };
        write!(f, "{}: unlocks {unlocks}\nkey digest {}", self.file, self.key_digest)
    }
}

#[derive(Serialize)]
struct Digest {
    sdc_key_digest: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sdc_key_digest)
    }
}
