//! `cotter ds check`: would the peripheral sign with these parameters?

use super::{chip, read_hmac_key};
use crate::file::File;
use crate::image::hex;
use crate::key::{Password, either_half};
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::certificate::Certificates;
use cotter_factory::ds;
use cotter_factory::public_key::{PublicKey, RsaNumbers};
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsData, Width};
use cotter_formats::secure_cert::{TlvType, inspect};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Open parameters with the HMAC key, sign with them as the peripheral does, and verify the signatures.
///
/// Takes esp_ds_data_t, a bare ciphertext with --iv, or an esp_secure_cert partition with DS data in it. The exit code is
/// 1, with the reason, if the peripheral would not sign, or not with the key that is expected.
///
/// Example: cotter ds check --hmac-key hmac.bin --public device.crt ds.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The HMAC key of the chip, 32 raw bytes.
    #[arg(long, value_name = "FILE")]
    hmac_key: File,
    /// What the signatures must verify with: a certificate, a public or a private key.
    #[arg(long, value_name = "FILE")]
    public: Option<File>,
    #[command(flatten)]
    password: Password,
    /// The chip; its peripheral must read ciphertexts of this length.
    #[arg(long, value_parser = chip)]
    chip: Option<Chip>,
    /// The IV of a bare ciphertext, 16 raw bytes.
    #[arg(long, value_name = "FILE")]
    iv: Option<File>,
    /// The parameters, `-` for stdin.
    file: File,
}

#[derive(Serialize)]
struct Report {
    file: String,
    boxes: Vec<Opened>,
}

#[derive(Serialize)]
struct Opened {
    #[serde(skip_serializing_if = "Option::is_none")]
    subtype: Option<u8>,
    signs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rsa_bits: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modulus_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, opened) in self.boxes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: ", self.file)?;
            if let Some(subtype) = opened.subtype {
                write!(f, "DS data {subtype}: ")?;
            }
            match (&opened.refusal, opened.rsa_bits, &opened.modulus_sha256) {
                (Some(refusal), _, _) => write!(f, "BAD: {refusal}")?,
                (None, Some(bits), Some(modulus)) => {
                    write!(f, "signs with RSA-{bits}, modulus SHA-256 {}", &modulus[..16])?;
                }
                _ => f.write_str("signs")?,
            }
        }
        Ok(())
    }
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let hmac_key = read_hmac_key(&args.hmac_key)?;
    let public = args.public.as_ref().map(|file| read_public(file, &args.password)).transpose()?;
    let bytes = args.file.read()?;
    let iv = args.iv.as_ref().map(File::read).transpose()?;
    let try_one = |subtype: Option<u8>, data: &DsData<'_>| {
        let width = args.chip.map(Width::of);
        let outcome = match width {
            Some(None) => Err("the chip has no digital signature peripheral".to_owned()),
            Some(Some(width)) if width.ciphertext_len() != data.ciphertext.len() => {
                Err(format!("{} bytes of ciphertext, the chip reads {}", data.ciphertext.len(), width.ciphertext_len()))
            }
            _ => ds::check(data, &hmac_key, public.as_ref()).map_err(|refused| refused.to_string()),
        };
        match outcome {
            Ok(checked) => Opened {
                subtype,
                signs: true,
                rsa_bits: Some(checked.rsa_bits),
                modulus_sha256: Some(hex(&Sha256::digest(&checked.modulus))),
                refusal: None,
            },
            Err(refusal) => {
                Opened { subtype, signs: false, rsa_bits: None, modulus_sha256: None, refusal: Some(refusal) }
            }
        }
    };
    let boxes = if let Some(iv) = &iv {
        let iv = iv.as_slice().try_into().context("the IV has 16 bytes")?;
        // A bare ciphertext does not say how long the key is; the box does.
        let key = cotter_formats::ds::DsKey::decrypt(&bytes, &hmac_key, iv);
        let rsa_bits = key.map_or(2048, |key| u32::try_from(key.bits()).unwrap_or_default());
        vec![try_one(None, &DsData { rsa_bits, iv, ciphertext: &bytes })]
    } else if let Ok(data) = DsData::parse(&bytes) {
        vec![try_one(None, &data)]
    } else {
        let read = inspect(&bytes, None);
        let entries = read.entries.iter().filter(|entry| entry.kind == TlvType::DS_DATA);
        let boxes = entries.map(|entry| Ok(try_one(Some(entry.subtype), &DsData::parse(entry.data)?)));
        boxes.collect::<anyhow::Result<Vec<_>>>()?
    };
    if boxes.is_empty() {
        return Err(anyhow::anyhow!("{} is neither esp_ds_data_t nor a partition with DS data", args.file))
            .context(Help("a bare ciphertext needs its IV: --iv FILE"));
    }
    let signs = boxes.iter().all(|opened| opened.signs);
    output::value(&Report { file: args.file.to_string(), boxes }, format)?;
    Ok(signs)
}

/// The RSA public key in a certificate, a public or a private key file.
fn read_public(file: &File, password: &Password) -> anyhow::Result<RsaNumbers> {
    let bytes = Zeroizing::new(file.read()?);
    let key = match Certificates::read(&bytes) {
        Ok(certificates) => certificates.public_key().with_context(|| file.to_string())?,
        Err(_) => either_half(&bytes, password, file)?.0,
    };
    match key {
        PublicKey::Rsa(numbers) => Ok(numbers),
        other => anyhow::bail!("{file} is a key of kind {}, the peripheral does RSA", other.kind()),
    }
}
