//! Keys and IVs from what a chip and its host know: the `F(x, y, z)` that Espressif's example asks for.
//!
//! ```text
//! HKDF-SHA256 (RFC 5869)
//! key material   32 bytes that nobody else knows: what the chip's HMAC peripheral says to HMAC_MESSAGE under an eFuse
//!                key, or a secret that both ends were given
//! salt           "cotter/link/v1"
//! info           "cotter/link/v1/" use "\0" | 1, length u8, MAC address | 2, length u8, unique id | 3, length u8, own data
//!                what is absent has length 0
//! use            "psk" 32 bytes | "compat-key/" cipher "/" way | "compat-iv/" cipher "/" way, as many bytes as it takes
//! way            "both" | "to-host" | "to-module"
//! ```
//!
//! A MAC address is sent with every frame on the air and a unique id is readable by all software, so neither is a secret:
//! they make keys differ, and only the key material makes them unknown. That is why there is no way to derive without it.

use super::compat::{Cipher, CompatError, CompatKey, ExampleKeys};
use crate::keys;
use cotter_formats::secret::Secret;
use hkdf::Hkdf;
use hmac::Mac;
use sha2::Sha256;

/// What the chip's HMAC peripheral is asked to authenticate, so that its answer is the key material of a link. The host is
/// given the answer at the factory, where the eFuse key is known: see [`LinkSecret::of_hmac_key`].
pub const HMAC_MESSAGE: &[u8] = b"cotter/link/v1/efuse-hmac";

/// 32 bytes that only the two ends of one link know.
#[derive(Debug)]
pub struct LinkSecret(Secret<32>);

impl LinkSecret {
    /// A secret that both ends were given, or what the HMAC peripheral said.
    #[must_use]
    pub const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// What the HMAC peripheral of a chip with this eFuse key (upstream purpose) says to [`HMAC_MESSAGE`].
    #[must_use]
    pub fn of_hmac_key(efuse_key: &Secret<32>) -> Self {
        let mut mac = keys::hmac(efuse_key.expose());
        mac.update(HMAC_MESSAGE);
        let answer = mac.finalize().into_bytes();
        Self(Secret::filled_by(|bytes| bytes.copy_from_slice(&answer)))
    }
}

/// What makes the keys of one link differ from those of others. None of it needs to be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ingredients<'a> {
    /// The chip's base MAC address: 6 bytes, or 8 of an EUI-64; empty if it is left out.
    pub mac: &'a [u8],
    /// The chip's `OPTIONAL_UNIQUE_ID`, 16 bytes; empty if it is left out.
    pub unique_id: &'a [u8],
    /// Anything of the product's own: at most 255 bytes.
    pub own: &'a [u8],
}

/// Which directions a key or IV is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One for both, as in the example.
    Both,
    /// From the module to its host.
    ToHost,
    /// From the host to its module.
    ToModule,
}

impl Way {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Both => b"both",
            Self::ToHost => b"to-host",
            Self::ToModule => b"to-module",
        }
    }
}

/// Derives all keys of one link.
pub struct Derivation<'a> {
    extracted: Hkdf<Sha256>,
    ingredients: Ingredients<'a>,
    lengths: [u8; 3],
}

impl core::fmt::Debug for Derivation<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Derivation(..)")
    }
}

impl<'a> Derivation<'a> {
    /// From `secret` and what is particular to this link.
    ///
    /// # Errors
    /// [`DerivationError`] if a MAC address or unique id has another length than theirs, or own data is too long.
    pub fn new(secret: &LinkSecret, ingredients: Ingredients<'a>) -> Result<Self, DerivationError> {
        let Ingredients { mac, unique_id, own } = ingredients;
        if !matches!(mac.len(), 0 | 6 | 8) {
            return Err(DerivationError::MacLength(mac.len()));
        }
        if !matches!(unique_id.len(), 0 | 16) {
            return Err(DerivationError::UniqueIdLength(unique_id.len()));
        }
        let len = |bytes: &[u8]| u8::try_from(bytes.len()).map_err(|_| DerivationError::OwnLength(bytes.len()));
        let lengths = [len(mac)?, len(unique_id)?, len(own)?];
        Ok(Self { extracted: Hkdf::new(Some(SALT), secret.0.expose()), ingredients, lengths })
    }

    /// The key of an authenticated link.
    #[must_use]
    pub fn psk(&self) -> Secret<32> {
        Secret::filled_by(|out| self.expand(&[b"psk"], out))
    }

    /// Key and IV of a keystream.
    #[must_use]
    pub fn compat(&self, cipher: Cipher, way: Way) -> CompatKey {
        let name = cipher.as_str().as_bytes();
        let key = Secret::<32>::filled_by(|out| {
            self.expand(&[b"compat-key/", name, b"/", way.as_bytes()], &mut out[..cipher.key_len()]);
        });
        let mut iv = [0; 16];
        let iv = &mut iv[..cipher.iv_len()];
        self.expand(&[b"compat-iv/", name, b"/", way.as_bytes()], iv);
        let made: Result<_, CompatError> =
            CompatKey::new(cipher, &key.expose()[..cipher.key_len()], iv, ExampleKeys::Allow);
        made.expect("they have the lengths of the cipher")
    }

    fn expand(&self, usage: &[&[u8]], out: &mut [u8]) {
        let usage: [&[u8]; 4] = core::array::from_fn(|at| usage.get(at).copied().unwrap_or_default());
        let [mac, unique_id, own] = self.lengths;
        let Ingredients { mac: mac_bytes, unique_id: id_bytes, own: own_bytes } = self.ingredients;
        let [first, second, third, fourth] = usage;
        let info: [&[u8]; 12] = [
            b"cotter/link/v1/",
            first,
            second,
            third,
            fourth,
            b"\0",
            &[1, mac],
            mac_bytes,
            &[2, unique_id],
            id_bytes,
            &[3, own],
            own_bytes,
        ];
        self.extracted
            .expand_multi_info(&info, out)
            .expect("HKDF-SHA256 expands to at most 8160 bytes, and these have 32");
    }
}

const SALT: &[u8] = b"cotter/link/v1";

/// Why nothing is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DerivationError {
    /// Neither a MAC address nor an EUI-64.
    #[error("link: a MAC address of {0} bytes, expected 6 or 8")]
    MacLength(usize),
    /// Not what the eFuses hold.
    #[error("link: a unique id of {0} bytes, expected 16")]
    UniqueIdLength(usize),
    /// Its length has one byte.
    #[error("link: own data of {0} bytes, at most 255")]
    OwnLength(usize),
}

#[cfg(test)]
mod tests;
