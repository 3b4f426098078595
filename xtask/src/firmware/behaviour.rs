//! What can be said about an image whichever compiler made it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cotter_formats::chip::Chip;
use cotter_formats::image::{AppDescriptor, Image, ImageHeader};
use cotter_wire::registers::RegisterMap;

use super::stage::hex;

/// The parts of an image that the ROM, the second stage, the device crate and the server act on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// Flash settings, chip, revisions; without the number of segments and the entry's exact address.
    header: String,
    /// Which memory execution begins in.
    entry: Memory,
    /// Which memories are loaded or mapped. Their number and order depend on how the compiler filled them.
    memories: BTreeSet<Memory>,
    descriptor: Option<Descriptor>,
    /// File length modulo 64 KiB.
    beyond_page: usize,
    /// What a boot image prints.
    banner: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Descriptor {
    project: String,
    version: String,
    secure_version: u32,
    built: String,
    efuse_revisions: (u16, u16),
    register_map: String,
    /// What the self-test of the device crate finds wrong with it.
    fault: Option<String>,
}

/// Where a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Memory {
    Padding,
    FlashData,
    FlashCode,
    Data,
    Code,
    Rtc,
}

impl Behaviour {
    /// Reads an image; checksum, digest and placement must hold.
    pub(crate) fn of(image: &[u8]) -> Result<Self> {
        let parsed = Image::parse(image, CHIP)?;
        ensure!(parsed.len() == image.len(), "{} bytes follow the image", image.len() - parsed.len());
        let digest = parsed.digest().context("no SHA-256 is appended, which Secure Boot on this chip demands")?;
        ensure!(digest.stored == digest.computed, "the appended SHA-256 does not hold");
        let mut memories = BTreeSet::new();
        let mut banner = None;
        for segment in parsed.segments() {
            let memory = Memory::at(segment.load_address)
                .with_context(|| format!("{:#010x} is in no memory of this chip", segment.load_address))?;
            if matches!(memory, Memory::FlashCode | Memory::FlashData) {
                let (file, mapped) = (segment.file_offset % MMU_PAGE, segment.load_address as usize % MMU_PAGE);
                ensure!(file == mapped, "the segment at {:#010x} cannot be mapped", segment.load_address);
            }
            memories.insert(memory);
            let text = String::from_utf8_lossy(segment.data).into_owned();
            banner = banner.or_else(|| text.lines().find(|line| line.starts_with("Cotter ")).map(str::to_owned));
        }
        memories.remove(&Memory::Padding);
        let entry = parsed.header().entry.get();
        let descriptor =
            parsed.app_descriptor().map(|it| Descriptor::of(it, parsed.custom_descriptor())).transpose()?;
        Ok(Self {
            header: described(parsed.header()),
            entry: Memory::at(entry).with_context(|| format!("entry {entry:#010x} is in no memory of this chip"))?,
            memories,
            banner: banner.filter(|_| descriptor.is_none()),
            descriptor,
            beyond_page: image.len() % MMU_PAGE,
        })
    }
}

impl Descriptor {
    fn of(descriptor: &AppDescriptor, custom: &[u8]) -> Result<Self> {
        let map = RegisterMap::parse(custom).context("at file offset 0x120")?;
        Ok(Self {
            project: descriptor.project_name().to_owned(),
            version: descriptor.version().to_owned(),
            secure_version: descriptor.secure_version.get(),
            built: format!("{} {}", descriptor.date(), descriptor.time()),
            efuse_revisions: (descriptor.min_efuse_revision.get(), descriptor.max_efuse_revision.get()),
            register_map: hex(&map.encode()),
            fault: map.check().err().map(|fault| fault.to_string()),
        })
    }
}

impl Memory {
    /// Source: memory map of the ESP32-C3 in esptool 5.6.0 and ESP-IDF's `soc.h`.
    fn at(address: u32) -> Option<Self> {
        Some(match address {
            0 => Self::Padding,
            0x3c00_0000..0x3c80_0000 => Self::FlashData,
            0x4200_0000..0x4280_0000 => Self::FlashCode,
            0x3fc8_0000..0x3fce_0000 => Self::Data,
            0x4037_c000..0x403e_0000 => Self::Code,
            0x5000_0000..0x5000_2000 => Self::Rtc,
            _ => return None,
        })
    }
}

/// What a program's image must be like.
pub(crate) enum Expected {
    /// Lives in RAM and prints this.
    Boot { banner: &'static str },
    /// Runs from flash and says this about itself; `fault` is what its self-test must find.
    Application { version: &'static str, secure_version: u32, fault: Option<&'static str> },
}

impl Expected {
    pub(crate) fn check(&self, found: &Behaviour) -> Result<()> {
        match self {
            Self::Boot { banner } => {
                let ram = BTreeSet::from([Memory::Data, Memory::Code]);
                ensure!(found.memories == ram, "a boot image lives in RAM, this one in {:?}", found.memories);
                ensure!(found.entry == Memory::Code, "execution begins in {:?}", found.entry);
                ensure!(found.banner.as_deref() == Some(*banner), "the banner is {:?}", found.banner);
                ensure!(found.descriptor.is_none(), "a boot image has no application descriptor");
            }
            Self::Application { version, secure_version, fault } => {
                let descriptor = found.descriptor.as_ref().context("no application descriptor")?;
                ensure!(descriptor.project == PROJECT, "the project is {:?}", descriptor.project);
                ensure!(descriptor.version == *version, "the version is {:?}", descriptor.version);
                ensure!(
                    descriptor.secure_version == *secure_version,
                    "secure_version is {}",
                    descriptor.secure_version
                );
                ensure!(descriptor.fault.as_deref() == *fault, "the self-test would find {:?}", descriptor.fault);
                let flash = BTreeSet::from([Memory::FlashData, Memory::FlashCode]);
                ensure!(flash.is_subset(&found.memories), "an application runs from flash, not {:?}", found.memories);
                ensure!(found.beyond_page == 0, "it is not padded to 64 KiB");
            }
        }
        Ok(())
    }
}

fn described(header: &ImageHeader) -> String {
    format!(
        "chip {} {:?} {:?} {:?} revisions {}..={} wp {:#x} drive {:?} digest {}",
        header.chip_id.get(),
        header.flash_mode,
        header.flash_size(),
        header.flash_frequency(CHIP),
        header.min_revision.get(),
        header.max_revision.get(),
        header.wp_pin,
        header.drive,
        header.hash_appended
    )
}

const CHIP: Chip = Chip::Esp32C3;
const PROJECT: &str = "cotter-app";
const MMU_PAGE: usize = 0x1_0000;
