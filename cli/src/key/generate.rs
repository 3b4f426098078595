//! `cotter key generate`: keys from the system's CSPRNG.

use super::Protection;
use crate::file::File;
use crate::image::chip;
use crate::output::{self, Format};
use anyhow::Context;
use clap::ValueEnum;
use cotter_factory::output::Visibility;
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_factory::signing::random;
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};
use cotter_formats::nvs::keys::{KEYS_PARTITION_SIZE, NvsKeys};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::{Curve, Scheme, Support, support};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Make a key: private keys as PKCS#8 PEM, symmetric ones as raw bytes, readable by their owner only.
///
/// A file that exists is not replaced unless --force says so. With --encrypt or --password-file, a private key is
/// encrypted (PKCS#8, PBKDF2 and AES-256-CBC; espsecure does not read such files, OpenSSL and Cotter do).
///
/// Example: cotter key generate rsa3072 -o secure-boot.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What kind of key.
    kind: Kind,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    #[command(flatten)]
    protection: Protection,
    /// The chip that is to use it: a kind that it has no use for is refused.
    #[arg(long, value_parser = chip)]
    chip: Option<Chip>,
    /// Replace a file that exists. The old key is lost.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// RSA-2048: release manifests, Digital Signature peripheral
    Rsa2048,
    /// RSA-3072: Secure Boot V2
    Rsa3072,
    /// RSA-4096: Digital Signature peripheral
    Rsa4096,
    /// ECDSA P-192: Secure Boot V2 of the ESP32-C2; too short for anything new
    #[value(alias = "ecdsa192")]
    P192,
    /// ECDSA P-256: Secure Boot V2, V1
    #[value(alias = "ecdsa256")]
    P256,
    /// ECDSA P-384: Secure Boot V2
    #[value(alias = "ecdsa384")]
    P384,
    /// Signs release manifests: RSA-2048
    FirmwareRsa,
    /// Signs release manifests: ECDSA P-256
    FirmwareP256,
    /// Flash encryption, 16 bytes: the ESP32-C2's short key
    #[value(name = "flash-encryption-128", alias = "flash-encryption128")]
    FlashEncryption128,
    /// Flash encryption, 24 bytes: an ESP32 with 3/4 coding
    #[value(name = "flash-encryption-192", alias = "flash-encryption192")]
    FlashEncryption192,
    /// Flash encryption, 32 bytes: XTS-AES-128; AES-256 on the ESP32
    #[value(name = "flash-encryption-256", alias = "flash-encryption256")]
    FlashEncryption256,
    /// Flash encryption, 64 bytes: XTS-AES-256
    #[value(name = "flash-encryption-512", alias = "flash-encryption512")]
    FlashEncryption512,
    /// Secure Boot V1 of an ESP32 with 3/4 coding, 24 bytes
    #[value(name = "secure-boot-v1-192")]
    SecureBootV1Coded,
    /// Secure Boot V1 of the ESP32, 32 bytes
    #[value(name = "secure-boot-v1-256")]
    SecureBootV1,
    /// HMAC peripheral or packets, 32 bytes
    Hmac,
    /// NVS encryption: the partition `nvs_keys`, 4096 bytes
    Nvs,
}

impl Kind {
    /// Of a private key; `None` for a symmetric one.
    const fn private(self) -> Option<KeyKind> {
        Some(match self {
            Self::Rsa2048 | Self::FirmwareRsa => KeyKind::Rsa(2048),
            Self::Rsa3072 => KeyKind::Rsa(3072),
            Self::Rsa4096 => KeyKind::Rsa(4096),
            Self::P192 => KeyKind::Ecdsa(Curve::P192),
            Self::P256 | Self::FirmwareP256 => KeyKind::Ecdsa(Curve::P256),
            Self::P384 => KeyKind::Ecdsa(Curve::P384),
            _ => return None,
        })
    }
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (bytes, key) = match args.kind.private() {
        Some(kind) => private(kind, args)?,
        None if args.protection.is_wanted() => {
            return Err(anyhow::anyhow!("a symmetric key has no format that a password could protect")).context(
                output::Help("keep the file (mode 0600) where only its owner reads it, or on encrypted disk"),
            );
        }
        None => other(args.kind)?,
    };
    if let Some(chip) = args.chip {
        fits(args.kind, chip, &bytes)?;
    }
    args.output.write_new(&bytes, Visibility::Secret, args.force)?;
    if let File::Path(path) = &args.output {
        output::value(&Made { file: path.display().to_string(), key }, format)?;
    }
    Ok(true)
}

/// Refuses what the chip has no use for.
fn fits(kind: Kind, chip: Chip, bytes: &[u8]) -> anyhow::Result<()> {
    match kind {
        Kind::FlashEncryption128 | Kind::FlashEncryption192 | Kind::FlashEncryption256 | Kind::FlashEncryption512 => {
            let holder =
                if chip == Chip::Esp32C5 && bytes.len() == 64 { KeyHolder::KeyManager } else { KeyHolder::Efuse };
            FlashKey::for_chip(chip, holder, None, bytes)?;
        }
        Kind::SecureBootV1 | Kind::SecureBootV1Coded => {
            anyhow::ensure!(chip == Chip::Esp32, "the {chip} has no Secure Boot V1, only the esp32 has");
        }
        Kind::Rsa3072 | Kind::P192 | Kind::P384 => {
            let scheme = match kind {
                Kind::Rsa3072 => Scheme::Rsa3072,
                Kind::P192 => Scheme::EcdsaP192,
                _ => Scheme::EcdsaP384,
            };
            if support(chip, scheme) == Support::No {
                return Err(super::unverified(chip, scheme));
            }
        }
        // The server and the firmware verify manifests, and identities need no silicon.
        _ => {}
    }
    Ok(())
}

fn other(kind: Kind) -> anyhow::Result<(Zeroizing<Vec<u8>>, String)> {
    match kind {
        Kind::FlashEncryption128 => symmetric(16, "flash encryption key"),
        Kind::FlashEncryption192 => symmetric(24, "flash encryption key"),
        Kind::FlashEncryption512 => symmetric(64, "flash encryption key"),
        Kind::SecureBootV1Coded => symmetric(24, "Secure Boot V1 key"),
        Kind::SecureBootV1 => symmetric(32, "Secure Boot V1 key"),
        Kind::Hmac => symmetric(32, "HMAC key"),
        Kind::Nvs => {
            let keys = NvsKeys::new(Secret::try_filled_by(|keys| random(keys))?);
            let mut partition = Zeroizing::new([0; KEYS_PARTITION_SIZE]);
            keys.encode(&mut partition);
            Ok((Zeroizing::new(partition.to_vec()), "NVS encryption keys, as partition nvs_keys".to_owned()))
        }
        // Private kinds do not come here.
        _ => symmetric(32, "flash encryption key"),
    }
}

fn private(kind: KeyKind, args: &Args) -> anyhow::Result<(Zeroizing<Vec<u8>>, String)> {
    let (_, pem) = args.protection.fresh(|| PrivateKey::generate(kind))?;
    let words = if args.protection.is_wanted() { "encrypted private key" } else { "private key" };
    Ok((Zeroizing::new(pem.as_bytes().to_vec()), format!("{kind} {words}")))
}

fn symmetric(len: usize, name: &str) -> anyhow::Result<(Zeroizing<Vec<u8>>, String)> {
    let mut key = Zeroizing::new(vec![0; len]);
    random(&mut key)?;
    Ok((key, format!("{name}, {} bits", 8 * len)))
}

#[derive(Serialize)]
struct Made {
    file: String,
    key: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.key)
    }
}
