//! The keystreams of Espressif's `at_interface_security` example: one per direction, from the first byte to the last.
//!
//! AES-CTR as mbedtls does it: the whole 16-byte block is one big-endian counter that starts at the IV and never starts
//! again before the module does. The example's README names `ChaCha20` and `Salsa20` as other choices; their counters start
//! at 0 (RFC 8439 with its 96-bit nonce and 32-bit counter; Salsa20 with a 64-bit nonce and a 64-bit counter).
//!
//! What this lacks is in [`WHAT_COMPAT_LACKS`], to be shown to whoever chooses it.
//!
//! Source: esp-at master, examples/at_interface_security: `custom/at_custom_cmd.c`, `at_intf_security_host.py`.

use aes::{Aes128, Aes192, Aes256};
use cotter_formats::secret::Secret;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

/// Most bytes that the example's device writes at once.
pub const MAX_WRITE: usize = 4096;
/// Most bytes that the example's device reads at once.
pub const MAX_READ: usize = 8192;

/// What an attacker on the wire can do to such a line, one sentence each.
pub const WHAT_COMPAT_LACKS: [&str; 10] = [
    "with one key and IV for both directions, one direction's bytes XOR the other's are plain text XOR plain text",
    "the same keystream follows each reset, so a known session decrypts all later ones",
    "no integrity: a flipped bit on the wire is a flipped bit in the command",
    "no protection from replayed, reordered or dropped bytes",
    "one lost or inserted byte turns all that follows into garbage, until the module is reset",
    "neither end proves who it is",
    "no new keys, however long it runs, and no forward secrecy: who learns the key reads what was recorded before",
    "lengths and times are visible",
    "passthrough ends at a raw +++, which the cipher may produce by chance",
    "an end that is told to falls back to plain text without the other's consent",
];

/// Which keystream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cipher {
    /// AES-128-CTR, the example's.
    Aes128Ctr,
    /// AES-192-CTR.
    Aes192Ctr,
    /// AES-256-CTR.
    Aes256Ctr,
    /// `ChaCha20` of RFC 8439: a 32-byte key, a 12-byte nonce.
    ChaCha20,
    /// Salsa20/20: a 32-byte key, an 8-byte nonce.
    Salsa20,
}

impl Cipher {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Aes128Ctr, Self::Aes192Ctr, Self::Aes256Ctr, Self::ChaCha20, Self::Salsa20];

    /// AES-CTR with a key of `len` bytes, as the example's host script chooses it.
    #[must_use]
    pub const fn aes_ctr(len: usize) -> Option<Self> {
        match len {
            16 => Some(Self::Aes128Ctr),
            24 => Some(Self::Aes192Ctr),
            32 => Some(Self::Aes256Ctr),
            _ => None,
        }
    }

    /// How many bytes its key has.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Ctr => 16,
            Self::Aes192Ctr => 24,
            Self::Aes256Ctr | Self::ChaCha20 | Self::Salsa20 => 32,
        }
    }

    /// How many bytes its IV or nonce has.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self {
            Self::Aes128Ctr | Self::Aes192Ctr | Self::Aes256Ctr => 16,
            Self::ChaCha20 => 12,
            Self::Salsa20 => 8,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes128Ctr => "aes-128-ctr",
            Self::Aes192Ctr => "aes-192-ctr",
            Self::Aes256Ctr => "aes-256-ctr",
            Self::ChaCha20 => "chacha20",
            Self::Salsa20 => "salsa20",
        }
    }

    /// The cipher of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.as_str() == name)
    }
}

/// Whether the example's key of all `A` and IV of all `T`, which everybody knows, may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExampleKeys {
    /// They are refused.
    #[default]
    Refuse,
    /// Somebody asked for them: to try the example itself.
    Allow,
}

/// In which order the bytes of an IV count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IvOrder {
    /// As the firmware has it: the last byte counts first.
    #[default]
    Firmware,
    /// As the example's host script has it, which reads the IV as a little-endian number and gives it to a big-endian
    /// counter: the IV backwards. With the example's own IV there is no difference. For tests against that script only.
    HostScript,
}

/// Key and IV of one direction, or of both as in the example.
#[derive(Debug)]
pub struct CompatKey {
    cipher: Cipher,
    /// The first [`Cipher::key_len`] bytes count.
    key: Secret<32>,
    iv: [u8; 16],
}

impl CompatKey {
    /// Takes them as they are.
    ///
    /// # Errors
    /// [`CompatError::KeyLength`], [`CompatError::IvLength`]; [`CompatError::ExampleKey`] and
    /// [`CompatError::ExampleIv`] unless `examples` allows them.
    pub fn new(cipher: Cipher, key: &[u8], iv: &[u8], examples: ExampleKeys) -> Result<Self, CompatError> {
        if key.len() != cipher.key_len() {
            return Err(CompatError::KeyLength { cipher, got: key.len() });
        }
        if iv.len() != cipher.iv_len() {
            return Err(CompatError::IvLength { cipher, got: iv.len() });
        }
        if examples == ExampleKeys::Refuse {
            if key.iter().all(|byte| *byte == b'A') {
                return Err(CompatError::ExampleKey);
            }
            if iv.iter().all(|byte| *byte == b'T') {
                return Err(CompatError::ExampleIv);
            }
        }
        let mut places = [0; 16];
        places[..iv.len()].copy_from_slice(iv);
        let key = Secret::filled_by(|bytes| bytes[..key.len()].copy_from_slice(key));
        Ok(Self { cipher, key, iv: places })
    }

    /// The same, with the bytes of the IV in the other order if `order` says so.
    #[must_use]
    pub fn with_iv_order(mut self, order: IvOrder) -> Self {
        if order == IvOrder::HostScript {
            self.iv[..self.cipher.iv_len()].reverse();
        }
        self
    }

    /// Which keystream.
    #[must_use]
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The key, for whoever provisions an end; [`Cipher::key_len`] bytes, secret.
    #[must_use]
    pub fn expose_key(&self) -> &[u8] {
        &self.key.expose()[..self.cipher.key_len()]
    }

    /// The IV, [`Cipher::iv_len`] bytes.
    #[must_use]
    pub fn iv(&self) -> &[u8] {
        &self.iv[..self.cipher.iv_len()]
    }

    /// The keystream from its first byte, as after a reset.
    #[must_use]
    pub fn keystream(&self) -> Keystream {
        let key = &self.key.expose()[..self.cipher.key_len()];
        let iv = &self.iv[..self.cipher.iv_len()];
        Keystream(match self.cipher {
            Cipher::Aes128Ctr => Stream::Aes128(start(key, iv)),
            Cipher::Aes192Ctr => Stream::Aes192(start(key, iv)),
            Cipher::Aes256Ctr => Stream::Aes256(start(key, iv)),
            Cipher::ChaCha20 => Stream::ChaCha20(start(key, iv)),
            Cipher::Salsa20 => Stream::Salsa20(start(key, iv)),
        })
    }
}

fn start<C: KeyIvInit>(key: &[u8], iv: &[u8]) -> C {
    C::new_from_slices(key, iv).expect("CompatKey has the lengths of its cipher")
}

/// The keystream of one direction, somewhere along its way. Wiped when dropped.
pub struct Keystream(Stream);

impl Keystream {
    /// Encrypts or decrypts `data`, which is the same, and goes on by as many bytes.
    ///
    /// # Errors
    /// [`CompatError::Exhausted`] if `ChaCha20` has no counter left (after 256 GiB); `data` is as it was.
    pub fn apply(&mut self, data: &mut [u8]) -> Result<(), CompatError> {
        match &mut self.0 {
            Stream::Aes128(stream) => stream.try_apply_keystream(data),
            Stream::Aes192(stream) => stream.try_apply_keystream(data),
            Stream::Aes256(stream) => stream.try_apply_keystream(data),
            Stream::ChaCha20(stream) => stream.try_apply_keystream(data),
            Stream::Salsa20(stream) => stream.try_apply_keystream(data),
        }
        .map_err(|_| CompatError::Exhausted)
    }
}

impl core::fmt::Debug for Keystream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keystream(..)")
    }
}

enum Stream {
    Aes128(Ctr128BE<Aes128>),
    Aes192(Ctr128BE<Aes192>),
    Aes256(Ctr128BE<Aes256>),
    ChaCha20(chacha20::ChaCha20),
    Salsa20(salsa20::Salsa20),
}

/// Why a key is refused, or a keystream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompatError {
    /// Not a key of this cipher.
    #[error("link: a key of {got} bytes, but {} takes {}", .cipher.as_str(), .cipher.key_len())]
    KeyLength {
        /// For which cipher.
        cipher: Cipher,
        /// Its length.
        got: usize,
    },
    /// Not an IV of this cipher.
    #[error("link: an IV of {got} bytes, but {} takes {}", .cipher.as_str(), .cipher.iv_len())]
    IvLength {
        /// For which cipher.
        cipher: Cipher,
        /// Its length.
        got: usize,
    },
    /// All `A`.
    #[error("link: this is the example's key, which everybody knows")]
    ExampleKey,
    /// All `T`.
    #[error("link: this is the example's IV, which everybody knows")]
    ExampleIv,
    /// No keystream is left; reset both ends.
    #[error("link: the keystream is used up")]
    Exhausted,
    /// More than the example's device writes at once.
    #[error("link: {0} bytes to write at once, at most {MAX_WRITE}")]
    WriteLength(usize),
    /// More than the example's device reads at once.
    #[error("link: {0} bytes read at once, at most {MAX_READ}")]
    ReadLength(usize),
}

#[cfg(test)]
mod tests;
