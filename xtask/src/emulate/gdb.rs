//! The GDB remote protocol, as far as QEMU's stub speaks it and an emulated chip needs it.
//!
//! Source: GDB manual, appendix "GDB Remote Serial Protocol"; QEMU 7.2 `gdbstub/gdbstub.c`.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// A stub that has one core, which is stopped whenever a method other than [`Gdb::wait`] runs.
pub(crate) struct Gdb {
    stream: UnixStream,
    received: Vec<u8>,
    /// The stream's timeout, as last set.
    patience: Duration,
}

/// Why the core stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At a breakpoint, or after a single step.
    Trap,
    /// Before an access to this watched address.
    Watched { address: u32 },
    /// Because of [`Gdb::interrupt`].
    Interrupted,
}

/// What stops the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// It is about to execute this address.
    Execute(u32),
    /// It is about to write this word.
    Write(u32),
    /// It is about to read this word.
    Read(u32),
}

/// A register, by the stub's number: x0 to x31, then pc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) usize);

impl Register {
    pub(crate) const RA: Self = Self(1);
    pub(crate) const SP: Self = Self(2);
    pub(crate) const TP: Self = Self(4);
    pub(crate) const A0: Self = Self(10);
    pub(crate) const A1: Self = Self(11);
    pub(crate) const PC: Self = Self(32);
}

impl Gdb {
    /// Greets the stub.
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_write_timeout(Some(ANSWER))?;
        let mut gdb = Self { stream, received: Vec::new(), patience: Duration::ZERO };
        // The stub knows single registers only for who has asked for their description.
        gdb.ask("qXfer:features:read:target.xml:0,ffb")?;
        Ok(gdb)
    }

    /// All registers, x0 first, pc last.
    pub(crate) fn registers(&mut self) -> Result<[u32; 33]> {
        let answer = self.ask("g")?;
        let bytes = unhex(&answer)?;
        let mut registers = [0; 33];
        ensure!(bytes.len() >= 4 * registers.len(), "a core with {} bytes of registers", bytes.len());
        for (register, bytes) in registers.iter_mut().zip(bytes.chunks_exact(4)) {
            *register = u32::from_le_bytes(bytes.try_into()?);
        }
        Ok(registers)
    }

    /// All at once, in the same order.
    pub(crate) fn set_registers(&mut self, registers: &[u32; 33]) -> Result<()> {
        let bytes = registers.iter().flat_map(|register| register.to_le_bytes()).collect::<Vec<_>>();
        self.command(&format!("G{}", hex(&bytes)))
    }

    pub(crate) fn set_register(&mut self, register: Register, value: u32) -> Result<()> {
        self.command(&format!("P{:x}={}", register.0, hex(&value.to_le_bytes())))
    }

    pub(crate) fn read(&mut self, address: u32, len: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let part = (len - bytes.len()).min(CHUNK);
            let at = address + u32::try_from(bytes.len())?;
            let found = unhex(&self.ask(&format!("m{at:x},{part:x}"))?)?;
            ensure!(found.len() == part, "{at:#010x}: asked for {part} bytes, got {}", found.len());
            bytes.extend(found);
        }
        Ok(bytes)
    }

    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        for (index, part) in bytes.chunks(CHUNK).enumerate() {
            let at = address + u32::try_from(index * CHUNK)?;
            self.command(&format!("M{at:x},{:x}:{}", part.len(), hex(part)))?;
        }
        Ok(())
    }

    pub(crate) fn read_word(&mut self, address: u32) -> Result<u32> {
        let bytes = self.read(address, 4)?;
        Ok(u32::from_le_bytes(bytes.as_slice().try_into()?))
    }

    pub(crate) fn write_word(&mut self, address: u32, value: u32) -> Result<()> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn insert(&mut self, point: Point) -> Result<()> {
        self.command(&format!("Z{}", point.spelled()))
    }

    pub(crate) fn remove(&mut self, point: Point) -> Result<()> {
        self.command(&format!("z{}", point.spelled()))
    }

    /// Executes one instruction.
    pub(crate) fn step(&mut self) -> Result<()> {
        self.send("s")?;
        self.wait(ANSWER)?.context("a single step did not end")?;
        Ok(())
    }

    /// Lets the core run; [`Gdb::wait`] tells when it stops.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Stops a running core; [`Gdb::wait`] tells when it has.
    pub(crate) fn interrupt(&mut self) -> Result<()> {
        self.stream.write_all(&[0x03])?;
        Ok(())
    }

    /// Waits for a running core to stop; `None` if it still runs.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<Option<Stop>> {
        let Some(answer) = self.receive(patience)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&answer).into_owned();
        let signal = text.strip_prefix('T').or_else(|| text.strip_prefix('S')).and_then(|rest| rest.get(..2));
        for field in text.get(3..).unwrap_or_default().split(';') {
            if let Some((_, address)) = field.split_once("watch:") {
                let address = u32::from_str_radix(address, 16).with_context(|| format!("stopped with {text}"))?;
                return Ok(Some(Stop::Watched { address }));
            }
        }
        match signal {
            Some("05") => Ok(Some(Stop::Trap)),
            Some("02") => Ok(Some(Stop::Interrupted)),
            _ => bail!("the core stopped with {text:?}"),
        }
    }

    fn command(&mut self, command: &str) -> Result<()> {
        let answer = self.ask(command)?;
        let shown = command.get(..24).unwrap_or(command);
        ensure!(answer == b"OK", "QEMU answered {:?} to {shown}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    fn ask(&mut self, command: &str) -> Result<Vec<u8>> {
        self.send(command)?;
        self.receive(ANSWER)?.with_context(|| format!("no answer to {}", command.get(..24).unwrap_or(command)))
    }

    fn send(&mut self, command: &str) -> Result<()> {
        let sum = command.bytes().fold(0u8, u8::wrapping_add);
        self.stream.write_all(format!("${command}#{sum:02x}").as_bytes()).context("QEMU is gone")
    }

    /// The content of the next packet, acknowledged.
    fn receive(&mut self, patience: Duration) -> Result<Option<Vec<u8>>> {
        if self.patience != patience {
            self.stream.set_read_timeout(Some(patience))?;
            self.patience = patience;
        }
        loop {
            if let Some(packet) = self.next_packet()? {
                self.stream.write_all(b"+")?;
                return Ok(Some(packet));
            }
            let mut part = [0; 0x2000];
            match self.stream.read(&mut part) {
                Ok(0) => bail!("QEMU closed the connection"),
                Ok(len) => self.received.extend(&part[..len]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn next_packet(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(start) = self.received.iter().position(|&byte| byte == b'$') else {
            ensure!(!self.received.contains(&b'-'), "QEMU understood a packet wrongly");
            self.received.clear();
            return Ok(None);
        };
        let Some(end) = self.received[start..].iter().position(|&byte| byte == b'#').map(|end| start + end) else {
            return Ok(None);
        };
        if self.received.len() < end + 3 {
            return Ok(None);
        }
        let packet = self.received[start + 1..end].to_vec();
        self.received.drain(..end + 3);
        Ok(Some(packet))
    }
}

impl Point {
    fn spelled(self) -> String {
        match self {
            Self::Execute(address) => format!("0,{address:x},4"),
            Self::Write(address) => format!("2,{address:x},4"),
            Self::Read(address) => format!("3,{address:x},4"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(text)?;
    ensure!(text.len().is_multiple_of(2) && !text.starts_with('E'), "QEMU answered {text:?}");
    (0..text.len() / 2).map(|at| Ok(u8::from_str_radix(&text[2 * at..2 * at + 2], 16)?)).collect()
}

/// How long a stopped stub may take to answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of memory per packet: QEMU's longest packet is 4096 characters.
const CHUNK: usize = 0x7c0;
