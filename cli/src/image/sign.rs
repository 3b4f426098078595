//! `cotter image sign`: Secure Boot V2 blocks, or a V1 signature, behind an image.

use crate::file::File;
use crate::image::hex;
use crate::key::{Password, TokenArgs, read_private_key};
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::PublicKey;
use cotter_factory::token::TokenKey;
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v2::{
    self, BLOCK_LEN, ContentDigests, ContentHasher, Curve, SECTOR_LEN, Scheme, SignatureSector, Support, add_to_sector,
    blocks_of, content_padded_len, new_sector, support,
};
use serde::Serialize;
use std::fmt;
use std::io::{Read, Write};

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
    let signers = Signer::all(args)?;
    let (mut input, _) = args.file.open()?;
    let mut sign = |out: &mut dyn Write| sign(args, &signers, &mut input, out);
    let (chip, sector) = match &args.output {
        File::Path(_) => args.output.write_with(Visibility::Public, sign)?,
        // Stdout gets everything or nothing.
        File::Standard => {
            let mut signed = Vec::new();
            let made = sign(&mut signed)?;
            args.output.write(&signed, Visibility::Public)?;
            made
        }
    };
    if let File::Path(path) = &args.output {
        let signatures = SignatureSector::parse(&sector)?;
        let key_digests = signatures.blocks().map(|block| hex(&block.key_digest())).collect();
        let scheme = signatures.blocks().next().map_or(String::new(), |block| block.scheme().to_string());
        let file = path.display().to_string();
        output::value(&Signed { file, chip: chip.name(), scheme, key_digests, public_key: None }, format)?;
    }
    Ok(true)
}

/// Copies the image, padded, and puts the signature sector behind it; the image is never held as a whole.
fn sign(args: &Args, signers: &[Signer], input: &mut dyn Read, out: &mut dyn Write) -> anyhow::Result<(Chip, Vec<u8>)> {
    let mut hasher = ContentHasher::new(signers.iter().map(Signer::scheme));
    let mut copy = |piece: &[u8]| {
        hasher.update(piece);
        out.write_all(piece)
    };
    let (chip, sector) = copy_content(args, signers, input, &mut copy)?;
    let sector = sign_content(signers, chip, sector, &hasher.finish())?;
    out.write_all(&sector)?;
    Ok((chip, sector))
}

/// Everything but the signatures, padded; returns the chip, and the sector of earlier signatures.
fn copy_content(
    args: &Args,
    signers: &[Signer],
    input: &mut dyn Read,
    copy: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> anyhow::Result<(Chip, Option<Vec<u8>>)> {
    let mut chip = None;
    // What may yet turn out to be the signature sector is held back, and of an ESP32's image, which fits into 16 MiB,
    // a copy is kept to look for a signature of V1.
    let (mut buffer, mut held, mut esp32_image, mut copied) = (vec![0; PIECE], 0, Vec::new(), 0);
    loop {
        let read = fill(input, &mut buffer[held..]).with_context(|| format!("cannot read {}", args.file))?;
        let (before, filled) = (held, held + read);
        let named = match chip {
            Some(chip) => chip,
            None => super::chip_or_of(args.chip, &buffer[..filled])?,
        };
        if chip.is_none() {
            signers.iter().try_for_each(|signer| allowed(args, named, signer.scheme()))?;
        }
        chip = Some(named);
        if named == Chip::Esp32 && esp32_image.len() < ESP32_FLASH {
            esp32_image.extend_from_slice(&buffer[before..filled]);
        }
        if filled < PIECE {
            held = filled;
            break;
        }
        let whole = filled - SECTOR_LEN;
        copy(&buffer[..whole])?;
        copied += whole;
        buffer.copy_within(whole.., 0);
        held = SECTOR_LEN;
    }
    let mut pending = buffer;
    pending.truncate(held);
    let chip = chip.context("the file is empty")?;
    if chip == Chip::Esp32 && super::v1::Found::of(&esp32_image).is_some() {
        return Err(anyhow::anyhow!("mixed schemes: {} has a Secure Boot V1 signature", args.file))
            .context(output::Help("sign the unsigned file"));
    }
    let (content, last) = pending.split_at(pending.len().saturating_sub(SECTOR_LEN));
    let sector = match (SignatureSector::parse(last), args.append) {
        (Ok(_), true) => Some(last.to_vec()),
        (Ok(_), false) => {
            return Err(anyhow::anyhow!("{} is signed already", args.file))
                .context(output::Help("say --append to add a block"));
        }
        (Err(refusal), true) => return Err(refusal).context("cannot add a signature"),
        (Err(_), false) => None,
    };
    let mut content = if sector.is_some() { content.to_vec() } else { pending };
    if sector.is_none() {
        content.resize(content_padded_len(copied + content.len()) - copied, 0xff);
    }
    copy(&content)?;
    Ok((chip, sector))
}

/// The sector with a block of every signer.
fn sign_content(
    signers: &[Signer],
    chip: Chip,
    mut sector: Option<Vec<u8>>,
    digests: &ContentDigests,
) -> anyhow::Result<Vec<u8>> {
    for signer in signers {
        let block = signer.block(digests)?;
        let signed = match &sector {
            Some(sector) => add_to_sector(sector, &block)?,
            None => new_sector(&block),
        };
        let (count, most) = (SignatureSector::parse(&signed)?.blocks().count(), blocks_of(chip));
        anyhow::ensure!(count <= most, "the {chip} reads {most} signature block, this would be number {count}");
        sector = Some(signed);
    }
    sector.context("no block was made")
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes that are held at a time.
const PIECE: usize = 1 << 16;
/// What an ESP32 can map.
const ESP32_FLASH: usize = 16 << 20;

/// Who makes a block.
#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
enum Signer<'a> {
    Key(PrivateKey),
    Token(TokenKey),
    /// Somebody already has.
    Elsewhere {
        key: v2::PublicKey,
        numbers: Vec<u8>,
        file: &'a File,
    },
}

impl<'a> Signer<'a> {
    /// The signers that are asked for, in order.
    fn all(args: &'a Args) -> anyhow::Result<Vec<Self>> {
        let mut signers = Vec::new();
        for file in &args.key {
            let key = read_private_key(file, &args.password)?;
            key.public().secure_boot()?;
            signers.push(Self::Key(key));
        }
        if let Some(key) = args.token.key()? {
            key.public().secure_boot()?;
            signers.push(Self::Token(key));
        }
        if let (Some(file), Some(public)) = (&args.signature, &args.public_key) {
            let key = PublicKey::from_pem(&public.read()?).with_context(|| public.to_string())?.secure_boot()?;
            let bytes = file.read()?;
            let numbers = match Curve::of(key.scheme()) {
                Some(curve) => curve.numbers(&bytes).with_context(|| format!("{file} is no ECDSA signature"))?,
                None => bytes,
            };
            signers.push(Self::Elsewhere { key, numbers, file });
        }
        Ok(signers)
    }

    fn scheme(&self) -> Scheme {
        let public = match self {
            Self::Key(key) => key.public(),
            Self::Token(key) => key.public(),
            Self::Elsewhere { key, .. } => return key.scheme(),
        };
        public.secure_boot().expect("it was one when the signer was made").scheme()
    }

    /// The block, verified.
    fn block(&self, digests: &ContentDigests) -> anyhow::Result<[u8; BLOCK_LEN]> {
        Ok(match self {
            Self::Key(key) => key.sign_block(digests)?,
            Self::Token(key) => key.sign_block(digests)?,
            Self::Elsewhere { key, numbers, file } => key.block(digests, numbers).with_context(|| file.to_string())?,
        })
    }
}

/// Does the chip verify this scheme, and may it be used?
fn allowed(args: &Args, chip: Chip, scheme: Scheme) -> anyhow::Result<()> {
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
        Support::No => Err(crate::key::unverified(chip, scheme)),
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
