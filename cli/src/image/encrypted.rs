//! `cotter image encrypt`, `decrypt` and `encryption-key`: images that a device decrypts while it downloads them.

use crate::file::File;
use crate::key::{Password, public_key, read_private_key};
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::encrypted_image::{DecryptError, decrypt, device_key, encrypt};
use cotter_factory::output::Visibility;
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::PublicKey;
use cotter_formats::encrypted_image::MAGIC;
use cotter_formats::secret::Secret;
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Encrypt an image for OTA, to the RSA-3072 or P-256 key of the devices (esp_encrypted_img).
///
/// This keeps the image secret and proves nothing about who made it: sign it first. The image is held in memory, because
/// its tag stands before the ciphertext.
///
/// Example: cotter image encrypt --key device.pub.pem -o app.enc app-signed.bin
#[derive(clap::Args)]
pub(crate) struct EncryptArgs {
    #[command(flatten)]
    key: Key,
    /// Where to write the encrypted file, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Encrypt although the input is encrypted already.
    #[arg(long)]
    force: bool,
    /// The image, `-` for stdin.
    file: File,
}

/// Decrypt an image as the device does. Nothing is written before the tag of the whole holds.
///
/// Example: cotter image decrypt --key device.pem -o app-signed.bin app.enc
#[derive(clap::Args)]
pub(crate) struct DecryptArgs {
    #[command(flatten)]
    key: Key,
    /// Where to write the image, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// The encrypted file, `-` for stdin.
    file: File,
}

/// The P-256 key to which images for a device are encrypted, from its HMAC eFuse key (purpose HMAC_UP).
///
/// Example: cotter image encryption-key hmac.bin -o device.pub.pem
#[derive(clap::Args)]
pub(crate) struct EncryptionKeyArgs {
    /// The 32 bytes of the eFuse key, `-` for stdin.
    hmac_key: File,
    /// Where to write the public key, PEM, `-` for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: File,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The key, PEM: RSA-3072 or P-256. Encrypting takes the public one or its private key, decrypting the private one.
    #[arg(long, value_name = "PEM")]
    key: Option<File>,
    /// The device's HMAC eFuse key instead, 32 bytes: the P-256 key is derived as the device does.
    #[arg(long, value_name = "FILE")]
    hmac_key: Option<File>,
}

#[derive(clap::Args)]
struct Key {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    password: Password,
}

impl Key {
    fn private(&self) -> anyhow::Result<PrivateKey> {
        match (&self.which.key, &self.which.hmac_key) {
            (Some(file), _) => read_private_key(file, &self.password),
            (None, Some(file)) => derived(file),
            (None, None) => anyhow::bail!("no key is named"),
        }
    }

    fn public(&self) -> anyhow::Result<PublicKey> {
        match &self.which.key {
            Some(file) => public_key(file, &self.password),
            None => Ok(self.private()?.public().clone()),
        }
    }
}

/// The key that a device derives from its eFuse.
fn derived(file: &File) -> anyhow::Result<PrivateKey> {
    let bytes = Zeroizing::new(file.read()?);
    let key = Secret::from_slice(&bytes)
        .with_context(|| format!("{file}: an HMAC key is 32 bytes, this file has {}", bytes.len()))?;
    device_key(&key).with_context(|| file.to_string())
}

pub(super) fn run_encrypt(args: &EncryptArgs, format: Format) -> anyhow::Result<bool> {
    let recipient = args.key.public()?;
    let image = Zeroizing::new(args.file.read()?);
    anyhow::ensure!(!image.is_empty(), "{} is empty", args.file);
    if image.starts_with(&MAGIC.to_le_bytes()) && !args.force {
        return Err(anyhow::anyhow!("{} is encrypted already", args.file))
            .context(output::Help("say --force to encrypt it once more"));
    }
    let encrypted = encrypt(&image, &recipient)?;
    args.output.write(&encrypted, Visibility::Public)?;
    report(&args.output, Direction::Encrypted, &recipient, image.len(), encrypted.len(), format)
}

pub(super) fn run_decrypt(args: &DecryptArgs, format: Format) -> anyhow::Result<bool> {
    let key = args.key.private()?;
    let encrypted = args.file.read()?;
    let image = decrypt(&encrypted, &key).map_err(|refused| {
        let help = match &refused {
            DecryptError::Ecies => Some("name the P-256 key, or the device's eFuse key with --hmac-key"),
            DecryptError::NotEcies(_) => Some("name the RSA-3072 key"),
            _ => None,
        };
        let error = anyhow::Error::new(refused).context(args.file.to_string());
        match help {
            Some(help) => error.context(output::Help(help)),
            None => error,
        }
    })?;
    args.output.write(&image, Visibility::Secret)?;
    report(&args.output, Direction::Decrypted, key.public(), image.len(), encrypted.len(), format)
}

pub(super) fn run_encryption_key(args: &EncryptionKeyArgs) -> anyhow::Result<bool> {
    let key = derived(&args.hmac_key)?;
    args.output.write(key.public().to_pem()?.as_bytes(), Visibility::Public)?;
    Ok(true)
}

/// Stdout is the file's where `-` is the output.
fn report(
    output: &File,
    direction: Direction,
    key: &PublicKey,
    image_bytes: usize,
    file_bytes: usize,
    format: Format,
) -> anyhow::Result<bool> {
    if let File::Path(path) = output {
        let report = Report {
            file: path.display().to_string(),
            direction,
            key: key.kind().to_string(),
            image_bytes,
            file_bytes,
        };
        output::value(&report, format)?;
    }
    Ok(true)
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Encrypted,
    Decrypted,
}

#[derive(Serialize)]
struct Report {
    file: String,
    direction: Direction,
    key: String,
    image_bytes: usize,
    /// Of the encrypted file.
    file_bytes: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, key, image_bytes, file_bytes, .. } = self;
        match self.direction {
            Direction::Encrypted => {
                write!(f, "{file}: {image_bytes} bytes encrypted to an {key} key, {file_bytes} with the header")
            }
            Direction::Decrypted => write!(f, "{file}: {image_bytes} bytes decrypted with an {key} key, all authentic"),
        }
    }
}
