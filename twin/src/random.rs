//! Randomness for the device code: the host's CSPRNG stands in for the hardware RNG.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cotter_device::platform::Random;

/// The host's CSPRNG.
#[derive(Debug, Default)]
pub struct HostRandom(SystemRandom);

impl Random for HostRandom {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out).expect("a host without randomness cannot run a device");
    }
}
