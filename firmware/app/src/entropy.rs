//! Random bytes from the ESP32-C3's hardware generator.
//!
//! The generator alone is a counter-fed mixer: Espressif calls its output random only while the radio is on or the SAR
//! ADC feeds it noise (ESP-IDF programming guide, "Random Number Generation"). This application has no radio running
//! when it draws its first IV, so it turns the ADC source on and keeps it on for as long as an [`Entropy`] lives; the
//! price is that ADC1 is not free for measurements. Constructing one is the only way to get random bytes here.

use cotter_device::platform::Random;
use esp_hal::peripherals::{ADC1, RNG};
use esp_hal::rng::{Trng, TrngSource};

/// The hardware generator with its noise source on.
pub(crate) struct Entropy<'d> {
    generator: Trng,
    // Dropped after `generator`: turning the source off while somebody draws would panic.
    _source: TrngSource<'d>,
}

impl<'d> Entropy<'d> {
    /// Turns the noise source on.
    pub(crate) fn new(rng: RNG<'d>, adc: ADC1<'d>) -> Self {
        let source = TrngSource::new(rng, adc);
        let generator = Trng::try_new().expect("its only condition is that the source is on, and it is");
        Self { generator, _source: source }
    }
}

impl Random for Entropy<'_> {
    fn fill(&mut self, out: &mut [u8]) {
        self.generator.read(out);
    }
}
