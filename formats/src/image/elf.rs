//! The part of an ELF file that becomes an image: 32-bit little-endian sections with content and an address.
//!
//! Source: System V ABI, chapter 4 (ELF-32); which sections count is esptool 5.6.0's observed choice.

use crate::read::{ReadError, Reader};

/// An ELF file whose section headers and names lie within it.
#[derive(Clone, Copy, Debug)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    entry: u32,
    headers: &'a [u8],
    names: &'a [u8],
    programs: ProgramTable,
}

/// A section, or a segment of the program headers, that goes into an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Up to its NUL; segments have none.
    pub name: &'a [u8],
    /// CPU address.
    pub address: u32,
    /// Not empty.
    pub data: &'a [u8],
}

impl<'a> Elf<'a> {
    /// Parses the file header and checks every loadable section's bounds.
    ///
    /// # Errors
    /// [`ElfError`]: not an ELF file of this kind, or something in it lies outside of it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != *b"\x7fELF" {
            return Err(ElfError::Magic);
        }
        let [class, encoding, version] = reader.array()?;
        if (class, encoding, version) != (1, 1, 1) {
            return Err(ElfError::Kind { class, encoding, version });
        }
        reader.take(9)?; // rest of e_ident
        reader.take(2)?; // e_type
        let machine = reader.u16_le()?;
        if !matches!(machine, XTENSA | RISC_V) {
            return Err(ElfError::Machine { found: machine });
        }
        reader.take(4)?; // e_version
        let entry = reader.u32_le()?;
        let programs_at = reader.u32_le()?;
        let table_at = reader.u32_le()?;
        reader.take(6)?; // e_flags, e_ehsize
        let programs = ProgramTable { at: programs_at, entry_size: reader.u16_le()?, count: reader.u16_le()? };
        let (entry_size, count, names_index) = (reader.u16_le()?, reader.u16_le()?, reader.u16_le()?);
        if usize::from(entry_size) != SECTION_HEADER {
            return Err(ElfError::EntrySize { found: entry_size });
        }

        let table_len = u32::from(count) * u32::from(entry_size);
        let headers = slice(bytes, table_at, table_len).ok_or(ElfError::Table { at: table_at, count })?;
        let mut elf = Self { bytes, entry, headers, names: &[], programs };
        let names = elf.headers().nth(names_index.into()).filter(|header| header.kind == STRING_TABLE);
        let names = names.ok_or(ElfError::Names { index: names_index })?;
        elf.names = slice(bytes, names.offset, names.size).ok_or(ElfError::Names { index: names_index })?;

        let mut total = 0usize;
        for (index, header) in elf.headers().enumerate().filter(|(_, header)| header.is_loaded()) {
            elf.section(&header).ok_or(ElfError::Section { index, at: header.offset, length: header.size })?;
            header.address.checked_add(header.size).ok_or(ElfError::Address { index, address: header.address })?;
            total = total.saturating_add(header.size as usize);
        }
        // Real sections do not share bytes; ones that do could blow a small file up into gigabytes.
        if total > bytes.len() {
            return Err(ElfError::Overlap { total, len: bytes.len() });
        }
        Ok(elf)
    }

    /// Where execution begins.
    #[must_use]
    pub const fn entry(&self) -> u32 {
        self.entry
    }

    /// The sections for an image, in the order of their headers: PROGBITS and the arrays of constructors and
    /// destructors, if they have an address and content. The ALLOC flag does not matter, as with esptool.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        let elf = *self;
        self.headers().filter(SectionHeader::is_loaded).filter_map(move |header| elf.section(&header))
    }

    /// The loadable segments of the program headers, at their load addresses, in the order of the headers.
    ///
    /// # Errors
    /// [`ElfError`]: there are no program headers, or one of them lies outside of the file or the address space.
    pub fn segments(&self) -> Result<impl Iterator<Item = Section<'a>> + use<'a>, ElfError> {
        let ProgramTable { at, entry_size, count } = self.programs;
        if usize::from(entry_size) != PROGRAM_HEADER || count == 0 {
            return Err(ElfError::ProgramEntry { count, size: entry_size });
        }
        let table = slice(self.bytes, at, u32::from(count) * u32::from(entry_size));
        let table = table.ok_or(ElfError::Programs { at, count })?;
        let loaded = |raw: &[u8; PROGRAM_HEADER]| {
            let (words, _) = raw.as_chunks::<4>();
            let [kind, offset, address, size] = [0, 1, 3, 4].map(|index| u32::from_le_bytes(words[index]));
            (kind == LOAD && address != 0 && size != 0).then_some((offset, address, size))
        };
        let rows = table.as_chunks::<PROGRAM_HEADER>().0.iter();
        let mut total = 0usize;
        for (index, (offset, address, size)) in rows.clone().enumerate().filter_map(|(n, raw)| Some((n, loaded(raw)?)))
        {
            slice(self.bytes, offset, size).ok_or(ElfError::Segment { index, at: offset, length: size })?;
            address.checked_add(size).ok_or(ElfError::Address { index, address })?;
            total = total.saturating_add(size as usize);
        }
        if total > self.bytes.len() {
            return Err(ElfError::Overlap { total, len: self.bytes.len() });
        }
        let bytes = self.bytes;
        Ok(rows.filter_map(move |raw| {
            let (offset, address, size) = loaded(raw)?;
            Some(Section { name: &[], address, data: slice(bytes, offset, size)? })
        }))
    }

    fn headers(&self) -> impl Iterator<Item = SectionHeader> + use<'a> {
        self.headers.as_chunks::<SECTION_HEADER>().0.iter().map(SectionHeader::decode)
    }

    fn section(&self, header: &SectionHeader) -> Option<Section<'a>> {
        let name = self.names.get(usize::try_from(header.name).ok()?..)?;
        let name = &name[..name.iter().position(|&byte| byte == 0)?];
        Some(Section { name, address: header.address, data: slice(self.bytes, header.offset, header.size)? })
    }
}

/// Where the program headers are said to be; nobody has looked yet.
#[derive(Clone, Copy, Debug)]
struct ProgramTable {
    at: u32,
    entry_size: u16,
    count: u16,
}

struct SectionHeader {
    name: u32,
    kind: u32,
    address: u32,
    offset: u32,
    size: u32,
}

impl SectionHeader {
    fn decode(raw: &[u8; SECTION_HEADER]) -> Self {
        let (words, _) = raw.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        Self { name: word(0), kind: word(1), address: word(3), offset: word(4), size: word(5) }
    }

    const fn is_loaded(&self) -> bool {
        matches!(self.kind, PROGBITS | INIT_ARRAY | FINI_ARRAY | PREINIT_ARRAY) && self.address != 0 && self.size != 0
    }
}

fn slice(bytes: &[u8], at: u32, len: u32) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(usize::try_from(len).ok()?)?)
}

const SECTION_HEADER: usize = 40;
const PROGRAM_HEADER: usize = 32;
/// Type of a program header whose segment is loaded.
const LOAD: u32 = 1;
const XTENSA: u16 = 94;
const RISC_V: u16 = 243;
const PROGBITS: u32 = 1;
const STRING_TABLE: u32 = 3;
const INIT_ARRAY: u32 = 14;
const FINI_ARRAY: u32 = 15;
const PREINIT_ARRAY: u32 = 16;

/// Why an ELF file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ElfError {
    /// Ends inside its file header.
    #[error("ELF: {0}")]
    Read(#[from] ReadError),
    #[error("not an ELF file")]
    Magic,
    #[error("ELF: class {class}, encoding {encoding}, version {version}; 32-bit little-endian version 1 is needed")]
    Kind { class: u8, encoding: u8, version: u8 },
    #[error("ELF: machine {found} is neither Xtensa nor RISC-V")]
    Machine { found: u16 },
    #[error("ELF: section headers of {found} bytes, expected 40")]
    EntrySize { found: u16 },
    #[error("ELF: {count} section headers at {at:#x} go past the end of the file")]
    Table { at: u32, count: u16 },
    #[error("ELF: section {index} is no table of section names")]
    Names { index: u16 },
    #[error("ELF: content or name of section {index} ({length} bytes at {at:#x}) goes past the end of the file")]
    Section { index: usize, at: u32, length: u32 },
    #[error("ELF: section {index} at {address:#x} goes past the address space")]
    Address { index: usize, address: u32 },
    #[error("ELF: {count} program headers of {size} bytes; some of 32 are needed to build from segments")]
    ProgramEntry { count: u16, size: u16 },
    #[error("ELF: {count} program headers at {at:#x} go past the end of the file")]
    Programs { at: u32, count: u16 },
    #[error("ELF: segment {index} ({length} bytes at {at:#x}) goes past the end of the file")]
    Segment { index: usize, at: u32, length: u32 },
    #[error("ELF: sections of {total} bytes in a file of {len}")]
    Overlap { total: usize, len: usize },
}
