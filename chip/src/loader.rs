//! The serial loader: what answers on UART0 in download mode, the mask ROM and then esptool's flasher stub.
//!
//! Sans-IO: bytes in ([`Loader::receive`]), bytes out ([`Loader::send`]). A peer can neither make it panic nor make it
//! hold more than a few hundred KiB, whatever it sends and however little it reads.
//!
//! Code that is loaded into RAM is not executed. Whatever a tool starts there is taken for its flasher stub: it says
//! `OHAI`, and from then on the stub's answers are given. The eFuses are looked at for each command; what a tool burns
//! counts after it has had the controller read the cells again, as on the hardware.
//!
//! | file | noun |
//! |---|---|
//! | here | the commands and who may use them |
//! | `slip` | frames |
//! | `command` | requests, answers, status codes |
//! | `addresses` | the registers of each chip |
//! | `registers` | the address space |
//! | `efuse_registers` | the eFuse controller |
//! | `spi_registers` | the SPI controller and the flash part behind it |
//! | `flash_write` | a write that has begun |
//! | `read_stream` | the stub's fast read |
//!
//! Source: esptool 5.6.0 `esptool/loader.py`, `docs/en/advanced-topics/serial-protocol.rst`.

mod addresses;
mod command;
mod efuse_registers;
mod flash_write;
mod read_stream;
mod registers;
mod slip;
mod spi_registers;

use crate::board::{SecurityInfo, VirtualChip};
use crate::download_rules::DownloadRules;
use crate::efuse::Setting;
use crate::fault::PowerLost;
use command::{Answer, Failure, Request, Speaker};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use flash_write::{Begin, Encryption, FlashWrite, Packing};
use md5::{Digest, Md5};
use read_stream::{Progress, ReadStream};
use registers::Registers;

pub use command::Op;

/// A session with the loader, from one reset to the next.
pub struct Loader {
    board: VirtualChip,
    registers: Registers,
    decoder: slip::Decoder,
    speaker: Speaker,
    /// Of the part, as far as the loader knows: it does not ask, it is told.
    flash_size: u32,
    write: Option<FlashWrite>,
    ram: Option<RamWrite>,
    stream: Option<ReadStream>,
    out: Vec<u8>,
    next: Option<Next>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A reset, with the strap pins as they are.
    Reset,
    /// Start what is in flash, whatever the strap pins say.
    Run,
    /// The supply was cut.
    PowerLost,
}

/// A program that is being loaded into RAM. Only its size is kept.
struct RamWrite {
    blocks: u32,
    block_size: u32,
    sequence: u32,
}

impl Loader {
    /// The session that begins when the ROM waits for a download.
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn new(board: &VirtualChip) -> Result<Self, PowerLost> {
        Ok(Self {
            board: board.clone(),
            registers: Registers::new(board)?,
            decoder: slip::Decoder::new(),
            speaker: Speaker::Rom,
            flash_size: ROM_FLASH_SIZE,
            write: None,
            ram: None,
            stream: None,
            out: Vec::new(),
            next: None,
        })
    }

    /// Takes bytes from the peer and returns how many: it takes no more while much is waiting to be sent.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        for (taken, byte) in bytes.iter().enumerate() {
            if self.out.len() >= OUT_MAX || self.next.is_some() {
                return taken;
            }
            if let Some(frame) = self.decoder.push(*byte) {
                self.frame(&frame);
            }
        }
        bytes.len()
    }

    /// What is to be sent to the peer now.
    pub fn send(&mut self) -> Vec<u8> {
        self.stream();
        std::mem::take(&mut self.out)
    }

    /// How the session ended, if it has. What [`Self::send`] still has belongs to it.
    #[must_use]
    pub const fn next(&self) -> Option<Next> {
        self.next
    }

    /// How many program commands the eFuse controller has got.
    #[must_use]
    pub const fn burns(&self) -> u64 {
        self.registers.burns()
    }

    /// True while the stub answers instead of the ROM.
    #[must_use]
    pub fn is_stub(&self) -> bool {
        self.speaker == Speaker::Stub
    }

    fn frame(&mut self, frame: &[u8]) {
        if let Some(stream) = &mut self.stream {
            if stream.acknowledge(frame).is_err() {
                self.stream = None;
            }
            return self.stream();
        }
        let Some(request) = Request::parse(frame) else { return };
        if !self.rules().goes_on() {
            return;
        }
        let speaker = self.speaker;
        let answer = self.answer(&request);
        if answer == Err(Failure::PowerLost) {
            self.next = Some(Next::PowerLost);
            return;
        }
        let repeats = if request.op == Op::SYNC { SYNC_ANSWERS } else { 1 };
        for _ in 0..repeats {
            command::answer(request.op, answer.as_ref().map_err(|failure| *failure), speaker, &mut self.out);
        }
        // The stub greets after the ROM has answered.
        if speaker != self.speaker {
            slip::encode(*b"OHAI", &mut self.out);
        }
        self.stream();
    }

    fn answer(&mut self, request: &Request<'_>) -> Result<Answer, Failure> {
        if !self.rules().is_open() && !request.op.is_known_to_secure_mode() {
            return Err(Failure::UnknownCommand);
        }
        match request.op {
            Op::SYNC => Ok(Answer::of_value(match self.speaker {
                Speaker::Rom => SYNC_VALUE,
                Speaker::Stub => 0,
            })),
            Op::READ_REG => request.words().map(|[address]| Answer::of_value(self.registers.read(address))),
            Op::WRITE_REG => self.write_registers(request.data),
            Op::GET_SECURITY_INFO => self.security_info(),
            Op::SPI_ATTACH => Ok(Answer::DONE),
            Op::SPI_SET_PARAMS => {
                let [_id, size, _block, _sector, _page, _status_mask] = request.words()?;
                self.flash_size = size;
                Ok(Answer::DONE)
            }
            Op::CHANGE_BAUDRATE => {
                let [baud, _before] = request.words()?;
                self.registers.set_baud(baud);
                Ok(Answer::DONE)
            }
            Op::FLASH_BEGIN => self.begin_write(request, Packing::Raw),
            Op::FLASH_DEFL_BEGIN => self.begin_write(request, Packing::Deflated),
            Op::FLASH_DATA | Op::FLASH_DEFL_DATA => self.write_block(request),
            Op::FLASH_END | Op::FLASH_DEFL_END => self.end_write(request),
            Op::MEM_BEGIN => self.begin_ram(request),
            Op::MEM_DATA => self.ram_block(request),
            Op::MEM_END => self.end_ram(request),
            Op::READ_FLASH_SLOW if self.speaker == Speaker::Rom => self.read_slow(request),
            Op::SPI_FLASH_MD5 => self.digest(request),
            op if self.speaker == Speaker::Stub => self.stub_answer(op, request),
            _ => Err(Failure::UnknownCommand),
        }
    }

    fn stub_answer(&mut self, op: Op, request: &Request<'_>) -> Result<Answer, Failure> {
        let flash = self.board.raw_flash();
        match op {
            Op::ERASE_FLASH => {
                flash.erase_at(FlashAddr(0), flash.size()).map_err(Failure::of_write)?;
                Ok(Answer::DONE)
            }
            Op::ERASE_REGION => {
                let [offset, len] = request.words()?;
                if !offset.is_multiple_of(SECTOR) || !len.is_multiple_of(SECTOR) {
                    return Err(Failure::BadLength);
                }
                flash.erase_at(FlashAddr(offset), FlashLen(len)).map_err(Failure::of_write)?;
                Ok(Answer::DONE)
            }
            Op::READ_FLASH => {
                self.stream = Some(ReadStream::begin(&self.board, request.words()?)?);
                Ok(Answer::DONE)
            }
            Op::RUN_USER_CODE => {
                self.next = Some(Next::Run);
                Ok(Answer::DONE)
            }
            Op::FLASH_ENCRYPT_DATA => {
                self.may_encrypt()?;
                self.write.as_mut().ok_or(Failure::NotWriting)?.encrypt();
                self.write_block(request)
            }
            _ => Err(Failure::UnknownCommand),
        }
    }

    /// Quadruples of address, value, mask and a delay, which does not matter here.
    fn write_registers(&mut self, mut data: &[u8]) -> Result<Answer, Failure> {
        if data.is_empty() || !data.len().is_multiple_of(16) {
            return Err(Failure::BadLength);
        }
        while let Some(([address, value, mask, _delay], rest)) = command::words(data) {
            self.registers.write(address, value, mask)?;
            data = rest;
        }
        // What that may have burned and read back counts at once.
        if self.rules().is_open() { Ok(Answer::DONE) } else { Err(Failure::UnknownCommand) }
    }

    fn security_info(&self) -> Result<Answer, Failure> {
        let info = SecurityInfo::of(self.board.efuses()).to_bytes(self.board.chip());
        info.map(Answer::of_payload).ok_or(Failure::UnknownCommand)
    }

    fn begin_write(&mut self, request: &Request<'_>, packing: Packing) -> Result<Answer, Failure> {
        self.write = None;
        let ([erase_len, blocks, block_size, offset], flag) = request.words_and_flag()?;
        let encryption = if flag & 0xff == 0 { Encryption::Plain } else { Encryption::Encrypted };
        if encryption == Encryption::Encrypted {
            self.may_encrypt()?;
        }
        let size = self.flash_size.min(self.board.raw_flash().size().0);
        let begin = Begin { size, erase_len, blocks, block_size, offset, encryption, packing };
        self.write = Some(FlashWrite::begin(&self.board, begin)?);
        Ok(Answer::DONE)
    }

    fn write_block(&mut self, request: &Request<'_>) -> Result<Answer, Failure> {
        let (sequence, content) = request.block()?;
        let write = self.write.as_mut().ok_or(Failure::NotWriting)?;
        write.block(&self.board, sequence, content).map(|()| Answer::DONE)
    }

    /// The word says not to reset. The ROM then runs what is in flash, the stub stays.
    fn end_write(&mut self, request: &Request<'_>) -> Result<Answer, Failure> {
        let [stays] = request.words()?;
        if let Some(write) = self.write.take() {
            let is_short = write.finish(&self.board)?;
            if is_short && self.speaker == Speaker::Stub {
                return Err(Failure::NotEnough);
            }
        }
        self.next = match (stays, self.speaker) {
            (0, _) => Some(Next::Reset),
            (_, Speaker::Rom) => Some(Next::Run),
            (_, Speaker::Stub) => None,
        };
        Ok(Answer::DONE)
    }

    /// What the chip does not do it refuses at the beginning. Not observed: with which code.
    fn may_encrypt(&self) -> Result<(), Failure> {
        if self.rules().encrypts() { Ok(()) } else { Err(Failure::Forbidden) }
    }

    fn begin_ram(&mut self, request: &Request<'_>) -> Result<Answer, Failure> {
        let ([len, blocks, block_size, _address], _) = request.words_and_flag()?;
        if blocks.checked_mul(block_size).is_none_or(|all| all < len) {
            return Err(Failure::BadLength);
        }
        self.ram = Some(RamWrite { blocks, block_size, sequence: 0 });
        Ok(Answer::DONE)
    }

    fn ram_block(&mut self, request: &Request<'_>) -> Result<Answer, Failure> {
        let (sequence, content) = request.block()?;
        let ram = self.ram.as_mut().ok_or(Failure::NotWriting)?;
        if sequence != ram.sequence || sequence >= ram.blocks || content.len() > ram.block_size as usize {
            return Err(Failure::BadBlock);
        }
        ram.sequence += 1;
        Ok(Answer::DONE)
    }

    fn end_ram(&mut self, request: &Request<'_>) -> Result<Answer, Failure> {
        let [stays, _entry] = request.words()?;
        let has_secure_boot = Setting::SecureBoot.read(self.registers.efuses()) != 0;
        let secure_boot_blocks_it = self.board.chip() == Chip::Esp32S3 && has_secure_boot;
        if stays == 0 && !secure_boot_blocks_it {
            self.ram.take().ok_or(Failure::NotWriting)?;
            self.speaker = Speaker::Stub;
            self.write = None;
        }
        Ok(Answer::DONE)
    }

    /// Always 64 bytes, however many were asked for. espflash 4.7.0 sends two words more, those of the stub's read.
    fn read_slow(&mut self, request: &Request<'_>) -> Result<Answer, Failure> {
        let [offset, len] = request.words().or_else(|_| request.words().map(|[offset, len, _, _]| [offset, len]))?;
        let hijacked = self.board.chip() == Chip::Esp32S3 && self.registers.read(addresses::ESP32S3_READ_POINTER) != 0;
        if hijacked && self.ram.take().is_some() {
            self.speaker = Speaker::Stub;
            return Ok(Answer::DONE);
        }
        let mut content = vec![0; SLOW_READ];
        let wanted = content.get_mut(..len as usize).ok_or(Failure::ReadLength)?;
        self.board.raw_flash().read_at(FlashAddr(offset), wanted).map_err(Failure::of_read)?;
        Ok(Answer::of_payload(content))
    }

    fn digest(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let [offset, len, _, _] = request.words()?;
        let flash = self.board.raw_flash();
        if offset.checked_add(len).is_none_or(|end| end > flash.size().0) {
            return Err(Failure::FlashRead);
        }
        let mut digest = Md5::new();
        let mut content = vec![0; SECTOR as usize];
        for at in (offset..offset + len).step_by(SECTOR as usize) {
            let len = (offset + len - at).min(SECTOR) as usize;
            flash.read_at(FlashAddr(at), &mut content[..len]).map_err(Failure::of_read)?;
            digest.update(&content[..len]);
        }
        let digest = digest.finalize();
        Ok(Answer::of_payload(match self.speaker {
            Speaker::Rom => digest.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
            Speaker::Stub => digest.to_vec(),
        }))
    }

    fn stream(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        match stream.fill(&self.board, OUT_MAX, &mut self.out) {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Finished) => self.stream = None,
            Err(failure) => {
                self.stream = None;
                if failure == Failure::PowerLost {
                    self.next = Some(Next::PowerLost);
                }
            }
        }
    }

    const fn rules(&self) -> DownloadRules<'_> {
        DownloadRules::of_registers(self.registers.efuses())
    }
}

impl std::fmt::Debug for Loader {
    /// No content: registers and frames may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("speaker", &self.speaker).finish_non_exhaustive()
    }
}

/// No more is taken from the peer while this much waits for it.
const OUT_MAX: usize = 0x1_0000;

/// Both answer a SYNC eight times; the stub is known by its value of 0.
const SYNC_ANSWERS: usize = 8;
/// What the ROMs of ESP32 and ESP32-C3 have in their answers to SYNC, in public traces of esptool.
const SYNC_VALUE: u32 = 0x5555_2007;

/// What the ROM takes the part for until `SPI_SET_PARAMS` tells; in secure download mode tools cannot find out by
/// themselves. Source: esptool 5.6.0 `cmds.py`, `erase_region`; espressif/esp-idf issue 10959.
const ROM_FLASH_SIZE: u32 = 2 << 20;

/// Bytes in each answer to `READ_FLASH_SLOW`.
const SLOW_READ: usize = 64;

#[cfg(test)]
mod tests;
