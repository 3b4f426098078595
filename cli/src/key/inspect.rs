//! `cotter key inspect`: what a key file is, and what it can be used for.

use super::{Half, Held, KeySource};
use crate::image::hex;
use crate::output::{self, Format};
use cotter_factory::private_key::{PrivateKey, PrivateKeyError};
use cotter_factory::public_key::{KeyKind, PublicKey};
use cotter_formats::nvs::keys::{KEYS_PARTITION_SIZE, NvsKeys};
use cotter_formats::secure_boot::v2::Curve;
use serde::Serialize;
use std::fmt;

/// Say what kind of key a file holds, its size, its uses, and its Secure Boot digest. No secret is printed.
///
/// Private and public keys in PEM, encrypted ones too (without a password, that is all that is said), keys on a token,
/// NVS key partitions, and the raw bytes of symmetric keys.
///
/// Example: cotter key inspect secure-boot.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeySource,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let held = args.key.read()?;
    let inspected = match &held {
        Held::Pem(pem)
            if !args.key.has_password()
                && matches!(PrivateKey::from_pem(pem, None), Err(PrivateKeyError::PasswordNeeded)) =>
        {
            Inspected {
                kind: "encrypted private key; which kind, its password tells".into(),
                secret: true,
                uses: Vec::new(),
                secure_boot_digest: None,
                warning: None,
            }
        }
        Held::Pem(_) | Held::Token(_) => {
            let (key, half) = args.key.public(&held)?;
            asymmetric(&key, half)
        }
        Held::Raw(bytes) => match symmetric(bytes) {
            Some(inspected) => inspected,
            None => anyhow::bail!("{}: {} bytes are no key that is known here", args.key.file(), bytes.len()),
        },
    };
    output::value(&inspected, format)?;
    Ok(true)
}

fn asymmetric(key: &PublicKey, half: Half) -> Inspected {
    let words = match half {
        Half::Private => "private key",
        Half::Public => "public key",
        Half::OnToken => "private key on a token",
    };
    let uses = match key.kind() {
        KeyKind::Rsa(3072) => vec!["Secure Boot V2", "Digital Signature peripheral"],
        KeyKind::Rsa(2048) => vec!["release manifests", "Digital Signature peripheral"],
        KeyKind::Rsa(4096) => vec!["Digital Signature peripheral"],
        KeyKind::Rsa(_) => Vec::new(),
        KeyKind::Ecdsa(Curve::P192) => vec!["Secure Boot V2 (ESP32-C2)"],
        KeyKind::Ecdsa(Curve::P256) => {
            vec!["Secure Boot V2", "Secure Boot V1 (ESP32)", "release manifests", "device identity"]
        }
        KeyKind::Ecdsa(Curve::P384) => vec!["Secure Boot V2 (ESP32-C5)"],
    };
    Inspected {
        kind: format!("{} {words}", key.kind()),
        secret: half == Half::Private,
        uses,
        secure_boot_digest: key.secure_boot_digest().ok().map(|digest| hex(&digest)),
        warning: None,
    }
}

fn symmetric(bytes: &[u8]) -> Option<Inspected> {
    let (kind, uses) = match bytes.len() {
        KEYS_PARTITION_SIZE if NvsKeys::parse(bytes).is_ok() => {
            ("NVS encryption keys, as partition nvs_keys".into(), vec!["NVS encryption"])
        }
        16 => (bits(bytes), vec!["flash encryption of the ESP32-C2 (derived XTS-AES-128)"]),
        24 => (bits(bytes), vec!["flash encryption or Secure Boot V1 of an ESP32 with 3/4 coding"]),
        32 => (
            bits(bytes),
            vec![
                "flash encryption (XTS-AES-128; AES-256 on the ESP32)",
                "HMAC",
                "Secure Boot V1 (ESP32)",
                "Secure Boot V2 digest, which is public",
            ],
        ),
        64 => (bits(bytes), vec!["flash encryption (XTS-AES-256)", "Secure Boot V1 public key, which is public"]),
        _ => return None,
    };
    let weak = bytes.windows(2).all(|pair| pair[0] == pair[1]);
    let warning = weak.then_some("all bytes are the same: this is no key");
    Some(Inspected { kind, secret: true, uses, secure_boot_digest: None, warning })
}

fn bits(bytes: &[u8]) -> String {
    format!("raw bytes of a symmetric key or a digest, {} bits", 8 * bytes.len())
}

#[derive(Serialize)]
struct Inspected {
    kind: String,
    /// Must this file stay secret?
    secret: bool,
    /// What the silicon or Cotter uses keys of this kind for.
    uses: Vec<&'static str>,
    secure_boot_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(digest) = &self.secure_boot_digest {
            write!(f, "\nSecure Boot key digest {digest}")?;
        }
        if !self.uses.is_empty() {
            write!(f, "\nfor {}", self.uses.join(", or "))?;
        }
        match self.warning {
            Some(warning) => write!(f, "\nwarning: {warning}"),
            None => Ok(()),
        }
    }
}
