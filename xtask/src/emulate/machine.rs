//! A chip to run images on: QEMU's RISC-V core in plain memory; ROM and peripherals answered from here.

use std::io::Read;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::image::Image;

use super::csr::{Access, ControlRegisters};
use super::flash::Flash;
use super::gdb::{Gdb, Point, Register, Stop};
use super::registers::{self, Registers};
use super::rom::{self, Function};
use crate::qemu::QEMU;

/// A chip that has been given an image to run.
pub(crate) struct Machine<'f> {
    gdb: Gdb,
    _qemu: Qemu,
    flash: &'f mut Flash,
    registers: Registers,
    control: ControlRegisters,
    printed: Vec<u8>,
}

/// What a program did until it came to rest.
#[derive(Debug)]
pub(crate) struct Run {
    /// All that went to UART0.
    pub(crate) printed: String,
    /// How it came to rest.
    pub(crate) end: End,
}

/// How a program comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In a short loop that changes nothing.
    Idle,
    /// It reset the chip.
    Reset,
}

impl<'f> Machine<'f> {
    /// Loads the image at `start` of the flash the way the ROM (at offset 0) or the second stage does: segments for RAM
    /// are copied, those for flash appear in their windows. The core stands at its entry.
    pub(crate) fn start(flash: &'f mut Flash, start: FlashAddr, seed: &str) -> Result<Self> {
        let (qemu, stream) = Qemu::start()?;
        let mut gdb = Gdb::new(stream)?;
        let content = flash.read(start.0, Flash::LEN - start.0 as usize)?.to_vec();
        let image = Image::parse(&content, Chip::Esp32C3)?;
        gdb.write(rom::START, &rom::image())?;
        for (address, value) in Registers::presets() {
            gdb.write_word(address, value)?;
        }
        let mut table = vec![registers::MMU_INVALID; registers::MMU_ENTRIES as usize];
        for segment in image.segments().filter(|segment| segment.load_address != 0) {
            gdb.write(segment.load_address, segment.data)?;
            if WINDOWS.iter().any(|window| window.contains(&segment.load_address)) {
                let first = (segment.load_address % WINDOW) / PAGE;
                let last = (segment.load_address % WINDOW + u32::try_from(segment.data.len())? - 1) / PAGE;
                for (page, entry) in (first..=last).enumerate() {
                    let physical = (start.0 + u32::try_from(segment.file_offset)?) / PAGE + u32::try_from(page)?;
                    table[entry as usize] = physical;
                }
            }
            for place in Access::places(segment.load_address, segment.data) {
                gdb.insert(Point::Execute(place))?;
            }
        }
        gdb.write(registers::MMU_TABLE, &table.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>())?;
        gdb.insert(Point::Execute(rom::DISPATCH))?;
        for point in Registers::points() {
            gdb.insert(point)?;
        }
        gdb.set_register(Register::SP, ROM_STACK)?;
        gdb.set_register(Register::PC, image.header().entry.get())?;
        let (registers, control) = (Registers::new(seed), ControlRegisters::default());
        Ok(Self { gdb, _qemu: qemu, flash, registers, control, printed: Vec::new() })
    }

    /// Runs until the program rests.
    pub(crate) fn run(mut self) -> Result<Run> {
        let outcome = self.until_rest();
        let printed = String::from_utf8_lossy(&self.printed).into_owned();
        match outcome {
            Ok(end) => Ok(Run { printed, end }),
            Err(error) => Err(error.context(format!("it had printed:\n{printed}"))),
        }
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
                    self.gdb.wait(QUIET * 20)?.context("the core does not stop")?
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
            registers::UART0_FIFO => self.printed.push(self.gdb.read(address, 1)?[0]),
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
        let answer = match function {
            Function::ResetReason => POWER_ON,
            Function::Delay => {
                self.registers.clock().pass(first);
                0
            }
            Function::Print => {
                self.printed.push(first.to_le_bytes()[0]);
                0
            }
            Function::Reset => return Ok(Some(End::Reset)),
            Function::FlashRead => {
                aligned(first, second, third)?;
                let bytes = self.flash.read(first, third as usize)?;
                self.gdb.write(second, bytes)?;
                0
            }
            Function::FlashWrite => {
                aligned(first, second, third)?;
                let bytes = self.gdb.read(second, third as usize)?;
                self.flash.program(first, &bytes)?;
                0
            }
            Function::FlashEraseSector => {
                self.flash.erase(first.checked_mul(SECTOR).context("no such sector")?, SECTOR as usize)?;
                0
            }
            Function::FlashEraseBlock => {
                self.flash.erase(first.checked_mul(PAGE).context("no such block")?, PAGE as usize)?;
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
            Function::Nothing => 0,
        };
        after[Register::A0.0] = answer;
        after[Register::PC.0] = caller;
        self.gdb.set_registers(&after)?;
        Ok(None)
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

/// The ROM's flash functions move words.
fn aligned(flash: u32, memory: u32, len: u32) -> Result<()> {
    ensure!(
        flash.is_multiple_of(4) && memory.is_multiple_of(4) && len.is_multiple_of(4),
        "flash {flash:#x}, memory {memory:#010x}, {len} bytes: the ROM moves words only"
    );
    Ok(())
}

/// The process; it ends with this value.
struct Qemu {
    child: Child,
    socket: PathBuf,
}

impl Qemu {
    fn start() -> Result<(Self, UnixStream)> {
        // A path to a Unix socket is short: not below the checkout, wherever that is.
        let name = format!("cotter-emulate-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new(QEMU);
        // The extensions of riscv32imc, and no supervisor.
        command.args("-M none -cpu rv32,a=false,f=false,d=false,s=false,u=false,h=false -m 2040M -S".split(' '));
        command.args("-display none -serial none -monitor none -nodefaults -gdb".split(' '));
        command.arg(format!("unix:{},server=on,wait=off", socket.display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = child.spawn().with_context(|| format!("cannot start {QEMU}"))?;
        let mut qemu = Self { child, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match UnixStream::connect(&qemu.socket) {
                Ok(stream) => return Ok((qemu, stream)),
                Err(error) if Instant::now() > deadline => bail!("{QEMU} does not listen: {error}"),
                Err(_) => {}
            }
            if let Some(status) = qemu.child.try_wait()? {
                let mut said = String::new();
                if let Some(mut stderr) = qemu.child.stderr.take() {
                    stderr.read_to_string(&mut said)?;
                }
                bail!("{QEMU} ended with {status}: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);
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
