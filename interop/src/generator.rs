//! Seeded random inputs. Not for keys that matter: the seed is printed.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A small deterministic generator (SplitMix64). The same seed gives the same inputs on every machine.
#[derive(Debug, Clone)]
pub struct Generator {
    state: u64,
}

impl Generator {
    /// Seeds from the environment variable `COTTER_SEED` (decimal), else from the system, and prints the seed, so that
    /// the captured output of a failed test says how to repeat it. Panics if `COTTER_SEED` is not a number.
    #[must_use]
    pub fn seeded() -> Self {
        let seed = match std::env::var("COTTER_SEED") {
            Ok(text) => match text.trim().parse() {
                Ok(seed) => seed,
                Err(error) => panic!("COTTER_SEED is {text:?}, expected a decimal number: {error}"),
            },
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        println!("inputs from COTTER_SEED={seed}");
        Self::from_seed(seed)
    }

    /// A generator with a known seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next_u64().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// A number below `bound`; the bias is at most `bound / 2^64`. Panics if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number is below 0");
        usize::try_from(self.next_u64() % bound as u64).expect("the remainder is below a usize")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Overwrites `buffer`.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    /// A fixed number of bytes, for keys and IVs.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// `length` bytes, for payloads.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// One of `choices`. Panics if there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// `length` characters of `a-z0-9_`, beginning with a letter: a valid key or label for every format we write.
    pub fn word(&mut self, length: usize) -> String {
        const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
        (0..length)
            .map(|index| {
                let range = if index == 0 { 26 } else { ALPHABET.len() };
                char::from(ALPHABET[self.below(range)])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_published_splitmix64_sequence() {
        // Seed 1234567, from the Rosetta Code entry "Pseudo-random numbers/Splitmix64".
        let mut generator = Generator::from_seed(1_234_567);
        assert_eq!(generator.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(generator.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(generator.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn stays_within_bounds() {
        let mut generator = Generator::seeded();
        for _ in 0..1000 {
            assert!((3..=7).contains(&generator.between(3, 7)));
            assert!(generator.word(15).starts_with(|first: char| first.is_ascii_lowercase()));
        }
    }
}
