//! A module on its two ports, behind a line: power-on when the command port is opened, power-off when it is hung up.
//!
//! Text goes out in one piece for each step, so that a host that reads sees whole answers.

use super::escape::{Escape, Seen};
use super::flash::Flash;
use super::line::{EscapePlace, Line, LineError};
use super::module::{BOOT, Event, Module, Surroundings};
use crate::serial_port::{LineEvent, SerialPort};
use std::io;
use std::time::{Duration, Instant};

/// Makes a fresh line for each power-up.
pub type Lines = Box<dyn FnMut() -> Box<dyn Line> + Send>;

/// A module that can be opened.
pub struct Device {
    command: SerialPort,
    log: Option<SerialPort>,
    lines: Lines,
    surroundings: Surroundings,
    power: Power,
}

enum Power {
    Off(Flash),
    On(Box<Session>),
    /// While it changes hands.
    Between,
}

/// One power-up.
struct Session {
    module: Module,
    line: Box<dyn Line>,
    escape: Escape,
    /// When the module has booted; until then it hears nothing.
    boots: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Booting,
    /// The line is being made.
    Opening,
    Ready,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// Somebody opened the command port: the module got power.
    Opened,
    /// The module has said that it is ready.
    Ready,
    /// The command port was hung up: the module has no power.
    Closed,
    /// The module restarts, because it was told to.
    Restarted,
    /// The line is of no use any more, and is made again.
    LineFailed(LineError),
    /// Something that the module did.
    Module(Event),
}

/// The largest piece that is sealed at once.
const PIECE: usize = 1024;
/// How much text a module may say at once.
const TEXT_MAX: usize = 64 * 1024;

impl Device {
    /// A module without power.
    #[must_use]
    pub fn new(
        command: SerialPort,
        log: Option<SerialPort>,
        lines: Lines,
        surroundings: Surroundings,
        flash: Flash,
    ) -> Self {
        Self { command, log, lines, surroundings, power: Power::Off(flash) }
    }

    /// Waits for something to happen, at most so long, and lets the module go on. To be called again and again, with a few
    /// milliseconds.
    ///
    /// # Errors
    /// What the system says of the ports; that a peer went away is no error.
    pub fn step(&mut self, timeout: Duration) -> io::Result<Vec<DeviceEvent>> {
        let mut events = Vec::new();
        let mut buffer = [0; 4096];
        let happened = self.command.wait(&mut buffer, timeout)?;
        let now = Instant::now();
        let mut unheard = [0; 256];
        if let Some(log) = &mut self.log {
            // Behind the command port: a log that was opened before it misses nothing. What it is told, nobody hears.
            let _opened_or_closed = log.wait(&mut unheard, Duration::ZERO)?;
        }
        match happened {
            LineEvent::Opened => {
                self.power_on(now);
                events.push(DeviceEvent::Opened);
            }
            LineEvent::Closed => {
                self.power_off();
                events.push(DeviceEvent::Closed);
            }
            LineEvent::Bytes(count) => {
                if let Power::On(session) = &mut self.power {
                    session.receive(buffer.get(..count).unwrap_or_default(), now, &mut self.command, &mut events)?;
                }
            }
            LineEvent::Lines(_) | LineEvent::Quiet => {}
        }
        self.go_on(now, &mut events)?;
        Ok(events)
    }

    fn go_on(&mut self, now: Instant, events: &mut Vec<DeviceEvent>) -> io::Result<()> {
        let Power::On(session) = &mut self.power else { return Ok(()) };
        if let Err(error) = session.go_on(now, &mut self.command, events)? {
            events.push(DeviceEvent::LineFailed(error));
            session.line = (self.lines)();
            if let Ok(first) = session.line.start(now) {
                self.command.write(&first)?;
            }
        }
        events.extend(session.module.take_events().into_iter().map(DeviceEvent::Module));
        let text = session.module.take_log();
        if let Some(log) = &mut self.log {
            log.offer(&text);
        }
        if session.module.wants_restart() {
            self.power_off();
            self.power_on(now);
            events.push(DeviceEvent::Restarted);
        }
        Ok(())
    }

    fn power_on(&mut self, now: Instant) {
        self.power = match std::mem::replace(&mut self.power, Power::Between) {
            Power::Off(flash) => Power::On(Box::new(Session {
                module: Module::new(self.surroundings.clone(), flash, now),
                line: (self.lines)(),
                escape: Escape::default(),
                boots: now + BOOT,
                state: State::Booting,
            })),
            other => other,
        };
    }

    fn power_off(&mut self) {
        self.power = match std::mem::replace(&mut self.power, Power::Between) {
            Power::On(session) => Power::Off(session.module.into_flash()),
            other => other,
        };
    }
}

impl Session {
    fn receive(
        &mut self,
        wire: &[u8],
        now: Instant,
        port: &mut SerialPort,
        events: &mut Vec<DeviceEvent>,
    ) -> io::Result<()> {
        if self.state == State::Booting {
            return Ok(());
        }
        if self.watches(EscapePlace::Wire) {
            let data = self.watch(wire, now);
            return self.hear(&data, now, port, events);
        }
        self.hear(wire, now, port, events)
    }

    fn watches(&self, place: EscapePlace) -> bool {
        self.module.has_data_mode() && self.line.escape_place() == place
    }

    /// Looks for `+++` among `bytes` and the silence before them; what is data comes back.
    fn watch(&mut self, bytes: &[u8], now: Instant) -> Vec<u8> {
        let mut data = match self.escape.tick(now) {
            Seen::Data(data) => data,
            Seen::Escape => {
                self.module.escape(now);
                Vec::new()
            }
        };
        if !bytes.is_empty()
            && let Seen::Data(more) = self.escape.receive(bytes, now)
        {
            data.extend(more);
        }
        if !self.module.has_data_mode() {
            data.extend(self.escape.release());
        }
        data
    }

    fn hear(
        &mut self,
        wire: &[u8],
        now: Instant,
        port: &mut SerialPort,
        events: &mut Vec<DeviceEvent>,
    ) -> io::Result<()> {
        match self.line.incoming(wire, now) {
            Ok(heard) => {
                port.write(&heard.wire)?;
                let plain = if self.watches(EscapePlace::Text) { self.watch(&heard.plain, now) } else { heard.plain };
                // What comes behind an escape is a command, in the same bytes though it may be.
                let mut taken = 0;
                for place in heard.escapes {
                    self.module.receive(plain.get(taken..place).unwrap_or_default(), now);
                    self.module.escape(now);
                    taken = place;
                }
                self.module.receive(plain.get(taken..).unwrap_or_default(), now);
            }
            Err(error) => events.push(DeviceEvent::LineFailed(error)),
        }
        Ok(())
    }

    /// Moves on, and says what there is to say. The inner error is the line's.
    fn go_on(
        &mut self,
        now: Instant,
        port: &mut SerialPort,
        events: &mut Vec<DeviceEvent>,
    ) -> io::Result<Result<(), LineError>> {
        if self.state == State::Booting {
            if self.boots > now {
                return Ok(Ok(()));
            }
            self.state = State::Opening;
            match self.line.start(now) {
                Ok(first) => port.write(&first)?,
                Err(error) => return Ok(Err(error)),
            }
        }
        match self.line.tick(now) {
            Ok(wire) => port.write(&wire)?,
            Err(error) => return Ok(Err(error)),
        }
        if !self.line.ready() {
            return Ok(Ok(()));
        }
        if self.state == State::Opening {
            self.state = State::Ready;
            self.module.ready(now);
            events.push(DeviceEvent::Ready);
        }
        if self.watches(EscapePlace::Wire) {
            let data = self.watch(&[], now);
            if !data.is_empty() {
                self.hear(&data, now, port, events)?;
            }
        } else if self.watches(EscapePlace::Text) {
            let data = self.watch(&[], now);
            self.module.receive(&data, now);
        }
        self.module.tick(now);
        let mut text = self.module.take_output();
        text.truncate(TEXT_MAX);
        let mut wire = Vec::new();
        for piece in text.chunks(PIECE) {
            match self.line.outgoing(piece, now) {
                Ok(sealed) => wire.extend(sealed),
                Err(error) => return Ok(Err(error)),
            }
        }
        port.write(&wire)?;
        Ok(Ok(()))
    }
}
