//! A chip to run images on: QEMU's RISC-V core in plain memory; ROM and peripherals answered from here.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::image::Image;

use super::csr::{Access, ControlRegisters};
use super::flash::Flash;
use super::gdb::{ANSWER, Gdb, Point, Register, Stop};
use super::process::Qemu;
use super::registers::{self, Registers};
use super::rom::{self, Function};

/// A chip that has been given an image to run.
pub(crate) struct Machine<'f> {
    gdb: Gdb,
    _qemu: Qemu,
    flash: &'f mut Flash,
    registers: Registers,
    control: ControlRegisters,
    printed: Vec<u8>,
    /// Flash operations so far.
    operations: u32,
    cut: Option<Cut>,
}

/// When the power fails: at a flash operation, counted from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) operation: u32,
    pub(crate) phase: Phase,
}

/// How far the operation has come by then.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Not begun; the one before is complete.
    Before,
    /// The first half of its bytes is done.
    Torn,
}

/// What a program did until it came to rest.
#[derive(Debug)]
pub(crate) struct Run {
    /// All that went to UART0.
    pub(crate) printed: String,
    /// How it came to rest.
    pub(crate) end: End,
    /// How often it programmed or erased flash.
    pub(crate) operations: u32,
}

/// How a program comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In a short loop that changes nothing.
    Idle,
    /// It reset the chip.
    Reset,
    /// The power failed.
    PowerLost,
}

impl<'f> Machine<'f> {
    /// Loads the image at `start` of the flash the way the ROM (at offset 0) or the second stage does: segments for RAM
    /// are copied, those for flash appear in their windows. The core stands at its entry.
    pub(crate) fn start(flash: &'f mut Flash, start: FlashAddr, seed: &str) -> Result<Self> {
        let content = flash.read(start.0, Flash::LEN - start.0 as usize)?;
        let image = Image::parse(content, Chip::Esp32C3)?;
        let mut table = vec![registers::MMU_INVALID; registers::MMU_ENTRIES as usize];
        let mut memory = vec![(rom::START, rom::image()), (rom::FLASH, flash.read(0, Flash::LEN)?.to_vec())];
        let mut points = Registers::points();
        points.push(Point::Execute(rom::DISPATCH));
        for segment in image.segments().filter(|segment| segment.load_address != 0) {
            memory.push((segment.load_address, segment.data.to_vec()));
            if WINDOWS.iter().any(|window| window.contains(&segment.load_address)) {
                let first = (segment.load_address % WINDOW) / PAGE;
                let last = (segment.load_address % WINDOW + u32::try_from(segment.data.len())? - 1) / PAGE;
                let physical = (start.0 + u32::try_from(segment.file_offset)?) / PAGE;
                (first..=last).zip(physical..).for_each(|(entry, page)| table[entry as usize] = page);
            }
            points.extend(Access::places(segment.load_address, segment.data).into_iter().map(Point::Execute));
        }
        memory.push((registers::MMU_TABLE, table.into_iter().flat_map(u32::to_le_bytes).collect()));
        for (address, value) in Registers::presets() {
            memory.push((address, value.to_le_bytes().to_vec()));
        }
        let (qemu, stream) = Qemu::start(&memory)?;
        let mut gdb = Gdb::new(stream)?;
        for point in points {
            gdb.insert(point)?;
        }
        gdb.set_register(Register::SP, ROM_STACK)?;
        gdb.set_register(Register::PC, image.header().entry.get())?;
        let (registers, control) = (Registers::new(seed), ControlRegisters::default());
        Ok(Self { gdb, _qemu: qemu, flash, registers, control, printed: Vec::new(), operations: 0, cut: None })
    }

    /// The same chip with a power supply that will fail.
    pub(crate) fn with_cut(self, cut: Cut) -> Self {
        Self { cut: Some(cut), ..self }
    }

    /// Runs until the program rests.
    pub(crate) fn run(mut self) -> Result<Run> {
        let outcome = self.until_rest();
        let collected = self.collect_console();
        let printed = String::from_utf8_lossy(&self.printed).into_owned();
        let end = outcome.and_then(|end| collected.map(|()| end));
        let end = end.with_context(|| format!("it had printed:\n{printed}"))?;
        Ok(Run { printed, end, operations: self.operations })
    }

    fn until_rest(&mut self) -> Result<End> {
        let deadline = Instant::now() + LONGEST;
        loop {
            ensure!(Instant::now() < deadline, "no rest within {LONGEST:?}");
            self.gdb.go_on()?;
            let stop = match self.gdb.wait(QUIET)? {
                Some(stop) => stop,
                None => {
                    self.gdb.interrupt()?;
                    self.gdb.wait(ANSWER)?.context("the core does not stop")?
                }
            };
            match stop {
                Stop::Interrupted => {
                    if let Some(end) = self.resting()? {
                        return Ok(end);
                    }
                }
                Stop::Watched { address } => {
                    if let Some(end) = self.access(address)? {
                        return Ok(end);
                    }
                }
                Stop::Trap => {
                    let registers = self.gdb.registers()?;
                    if registers[Register::PC.0] == rom::DISPATCH {
                        if let Some(end) = self.call(&registers)? {
                            return Ok(end);
                        }
                    } else {
                        self.control_register(&registers)?;
                    }
                }
            }
        }
    }

    /// Takes what the ROM has printed since the last time.
    fn collect_console(&mut self) -> Result<()> {
        let count = self.gdb.read_word(rom::CONSOLE)?;
        self.printed.extend(self.gdb.read(rom::CONSOLE + 4, count as usize)?);
        self.gdb.write_word(rom::CONSOLE, 0)
    }

    /// True rest: within a few instructions the core is where it was, with the same registers.
    fn resting(&mut self) -> Result<Option<End>> {
        let before = self.gdb.registers()?;
        for _ in 0..16 {
            self.gdb.step()?;
            if self.gdb.registers()? == before {
                return Ok(Some(End::Idle));
            }
        }
        Ok(None)
    }

    /// The program is about to access a watched register.
    fn access(&mut self, address: u32) -> Result<Option<End>> {
        let held = self.gdb.read_word(address)?;
        for (address, value) in self.registers.before_read(address, held) {
            self.gdb.write_word(address, value)?;
        }
        let points = Registers::points();
        let here =
            points.into_iter().filter(|point| matches!(point, Point::Read(at) | Point::Write(at) if *at == address));
        let here = here.collect::<Vec<_>>();
        for &point in &here {
            self.gdb.remove(point)?;
        }
        self.gdb.step()?;
        for &point in &here {
            self.gdb.insert(point)?;
        }
        match address {
            registers::UART0_FIFO => {
                self.collect_console()?;
                self.printed.push(self.gdb.read(address, 1)?[0]);
            }
            registers::RTC_OPTIONS if self.gdb.read_word(address)? & registers::RESET_CHIP != 0 => {
                return Ok(Some(End::Reset));
            }
            _ => {}
        }
        Ok(None)
    }

    /// The program has called the ROM.
    fn call(&mut self, registers: &[u32; 33]) -> Result<Option<End>> {
        let address = registers[Register::TP.0] - 4;
        let caller = registers[Register::RA.0];
        let function = Function::at(address)
            .with_context(|| format!("ROM function {address:#010x}, called from {caller:#010x}, is not emulated"))?;
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|argument| registers[Register::A0.0 + argument]);
        let mut after = *registers;
        let operations = self.operations;
        let answer = match function {
            Function::ResetReason => POWER_ON,
            Function::Delay => {
                self.registers.clock().pass(first);
                0
            }
            Function::Reset => return Ok(Some(End::Reset)),
            Function::BadFlashRead => bail!("a read of flash {first:#x} to {second:#010x}, {third} bytes"),
            Function::FlashWrite => {
                let words = [first, second, third].iter().all(|number| number.is_multiple_of(4));
                ensure!(words, "the ROM writes words, not {third} bytes at {first:#x} from {second:#010x}");
                let bytes = self.gdb.read(second, third as usize)?;
                let done = self.flash_operation(bytes.len());
                self.flash.program(first, &bytes[..done])?;
                self.gdb.write(rom::FLASH + first, self.flash.read(first, done)?)?;
                0
            }
            Function::FlashEraseSector | Function::FlashEraseBlock => {
                let len = if matches!(function, Function::FlashEraseBlock) { PAGE } else { SECTOR };
                let start = first.checked_mul(len).context("no such sector")?;
                let done = self.flash_operation(len as usize);
                self.flash.erase(start, done)?;
                self.gdb.write(rom::FLASH + start, self.flash.read(start, done)?)?;
                0
            }
            Function::Arithmetic(operation) => {
                let [a, b] =
                    [(first, second), (third, fourth)].map(|(low, high)| u64::from(high) << 32 | u64::from(low));
                let result = operation(a, b).with_context(|| format!("{address:#010x} of {a} and {b} is nothing"))?;
                let [low, high] = registers::halves(result);
                after[Register::A1.0] = high;
                low
            }
        };
        if self.operations > operations && self.cut.is_some_and(|cut| cut.operation == operations) {
            return Ok(Some(End::PowerLost));
        }
        after[Register::A0.0] = answer;
        after[Register::PC.0] = caller;
        self.gdb.set_registers(&after)?;
        Ok(None)
    }

    /// Counts an operation on `len` bytes; how many of them get done.
    fn flash_operation(&mut self, len: usize) -> usize {
        let cut = self.cut.filter(|cut| cut.operation == self.operations);
        self.operations += 1;
        match cut.map(|cut| cut.phase) {
            None => len,
            Some(Phase::Before) => 0,
            Some(Phase::Torn) => len / 2,
        }
    }

    /// The program has come to an instruction that QEMU's core does not have.
    fn control_register(&mut self, registers: &[u32; 33]) -> Result<()> {
        let at = registers[Register::PC.0];
        let instruction = self.gdb.read_word(at)?;
        let access = Access::decode(instruction)
            .with_context(|| format!("stopped at {at:#010x}, where {instruction:#010x} is"))?;
        let read = self.control.execute(access, registers, self.registers.clock());
        if access.destination != Register(0) {
            self.gdb.set_register(access.destination, read)?;
        }
        self.gdb.set_register(Register::PC, at + 4)
    }
}

/// `RESET_REASON_CHIP_POWER_ON`
const POWER_ON: u32 = 1;
/// Where the ROM's stack begins.
const ROM_STACK: u32 = 0x3fcd_e710;
/// Instructions and data, onto the same flash through the same table.
const WINDOWS: [Range<u32>; 2] = [0x3c00_0000..0x3c80_0000, 0x4200_0000..0x4280_0000];
const WINDOW: u32 = 0x80_0000;
const PAGE: u32 = 0x1_0000;
const SECTOR: u32 = 0x1000;
/// A core that needs nothing from us for so long may be done.
const QUIET: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(40);
