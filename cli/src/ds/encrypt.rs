//! `cotter ds encrypt`: an RSA key that only one chip can use.

use super::{chip, key_block, read_hmac_key};
use crate::file::File;
use crate::image::hex;
use crate::key::{Password, read_device_key};
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::ds::{DsMakeError, Parameters, fresh_hmac_key};
use cotter_factory::output::Visibility;
use cotter_factory::public_key::KeyKind;
use cotter_factory::secure_cert::pack::{PackError, ds_width};
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsContext, EfuseKeyId};
use serde::Serialize;
use std::fmt;

/// Encrypt an RSA private key for the digital signature peripheral of a chip.
///
/// The output is esp_ds_data_t: length, IV, ciphertext. Before it is written, it is opened and used as the peripheral
/// would, and the signatures (PKCS#1 v1.5 and PSS) are verified. The HMAC key must be burned into the key block with the
/// purpose HMAC_DOWN_DIGITAL_SIGNATURE; without --hmac-key a fresh one is drawn and written, mode 0600, as
/// `espefuse burn-key` takes it.
///
/// Example: cotter ds encrypt --chip esp32c3 --key device.pem --key-block 1 --hmac-key-out hmac.bin -o ds.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The chip.
    #[arg(long, value_parser = chip)]
    chip: Chip,
    /// The RSA private key, PEM or DER.
    #[arg(long, value_name = "FILE")]
    key: File,
    #[command(flatten)]
    password: Password,
    /// The key block for the HMAC key.
    #[arg(long, value_name = "0..5", value_parser = key_block, default_value = "1")]
    key_block: EfuseKeyId,
    /// Encrypt under this HMAC key, 32 raw bytes.
    #[arg(long, value_name = "FILE")]
    hmac_key: Option<File>,
    /// Where a fresh HMAC key goes.
    #[arg(long, value_name = "FILE", conflicts_with = "hmac_key", required_unless_present = "hmac_key")]
    hmac_key_out: Option<File>,
    /// Where the parameters go, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Write the ciphertext alone, without length and IV; the IV is in the report.
    #[arg(long)]
    ciphertext_only: bool,
    /// Replace an HMAC key that exists. The old key is lost.
    #[arg(long)]
    force: bool,
    /// Take an RSA-1024 key, which protects nothing any more.
    #[arg(long)]
    allow_rsa_1024: bool,
    /// Write 1584 bytes for the ESP32-C5 as esp_secure_cert_tool 2.6.1 does; the chip's ROM reads 1200.
    #[arg(long)]
    tool_width: bool,
    /// Use this IV (32 hex digits) to reproduce a known result. Never use an IV twice.
    #[arg(long, value_name = "HEX", value_parser = test_iv, hide_short_help = true)]
    test_iv: Option<[u8; 16]>,
}

fn test_iv(text: &str) -> anyhow::Result<[u8; 16]> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    Ok(number.context("expected 32 hex digits")?.to_be_bytes())
}

#[derive(Serialize)]
struct Report {
    output: String,
    chip: &'static str,
    rsa_bits: usize,
    iv: String,
    ciphertext_bytes: usize,
    key_block: u8,
    purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hmac_key: Option<String>,
    /// esp_ds_data_ctx_t as esp_secure_cert stores it.
    ds_context: String,
    /// Which signatures were made from the box in software and verified.
    checked: &'static str,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, chip, rsa_bits, ciphertext_bytes, checked, key_block, purpose, .. } = self;
        writeln!(f, "{output}: RSA-{rsa_bits} for the {chip}, {ciphertext_bytes} bytes of ciphertext, IV {}", self.iv)?;
        writeln!(f, "checked: the box signs, {checked}")?;
        let key = self.hmac_key.as_deref().unwrap_or("the HMAC key");
        write!(f, "to burn: espefuse --chip {chip} burn-key BLOCK_KEY{key_block} {key} {purpose}")
    }
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let width = ds_width(args.chip, args.tool_width)?;
    let key = read_device_key(&args.key, &args.password)?;
    if key.rsa_numbers().is_none() {
        return Err(DsMakeError::NotRsa)
            .with_context(|| args.key.to_string())
            .context(Help("make one: `cotter key generate rsa2048`"));
    }
    if key.public().kind() == KeyKind::Rsa(1024) && !args.allow_rsa_1024 {
        return Err(PackError::Rsa1024).context(Help("use RSA-2048 or longer, or say --allow-rsa-1024"));
    }
    let hmac_key = args.hmac_key.as_ref().map_or_else(|| Ok(fresh_hmac_key()?), read_hmac_key)?;
    let made = match args.test_iv {
        None => Parameters::encrypt(&key, width, &hmac_key),
        Some(iv) => Parameters::encrypt_with(&key, width, &hmac_key, iv),
    }
    .with_context(|| args.key.to_string())?;
    // The key first: parameters that nobody can use are worse than a key without them.
    if let Some(file) = &args.hmac_key_out {
        file.write_new(hmac_key.expose(), Visibility::Secret, args.force)?;
    }
    let data = made.data().to_bytes();
    args.output.write(if args.ciphertext_only { &made.ciphertext } else { &data }, Visibility::Public)?;
    if args.output == File::Standard {
        return Ok(true);
    }
    let rsa_bits = u16::try_from(made.rsa_bits)?;
    let report = Report {
        output: args.output.to_string(),
        chip: args.chip.name(),
        rsa_bits: made.rsa_bits,
        iv: hex(&made.iv),
        ciphertext_bytes: made.ciphertext.len(),
        key_block: args.key_block.get(),
        purpose: "HMAC_DOWN_DIGITAL_SIGNATURE",
        hmac_key: args.hmac_key.as_ref().or(args.hmac_key_out.as_ref()).map(ToString::to_string),
        ds_context: hex(&DsContext { key_id: args.key_block, rsa_bits }.to_bytes()),
        checked: if made.rsa_bits < 2048 { "PKCS#1 v1.5 verified" } else { "PKCS#1 v1.5 and PSS verified" },
    };
    output::value(&report, format)?;
    Ok(true)
}
