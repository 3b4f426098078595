//! The part on a blocking bus: embedded-hal 1.0.

use super::exchange::{Action, Exchange, Goal, Outcome, Settings};
use super::identify::{Identify, Part};
use super::procedure::Procedure;
use super::refusal::Error;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, I2c, NoAcknowledgeSource};

/// A secure element. The bus is the caller's to share (embedded-hal-bus).
pub struct Element<I, D> {
    i2c: I,
    delay: D,
    exchange: Exchange,
}

impl<I: I2c, D: DelayNs> Element<I, D> {
    /// At the address of new parts, on a bus at 100 kHz.
    #[must_use]
    pub fn new(i2c: I, delay: D) -> Self {
        Self::with_settings(i2c, delay, Settings::default())
    }

    /// As `settings` say.
    #[must_use]
    pub const fn with_settings(i2c: I, delay: D, settings: Settings) -> Self {
        Self { i2c, delay, exchange: Exchange::new(settings) }
    }

    /// Runs a command or several.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run<P: Procedure>(&mut self, mut procedure: P) -> Result<P::Output, Error> {
        self.exchange.clear();
        let result = self.complete(&mut procedure);
        self.exchange.clear();
        result
    }

    /// Asks the part what it is, and how slow.
    ///
    /// # Errors
    /// As [`Self::run`]; [`Error::Revision`] for parts that this driver does not know.
    pub fn identify(&mut self) -> Result<Part, Error> {
        let part = self.run(Identify::default())?;
        self.exchange.settings_mut().clock = part.clock;
        Ok(part)
    }

    /// Whether the part answers. It is idle afterwards, as after each command.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], [`Error::Bus`], [`Error::SelfTest`].
    #[doc(alias = "idle")]
    pub fn wake(&mut self) -> Result<(), Error> {
        self.exchange.clear();
        self.exchange.begin(Goal::Presence);
        self.exchange()
    }

    /// The part forgets all that is volatile, and takes least power.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub fn sleep(&mut self) -> Result<(), Error> {
        self.exchange.clear();
        self.exchange.begin(Goal::Sleep);
        self.exchange()
    }

    /// Gives bus and clock back.
    #[must_use]
    pub fn release(self) -> (I, D) {
        (self.i2c, self.delay)
    }

    /// The bus, between procedures.
    pub const fn bus(&mut self) -> &mut I {
        &mut self.i2c
    }

    fn complete<P: Procedure>(&mut self, procedure: &mut P) -> Result<P::Output, Error> {
        loop {
            if let Some(output) = self.exchange.advance(procedure)? {
                return Ok(output);
            }
            self.exchange()?;
        }
    }

    fn exchange(&mut self) -> Result<(), Error> {
        loop {
            let outcome = match self.exchange.next_action() {
                Action::Write { address, bytes } => outcome(self.i2c.write(address, bytes)),
                Action::Read { address, into } => outcome(self.i2c.read(address, into)),
                Action::Wait(micros) => {
                    self.delay.delay_us(micros);
                    Outcome::Done
                }
                Action::Done(result) => return result,
            };
            self.exchange.report(outcome);
        }
    }
}

/// What a controller's error means for the exchange.
pub(super) fn outcome<E: embedded_hal::i2c::Error>(result: Result<(), E>) -> Outcome {
    match result.map_err(|error| error.kind()) {
        Ok(()) => Outcome::Done,
        Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)) => Outcome::AddressNack,
        Err(ErrorKind::NoAcknowledge(_)) => Outcome::Nack,
        Err(_) => Outcome::Fault,
    }
}
