//! `cotter image build`: an ELF file becomes the image that the ROM loads.

use super::info::Segment;
use super::signatures::hex;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use clap::ValueEnum;
use cotter_factory::output::Visibility;
use cotter_formats::chip::Chip;
use cotter_formats::image::{
    BuildError, BuildOptions, FlashFrequency, FlashMode, FlashSize, Image, SecurePad, build_app,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Build an application or bootloader image from an ELF file, byte for byte as `esptool elf2image` does.
///
/// esptool's spelling of each option is accepted too. What esptool ignores or builds although no chip could run it
/// (a page size that the chip does not have, segments that share a page, padding for a scheme that the chip does not
/// know, more segments than the ROM loads) is refused.
///
/// Example: cotter image build --chip esp32c3 --flash-mode dio --flash-size 4MB -o app.bin build/app.elf
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The chip: esp32, esp32s2, esp32s3, esp32c2, esp32c3, esp32c5, esp32c6, esp32c61, esp32h2, esp32p4.
    #[arg(long, value_parser = super::chip)]
    chip: Chip,
    /// How the ROM reads the flash.
    #[arg(long, value_enum, default_value = "qio")]
    flash_mode: Mode,
    /// The flash clock, such as 40m; which ones exist depends on the chip. [default: the chip's slowest boot clock]
    /// (esptool: --flash-freq)
    #[arg(long, visible_alias = "flash-freq", value_name = "MHZ", value_parser = frequency)]
    flash_frequency: Option<FlashFrequency>,
    /// The size of the flash: 1MB to 128MB in powers of two.
    #[arg(long, value_name = "SIZE", default_value = "1MB", value_parser = flash_size)]
    flash_size: FlashSize,
    /// Lowest chip revision that may run it: major * 100 + minor, or major.minor. (esptool: --min-rev-full)
    #[arg(long, visible_alias = "min-rev-full", value_name = "REVISION", default_value = "0", value_parser = revision)]
    min_revision: u16,
    /// Highest chip revision that may run it; 65535 is no limit. (esptool: --max-rev-full)
    #[arg(long, visible_alias = "max-rev-full", value_name = "REVISION", default_value = "65535", value_parser = revision)]
    max_revision: u16,
    /// Pad for Secure Boot V1: signed, the image ends 12 bytes before a 64 KiB boundary. ESP32 only.
    #[arg(long, conflicts_with = "secure_pad_v2")]
    secure_pad: bool,
    /// Pad for Secure Boot V2: the signature sector follows at a 64 KiB boundary.
    #[arg(long)]
    secure_pad_v2: bool,
    /// Do not append a SHA-256 to the image. (esptool: --dont-append-digest)
    #[arg(long, visible_alias = "dont-append-digest")]
    no_digest: bool,
    /// Put the ELF file's SHA-256 at this file offset; an application descriptor gets it without asking.
    #[arg(long, value_name = "OFFSET", value_parser = offset)]
    elf_sha256_offset: Option<u32>,
    /// Bytes per page of the flash MMU, on chips that have a choice: 64KB, 32KB, 16KB, 8KB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    flash_mmu_page_size: Option<u32>,
    /// Build from the program headers instead of the sections.
    #[arg(long)]
    use_segments: bool,
    /// Show the ROM only the segments in RAM; implies --no-digest.
    #[arg(long, conflicts_with_all = ["secure_pad", "secure_pad_v2", "pad_to_size"])]
    ram_only_header: bool,
    /// Fill the file with 0xFF to a multiple of this size, such as 64KB or 4MB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pad_to_size: Option<u32>,
    /// Where to write the image; `-` is stdout, and then no report is printed.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// The ELF file, `-` for stdin.
    #[arg(value_name = "ELF")]
    input: File,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Qio,
    Qout,
    Dio,
    Dout,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let elf = args.input.read()?;
    let image = build_app(&elf, &args.options()).map_err(|refusal| explained(refusal, &args.input))?;
    args.output.write(&image, Visibility::Public)?;
    if args.output != File::Standard {
        output::value(&Built::of(args, &elf, &image)?, format)?;
    }
    Ok(true)
}

impl Args {
    fn options(&self) -> BuildOptions {
        let plain = BuildOptions::new(self.chip);
        BuildOptions {
            flash_mode: match self.flash_mode {
                Mode::Qio => FlashMode::QIO,
                Mode::Qout => FlashMode::QOUT,
                Mode::Dio => FlashMode::DIO,
                Mode::Dout => FlashMode::DOUT,
            },
            flash_frequency: self.flash_frequency.unwrap_or(plain.flash_frequency),
            flash_size: self.flash_size,
            min_revision: self.min_revision,
            max_revision: self.max_revision,
            secure_pad: match (self.secure_pad, self.secure_pad_v2) {
                (true, _) => Some(SecurePad::V1),
                (_, true) => Some(SecurePad::V2),
                _ => None,
            },
            append_digest: !self.no_digest,
            elf_sha256_offset: self.elf_sha256_offset,
            mmu_page: self.flash_mmu_page_size,
            ram_only: self.ram_only_header,
            use_segments: self.use_segments,
            pad_to_size: self.pad_to_size,
            ..plain
        }
    }
}

/// The refusal with the next step, where there is one.
fn explained(refusal: BuildError, input: &File) -> anyhow::Error {
    let help = match refusal {
        BuildError::SecurePadWithoutDigest => "leave --no-digest out",
        BuildError::SecurePadV1 { .. } => "Secure Boot V1 exists only on the esp32; pad with --secure-pad-v2",
        BuildError::SharedPage { .. } => "align the sections in the linker script, or merge them",
        BuildError::Elf(_) => "give the linker's output, such as build/app.elf of ESP-IDF",
        BuildError::ElfDigestPlace { .. } | BuildError::ElfDigestTaken { .. } => {
            "leave --elf-sha256-offset out: an application descriptor is found by its section"
        }
        _ => return anyhow::Error::new(refusal).context(input.to_string()),
    };
    anyhow::Error::new(refusal).context(input.to_string()).context(Help(help))
}

#[derive(Serialize)]
struct Built {
    output: String,
    chip: &'static str,
    entry: u32,
    length: usize,
    sha256: String,
    elf_sha256: String,
    digest_appended: bool,
    /// Which signature its end is padded for.
    padded_for: Option<&'static str>,
    segments: Vec<Segment>,
}

impl Built {
    fn of(args: &Args, elf: &[u8], bytes: &[u8]) -> anyhow::Result<Self> {
        let image = Image::scan(bytes, args.chip).context("what was built does not read back")?;
        let padded_for = args.options().secure_pad.map(|pad| match pad {
            SecurePad::V1 => "Secure Boot V1",
            SecurePad::V2 => "Secure Boot V2",
        });
        Ok(Self {
            output: args.output.to_string(),
            chip: args.chip.name(),
            entry: image.header().entry.get(),
            length: bytes.len(),
            sha256: hex(&Sha256::digest(bytes)),
            elf_sha256: hex(&Sha256::digest(elf)),
            digest_appended: image.header().hash_appended == 1,
            padded_for,
            segments: image.segments().map(|segment| Segment::of(&segment, args.chip)).collect(),
        })
    }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes for the {}, entry {:#010x}", self.output, self.length, self.chip, self.entry)?;
        match self.padded_for {
            Some(scheme) => writeln!(f, ", padded for {scheme}")?,
            None => writeln!(f)?,
        }
        Segment::table(&self.segments, f)?;
        write!(f, "SHA-256       {}", self.sha256)
    }
}

/// `40m`, as esptool writes it, or `40`.
fn frequency(text: &str) -> Result<FlashFrequency, String> {
    let digits = text.strip_suffix(['m', 'M']).unwrap_or(text);
    digits.parse().map(FlashFrequency).map_err(|_| "a frequency in MHz, such as 40m".to_owned())
}

fn flash_size(text: &str) -> Result<FlashSize, String> {
    let bytes = size(text)?;
    let code = (0..8).map(FlashSize).find(|code| code.bytes() == Some(bytes));
    code.ok_or_else(|| "1MB, 2MB, 4MB, 8MB, 16MB, 32MB, 64MB or 128MB".to_owned())
}

/// Bytes: `64KB`, `4MB`, with or without the B.
fn size(text: &str) -> Result<u32, String> {
    let digits = text.strip_suffix(['B', 'b']).unwrap_or(text);
    let (digits, shift) = match digits.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 20),
        None => (digits.strip_suffix(['K', 'k']).ok_or("a size with its unit, such as 64KB or 4MB")?, 10),
    };
    let number: u32 = digits.parse().map_err(|_| "a size with its unit, such as 64KB or 4MB".to_owned())?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes != 0).ok_or_else(|| format!("{text} is no size"))
}

/// 399 or 3.99.
fn revision(text: &str) -> Result<u16, String> {
    let whole = || "major * 100 + minor, such as 301, or major.minor, such as 3.1".to_owned();
    match text.split_once('.') {
        None => text.parse().map_err(|_| whole()),
        Some((major, minor)) => {
            let (major, minor): (u16, u16) =
                major.parse().ok().zip(minor.parse().ok().filter(|&minor| minor < 100)).ok_or_else(whole)?;
            major.checked_mul(100).and_then(|major| major.checked_add(minor)).ok_or_else(whole)
        }
    }
}

fn offset(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "a number, such as 176 or 0xb0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_clocks_and_revisions_as_esptool_writes_them() {
        assert_eq!((flash_size("4MB"), flash_size("128m")), (Ok(FlashSize::MIB_4), Ok(FlashSize::MIB_128)));
        assert_eq!((size("64KB"), size("8K")), (Ok(0x1_0000), Ok(0x2000)));
        assert!(flash_size("3MB").is_err() && size("64").is_err() && size("0KB").is_err() && size("4096MB").is_err());
        assert_eq!((frequency("80m"), frequency("40")), (Ok(FlashFrequency(80)), Ok(FlashFrequency(40))));
        assert!(frequency("80k").is_err() && frequency("800m").is_err());
        assert_eq!((revision("399"), revision("3.1"), revision("65535")), (Ok(399), Ok(301), Ok(u16::MAX)));
        assert!(revision("3.100").is_err() && revision("65536").is_err() && revision("656.0").is_err());
        assert_eq!((offset("0xb0"), offset("176")), (Ok(0xb0), Ok(0xb0)));
    }
}
