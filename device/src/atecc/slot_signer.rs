//! A private key in a slot as the device's signer.

use super::blocking::Element;
use super::command::MessageBuffer;
use super::command::key::{GetPublicKey, KeyPlace};
use super::command::sign::SignDigest;
use super::identify::Part;
use super::refusal::Error;
use crate::signer::Signer;
use cotter_formats::atecc::Slot;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

/// The key never leaves the part, which its `SlotConfig` must let sign what comes from outside.
pub struct SlotSigner<'a, I, D> {
    element: &'a mut Element<I, D>,
    slot: Slot,
    through: MessageBuffer,
}

impl<'a, I: I2c, D: DelayNs> SlotSigner<'a, I, D> {
    /// `part` is what [`Element::identify`] said.
    #[must_use]
    pub const fn new(element: &'a mut Element<I, D>, part: &Part, slot: Slot) -> Self {
        Self { element, slot, through: part.model.message_buffer() }
    }
}

impl<I: I2c, D: DelayNs> Signer for SlotSigner<'_, I, D> {
    type Error = Error;

    fn public_key(&mut self) -> Result<[u8; 64], Error> {
        self.element.run(GetPublicKey(KeyPlace::Slot(self.slot))).map(|key| key.0)
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Error> {
        self.element.run(SignDigest::new(self.slot, digest, self.through)).map(|signature| signature.0)
    }
}
