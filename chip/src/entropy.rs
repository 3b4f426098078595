//! Where the chip's random numbers come from.

use crate::fault::Noise;
use std::sync::{Arc, Mutex, PoisonError};

/// The random number generator of a chip. Clones share one stream.
#[derive(Clone, Default)]
pub struct Entropy(Source);

#[derive(Clone, Default)]
enum Source {
    /// The CSPRNG of this machine.
    #[default]
    System,
    /// Bytes that a test knows.
    Known(Arc<Mutex<Noise>>),
}

impl Entropy {
    /// The CSPRNG of this machine.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The same bytes for the same seed. For tests and rehearsals: keys made of them are known to everybody.
    #[must_use]
    pub fn known(seed: u64) -> Self {
        Self(Source::Known(Arc::new(Mutex::new(Noise::new(seed, 0)))))
    }

    /// A generator that goes on as this one would, without using up its bytes.
    pub(crate) fn fork(&self) -> Self {
        Self(match &self.0 {
            Source::System => Source::System,
            Source::Known(noise) => {
                let copy = noise.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Source::Known(Arc::new(Mutex::new(copy)))
            }
        })
    }

    /// Fills `bytes`.
    #[doc(alias = "bootloader_fill_random")]
    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            Source::System => aws_lc_rs::rand::fill(bytes).expect("the system has a random number generator"),
            Source::Known(noise) => {
                let mut noise = noise.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.iter_mut().for_each(|byte| *byte = noise.byte());
            }
        }
    }
}

impl std::fmt::Debug for Entropy {
    /// No state: the next key comes from it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Entropy(system)",
            Source::Known(_) => "Entropy(known)",
        })
    }
}
