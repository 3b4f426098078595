//! `cotter image info`: everything that an image says, and whether it holds.

use super::signatures::{self, Block, hex};
use super::v1::Found;
use crate::file::File;
use crate::output::{self, Format};
use cotter_formats::chip::Chip;
use cotter_formats::image::{FlashMode, Image, ImageHeader};
use serde::Serialize;
use std::fmt;

/// Show header, segments, checksum, digest, descriptors and signature blocks of an image.
///
/// The exit code is 1 if checksum, digest or a signature does not hold.
///
/// Example: cotter image info build/app.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Insist on this chip; else the header says which.
    #[arg(long, value_parser = super::chip)]
    chip: Option<Chip>,
    /// The image, `-` for stdin.
    file: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let bytes = args.file.read()?;
    let info = Info::of(&bytes, super::chip_or_of(args.chip, &bytes)?)?;
    output::value(&info, format)?;
    Ok(info.valid)
}

#[derive(Serialize)]
struct Info {
    chip: &'static str,
    entry: u32,
    flash_mode: String,
    flash_size: Option<u32>,
    flash_frequency_mhz: Option<u8>,
    min_revision: u16,
    max_revision: u16,
    image_length: usize,
    /// The scheme whose signature would end at a 64 KiB boundary, or begin at one.
    padded_for: Option<&'static str>,
    segments: Vec<Segment>,
    checksum: Checksum,
    digest: Option<Digest>,
    application: Option<Application>,
    bootloader: Option<Bootloader>,
    /// Secure Boot V2.
    signature_blocks: Vec<Block>,
    /// Secure Boot V1.
    signature_v1: Option<Found>,
    /// Why the list of blocks ended early, or why no device accepts them.
    signature_trouble: Option<String>,
    valid: bool,
}

/// A segment as it is reported.
#[derive(Serialize)]
pub(super) struct Segment {
    load_address: u32,
    length: usize,
    file_offset: usize,
    region: &'static str,
}

#[derive(Serialize)]
struct Checksum {
    stored: u8,
    computed: u8,
    valid: bool,
}

#[derive(Serialize)]
struct Digest {
    stored: String,
    computed: String,
    valid: bool,
}

#[derive(Serialize)]
struct Application {
    project_name: String,
    version: String,
    secure_version: u32,
    compiled: String,
    idf_version: String,
    elf_sha256: String,
    min_efuse_revision: u16,
    max_efuse_revision: u16,
}

#[derive(Serialize)]
struct Bootloader {
    version: u32,
    secure_version: u8,
    idf_version: String,
    compiled: String,
}

impl Info {
    fn of(bytes: &[u8], chip: Chip) -> anyhow::Result<Self> {
        let image = Image::scan(bytes, chip)?;
        let header = image.header();
        let checksum = image.checksum();
        let checksum = Checksum {
            stored: checksum.stored,
            computed: checksum.computed,
            valid: checksum.stored == checksum.computed,
        };
        let digest = image.digest().map(|digest| Digest {
            stored: hex(&digest.stored),
            computed: hex(&digest.computed),
            valid: digest.stored == digest.computed,
        });
        let (blocks, trouble) = match signatures::find(bytes, Some(chip)) {
            Ok(signed) => {
                let mixed = signed.mixed().map(|mixed| mixed.to_string());
                (
                    Block::all(&signed.signatures, &signed.content_digests()),
                    mixed.or(signed.signatures.ended_by().map(|damage| damage.to_string())),
                )
            }
            Err(_) => (Vec::new(), None),
        };
        let v1 = Found::of(bytes).filter(|_| chip == Chip::Esp32);
        let mixed = v1.is_some() && !blocks.is_empty();
        let trouble = trouble.or(mixed.then(|| "mixed schemes: Secure Boot V1 and V2".to_owned()));
        let signatures_hold = trouble.is_none() && blocks.iter().all(Block::valid);
        let valid = checksum.valid && digest.as_ref().is_none_or(|digest| digest.valid) && signatures_hold;
        Ok(Self {
            chip: chip.name(),
            entry: header.entry.get(),
            flash_mode: flash_mode(header),
            flash_size: header.flash_size().bytes(),
            flash_frequency_mhz: header.flash_frequency(chip).map(|frequency| frequency.0),
            min_revision: header.min_revision.get(),
            max_revision: header.max_revision.get(),
            image_length: image.len(),
            padded_for: padded_for(image.len(), chip),
            segments: image.segments().map(|segment| Segment::of(&segment, chip)).collect(),
            checksum,
            digest,
            application: image.app_descriptor().map(Application::of),
            bootloader: image.boot_descriptor().map(Bootloader::of),
            signature_v1: v1,
            signature_blocks: blocks,
            signature_trouble: trouble,
            valid,
        })
    }
}

impl Segment {
    pub(super) fn of(segment: &cotter_formats::image::Segment<'_>, chip: Chip) -> Self {
        let address = segment.load_address;
        let region = match address {
            0 => "padding",
            _ if chip.irom().contains(&address) && chip.irom() == chip.drom() => "flash",
            _ if chip.irom().contains(&address) => "flash, instructions",
            _ if chip.drom().contains(&address) => "flash, constants",
            _ => "memory",
        };
        Self { load_address: address, length: segment.data.len(), file_offset: segment.file_offset, region }
    }

    /// One line for each, under a heading.
    pub(super) fn table(segments: &[Self], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "segments      load address  length    file offset")?;
        for (index, segment) in segments.iter().enumerate() {
            let Self { load_address, length, file_offset, region } = segment;
            writeln!(f, "  {index:<12}{load_address:#010x}    {length:#09x} {file_offset:#09x}    {region}")?;
        }
        Ok(())
    }
}

impl Application {
    fn of(descriptor: &cotter_formats::image::AppDescriptor) -> Self {
        Self {
            project_name: printable(descriptor.project_name()),
            version: printable(descriptor.version()),
            secure_version: descriptor.secure_version.get(),
            compiled: printable(&format!("{} {}", descriptor.date(), descriptor.time())),
            idf_version: printable(descriptor.idf_version()),
            elf_sha256: hex(&descriptor.app_elf_sha256),
            min_efuse_revision: descriptor.min_efuse_revision.get(),
            max_efuse_revision: descriptor.max_efuse_revision.get(),
        }
    }
}

impl Bootloader {
    fn of(descriptor: &cotter_formats::image::BootDescriptor) -> Self {
        Self {
            version: descriptor.version.get(),
            secure_version: descriptor.secure_version,
            idf_version: printable(descriptor.idf_version()),
            compiled: printable(descriptor.date_time()),
        }
    }
}

/// Text from the image without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

fn flash_mode(header: &ImageHeader) -> String {
    match header.flash_mode {
        FlashMode::QIO => "QIO".into(),
        FlashMode::QOUT => "QOUT".into(),
        FlashMode::DIO => "DIO".into(),
        FlashMode::DOUT => "DOUT".into(),
        FlashMode::FAST_READ => "FAST_READ".into(),
        FlashMode::SLOW_READ => "SLOW_READ".into(),
        other => format!("unknown ({})", other.0),
    }
}

/// The scheme for which an image of this length is padded, if it is.
fn padded_for(len: usize, chip: Chip) -> Option<&'static str> {
    const PAGE: usize = 0x1_0000;
    match len % PAGE {
        0 => Some("Secure Boot V2"),
        // The signature, and 12 bytes of nothing.
        rest if rest == PAGE - 80 && chip == Chip::Esp32 => Some("Secure Boot V1"),
        _ => None,
    }
}

/// 399 is written 3.99; what is no limit is said so.
fn revision(revision: u16) -> String {
    match revision {
        u16::MAX => "any".into(),
        _ => format!("{}.{}", revision / 100, revision % 100),
    }
}

fn verdict(valid: bool) -> &'static str {
    if valid { "valid" } else { "BAD" }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "chip          {}, revisions {} to {}",
            self.chip,
            revision(self.min_revision),
            revision(self.max_revision)
        )?;
        writeln!(f, "entry         {:#010x}", self.entry)?;
        let size = self.flash_size.map_or("unknown size".into(), |bytes| format!("{} MiB", bytes >> 20));
        let speed = self.flash_frequency_mhz.map_or("unknown frequency".into(), |mhz| format!("{mhz} MHz"));
        writeln!(f, "flash         {}, {size}, {speed}", self.flash_mode)?;
        writeln!(f, "length        {} bytes", self.image_length)?;
        if let Some(scheme) = self.padded_for {
            writeln!(f, "padded for    {scheme}")?;
        }
        Segment::table(&self.segments, f)?;
        let Checksum { stored, computed, valid } = self.checksum;
        write!(f, "checksum      {stored:#04x} {}", verdict(valid))?;
        if !valid {
            write!(f, ", calculated {computed:#04x}")?;
        }
        match &self.digest {
            None => write!(f, "\nSHA-256       none appended")?,
            Some(digest) => write!(f, "\nSHA-256       {} {}", digest.stored, verdict(digest.valid))?,
        }
        if let Some(app) = &self.application {
            write!(f, "\napplication   {} {}, secure version {}", app.project_name, app.version, app.secure_version)?;
            write!(f, "\n              compiled {} with {}", app.compiled, app.idf_version)?;
            write!(f, "\n              ELF SHA-256 {}", app.elf_sha256)?;
            let (low, high) = (revision(app.min_efuse_revision), revision(app.max_efuse_revision));
            write!(f, "\n              eFuse block revisions {low} to {high}")?;
        }
        if let Some(boot) = &self.bootloader {
            write!(f, "\nbootloader    version {}, secure version {}", boot.version, boot.secure_version)?;
            write!(f, "\n              compiled {} with {}", boot.compiled, boot.idf_version)?;
        }
        if let Some(found) = &self.signature_v1 {
            write!(f, "\nsignature     {found}")?;
        }
        match self.signature_blocks.as_slice() {
            [] if self.signature_v1.is_none() => write!(f, "\nsignature     none")?,
            blocks => {
                for block in blocks {
                    write!(f, "\nsignature     {block}")?;
                }
            }
        }
        match &self.signature_trouble {
            Some(trouble) => write!(f, "\nsignature     BAD: {trouble}"),
            None => Ok(()),
        }
    }
}
