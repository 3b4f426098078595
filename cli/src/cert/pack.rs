//! `cotter cert pack`: an esp_secure_cert partition, and the keys to burn for it.

use crate::ds::{chip, key_block, read_hmac_key};
use crate::file::File;
use crate::key::{Password, read_device_key, read_private_key};
use crate::nvs::folder;
use crate::output::{self, Format, Help};
use anyhow::Context;
use clap::ValueEnum;
use cotter_factory::certificate::Certificates;
use cotter_factory::ds::fresh_hmac_key;
use cotter_factory::output::Visibility;
use cotter_factory::secure_cert::pack::{Options, PackError};
use cotter_factory::secure_cert::{Content, Protected, Wanted, pack, table};
use cotter_factory::signing::random;
use cotter_formats::chip::Chip;
use cotter_formats::ds::EfuseKeyId;
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_cert::{PARTITION_SIZE, SALT_LEN, TlvType};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Pack certificates and a private key into an esp_secure_cert partition.
///
/// --mode says how the key is protected on the device. In every mode but `plain` no byte of it is in the partition, or
/// only encrypted; the keys to burn are written to the folder --burn-keys, mode 0600, as `espefuse burn-key` takes them.
/// With --csv the entries come from a file as Espressif's tool reads it. The device certificate must be for the key.
///
/// Example: cotter cert pack --chip esp32c3 --mode ds --key device.key.pem --device-cert device.pem --ca-cert ca.pem
/// --burn-keys burn -o esp_secure_cert.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The chip; its peripherals decide which modes are possible.
    #[arg(long, value_parser = chip)]
    chip: Chip,
    /// How the private key is protected.
    #[arg(long, default_value = "plain", conflicts_with = "csv")]
    mode: Mode,
    /// The device's private key, PEM or DER.
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    key: Option<File>,
    #[command(flatten)]
    password: Password,
    /// The device's certificate, with what chains it to the CA behind it; PEM or DER.
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    device_cert: Option<File>,
    /// The CA that the device trusts, PEM or DER.
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    ca_cert: Option<File>,
    /// Data of the product: type 51 to 55 or another number, and a file. May be given several times.
    #[arg(long, value_name = "TYPE[.SUBTYPE]=FILE", value_parser = data)]
    data: Vec<(TlvType, u8, PathBuf)>,
    /// The entries, as Espressif's tool reads them. Paths in it start at its folder.
    #[arg(long, value_name = "CSV")]
    csv: Option<File>,
    /// The key block to burn.
    #[arg(long, value_name = "0..5", value_parser = key_block, default_value = "1")]
    key_block: EfuseKeyId,
    /// The chip's HMAC key, 32 raw bytes; without it a fresh one is drawn.
    #[arg(long, value_name = "FILE")]
    hmac_key: Option<File>,
    /// The salt of a derived key, 32 raw bytes; without it a fresh one is drawn.
    #[arg(long, value_name = "FILE")]
    salt: Option<File>,
    /// Folder for the keys to burn.
    #[arg(long, value_name = "FOLDER")]
    burn_keys: Option<PathBuf>,
    /// Where the public key of a derived key goes, to have it certified.
    #[arg(long, value_name = "FILE")]
    public_key: Option<File>,
    /// Sign with this key of Secure Boot V2; up to three.
    #[arg(long, value_name = "PEM")]
    sign_key: Vec<File>,
    /// Leave out the SHA-256 at the end.
    #[arg(long)]
    no_integrity: bool,
    /// Size of the partition.
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "0x2000")]
    size: usize,
    /// Fill the file up to the size of the partition with 0xFF.
    #[arg(long)]
    fill: bool,
    /// Replace keys to burn that exist. The old keys are lost.
    #[arg(long)]
    force: bool,
    /// Take an RSA-1024 key, which protects nothing any more.
    #[arg(long)]
    allow_rsa_1024: bool,
    /// Write DS data for the ESP32-C5 as esp_secure_cert_tool 2.6.1 does, which that chip cannot read.
    #[arg(long)]
    tool_width: bool,
    /// Where the partition goes, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// As it stands; only flash encryption protects it.
    Plain,
    /// RSA, encrypted for the digital signature peripheral.
    Ds,
    /// ECDSA, in a key block for the ECDSA peripheral.
    EcdsaPeripheral,
    /// P-256, derived by the chip from its HMAC key and a salt.
    HmacDerived,
    /// Encrypted under a key that the chip derives from its HMAC key.
    HmacEncrypted,
}

fn data(text: &str) -> anyhow::Result<(TlvType, u8, PathBuf)> {
    let (name, path) = text.split_once('=').context("expected TYPE=FILE")?;
    let (kind, subtype) = name.split_once('.').unwrap_or((name, "0"));
    let kind = TlvType::from_name(kind).context("expected a type of Espressif's or a number up to 255")?;
    Ok((kind, subtype.parse().context("expected a subtype up to 16")?, path.into()))
}

fn size(text: &str) -> anyhow::Result<usize> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.with_context(|| format!("expected a number of bytes such as {PARTITION_SIZE:#x}"))
}

#[derive(Serialize)]
struct Report {
    output: String,
    chip: &'static str,
    bytes: usize,
    limit: usize,
    entries: usize,
    signatures: usize,
    integrity: bool,
    burn: Vec<Burn>,
}

#[derive(Serialize)]
struct Burn {
    block: u8,
    purpose: &'static str,
    file: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, chip, bytes, limit, entries, signatures, .. } = self;
        write!(f, "{output}: {entries} entries, {bytes:#x} of {limit:#x} bytes")?;
        if *signatures > 0 {
            write!(f, ", {signatures} signatures")?;
        }
        if self.integrity {
            f.write_str(", integrity")?;
        }
        for Burn { block, purpose, file } in &self.burn {
            write!(f, "\nto burn: espefuse --chip {chip} burn-key BLOCK_KEY{block} {file} {purpose}")?;
        }
        Ok(())
    }
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let wanted = wanted(args)?;
    let signers = args.sign_key.iter().map(|file| read_private_key(file, &args.password));
    let signers = signers.collect::<anyhow::Result<Vec<_>>>()?;
    let options = Options {
        chip: args.chip,
        limit: args.size,
        integrity: !args.no_integrity,
        signers: &signers,
        allow_rsa_1024: args.allow_rsa_1024,
        tool_width: args.tool_width,
    };
    let packed = pack(&wanted, &options).map_err(|refused| {
        let help = match &refused {
            PackError::Rsa1024 => Some("use RSA-2048 or longer, or say --allow-rsa-1024"),
            PackError::OtherKey { .. } => Some("name the certificate that was issued for this key"),
            _ => None,
        };
        let error = anyhow::Error::new(refused);
        match help {
            Some(help) => error.context(Help(help)),
            None => error,
        }
    })?;
    // The keys first: a partition that no chip can use is worse than keys without one.
    let mut burn = Vec::new();
    for key in &packed.burns {
        let file = match (&args.burn_keys, &args.hmac_key) {
            (Some(folder), _) => {
                let file = File::Path(folder.join(key.file_name()));
                file.write_new(key.bytes(), Visibility::Secret, args.force)?;
                file
            }
            (None, Some(file)) if key.purpose.starts_with("HMAC") => file.clone(),
            (None, _) => {
                return Err(anyhow::anyhow!("the key for {} has nowhere to go", key.block))
                    .context(Help("name a folder for it with --burn-keys"));
            }
        };
        burn.push(Burn { block: key.block.get(), purpose: key.purpose, file: file.to_string() });
    }
    if let Some(file) = &args.public_key {
        let (_, key) = packed.public_keys.first().context("there is no private key, and so no public one")?;
        file.write(key.to_pem()?.as_bytes(), Visibility::Public)?;
    }
    let report = Report {
        output: args.output.to_string(),
        chip: args.chip.name(),
        bytes: packed.builder.len(),
        limit: args.size,
        entries: cotter_formats::secure_cert::Entries::new(packed.builder.as_bytes()).count(),
        signatures: signers.len(),
        integrity: options.integrity,
        burn,
    };
    let bytes = if args.fill { packed.builder.finish_filled() } else { packed.builder.finish() };
    args.output.write(&bytes, Visibility::Secret)?;
    if args.output != File::Standard {
        output::value(&report, format)?;
    }
    Ok(true)
}

fn wanted(args: &Args) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    if let Some(file) = &args.csv {
        let csv = Zeroizing::new(file.read()?);
        wanted = table::read(&csv, &folder(file)).with_context(|| file.to_string())?;
    }
    for (kind, file) in [(TlvType::CA_CERT, &args.ca_cert), (TlvType::DEVICE_CERT, &args.device_cert)] {
        let Some(file) = file else { continue };
        let certificates = Certificates::read(&file.read()?).with_context(|| file.to_string())?;
        wanted.push(Wanted { kind, subtype: 0, content: Content::Certificates(certificates) });
    }
    if let Some(protected) = protected(args)? {
        wanted.push(Wanted { kind: TlvType::PRIVATE_KEY, subtype: 0, content: Content::Key(protected) });
    }
    for (kind, subtype, path) in &args.data {
        let bytes = Zeroizing::new(File::Path(path.clone()).read()?);
        wanted.push(Wanted { kind: *kind, subtype: *subtype, content: Content::Data(bytes) });
    }
    if wanted.is_empty() {
        return Err(anyhow::anyhow!("nothing to pack"))
            .context(Help("say what goes in: --device-cert, --ca-cert, --key, --data, or --csv"));
    }
    Ok(wanted)
}

fn protected(args: &Args) -> anyhow::Result<Option<Protected>> {
    if args.csv.is_some() {
        return Ok(None);
    }
    let block = args.key_block;
    let hmac_key =
        || -> anyhow::Result<HmacKey> { args.hmac_key.as_ref().map_or_else(|| Ok(fresh_hmac_key()?), read_hmac_key) };
    if args.mode == Mode::HmacDerived {
        anyhow::ensure!(args.key.is_none(), "a derived key comes from the HMAC key and the salt, not from --key");
        let mut salt = [0; SALT_LEN];
        match &args.salt {
            None => random(&mut salt)?,
            Some(file) => salt = file.read()?.as_slice().try_into().context("a salt has 32 bytes")?,
        }
        return Ok(Some(Protected::HmacDerived { block, hmac_key: hmac_key()?, salt }));
    }
    let Some(file) = &args.key else {
        anyhow::ensure!(args.mode == Mode::Plain, "this mode needs the device's private key: --key FILE");
        return Ok(None);
    };
    let key = read_device_key(file, &args.password)?;
    Ok(Some(match args.mode {
        Mode::Plain => Protected::Plain(key),
        Mode::Ds => Protected::RsaDs { key, block, hmac_key: hmac_key()? },
        Mode::EcdsaPeripheral => Protected::EcdsaPeripheral { key, block },
        Mode::HmacEncrypted | Mode::HmacDerived => Protected::HmacEncrypted { key, block, hmac_key: hmac_key()? },
    }))
}
