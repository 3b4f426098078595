//! The bus of a secure element as a TCP port or a pseudo-terminal, and the file that the part lives in.
//!
//! `docs/element-bus.md` says what goes over the line, in either of two languages. What the part changes is in its file before the answer goes out.

use crate::serial_port::{LineEvent, SerialPort};
use cotter_chip::atecc::bus::Bus;
use cotter_chip::atecc::kit::Kit;
use cotter_chip::atecc::{ElementFileError, SecureElement};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A part that is kept alive.
pub struct ElementPort {
    port: SerialPort,
    speaker: Speaker,
    file: PathBuf,
    clock: Clock,
    started: Instant,
}

/// What is spoken on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Transactions of the bus, one a line.
    Bus,
    /// Microchip's kit protocol.
    Kit,
}

enum Speaker {
    Bus(Bus),
    Kit(Kit),
}

impl Speaker {
    fn receive(&mut self, now: Duration, bytes: &[u8]) -> String {
        match self {
            Self::Bus(bus) => bus.receive(now, bytes),
            Self::Kit(kit) => kit.receive(now, bytes),
        }
    }

    fn hang_up(&mut self) {
        match self {
            Self::Bus(bus) => bus.hang_up(),
            Self::Kit(kit) => kit.hang_up(),
        }
    }

    const fn element_mut(&mut self) -> &mut SecureElement {
        match self {
            Self::Bus(bus) => bus.element_mut(),
            Self::Kit(kit) => kit.element_mut(),
        }
    }
}

/// What moves the part's time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time itself, and `wait`.
    Real,
    /// Only `wait`.
    Bus,
}

/// Why it could not be kept alive.
#[derive(Debug, thiserror::Error)]
pub enum ElementPortError {
    /// The line.
    #[error("bus of the secure element: {0}")]
    Line(#[from] io::Error),
    /// The file; what was not stored was not acknowledged either.
    #[error(transparent)]
    File(#[from] ElementFileError),
}

impl ElementPort {
    /// Puts a part on a line. Its file is written at once, so that it is there from now on.
    ///
    /// # Errors
    /// [`ElementPortError::File`].
    pub fn new(
        port: SerialPort,
        element: SecureElement,
        file: PathBuf,
        clock: Clock,
    ) -> Result<Self, ElementPortError> {
        Self::speaking(Language::Bus, port, element, file, clock)
    }

    /// The same in another language.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn speaking(
        language: Language,
        port: SerialPort,
        element: SecureElement,
        file: PathBuf,
        clock: Clock,
    ) -> Result<Self, ElementPortError> {
        element.save(&file)?;
        let speaker = match language {
            Language::Bus => Speaker::Bus(Bus::new(element)),
            Language::Kit => Speaker::Kit(Kit::new(element)),
        };
        Ok(Self { port, speaker, file, clock, started: Instant::now() })
    }

    /// Where it is.
    #[must_use]
    pub const fn port(&self) -> &SerialPort {
        &self.port
    }

    /// Answers until it is told to stop.
    ///
    /// # Errors
    /// [`ElementPortError`].
    pub fn serve(&mut self, stop: &AtomicBool) -> Result<(), ElementPortError> {
        while !stop.load(Ordering::Relaxed) {
            self.step(TICK)?;
        }
        Ok(())
    }

    /// Waits for a request, at most so long, and answers it.
    ///
    /// # Errors
    /// [`ElementPortError`].
    pub fn step(&mut self, timeout: Duration) -> Result<(), ElementPortError> {
        let mut buffer = [0; 4096];
        match self.port.wait(&mut buffer, timeout)? {
            LineEvent::Opened | LineEvent::Closed => self.speaker.hang_up(),
            LineEvent::Bytes(count) => {
                let now = match self.clock {
                    Clock::Real => self.started.elapsed(),
                    Clock::Bus => Duration::ZERO,
                };
                let answers = self.speaker.receive(now, buffer.get(..count).unwrap_or_default());
                self.store()?;
                self.port.write(answers.as_bytes())?;
            }
            LineEvent::Lines(_) | LineEvent::Quiet => {}
        }
        Ok(())
    }

    /// Cuts the part's supply, or switches it on again.
    pub fn set_power(&mut self, is_on: bool) {
        self.speaker.element_mut().set_power(is_on);
    }

    fn store(&mut self) -> Result<(), ElementFileError> {
        let element = self.speaker.element_mut();
        if element.take_changed() {
            element.save(&self.file)?;
        }
        Ok(())
    }
}

/// How long being told to stop may wait.
const TICK: Duration = Duration::from_millis(50);
