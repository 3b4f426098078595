//! `cotter key generate`: keys from the system's CSPRNG.

use crate::file::File;
use crate::output::{self, Format};
use clap::ValueEnum;
use cotter_factory::output::Visibility;
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_factory::signing::random;
use cotter_formats::nvs::keys::{KEYS_PARTITION_SIZE, NvsKeys};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::Curve;
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Make a key: private keys as PKCS#8 PEM, symmetric ones as raw bytes, readable by their owner only.
///
/// A file that exists is not replaced unless --force says so.
///
/// Example: cotter key generate rsa3072 -o secure-boot.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What kind of key.
    kind: Kind,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists. The old key is lost.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// RSA-2048, for release manifests
    Rsa2048,
    /// RSA-3072, for Secure Boot V2
    Rsa3072,
    /// ECDSA P-192: refused, nobody maintains an implementation that signs
    P192,
    /// ECDSA P-256, for Secure Boot V2
    P256,
    /// ECDSA P-384, for Secure Boot V2
    P384,
    /// Signs release manifests: RSA-2048
    FirmwareRsa,
    /// Signs release manifests: ECDSA P-256
    FirmwareP256,
    /// Flash encryption, 16 bytes (the ESP32-C2's short key)
    FlashEncryption128,
    /// Flash encryption, 32 bytes (XTS-AES-128; ESP32's AES-256)
    FlashEncryption256,
    /// Flash encryption, 64 bytes (XTS-AES-256)
    FlashEncryption512,
    /// Secure Boot V1 bootloader digest, 32 bytes (ESP32)
    BootloaderDigest256,
    /// Secure Boot V1 bootloader digest, 24 bytes (ESP32 with 3/4 coding)
    BootloaderDigest192,
    /// HMAC peripheral or packets, 32 bytes
    Hmac,
    /// NVS encryption: the partition `nvs_keys`, 4096 bytes
    Nvs,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (bytes, key) = make(args.kind)?;
    args.output.write_new(&bytes, Visibility::Secret, args.force)?;
    if let File::Path(path) = &args.output {
        output::value(&Made { file: path.display().to_string(), key }, format)?;
    }
    Ok(true)
}

fn make(kind: Kind) -> anyhow::Result<(Zeroizing<Vec<u8>>, String)> {
    match kind {
        Kind::Rsa2048 | Kind::FirmwareRsa => private(KeyKind::Rsa(2048)),
        Kind::Rsa3072 => private(KeyKind::Rsa(3072)),
        Kind::P192 => private(KeyKind::Ecdsa(Curve::P192)),
        Kind::P256 | Kind::FirmwareP256 => private(KeyKind::Ecdsa(Curve::P256)),
        Kind::P384 => private(KeyKind::Ecdsa(Curve::P384)),
        Kind::FlashEncryption128 => symmetric(16, "flash encryption key"),
        Kind::FlashEncryption256 => symmetric(32, "flash encryption key"),
        Kind::FlashEncryption512 => symmetric(64, "flash encryption key"),
        Kind::BootloaderDigest256 => symmetric(32, "Secure Boot V1 bootloader key"),
        Kind::BootloaderDigest192 => symmetric(24, "Secure Boot V1 bootloader key"),
        Kind::Hmac => symmetric(32, "HMAC key"),
        Kind::Nvs => {
            let keys = NvsKeys::new(Secret::try_filled_by(|keys| random(keys))?);
            let mut partition = Zeroizing::new([0; KEYS_PARTITION_SIZE]);
            keys.encode(&mut partition);
            Ok((Zeroizing::new(partition.to_vec()), "NVS encryption keys, as partition nvs_keys".to_owned()))
        }
    }
}

fn private(kind: KeyKind) -> anyhow::Result<(Zeroizing<Vec<u8>>, String)> {
    let pem = PrivateKey::generate(kind)?.to_pem()?;
    Ok((Zeroizing::new(pem.as_bytes().to_vec()), format!("{kind} private key")))
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
