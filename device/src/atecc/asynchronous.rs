//! The part on an asynchronous bus: embedded-hal-async 1.0.
//!
//! A future that is dropped half-way leaves the part as a power cut of the host would: the next command wakes it up
//! again, and what the last one did must be read back.

use super::blocking::outcome;
use super::exchange::{Action, Exchange, Goal, Outcome, Settings};
use super::identify::{Identify, Part};
use super::procedure::Procedure;
use super::refusal::Error;
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;

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
    pub async fn run<P: Procedure>(&mut self, mut procedure: P) -> Result<P::Output, Error> {
        self.exchange.clear();
        let result = self.complete(&mut procedure).await;
        self.exchange.clear();
        result
    }

    /// Asks the part what it is, and how slow.
    ///
    /// # Errors
    /// As [`Self::run`]; [`Error::Revision`] for parts that this driver does not know.
    pub async fn identify(&mut self) -> Result<Part, Error> {
        let part = self.run(Identify::default()).await?;
        self.exchange.settings_mut().clock = part.clock;
        Ok(part)
    }

    /// Whether the part answers. It is idle afterwards, as after each command.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], [`Error::Bus`], [`Error::SelfTest`].
    #[doc(alias = "idle")]
    pub async fn wake(&mut self) -> Result<(), Error> {
        self.exchange.clear();
        self.exchange.begin(Goal::Presence);
        self.exchange().await
    }

    /// The part forgets all that is volatile, and takes least power.
    ///
    /// # Errors
    /// As [`Self::wake`].
    pub async fn sleep(&mut self) -> Result<(), Error> {
        self.exchange.clear();
        self.exchange.begin(Goal::Sleep);
        self.exchange().await
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

    async fn complete<P: Procedure>(&mut self, procedure: &mut P) -> Result<P::Output, Error> {
        loop {
            if let Some(output) = self.exchange.advance(procedure)? {
                return Ok(output);
            }
            self.exchange().await?;
        }
    }

    async fn exchange(&mut self) -> Result<(), Error> {
        loop {
            let outcome = match self.exchange.next_action() {
                Action::Write { address, bytes } => outcome(self.i2c.write(address, bytes).await),
                Action::Read { address, into } => outcome(self.i2c.read(address, into).await),
                Action::Wait(micros) => {
                    self.delay.delay_us(micros).await;
                    Outcome::Done
                }
                Action::Done(result) => return result,
            };
            self.exchange.report(outcome);
        }
    }
}
