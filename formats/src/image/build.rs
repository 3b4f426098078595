//! ELF file in, image out, to the byte as `esptool elf2image` makes it.
//!
//! The MMU maps flash in pages, so the data of a flash segment must sit in the file at its address modulo the page.
//! The gaps are filled with RAM segments, whole or cut, and with zeros only when those run out.
//! Source: observed behaviour of esptool 5.6.0 on hand-made ELF files.

use super::descriptor::AppDescriptor;
use super::elf::{Elf, ElfError};
use super::header::{FlashFrequency, FlashMode, FlashSize, ImageHeader, MAX_SEGMENTS};
use super::parse::CHECKSUM_SEED;
use crate::chip::Chip;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};
use zerocopy::IntoBytes;

/// How to build an image. [`BuildOptions::new`] has the tool's defaults.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Which chip it is for.
    pub chip: Chip,
    /// How the ROM reads the flash.
    pub flash_mode: FlashMode,
    /// How fast.
    pub flash_frequency: FlashFrequency,
    /// How large the flash is.
    pub flash_size: FlashSize,
    /// Lowest chip revision, major * 100 + minor.
    pub min_revision: u16,
    /// Highest chip revision; 65535 is no limit.
    pub max_revision: u16,
    /// Room for a Secure Boot signature.
    pub secure_pad: Option<SecurePad>,
    /// Whether a SHA-256 follows the checksum.
    pub append_digest: bool,
    /// File offset at which 32 zeros are replaced by the SHA-256 of the ELF file.
    /// If absent, an application descriptor in a section `.flash.appdesc` at the front gets it all the same.
    pub elf_sha256_offset: Option<u32>,
    /// Bytes per MMU page, for the chips that let one choose; if absent, what the application descriptor says.
    pub mmu_page: Option<u32>,
    /// Shows the ROM only the RAM segments (a second stage that maps its own flash); without SHA-256.
    pub ram_only: bool,
    /// Takes the segments of the program headers instead of the sections. They have no names, so no descriptor is
    /// moved to the front and nothing says where the ELF file's SHA-256 goes; the page size still comes from sections.
    pub use_segments: bool,
    /// Fills the image with 0xFF up to a multiple of this many bytes.
    pub pad_to_size: Option<u32>,
}

impl BuildOptions {
    /// What `elf2image` does if it is told nothing but the chip.
    #[must_use]
    pub const fn new(chip: Chip) -> Self {
        Self {
            chip,
            flash_mode: FlashMode::QIO,
            flash_frequency: FlashFrequency::default_of(chip),
            flash_size: FlashSize::MIB_1,
            min_revision: 0,
            max_revision: u16::MAX,
            secure_pad: None,
            append_digest: true,
            elf_sha256_offset: None,
            mmu_page: None,
            ram_only: false,
            use_segments: false,
            pad_to_size: None,
        }
    }
}

/// For which signature an image is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurePad {
    /// Signed, it ends 12 bytes before a 64 KiB boundary.
    V1,
    /// Unsigned, it ends on a 64 KiB boundary, where the signature sector goes.
    V2,
}

/// Builds an application or boot image from an ELF file.
///
/// # Errors
/// [`BuildError`]: a bad ELF file, options that the chip does not know, or a layout that no image can hold.
pub fn build_app(elf: &[u8], options: &BuildOptions) -> Result<Vec<u8>, BuildError> {
    let parsed = Elf::parse(elf)?;
    let (flash, ram) = segments(&parsed, options)?;
    let mut writer = Writer::new(&parsed, options, &flash, Sha256::digest(elf).into())?;
    if options.ram_only {
        writer.ram_only(flash, ram)?;
    } else {
        writer.whole(flash, ram)?;
    }
    if let Some(size) = options.pad_to_size {
        // Off-spec: with a RAM-only header the tool forgets the wish, and without SHA-256 it overwrites the image.
        writer.pad_to(size)?;
    }
    Ok(writer.out)
}

/// A section, or several that follow each other without a gap.
struct Piece<'a> {
    name: &'a [u8],
    address: u32,
    data: Vec<u8>,
}

/// Flash and RAM segments in the order in which they are placed.
fn segments<'a>(
    elf: &Elf<'a>,
    options: &BuildOptions,
) -> Result<(VecDeque<Piece<'a>>, VecDeque<Piece<'a>>), BuildError> {
    let chip = options.chip;
    let mut sections: Vec<_> = if options.use_segments { elf.segments()?.collect() } else { elf.sections().collect() };
    if options.ram_only {
        sections.sort_by_key(|section| section.address);
    }
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for section in sections {
        let mut data = section.data.to_vec();
        data.resize(data.len().next_multiple_of(4), 0);
        match pieces.last_mut() {
            // Only neighbours in the order of the headers are merged (of the addresses, with a RAM-only header).
            Some(last)
                if end(last) == u64::from(section.address)
                    && region(chip, last.address) == region(chip, section.address) =>
            {
                last.data.append(&mut data);
            }
            _ => pieces.push(Piece { name: section.name, address: section.address, data }),
        }
    }
    match pieces.len() {
        0 => return Err(BuildError::Empty),
        count if count > MAX_SEGMENTS => return Err(BuildError::TooManySegments { count }),
        _ => {}
    }
    pieces.sort_by_key(|piece| piece.address);
    let (mut flash, mut ram): (Vec<_>, Vec<_>) =
        pieces.into_iter().partition(|piece| chip.maps_from_flash(piece.address));
    to_front(&mut flash, APP_DESCRIPTOR);
    to_front(&mut ram, b".dram0.bootdesc");
    Ok((flash.into(), ram.into()))
}

/// Pieces of different memories stay apart even if their addresses meet.
fn region(chip: Chip, address: u32) -> u8 {
    u8::from(chip.irom().contains(&address)) | u8::from(chip.drom().contains(&address)) << 1
}

fn end(piece: &Piece<'_>) -> u64 {
    u64::from(piece.address) + piece.data.len() as u64
}

fn to_front(pieces: &mut [Piece<'_>], name: &[u8]) {
    if let Some(index) = pieces.iter().position(|piece| piece.name == name) {
        pieces[..=index].rotate_right(1);
    }
}

struct Writer {
    out: Vec<u8>,
    page: u32,
    chip: Chip,
    secure_pad: Option<SecurePad>,
    append_digest: bool,
    count: u8,
    checksum: u8,
    mapped: Vec<Mapped>,
    /// Where the ELF file's SHA-256 still has to go.
    elf_sha256: Option<(u32, [u8; 32])>,
}

impl Writer {
    fn new(
        elf: &Elf<'_>,
        options: &BuildOptions,
        flash: &VecDeque<Piece<'_>>,
        elf_sha256: [u8; 32],
    ) -> Result<Self, BuildError> {
        let chip = options.chip;
        let append_digest = options.append_digest && !options.ram_only;
        if options.secure_pad.is_some() && !append_digest {
            return Err(BuildError::SecurePadWithoutDigest);
        }
        if options.secure_pad == Some(SecurePad::V1) && chip != Chip::Esp32 {
            return Err(BuildError::SecurePadV1 { chip });
        }
        let frequency = options.flash_frequency;
        let speed = frequency.code(chip).ok_or(BuildError::Frequency { chip, mhz: frequency.0 })?;
        let size = options.flash_size;
        size.bytes().ok_or(BuildError::FlashSize { code: size.0 })?;
        let header = ImageHeader {
            magic: ImageHeader::MAGIC,
            segment_count: 0,
            flash_mode: options.flash_mode,
            flash_speed_size: size.0 << 4 | speed,
            entry: elf.entry().into(),
            wp_pin: 0xee,
            drive: [0; 3],
            chip_id: chip.image_chip_id().into(),
            min_revision_legacy: 0,
            min_revision: options.min_revision.into(),
            max_revision: options.max_revision.into(),
            reserved: [0; 4],
            hash_appended: append_digest.into(),
        };
        let described = flash.front().filter(|piece| piece.name == APP_DESCRIPTOR);
        // Off-spec: with a RAM-only header the tool writes the digest into whatever RAM segment lies at that offset.
        let implied = described.filter(|_| !options.ram_only).filter(|piece| piece.data.len() >= DESCRIBED_TO_DIGEST);
        let offset = options.elf_sha256_offset.or(implied.map(|_| AppDescriptor::ELF_SHA256_OFFSET));
        Ok(Self {
            out: header.as_bytes().to_vec(),
            page: mmu_page(options, elf)?,
            chip,
            secure_pad: options.secure_pad,
            append_digest,
            count: 0,
            checksum: CHECKSUM_SEED,
            mapped: Vec::new(),
            elf_sha256: offset.map(|offset| (offset, elf_sha256)),
        })
    }

    fn whole(&mut self, mut flash: VecDeque<Piece<'_>>, mut ram: VecDeque<Piece<'_>>) -> Result<(), BuildError> {
        refuse_shared_pages(&flash, self.page)?;
        while let Some(next) = flash.front() {
            let gap = self.gap(next.address)?;
            if gap == 0 {
                self.flash_segment(next)?;
                flash.pop_front();
                continue;
            }
            match ram.front_mut() {
                Some(piece) if gap > SEGMENT_HEADER => {
                    let rest = piece.data.split_off((gap as usize).min(piece.data.len()));
                    self.segment(piece.address, &piece.data)?;
                    piece.address = piece.address.saturating_add(length(&piece.data)?);
                    piece.data = rest;
                    if piece.data.is_empty() {
                        ram.pop_front();
                    }
                }
                _ => self.zeros(gap)?,
            }
        }
        self.refuse_torn_pages()?;
        for piece in ram {
            self.segment(piece.address, &piece.data)?;
        }
        if let Some(pad) = self.secure_pad {
            // What follows this segment: checksum block, SHA-256 and, for V1, signature (68) and 12 bytes of nothing.
            let behind = 16 + 32 + if pad == SecurePad::V1 { 80 } else { 0 };
            let start = self.position()? + SEGMENT_HEADER;
            let used = start % self.page + behind;
            self.zeros(used.next_multiple_of(self.page) - used)?;
        }
        self.finish()?;
        if self.append_digest {
            let digest = Sha256::digest(&self.out);
            self.out.extend_from_slice(&digest);
        }
        Ok(())
    }

    /// RAM segments and a checksum for the ROM; the flash segments lie behind, where only the program itself looks.
    fn ram_only(&mut self, flash: VecDeque<Piece<'_>>, ram: VecDeque<Piece<'_>>) -> Result<(), BuildError> {
        refuse_shared_pages(&flash, self.page)?;
        if ram.is_empty() {
            return Err(BuildError::Empty);
        }
        for piece in ram {
            self.segment(piece.address, &piece.data)?;
        }
        self.finish()?;
        for piece in flash.iter().rev() {
            // Such an image is flashed where the ROM looks, so that is what its pages are counted from.
            let position = u64::from(self.position()? + SEGMENT_HEADER) + u64::from(self.chip.bootloader_offset().0);
            let page = u64::from(self.page);
            let mut gap = (u64::from(piece.address) + page - position % page) % page;
            if gap != 0 {
                gap += if gap < u64::from(SEGMENT_HEADER) { page } else { 0 };
                let filler = u32::try_from(gap).map_err(|_| BuildError::TooLarge)? - SEGMENT_HEADER;
                self.segment(0, &alloc::vec![0; filler as usize])?;
            }
            self.map(piece)?;
            self.segment(piece.address, &piece.data)?;
        }
        self.refuse_torn_pages()
    }

    /// Bytes of filler between here and where a flash segment at `address` can go, all headers excluded.
    fn gap(&self, address: u32) -> Result<u32, BuildError> {
        if !address.is_multiple_of(4) {
            return Err(BuildError::Unaligned { address });
        }
        // Counted from the end of the current page, which may skip a place in this page, but so does the tool.
        let gap = self.page - self.position()? % self.page + address % self.page;
        match gap.checked_sub(SEGMENT_HEADER) {
            Some(gap) if gap == 0 || gap == self.page => Ok(0),
            // Off-spec: with exactly a header's room left the tool stops with a failed assertion.
            Some(gap) if gap > SEGMENT_HEADER => Ok(gap - SEGMENT_HEADER),
            _ => Ok(gap + self.page - 2 * SEGMENT_HEADER),
        }
    }

    fn flash_segment(&mut self, piece: &Piece<'_>) -> Result<(), BuildError> {
        self.map(piece)?;
        // The ESP32's second stage mishandles a last page with fewer than 0x24 bytes.
        let tail = (self.position()? + SEGMENT_HEADER + length(&piece.data)?) % self.page;
        if self.chip == Chip::Esp32 && tail < 0x24 {
            let mut longer = piece.data.clone();
            longer.resize(longer.len() + (0x24 - tail as usize), 0);
            return self.segment(piece.address, &longer);
        }
        self.segment(piece.address, &piece.data)
    }

    fn map(&mut self, piece: &Piece<'_>) -> Result<(), BuildError> {
        let (len, position) = (length(&piece.data)?, self.position()? + SEGMENT_HEADER);
        self.mapped.push(Mapped { address: piece.address, len, position });
        Ok(())
    }

    fn zeros(&mut self, len: u32) -> Result<(), BuildError> {
        self.segment(0, &alloc::vec![0; len as usize])
    }

    fn segment(&mut self, address: u32, data: &[u8]) -> Result<(), BuildError> {
        let len = length(data)?;
        self.out.extend_from_slice(&address.to_le_bytes());
        self.out.extend_from_slice(&len.to_le_bytes());
        let start = self.out.len();
        self.out.extend_from_slice(data);
        let written = &mut self.out[start..];
        if let Some((offset, digest)) = self.elf_sha256 {
            let within = (offset as usize).checked_sub(start).and_then(|at| written.get_mut(at..at.checked_add(32)?));
            if let Some(field) = within {
                if field != [0; 32] {
                    return Err(BuildError::ElfDigestTaken { offset });
                }
                field.copy_from_slice(&digest);
                self.elf_sha256 = None;
            }
        }
        self.checksum = written.iter().fold(self.checksum, |sum, byte| sum ^ byte);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// The checksum block, and the header's count of the segments before it.
    fn finish(&mut self) -> Result<(), BuildError> {
        if let Some((offset, _)) = self.elf_sha256 {
            return Err(BuildError::ElfDigestPlace { offset });
        }
        if usize::from(self.count) > MAX_SEGMENTS {
            return Err(BuildError::TooManySegments { count: self.count.into() });
        }
        self.out.resize(self.out.len() | 15, 0);
        self.out.push(self.checksum);
        self.out[1] = self.count;
        Ok(())
    }

    fn pad_to(&mut self, size: u32) -> Result<(), BuildError> {
        let padded = self.position()?.checked_next_multiple_of(size).filter(|&len| len < 1 << 30);
        self.out.resize(padded.ok_or(BuildError::PadToSize { size })? as usize, 0xff);
        Ok(())
    }

    fn position(&self) -> Result<u32, BuildError> {
        length(&self.out)
    }

    /// A page of addresses shows one page of flash, so segments that share one must also share it in the file.
    fn refuse_torn_pages(&mut self) -> Result<(), BuildError> {
        self.mapped.sort_unstable_by_key(|mapped| mapped.address);
        for pair in self.mapped.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            let last_page = (u64::from(first.address) + u64::from(first.len)).saturating_sub(1) / u64::from(self.page);
            let meet = u64::from(second.address / self.page) <= last_page;
            let together = second.address.wrapping_sub(first.address) == second.position.wrapping_sub(first.position);
            if meet && !together {
                return Err(BuildError::SharedPage { first: first.address, second: second.address, page: self.page });
            }
        }
        Ok(())
    }
}

/// Where a flash segment's data went.
struct Mapped {
    address: u32,
    len: u32,
    position: u32,
}

/// Two segments that begin in the same page are refused at once, as the tool does.
fn refuse_shared_pages(flash: &VecDeque<Piece<'_>>, page: u32) -> Result<(), BuildError> {
    let mut starts: Vec<_> = flash.iter().map(|piece| piece.address).collect();
    starts.sort_unstable();
    match starts.windows(2).find(|pair| pair[0] / page == pair[1] / page) {
        Some(pair) => Err(BuildError::SharedPage { first: pair[0], second: pair[1], page }),
        None => Ok(()),
    }
}

/// The page size: as asked for; as the application descriptor says; what its address is aligned to, if it says nothing
/// (before ESP-IDF 5.4); or the chip's only one.
fn mmu_page(options: &BuildOptions, elf: &Elf<'_>) -> Result<u32, BuildError> {
    let choices: &[u32] = match options.chip {
        Chip::Esp32C2 => &[DEFAULT_PAGE, 0x8000, 0x4000],
        Chip::Esp32C6 | Chip::Esp32C61 | Chip::Esp32H2 | Chip::Esp32H21 | Chip::Esp32H4 => {
            &[DEFAULT_PAGE, 0x8000, 0x4000, 0x2000]
        }
        Chip::Esp32S31 => &[0x4_0000, 0x2_0000, DEFAULT_PAGE, 0x8000],
        // Off-spec: the tool ignores the wish on the others.
        _ if options.mmu_page.is_none() => return Ok(DEFAULT_PAGE),
        _ => &[DEFAULT_PAGE],
    };
    let page = options.mmu_page.or_else(|| {
        // Sections have names also where the image is made of segments.
        let named = |name: &[u8]| name.windows(APP_DESCRIPTOR.len()).any(|part| part == APP_DESCRIPTOR);
        let section = elf.sections().find(|section| named(section.name))?;
        let descriptor = AppDescriptor::of(section.data).filter(|_| options.chip.maps_from_flash(section.address))?;
        match descriptor.mmu_page_size {
            0 => {
                let start = section.address.checked_sub(IMAGE_TO_DATA)?;
                choices.iter().copied().find(|&page| start.is_multiple_of(page))
            }
            exponent => Some(1u32.checked_shl(exponent.into()).unwrap_or(0)),
        }
    });
    let page = page.unwrap_or(DEFAULT_PAGE);
    if choices.contains(&page) { Ok(page) } else { Err(BuildError::MmuPage { chip: options.chip, page }) }
}

fn length(bytes: &[u8]) -> Result<u32, BuildError> {
    // Far below u32::MAX, so that sums of a few of them and of pages cannot overflow.
    u32::try_from(bytes.len()).ok().filter(|&len| len < 1 << 30).ok_or(BuildError::TooLarge)
}

const APP_DESCRIPTOR: &[u8] = b".flash.appdesc";
/// The part of an application descriptor up to the end of the ELF file's SHA-256.
const DESCRIBED_TO_DIGEST: usize = 176;
const DEFAULT_PAGE: u32 = 0x1_0000;
/// Bytes before the data of the first segment: the image's header and the segment's.
const IMAGE_TO_DATA: u32 = 32;
const SEGMENT_HEADER: u32 = 8;

/// Why there is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum BuildError {
    #[error(transparent)]
    Elf(#[from] ElfError),
    #[error("no section has both content and an address")]
    Empty,
    #[error("{count} segments, but the ROM loads at most 16; merge sections in the linker script")]
    TooManySegments { count: usize },
    #[error("flash segment at {address:#x} does not begin at a multiple of 4")]
    Unaligned { address: u32 },
    #[error("flash segments at {first:#x} and {second:#x} share an MMU page of {page:#x} bytes")]
    SharedPage { first: u32, second: u32, page: u32 },
    #[error("{chip} cannot run its flash at {mhz} MHz")]
    Frequency { chip: Chip, mhz: u8 },
    #[error("no flash size has code {code}")]
    FlashSize { code: u8 },
    #[error("{chip} has no MMU page of {page:#x} bytes")]
    MmuPage { chip: Chip, page: u32 },
    #[error("an image cannot be padded to a multiple of {size} bytes")]
    PadToSize { size: u32 },
    #[error("padding for a signature needs the appended SHA-256")]
    SecurePadWithoutDigest,
    /// The tool ignores the wish; a signing step after it would then fail.
    #[error("{chip} has no Secure Boot V1 to pad for")]
    SecurePadV1 { chip: Chip },
    #[error("no single segment covers file offset {offset:#x} and 32 bytes for the ELF file's SHA-256")]
    ElfDigestPlace { offset: u32 },
    #[error("the 32 bytes at file offset {offset:#x} for the ELF file's SHA-256 are not zero")]
    ElfDigestTaken { offset: u32 },
    #[error("image of a gigabyte or more")]
    TooLarge,
}

#[cfg(test)]
mod tests;
