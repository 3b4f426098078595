//! The ciphers that seal frames, and the key of one direction.

use aes::Aes128;
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag, consts};
use ascon_aead::AsconAead128;
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;
use cotter_formats::secret::Secret;

/// A cipher that encrypts and authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Suite {
    /// RFC 8439: no tables, no hardware needed.
    ChaCha20Poly1305 = 1,
    /// NIST SP 800-38D.
    Aes128Gcm = 2,
    /// NIST SP 800-232. Its library does not wipe the key's copy on the stack.
    AsconAead128 = 3,
    /// RFC 3610 with a length of 3 bytes: one block cipher is all it takes.
    Aes128Ccm = 4,
    /// The same with a tag of 8 bytes: 8 bytes less per frame, and a forged one passes once in 2^64 times.
    Aes128Ccm8 = 5,
}

impl Suite {
    /// All of them, the one to be taken first if both ends can at the front.
    pub const ALL: [Self; 5] =
        [Self::ChaCha20Poly1305, Self::Aes128Gcm, Self::AsconAead128, Self::Aes128Ccm, Self::Aes128Ccm8];

    /// The suite with that number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| *suite as u8 == number)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::Aes128Gcm => "aes-128-gcm",
            Self::AsconAead128 => "ascon-aead128",
            Self::Aes128Ccm => "aes-128-ccm",
            Self::Aes128Ccm8 => "aes-128-ccm-8",
        }
    }

    /// The suite of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.as_str() == name)
    }

    /// How many bytes its key has.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => 32,
            Self::Aes128Gcm | Self::AsconAead128 | Self::Aes128Ccm | Self::Aes128Ccm8 => 16,
        }
    }

    /// How many bytes its nonce has.
    #[must_use]
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::AsconAead128 => 16,
            Self::ChaCha20Poly1305 | Self::Aes128Gcm | Self::Aes128Ccm | Self::Aes128Ccm8 => 12,
        }
    }

    /// How many bytes its tag has.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::Aes128Ccm8 => 8,
            Self::ChaCha20Poly1305 | Self::Aes128Gcm | Self::AsconAead128 | Self::Aes128Ccm => 16,
        }
    }
}

/// Some suites; on the wire a byte, the suite with number n at bit n - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteSet(pub u8);

impl SuiteSet {
    /// All suites.
    pub const ALL: Self = Self(0x1f);

    /// One suite.
    #[must_use]
    pub const fn only(suite: Suite) -> Self {
        Self(1 << (suite as u8 - 1))
    }

    /// This and one more.
    #[must_use]
    pub const fn with(self, suite: Suite) -> Self {
        Self(self.0 | Self::only(suite).0)
    }

    /// Whether a suite is among them.
    #[must_use]
    pub const fn contains(self, suite: Suite) -> bool {
        self.0 & Self::only(suite).0 != 0
    }

    /// The first suite of [`Suite::ALL`] that is in both.
    #[must_use]
    pub fn choose(self, other: Self) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| self.contains(*suite) && other.contains(*suite))
    }
}

/// Key and IV of one direction of one session.
#[derive(Debug)]
pub struct FrameKey {
    suite: Suite,
    /// The first [`Suite::key_len`] bytes count.
    key: Secret<32>,
    /// The first [`Suite::nonce_len`] bytes count.
    iv: Secret<16>,
}

impl FrameKey {
    /// `fill` writes the key into the first slice and the IV into the second.
    pub fn filled_by(suite: Suite, fill: impl FnOnce(&mut [u8], &mut [u8])) -> Self {
        let mut iv_filled = Secret::filled_by(|_| ());
        let key = Secret::filled_by(|key: &mut [u8; 32]| {
            iv_filled = Secret::filled_by(|iv: &mut [u8; 16]| {
                fill(&mut key[..suite.key_len()], &mut iv[..suite.nonce_len()]);
            });
        });
        Self { suite, key, iv: iv_filled }
    }

    /// For which cipher.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Encrypts `data` in place and writes the tag into `tag`, which has [`Suite::tag_len`] bytes. A `counter` must never
    /// be used twice.
    pub fn seal(&self, counter: u64, associated: &[u8], data: &mut [u8], tag: &mut [u8]) {
        let sealed = match self.suite {
            Suite::ChaCha20Poly1305 => self.seal_with::<ChaCha20Poly1305>(counter, associated, data, tag),
            Suite::Aes128Gcm => self.seal_with::<Aes128Gcm>(counter, associated, data, tag),
            Suite::AsconAead128 => self.seal_with::<AsconAead128>(counter, associated, data, tag),
            Suite::Aes128Ccm => self.seal_with::<Aes128Ccm>(counter, associated, data, tag),
            Suite::Aes128Ccm8 => self.seal_with::<Aes128Ccm8>(counter, associated, data, tag),
        };
        sealed.expect("a frame is far shorter than what any suite takes");
    }

    /// Checks the tag in constant time and decrypts `data` in place; false if the tag does not hold, and then `data` is
    /// to be thrown away.
    #[must_use]
    pub fn open(&self, counter: u64, associated: &[u8], data: &mut [u8], tag: &[u8]) -> bool {
        match self.suite {
            Suite::ChaCha20Poly1305 => self.open_with::<ChaCha20Poly1305>(counter, associated, data, tag),
            Suite::Aes128Gcm => self.open_with::<Aes128Gcm>(counter, associated, data, tag),
            Suite::AsconAead128 => self.open_with::<AsconAead128>(counter, associated, data, tag),
            Suite::Aes128Ccm => self.open_with::<Aes128Ccm>(counter, associated, data, tag),
            Suite::Aes128Ccm8 => self.open_with::<Aes128Ccm8>(counter, associated, data, tag),
        }
        .is_ok()
    }

    fn seal_with<C: AeadInOut + KeyInit>(
        &self,
        counter: u64,
        associated: &[u8],
        data: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), aes_gcm::Error> {
        let made = self.cipher::<C>()?.encrypt_inout_detached(&self.nonce::<C>(counter)?, associated, data.into())?;
        tag.copy_from_slice(&made);
        Ok(())
    }

    fn open_with<C: AeadInOut + KeyInit>(
        &self,
        counter: u64,
        associated: &[u8],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), aes_gcm::Error> {
        let tag = Tag::<C>::try_from(tag).map_err(|_| aes_gcm::Error)?;
        self.cipher::<C>()?.decrypt_inout_detached(&self.nonce::<C>(counter)?, associated, data.into(), &tag)
    }

    fn cipher<C: KeyInit>(&self) -> Result<C, aes_gcm::Error> {
        C::new_from_slice(&self.key.expose()[..self.suite.key_len()]).map_err(|_| aes_gcm::Error)
    }

    /// The IV XOR the counter, big-endian in its last 8 bytes.
    fn nonce<C: AeadInOut>(&self, counter: u64) -> Result<Nonce<C>, aes_gcm::Error> {
        let len = self.suite.nonce_len();
        let mut nonce = *self.iv.expose();
        nonce[len - 8..len].iter_mut().zip(counter.to_be_bytes()).for_each(|(byte, count)| *byte ^= count);
        Nonce::<C>::try_from(&nonce[..len]).map_err(|_| aes_gcm::Error)
    }
}

type Aes128Ccm = Ccm<Aes128, consts::U16, consts::U12>;
type Aes128Ccm8 = Ccm<Aes128, consts::U8, consts::U12>;

#[cfg(test)]
mod tests;
