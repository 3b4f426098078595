//! The secure element beside the chip: a simulated ATECC608A or ATECC608B on its I2C bus.
//!
//! | file | noun |
//! |---|---|
//! | `bus` | the bus as lines of text, which any I2C shim can speak |
//! | `kit` | a board that speaks Microchip's kit protocol |
//! | `part` | the part without its bus: a command in, an answer out |
//! | `command` | the commands |
//! | `memory`, `sram` | what survives without power, what a sleep forgets |
//! | `curve`, `sha` | P-256, SHA-256 |
//! | `timing` | how long everything takes, as data |
//! | `file` | the part on disk |
//!
//! Sans-IO: time comes in with each transaction. Source: DS20005927A (complete data sheet of the ATECC508A) chapters 6 and
//! 9, with the ATECC608's differences as `command` names them. What is answered in which lock state is a page:
//! docs/element-locks.md.
//!
//! What is not simulated: single-wire interface, GPIO, transport keys in the silicon, `UseLock`, failing self-tests.

pub mod bus;
mod command;
mod curve;
mod file;
pub mod kit;
mod memory;
mod part;
mod sha;
mod sram;
#[cfg(test)]
mod tests;
pub mod timing;

pub use crate::entropy::Entropy;
pub use file::{ElementFileError, STATE_LEN};

use cotter_formats::atecc::config::CONFIG_LEN;
use cotter_formats::atecc::packet::{COMMAND_MAX, COMMAND_MIN, write_answer};
use cotter_formats::atecc::{Command, ConfigZone, PacketError, Status};
use memory::Memory;
use part::{Latches, Part};
use sram::Sram;
use std::time::Duration;

/// The part on its bus. Times are durations since any one moment, and never go back.
pub struct SecureElement {
    part: Part,
    line: Line,
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// `RevNum` 00 00 60 02.
    Atecc608A,
    /// `RevNum` 00 00 60 03.
    Atecc608B,
}

/// What the bus sees.
struct Line {
    mode: Mode,
    /// Seven bits; learned when the part wakes up from sleep.
    address: u8,
    busy_until: Duration,
    watchdog_at: Duration,
    /// A command, as far as it has come.
    input: Vec<u8>,
    output: Vec<u8>,
    read_at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Off,
    Asleep,
    Idle,
    Awake,
}

/// What a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The address was not acknowledged.
    Nack,
    /// So many bytes were; the next one was not, if there is one.
    Acknowledged(usize),
}

impl SecureElement {
    /// A part as Microchip sells it: nothing locked, nothing written. `unique` are the six bytes of the serial number that
    /// differ from part to part.
    #[must_use]
    pub fn fresh(model: Model, unique: [u8; 6], entropy: Entropy) -> Self {
        let mut config = BLANK;
        config[2..4].copy_from_slice(&unique[..2]);
        config[8..12].copy_from_slice(&unique[2..]);
        config[7] = match model {
            Model::Atecc608A => 2,
            Model::Atecc608B => 3,
        };
        Self::with_config(ConfigZone(config), entropy)
    }

    /// A part with that configuration zone, to which nothing else was written.
    #[must_use]
    pub fn with_config(config: ConfigZone, entropy: Entropy) -> Self {
        Self::with_memory(Memory::fresh(config), entropy)
    }

    fn with_memory(memory: Memory, entropy: Entropy) -> Self {
        let address = memory.config().address();
        let part = Part { memory, sram: Sram::default(), entropy, latches: Latches::default() };
        let (input, output) = (Vec::with_capacity(COMMAND_MAX), Vec::new());
        let [busy_until, watchdog_at] = [Duration::ZERO; 2];
        Self { part, line: Line { mode: Mode::Asleep, address, busy_until, watchdog_at, input, output, read_at: 0 } }
    }

    /// The configuration zone, which everybody may read.
    #[must_use]
    pub const fn config(&self) -> &ConfigZone {
        self.part.memory.config()
    }

    /// Whether anything that survives without power was written since this was asked last.
    pub const fn take_changed(&mut self) -> bool {
        self.part.memory.take_changed()
    }

    /// Cuts the supply, or switches it on again; a part that gets power is asleep.
    pub fn set_power(&mut self, is_on: bool) {
        if is_on && self.line.mode == Mode::Off {
            self.line.mode = Mode::Asleep;
        } else if !is_on {
            self.sleep();
            self.part.latches = Latches::default();
            self.line.mode = Mode::Off;
        }
    }

    /// SDA is held low for at least tWLO. Ignored unless the part is idle or asleep.
    pub fn wake(&mut self, now: Duration) {
        self.advance(now);
        if !matches!(self.line.mode, Mode::Asleep | Mode::Idle) {
            return;
        }
        if self.line.mode == Mode::Asleep {
            self.line.address = self.config().address();
        }
        self.line.mode = Mode::Awake;
        self.line.busy_until = now + timing::WAKE;
        self.line.watchdog_at = now + timing::watchdog(self.part.memory.config());
        self.line.input.clear();
        self.show(&[Status::AWAKE.0]);
    }

    /// One write transaction: start, address, bytes, stop. `address` has seven bits.
    ///
    /// A part that is idle or asleep acknowledges nothing, but the bytes wake it up if SDA is low for long enough at
    /// 100 kHz: any byte 0x00, the general call, or the part's own address.
    pub fn write(&mut self, now: Duration, address: u8, bytes: &[u8]) -> Written {
        self.advance(now);
        match self.line.mode {
            Mode::Off => return Written::Nack,
            Mode::Asleep | Mode::Idle => {
                if address == 0 || address == self.line.address || bytes.contains(&0) {
                    self.wake(now);
                }
                return Written::Nack;
            }
            Mode::Awake if now < self.line.busy_until || address != self.line.address => return Written::Nack,
            Mode::Awake => {}
        }
        let Some((word_address, data)) = bytes.split_first() else { return Written::Acknowledged(0) };
        match *word_address {
            RESET => {
                self.line.input.clear();
                self.line.read_at = 0;
            }
            SLEEP => self.sleep(),
            IDLE => self.line.mode = Mode::Idle,
            COMMAND => return Written::Acknowledged(1 + self.take(now, data)),
            _ => {}
        }
        Written::Acknowledged(1)
    }

    /// One read transaction of `len` bytes, at most [`READ_MAX`]; `None` if the address is not acknowledged. Past the end
    /// of the answer all bits are ones.
    pub fn read(&mut self, now: Duration, address: u8, len: usize) -> Option<Vec<u8>> {
        self.advance(now);
        let line = &mut self.line;
        let answers = line.mode == Mode::Awake && now >= line.busy_until && address == line.address;
        if !answers || !line.input.is_empty() {
            return None;
        }
        let mut out = vec![0xff; len.min(READ_MAX)];
        let rest = line.output.get(line.read_at..).unwrap_or_default();
        out.iter_mut().zip(rest).for_each(|(byte, answer)| *byte = *answer);
        line.read_at = line.read_at.saturating_add(out.len());
        Some(out)
    }

    /// What the bus calls it until it sleeps.
    #[must_use]
    pub const fn bus_address(&self) -> u8 {
        self.line.address
    }

    /// Whether it wakes up or executes a command, and so acknowledges nothing.
    #[must_use]
    pub fn is_busy(&self, now: Duration) -> bool {
        self.line.mode == Mode::Awake && now < self.line.busy_until
    }

    /// The watchdog barks whatever the part is doing.
    fn advance(&mut self, now: Duration) {
        if self.line.mode == Mode::Awake && now >= self.line.watchdog_at {
            self.sleep();
        }
    }

    fn sleep(&mut self) {
        self.part.sram = Sram::default();
        self.line.input.clear();
        self.line.output.clear();
        self.line.read_at = 0;
        self.line.mode = Mode::Asleep;
    }

    /// Takes bytes of a command and returns how many; the stop condition after the last one starts it.
    fn take(&mut self, now: Duration, data: &[u8]) -> usize {
        let count = usize::from(self.line.input.first().or(data.first()).copied().unwrap_or(0));
        let wanted = count.clamp(1, COMMAND_MAX).saturating_sub(self.line.input.len());
        let taken = data.len().min(wanted);
        self.line.input.extend_from_slice(&data[..taken]);
        let is_whole = !self.line.input.is_empty() && self.line.input.len() == count.clamp(1, COMMAND_MAX);
        if is_whole || (!self.line.input.is_empty() && !(COMMAND_MIN..=COMMAND_MAX).contains(&count)) {
            let input = std::mem::replace(&mut self.line.input, Vec::with_capacity(COMMAND_MAX));
            self.run(now, &input);
        }
        taken
    }

    fn run(&mut self, now: Duration, packet: &[u8]) {
        let command = match Command::parse(packet) {
            Ok(command) => command,
            Err(PacketError::Count { .. } | PacketError::Length { .. } | PacketError::Crc { .. }) => {
                return self.answer(now, &[Status::COMMUNICATION.0], timing::REFUSAL);
            }
        };
        let time = timing::execution(command.opcode, self.config().clock_divider());
        if now + time > self.line.watchdog_at {
            return self.answer(now, &[Status::WATCHDOG.0], Duration::ZERO);
        }
        match self.part.execute(&command) {
            Ok(payload) => self.answer(now, &payload, time),
            Err(status) => self.answer(now, &[status.0], timing::REFUSAL),
        }
    }

    fn answer(&mut self, now: Duration, payload: &[u8], after: Duration) {
        self.show(payload);
        self.line.busy_until = now + after;
    }

    fn show(&mut self, payload: &[u8]) {
        let mut packet = [0; 128];
        let len = write_answer(payload, &mut packet).expect("no answer is longer than an SHA-256 context");
        self.line.output = packet[..len].to_vec();
        self.line.read_at = 0;
    }
}

/// Word addresses.
const RESET: u8 = 0;
const SLEEP: u8 = 1;
const IDLE: u8 = 2;
const COMMAND: u8 = 3;

/// The longest read transaction.
pub const READ_MAX: usize = 256;

/// The configuration zone of a part that was never written to, but for serial number and revision. Source: dumps of two
/// blank ATECC608A; they agree.
const BLANK: [u8; CONFIG_LEN] = {
    let mut zone = [0; CONFIG_LEN];
    let (mut at, head) = (0, [0x01, 0x23, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 0, 0xee, 0x01, 0x01, 0, 0xc0]);
    while at < head.len() {
        zone[at] = head[at];
        at += 1;
    }
    let slots = [
        0x83, 0x20, 0x87, 0x20, 0x8f, 0x20, 0xc4, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x9f, 0x8f, 0xaf, 0x8f, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0xaf, 0x8f,
    ];
    at = 0;
    while at < slots.len() {
        zone[20 + at] = slots[at];
        at += 1;
    }
    at = 0;
    while at < 4 {
        zone[52 + at] = 0xff;
        zone[60 + at] = 0xff;
        zone[86 + at] = if at < 2 { 0x55 } else { 0xff };
        at += 1;
    }
    let keys = [0x33, 0x33, 0x33, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x3c, 0x3c, 0x3c, 0x3c, 0x3c, 0x3c, 0x3c, 0x1c];
    at = 0;
    while at < keys.len() {
        zone[96 + 2 * at] = keys[at];
        at += 1;
    }
    zone
};
