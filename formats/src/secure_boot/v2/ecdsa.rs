//! ECDSA in signature blocks: public keys on P-192, P-256 and P-384, and what they verify.
//!
//! Source: espsecure 5.6.0 `generate_signature_block_using_private_key`; facts checked against its output.

use super::{BLOCK_LEN, BlockRefusal, CRC, ContentDigests, MAGIC, Scheme, SignatureBlock};
use crate::crc::crc_b;
use alloc::vec;
use alloc::vec::Vec;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256};

/// The curves that a signature block can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Curve {
    P192,
    P256,
    P384,
}

impl Curve {
    /// Bytes of a coordinate, and of r and of s.
    #[must_use]
    pub const fn coordinate_len(self) -> usize {
        match self {
            Self::P192 => 24,
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    /// The scheme of a block with a key on this curve.
    #[must_use]
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::P192 => Scheme::EcdsaP192,
            Self::P256 => Scheme::EcdsaP256,
            Self::P384 => Scheme::EcdsaP384,
        }
    }

    /// The curve of a scheme; `None` for RSA.
    #[must_use]
    pub const fn of(scheme: Scheme) -> Option<Self> {
        match scheme {
            Scheme::Rsa3072 => None,
            Scheme::EcdsaP192 => Some(Self::P192),
            Scheme::EcdsaP256 => Some(Self::P256),
            Scheme::EcdsaP384 => Some(Self::P384),
        }
    }

    /// r then s, big-endian, [`Self::coordinate_len`] bytes each, of a signature in DER
    /// (`SEQUENCE { INTEGER r, INTEGER s }`, as OpenSSL writes it) or of the two numbers as they stand (as tokens do).
    ///
    /// # Errors
    /// [`BlockRefusal::Numbers`] if it is neither.
    pub fn numbers(self, signature: &[u8]) -> Result<Vec<u8>, BlockRefusal> {
        if signature.len() == 2 * self.coordinate_len() {
            return Ok(signature.to_vec());
        }
        self.numbers_of_der(signature).ok_or(BlockRefusal::Numbers)
    }

    /// All lengths are below 128: no signature on these curves is longer than 104 bytes.
    fn numbers_of_der(self, signature: &[u8]) -> Option<Vec<u8>> {
        let len = self.coordinate_len();
        let (&[0x30, total], mut rest) = signature.split_first_chunk()? else { return None };
        if usize::from(total) != rest.len() || total >= 0x80 {
            return None;
        }
        let mut numbers = vec![0; 2 * len];
        for out in numbers.chunks_exact_mut(len) {
            let (&[2, integer], tail) = rest.split_first_chunk()? else { return None };
            let (integer, tail) = tail.split_at_checked(usize::from(integer))?;
            let integer = integer.strip_prefix(&[0]).unwrap_or(integer);
            let at = len.checked_sub(integer.len())?;
            out[at..].copy_from_slice(integer);
            rest = tail;
        }
        rest.is_empty().then_some(numbers)
    }

    /// As it stands in a block.
    const fn id(self) -> u8 {
        match self {
            Self::P192 => 1,
            Self::P256 => 2,
            Self::P384 => 3,
        }
    }

    /// Where the curve id is; the point follows, then r and s.
    const fn key_at(self) -> usize {
        match self {
            Self::P192 | Self::P256 => 36,
            Self::P384 => 52,
        }
    }

    /// Bytes that a block has for two numbers; P-192 leaves the end of it zero.
    const fn pair_len(self) -> usize {
        match self {
            Self::P192 | Self::P256 => 64,
            Self::P384 => 96,
        }
    }
}

/// A point on its curve, not at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcdsaPublicKey {
    curve: Curve,
    /// x then y, big-endian, [`Curve::coordinate_len`] bytes each; the rest is zero.
    point: [u8; 96],
}

impl EcdsaPublicKey {
    /// Reads a SEC1 point, compressed or not.
    ///
    /// # Errors
    /// [`BlockRefusal::Point`] if it is none of this curve.
    pub fn from_sec1(curve: Curve, bytes: &[u8]) -> Result<Self, BlockRefusal> {
        let mut point = [0; 96];
        let pair = &mut point[..2 * curve.coordinate_len()];
        macro_rules! decompress {
            ($curve:ident) => {
                $curve::ecdsa::VerifyingKey::from_sec1_bytes(bytes)
                    .map(|key| pair.copy_from_slice(&key.to_sec1_point(false).as_bytes()[1..]))
            };
        }
        match curve {
            Curve::P192 => decompress!(p192),
            Curve::P256 => decompress!(p256),
            Curve::P384 => decompress!(p384),
        }
        .map_err(|_| BlockRefusal::Point)?;
        Ok(Self { curve, point })
    }

    /// The key in a block.
    ///
    /// # Errors
    /// [`BlockRefusal::Point`] if what is there is no point of its curve, or the block's scheme is RSA.
    pub fn of_block(block: &SignatureBlock<'_>) -> Result<Self, BlockRefusal> {
        let curve = Curve::of(block.scheme()).ok_or(BlockRefusal::Point)?;
        let mut sec1 = [0; 97];
        sec1[0] = 4;
        let at = curve.key_at() + 1;
        let used = unpack(curve, &block.as_bytes()[at..at + curve.pair_len()], &mut sec1[1..]);
        Self::from_sec1(curve, &sec1[..=used])
    }

    /// The curve that the point is on.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// x then y, big-endian.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        &self.point[..2 * self.curve.coordinate_len()]
    }

    /// What an eFuse digest block holds if the device trusts this key: SHA-256 of curve id and point field.
    #[must_use]
    pub fn key_digest(&self) -> [u8; 32] {
        let field = pack(self.curve, self.point());
        Sha256::new().chain_update([self.curve.id()]).chain_update(&field[..self.curve.pair_len()]).finalize().into()
    }

    /// Verifies `signature`: r then s, big-endian, over `digest` (SHA-256, or SHA-384 for P-384).
    ///
    /// # Errors
    /// [`BlockRefusal::Numbers`] if r or s is out of range, [`BlockRefusal::Mismatch`] if it is not this key's.
    pub fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), BlockRefusal> {
        let mut sec1 = [4; 97];
        let used = self.point().len();
        sec1[1..=used].copy_from_slice(self.point());
        let sec1 = &sec1[..=used];
        macro_rules! verify {
            ($curve:ident) => {{
                let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map_err(|_| BlockRefusal::Point)?;
                let signature = $curve::ecdsa::Signature::from_slice(signature).map_err(|_| BlockRefusal::Numbers)?;
                key.verify_prehash(digest, &signature)
            }};
        }
        match self.curve {
            Curve::P192 => verify!(p192),
            Curve::P256 => verify!(p256),
            Curve::P384 => verify!(p384),
        }
        .map_err(|_| BlockRefusal::Mismatch)
    }

    /// The block around a signature, which is verified first.
    pub(super) fn block(&self, digests: &ContentDigests, signature: &[u8]) -> Result<[u8; BLOCK_LEN], BlockRefusal> {
        let digest = digests.of_scheme(self.curve.scheme());
        self.verify(digest, signature)?;
        let (key_at, pair_len) = (self.curve.key_at(), self.curve.pair_len());
        let mut block = [0; BLOCK_LEN];
        block[..3].copy_from_slice(&[MAGIC, 3, u8::from(self.curve == Curve::P384)]);
        block[4..4 + digest.len()].copy_from_slice(digest);
        block[key_at] = self.curve.id();
        let (point, numbers) = block[key_at + 1..].split_at_mut(pair_len);
        point.copy_from_slice(&pack(self.curve, self.point())[..pair_len]);
        numbers[..pair_len].copy_from_slice(&pack(self.curve, signature)[..pair_len]);
        let crc = crc_b(&block[..CRC]);
        block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        Ok(block)
    }
}

/// Verifies an ECDSA block over content whose digest it is known to carry.
pub(super) fn verify_block(block: &SignatureBlock<'_>, digest: &[u8]) -> Result<(), BlockRefusal> {
    let key = EcdsaPublicKey::of_block(block)?;
    let at = key.curve.key_at() + 1 + key.curve.pair_len();
    let mut signature = [0; 96];
    let used = unpack(key.curve, &block.as_bytes()[at..at + key.curve.pair_len()], &mut signature);
    key.verify(digest, &signature[..used])
}

/// Two little-endian numbers of a block as big-endian ones; returns how many bytes they take.
fn unpack(curve: Curve, field: &[u8], out: &mut [u8]) -> usize {
    let len = curve.coordinate_len();
    for (out, number) in out.chunks_exact_mut(len).zip(field.chunks_exact(len)).take(2) {
        out.copy_from_slice(number);
        out.reverse();
    }
    2 * len
}

/// The opposite of [`unpack`]; what a pair of P-192 leaves free stays zero.
fn pack(curve: Curve, pair: &[u8]) -> [u8; 96] {
    let mut out = [0; 96];
    unpack(curve, pair, &mut out);
    out
}
