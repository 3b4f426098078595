//! Where the part's randomness comes from.

use aws_lc_rs::rand;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// The random number generator.
#[derive(Debug)]
pub struct Entropy(Source);

#[derive(Debug)]
enum Source {
    System,
    Seeded { seed: [u8; 32], drawn: u64 },
}

impl Entropy {
    /// The host's CSPRNG.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The same numbers each time: for tests, never for keys that matter.
    #[must_use]
    pub const fn seeded(seed: [u8; 32]) -> Self {
        Self(Source::Seeded { seed, drawn: 0 })
    }

    /// Fills `out`.
    pub(super) fn fill(&mut self, out: &mut [u8]) {
        match &mut self.0 {
            Source::System => rand::fill(out).expect("a host without randomness cannot be a secure element"),
            Source::Seeded { seed, drawn } => {
                for piece in out.chunks_mut(32) {
                    let mut block = Sha256::new().chain_update(&seed).chain_update(drawn.to_le_bytes()).finalize();
                    piece.copy_from_slice(&block[..piece.len()]);
                    block.zeroize();
                    *drawn += 1;
                }
            }
        }
    }
}

impl Drop for Entropy {
    fn drop(&mut self) {
        if let Source::Seeded { seed, .. } = &mut self.0 {
            seed.zeroize();
        }
    }
}
