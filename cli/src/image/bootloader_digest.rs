//! `cotter image bootloader-digest`: what an ESP32 with Secure Boot V1 expects before its bootloader.

use super::signatures::hex;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::signing::random;
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v1::{
    BOOTLOADER_AT, BootloaderError, BootloaderKey, DigestedBootloader, IV_LEN, add_digest,
};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Put the Secure Boot V1 digest before an ESP32 bootloader, or check it (espsecure digest-secure-bootloader).
///
/// The result is flashed at address 0: IV, digest, 0xFF, and the bootloader at 0x1000. The key is the one in eFuse
/// BLOCK2, so it must be known: the bootloader is reflashable.
///
/// Example: cotter image bootloader-digest --key bootloader.key -o bootloader-digested.bin build/bootloader/bootloader.bin
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["output", "check"])))]
pub(crate) struct Args {
    /// The bootloader key: 32 raw bytes, 24 (3/4 coding) or 16.
    #[arg(long, value_name = "FILE")]
    key: File,
    /// Take the 128 bytes of the IV from this file, for reproducible tests. Otherwise it is random.
    #[arg(long, value_name = "FILE", requires = "output")]
    iv: Option<File>,
    /// Where to write the file for address 0, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
    /// Check the digest of such a file instead, or of a dump of the flash; the exit code is 1 if it does not hold.
    #[arg(long)]
    check: bool,
    /// The bootloader image, or with --check the file for address 0; `-` for stdin.
    file: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let key = Zeroizing::new(args.key.read()?);
    let key = BootloaderKey::from_file(&key).with_context(|| args.key.to_string())?;
    let bytes = args.file.read()?;
    let Some(output) = &args.output else {
        return check(&key, &bytes, args, format);
    };
    if let Some(chip) = super::chip_of(&bytes).filter(|&chip| chip != Chip::Esp32) {
        anyhow::bail!("{}: the {chip} has no Secure Boot V1, only the esp32 has it", args.file);
    }
    let mut iv = [0; IV_LEN];
    match &args.iv {
        None => random(&mut iv)?,
        Some(file) => {
            output::warning("a chosen IV is for tests only");
            let given = file.read()?;
            anyhow::ensure!(given.len() == IV_LEN, "{file}: an IV is {IV_LEN} bytes, this file has {}", given.len());
            iv.copy_from_slice(&given);
        }
    }
    let file = add_digest(&key, &iv, &bytes).map_err(|refusal| {
        let trailing = matches!(refusal, BootloaderError::Trailing { .. });
        let error = anyhow::Error::new(refusal).context(args.file.to_string());
        if trailing { error.context(Help("give exactly the image that `cotter image build` writes")) } else { error }
    })?;
    output.write(&file, Visibility::Public)?;
    if *output != File::Standard {
        let made = DigestedBootloader::parse(&file)?;
        let (covered, length) = (made.covered.len(), file.len());
        output::value(
            &Report { file: output.to_string(), length, covered, digest: hex(made.digest), refusal: None },
            format,
        )?;
    }
    Ok(true)
}

fn check(key: &BootloaderKey, bytes: &[u8], args: &Args, format: Format) -> anyhow::Result<bool> {
    let file = DigestedBootloader::parse(bytes).with_context(|| args.file.to_string())?;
    let refusal = file.verify(key).err().map(|refusal| refusal.to_string());
    let (covered, length) = (file.covered.len(), bytes.len());
    let report = Report { file: args.file.to_string(), length, covered, digest: hex(file.digest), refusal };
    output::value(&report, format)?;
    Ok(report.refusal.is_none())
}

#[derive(Serialize)]
struct Report {
    file: String,
    length: usize,
    /// Bytes of the bootloader that the digest covers.
    covered: usize,
    digest: String,
    refusal: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, length, covered, digest, refusal } = self;
        writeln!(f, "{file}: {length} bytes for address 0, {covered} of them covered from {BOOTLOADER_AT:#x} on")?;
        write!(f, "digest {digest}")?;
        match refusal {
            None => Ok(()),
            Some(refusal) => write!(f, "\nrefused: {refusal}"),
        }
    }
}
