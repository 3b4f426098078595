//! `cotter image sign`: Secure Boot V2 blocks, or a V1 signature, behind an image.

use crate::file::File;
use crate::image::hex;
use crate::key::{Password, TokenArgs, private_key};
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::public_key::PublicKey;
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v2::{
    BLOCK_LEN, ContentDigests, Curve, Scheme, SignedFile, Support, add_block, append_block, blocks_of,
    content_padded_len, support,
};
use serde::Serialize;
use std::fmt;

/// Sign an image for Secure Boot V2 (RSA-3072, ECDSA P-192, P-256 or P-384, up to three blocks of one scheme) or V1.
///
/// With private keys, with one on a PKCS#11 token, or with a signature that was made elsewhere.
///
/// The image is padded with 0xFF to whole sectors. A scheme that the chip does not verify is refused; so is one that
/// ESP-IDF calls insecure on it, unless --allow-insecure-ecdsa says so. With --scheme v1, an ESP32's application or
/// partition table is signed with ECDSA P-256, byte for byte as espsecure does.
///
/// Example: cotter image sign --key secure-boot.pem -o app-signed.bin build/app.bin
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("signer").required(true).args(["key", "signature", "pkcs11"])))]
pub(crate) struct Args {
    /// The version of Secure Boot.
    #[arg(long, value_enum, default_value = "v2")]
    scheme: super::Scheme,
    /// Sign with this private key, PEM; once for each block.
    #[arg(long, value_name = "PEM")]
    pub(super) key: Vec<File>,
    #[command(flatten)]
    pub(super) password: Password,
    #[command(flatten)]
    pub(super) token: TokenArgs,
    /// A signature made elsewhere: raw RSA-PSS, or ECDSA in DER or as r and s.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(super) signature: Option<File>,
    /// The public key of that signature, PEM.
    #[arg(long, value_name = "PEM", requires = "signature")]
    pub(super) public_key: Option<File>,
    /// Add to the blocks of a file that is signed already.
    #[arg(long)]
    pub(super) append: bool,
    /// Sign with ECDSA for a chip on which ESP-IDF calls it insecure (ESP32-C5, C61, H2, P4).
    #[arg(long)]
    allow_insecure_ecdsa: bool,
    /// The chip; else the image's header says which.
    #[arg(long, value_parser = super::chip)]
    pub(super) chip: Option<Chip>,
    /// Where to write the signed file, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: File,
    /// The image, `-` for stdin.
    pub(super) file: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    if args.scheme == super::Scheme::V1 {
        return super::v1::sign(args, format);
    }
    let bytes = args.file.read()?;
    let chip = super::chip_or_of(args.chip, &bytes)?;
    if chip == Chip::Esp32 && super::v1::Found::of(&bytes).is_some() {
        return Err(anyhow::anyhow!("mixed schemes: {} has a Secure Boot V1 signature", args.file))
            .context(output::Help("sign the unsigned file"));
    }
    let mut signed = match (SignedFile::parse(&bytes), args.append) {
        (Ok(_), true) => Some(bytes.clone()),
        (Ok(_), false) => {
            return Err(anyhow::anyhow!("{} is signed already", args.file))
                .context(output::Help("say --append to add a block"));
        }
        (Err(refusal), true) => return Err(refusal).context("cannot add a signature"),
        (Err(_), false) => None,
    };
    let digests = match &signed {
        Some(file) => ContentDigests::of(SignedFile::parse(file)?.content),
        None => {
            let mut padded = bytes.clone();
            padded.resize(content_padded_len(bytes.len()), 0xff);
            ContentDigests::of(&padded)
        }
    };
    for block in blocks(args, chip, &digests)? {
        signed = Some(match &signed {
            Some(file) => add_block(file, &block)?,
            None => append_block(&bytes, &block),
        });
        let file = SignedFile::parse(signed.as_deref().unwrap_or_default())?;
        let (count, most) = (file.signatures.blocks().count(), blocks_of(chip));
        anyhow::ensure!(count <= most, "the {chip} reads {most} signature block, this would be number {count}");
    }
    let signed = signed.context("no block was made")?;
    args.output.write(&signed, Visibility::Public)?;
    if let File::Path(path) = &args.output {
        let file = SignedFile::parse(&signed)?;
        let key_digests = file.signatures.blocks().map(|block| hex(&block.key_digest())).collect();
        let scheme = file.signatures.blocks().next().map_or(String::new(), |block| block.scheme().to_string());
        let file = path.display().to_string();
        output::value(&Signed { file, chip: chip.name(), scheme, key_digests, public_key: None }, format)?;
    }
    Ok(true)
}

/// The blocks that are asked for, each verified.
fn blocks(args: &Args, chip: Chip, digests: &ContentDigests) -> anyhow::Result<Vec<[u8; BLOCK_LEN]>> {
    let mut blocks = Vec::new();
    for file in &args.key {
        let key = private_key(&file.read()?, &args.password, file)?;
        allowed(args, chip, key.public())?;
        blocks.push(key.sign_block(digests)?);
    }
    if let Some(key) = args.token.key()? {
        allowed(args, chip, key.public())?;
        blocks.push(key.sign_block(digests)?);
    }
    if let (Some(signature), Some(public)) = (&args.signature, &args.public_key) {
        let key = PublicKey::from_pem(&public.read()?).with_context(|| public.to_string())?;
        allowed(args, chip, &key)?;
        let key = key.secure_boot()?;
        let bytes = signature.read()?;
        let numbers = match Curve::of(key.scheme()) {
            Some(curve) => curve.numbers(&bytes).with_context(|| format!("{signature} is no ECDSA signature"))?,
            None => bytes,
        };
        blocks.push(key.block(digests, &numbers).with_context(|| signature.to_string())?);
    }
    Ok(blocks)
}

/// Does the chip verify the scheme of this key, and may it be used?
fn allowed(args: &Args, chip: Chip, key: &PublicKey) -> anyhow::Result<()> {
    let scheme: Scheme = key.secure_boot()?.scheme();
    match support(chip, scheme) {
        Support::Yes => Ok(()),
        Support::Legacy => {
            output::warning(format_args!("ESP-IDF offers {scheme} no more since 6.0; use ECDSA P-256"));
            Ok(())
        }
        Support::Insecure if args.allow_insecure_ecdsa => Ok(()),
        Support::Insecure => Err(anyhow::anyhow!(
            "ESP-IDF calls {scheme} on the {chip} insecure: it is \"not functional for certain input vectors\""
        ))
        .context(output::Help("sign with RSA-3072 where the chip has it, or insist with --allow-insecure-ecdsa")),
        Support::No => Err(anyhow::anyhow!("the {chip} does not verify {scheme}")),
    }
}

/// What was signed, and how.
#[derive(Serialize)]
pub(super) struct Signed {
    pub(super) file: String,
    pub(super) chip: &'static str,
    pub(super) scheme: String,
    /// Of each block, with V2.
    pub(super) key_digests: Vec<String>,
    /// x and y of the key, with V1: what the bootloader has compiled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) public_key: Option<String>,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: signed for the {} with {}", self.file, self.chip, self.scheme)?;
        for (block, digest) in self.key_digests.iter().enumerate() {
            write!(f, "\nblock {block}  key digest {digest}")?;
        }
        if let Some(key) = &self.public_key {
            write!(f, "\npublic key {key}")?;
        }
        Ok(())
    }
}
