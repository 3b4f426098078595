//! Secure Boot V1 signatures of partition tables and applications: made, verified, and noticed.

use super::sign::{self, Signed};
use super::signatures::hex;
use super::verify;
use crate::file::File;
use crate::key::{public_key, read_private_key};
use crate::output::{self, Format, Help};
use anyhow::{Context, bail, ensure};
use cotter_factory::output::Visibility;
use cotter_factory::public_key::PublicKey;
use cotter_formats::chip::Chip;
use cotter_formats::image::Image;
use cotter_formats::secure_boot::v1::{SIGNATURE_LEN, Signature, SignedFile, VerifyingKey, signature_at};
use cotter_formats::secure_boot::v2::Curve;
use serde::Serialize;
use std::fmt;

/// Signs with `--scheme v1`.
pub(super) fn sign(args: &sign::Args, format: Format) -> anyhow::Result<bool> {
    let content = args.file.read()?;
    esp32_only(args.chip, &content)?;
    ensure!(!args.append, "Secure Boot V1 has one signature, there is nothing to append to");
    signable(&content, &args.file)?;
    let (signature, key) = match (args.key.as_slice(), args.token.key()?, &args.signature, &args.public_key) {
        (_, Some(key), ..) => (key.sign_v1(&content)?, key.public().secure_boot_v1()?),
        ([file], ..) => {
            let key = read_private_key(file, &args.password)?;
            (key.sign_v1(&content).with_context(|| file.to_string())?, key.public().secure_boot_v1()?)
        }
        ([], None, Some(signature), Some(public)) => {
            let pem = public.read()?;
            let key = PublicKey::from_pem(&pem).and_then(|key| key.secure_boot_v1());
            let key = key.with_context(|| public.to_string())?;
            let numbers = Curve::P256.numbers(&signature.read()?).ok().and_then(|numbers| numbers.try_into().ok());
            let numbers = numbers.with_context(|| format!("{signature} is no ECDSA P-256 signature"))?;
            let made = Signature { numbers };
            key.verify(&SignedFile { content: &content, signature: made }).with_context(|| signature.to_string())?;
            (made, key)
        }
        _ => bail!("Secure Boot V1 has one signature: give one --key"),
    };
    let signed = [&content[..], &signature.to_bytes()].concat();
    args.output.write(&signed, Visibility::Public)?;
    if args.output != File::Standard {
        let report = Signed {
            file: args.output.to_string(),
            chip: Chip::Esp32.name(),
            scheme: SCHEME.to_owned(),
            key_digests: Vec::new(),
            public_key: Some(hex(key.raw())),
        };
        output::value(&report, format)?;
    }
    Ok(true)
}

/// Would a bootloader find and trust a signature behind this?
fn signable(content: &[u8], file: &File) -> anyhow::Result<()> {
    if let Ok(signed) = super::signatures::find(content, Some(Chip::Esp32)) {
        let count = signed.signatures.blocks().count();
        return Err(anyhow::anyhow!("mixed schemes: {file} has {count} Secure Boot V2 block(s) already"))
            .context(Help("sign the unsigned file"));
    }
    let Some(at) = signature_at(content) else {
        output::warning(format_args!("{file} is neither an image nor a partition table; its end is signed"));
        return Ok(());
    };
    if Found::of(content).is_some_and(|found| found.offset + SIGNATURE_LEN == content.len()) {
        return Err(anyhow::anyhow!("{file} is signed already (Secure Boot V1)"))
            .context(Help("sign the unsigned file"));
    }
    if content.len() != at {
        let len = content.len();
        return Err(anyhow::anyhow!(
            "the bootloader looks for the signature at {at:#x}, but {file} has {len:#x} bytes"
        ))
        .context(Help("sign exactly the image, or the 0xC00 bytes of the table"));
    }
    if content[0] == 0xe9 {
        Image::parse(content, Chip::Esp32).with_context(|| file.to_string())?;
        if !(content.len() + SIGNATURE_LEN + 12).is_multiple_of(0x1_0000) {
            output::warning(format_args!(
                "{file} is not padded: the rest of its last 64 KiB page is mapped but not signed; build it with --secure-pad"
            ));
        }
    }
    Ok(())
}

/// Verifies with `--scheme v1`.
pub(super) fn verify(args: &verify::Args, format: Format) -> anyhow::Result<bool> {
    let bytes = args.file.read()?;
    esp32_only(args.chip, &bytes)?;
    if !args.digest.is_empty() || args.efuse.is_some() {
        return Err(anyhow::anyhow!("Secure Boot V1 knows no key digests: the bootloader holds the public key"))
            .context(Help("name the public key with --key"));
    }
    let mut keys = Vec::new();
    for file in &args.key {
        keys.push((file, verifying_key(args, file)?));
    }
    let (refusal, trusted_by) = match SignedFile::parse(&bytes) {
        Err(refusal) => (Some(format!("not signed: {refusal}")), None),
        Ok(signed) => {
            let verdicts: Vec<_> = keys.iter().map(|(_, key)| key.verify(&signed)).collect();
            match verdicts.iter().position(Result::is_ok) {
                Some(index) => (None, Some(keys[index].0.to_string())),
                None => (verdicts.iter().find_map(|verdict| verdict.err()).map(|refusal| refusal.to_string()), None),
            }
        }
    };
    let report = Verified { accepted: refusal.is_none(), scheme: SCHEME, trusted_by, refusal };
    output::value(&report, format)?;
    Ok(report.accepted)
}

/// PEM, or the 64 bytes that ESP-IDF compiles in.
fn verifying_key(args: &verify::Args, file: &File) -> anyhow::Result<VerifyingKey> {
    if let File::Path(path) = file
        && std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 64)
    {
        let raw = file.read()?.try_into().ok().context("the file changed")?;
        return VerifyingKey::from_raw(&raw).with_context(|| file.to_string());
    }
    public_key(file, &args.password)?.secure_boot_v1().with_context(|| file.to_string())
}

fn esp32_only(chip: Option<Chip>, file: &[u8]) -> anyhow::Result<()> {
    match chip.or_else(|| super::chip_of(file)) {
        None | Some(Chip::Esp32) => Ok(()),
        Some(chip) => Err(anyhow::anyhow!("the {chip} has no Secure Boot V1, only the esp32 has it"))
            .context(Help("leave --scheme v1 out")),
    }
}

/// A signature behind an image of the ESP32. Whose it is cannot be seen.
#[derive(Serialize)]
pub(super) struct Found {
    offset: usize,
    r: String,
    s: String,
}

impl Found {
    /// What stands where the bootloader looks, if it looks like a signature.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        signature_at(file)?;
        let found = SignedFile::parse(file).ok()?;
        let (r, s) = found.signature.numbers.split_at(32);
        let plausible = |number: &[u8]| number.iter().any(|&byte| byte != 0) && number.iter().any(|&byte| byte != 0xff);
        (plausible(r) && plausible(s)).then(|| Self { offset: found.content.len(), r: hex(r), s: hex(s) })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME} at {:#x}, by a key that the file does not name (verify --scheme v1 --key)", self.offset)
    }
}

#[derive(Serialize)]
struct Verified {
    accepted: bool,
    scheme: &'static str,
    trusted_by: Option<String>,
    refusal: Option<String>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.refusal, &self.trusted_by) {
            (None, Some(key)) => write!(f, "accepted: signed for {SCHEME} by the key of {key}"),
            (refusal, _) => write!(f, "refused: {}", refusal.as_deref().unwrap_or("no key")),
        }
    }
}

const SCHEME: &str = "Secure Boot V1 (ECDSA P-256)";
