//! The chaining key, the handshake hash and the cipher of a Noise handshake that begins with its shared key.
//!
//! Source: The Noise Protocol Framework, revision 34, sections 5.1, 5.2, 9.2 and 11.3, for 25519, `ChaChaPoly` and SHA256.
//! What `psk0` makes simpler: there is a cipher key from the first payload on; and both patterns mix a key before each
//! payload, so that each key seals one message, with the nonce 0.

use crate::link::suite::{FrameKey, Suite};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use cotter_formats::secret::Secret;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

/// `SymmetricState`, after its first `MixKeyAndHash`.
pub(super) struct Symmetric {
    /// `ck`
    chaining: Secret<32>,
    /// `h`
    hash: [u8; 32],
    /// `k`, with `n` = 0
    cipher: Secret<32>,
}

impl Symmetric {
    /// `InitializeSymmetric(protocol)`, `MixHash(prologue)`, `MixHash` of the pre-messages' public keys, and the token `psk`.
    pub(super) fn new<'k>(
        protocol: &str,
        prologue: &[u8],
        before: impl IntoIterator<Item = &'k [u8; 32]>,
        psk: &Secret<32>,
    ) -> Self {
        // A name of at most 32 bytes would be h itself; these have 36.
        let hash = Sha256::digest(protocol).into();
        let chaining = Secret::filled_by(|key| *key = hash);
        let mut symmetric = Self { chaining, hash, cipher: Secret::filled_by(|_| ()) };
        symmetric.mix_hash(prologue);
        for key in before {
            symmetric.mix_hash(key);
        }
        // MixKeyAndHash(psk)
        let [chaining, hash, cipher] = symmetric.derive(psk.expose());
        (symmetric.chaining, symmetric.cipher) = (chaining, cipher);
        symmetric.mix_hash(hash.expose());
        symmetric
    }

    /// The handshake hash as it is.
    pub(super) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The same again, for a message that may be forged.
    pub(super) fn fork(&self) -> Self {
        let copy = |secret: &Secret<32>| Secret::filled_by(|bytes| *bytes = *secret.expose());
        Self { chaining: copy(&self.chaining), hash: self.hash, cipher: copy(&self.cipher) }
    }

    /// The token `e` in a handshake with a shared key: `MixHash(e)`, `MixKey(e)`.
    pub(super) fn mix_ephemeral(&mut self, public: &[u8; 32]) {
        self.mix_hash(public);
        self.mix_key(public);
    }

    /// `MixKey`
    pub(super) fn mix_key(&mut self, material: &[u8; 32]) {
        [self.chaining, self.cipher] = self.derive(material);
    }

    /// `EncryptAndHash`, in place.
    pub(super) fn seal(&mut self, payload: &mut [u8], tag: &mut [u8; 16]) {
        let sealed = cipher(&self.cipher).encrypt_inout_detached(&nonce(0), &self.hash, (&mut *payload).into());
        *tag = sealed.expect("a payload is far shorter than what the cipher takes").into();
        self.mix_sealed(payload, tag);
    }

    /// `DecryptAndHash`, in place. False if the tag does not hold; then this is of no use any more.
    #[must_use]
    pub(super) fn open(&mut self, payload: &mut [u8], tag: &[u8; 16]) -> bool {
        // h goes on over the cipher text, which is gone once it is opened.
        let hash = self.hash;
        self.mix_sealed(payload, tag);
        let tag = Tag::from(*tag);
        cipher(&self.cipher).decrypt_inout_detached(&nonce(0), &hash, payload.into(), &tag).is_ok()
    }

    /// `Split`: the transport keys of the initiator and of the responder.
    pub(super) fn split(self) -> [TransportKey; 2] {
        self.derive(&[]).map(TransportKey)
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = Sha256::new().chain_update(self.hash).chain_update(data).finalize().into();
    }

    fn mix_sealed(&mut self, payload: &[u8], tag: &[u8; 16]) {
        self.hash = Sha256::new().chain_update(self.hash).chain_update(payload).chain_update(tag).finalize().into();
    }

    /// Noise's `HKDF(ck, material, N)`, which is RFC 5869's with `ck` as its salt and without info.
    fn derive<const N: usize>(&self, material: &[u8]) -> [Secret<32>; N] {
        let extracted = Hkdf::<Sha256>::new(Some(self.chaining.expose()), material);
        let all = Secret::<96>::filled_by(|out| {
            extracted.expand(&[], &mut out[..32 * N]).expect("HKDF-SHA256 expands to at most 8160 bytes, this is 96");
        });
        core::array::from_fn(|at| Secret::filled_by(|key| key.copy_from_slice(&all.expose()[32 * at..][..32])))
    }
}

impl core::fmt::Debug for Symmetric {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Symmetric(..)")
    }
}

/// The key of one direction's transport messages, before the first of them.
#[derive(Debug)]
pub(super) struct TransportKey(Secret<32>);

impl TransportKey {
    /// The transport message with n = 0 and no payload: its tag.
    pub(super) fn empty_message(&self) -> [u8; 16] {
        let sealed = cipher(&self.0).encrypt_inout_detached(&nonce(0), &[], (&mut [][..]).into());
        sealed.expect("no payload is shorter than what the cipher takes").into()
    }

    /// `Rekey`: the first 32 bytes of 32 zeros and their tag, sealed with n = 2^64 - 1. It seals the frames of the session.
    ///
    /// Off-spec: frames count with a big-endian counter, as in every mode, where Noise's transport messages have a
    /// little-endian one; and they have associated data. That is why they do not go on with Noise's own key.
    pub(super) fn frame_key(&self) -> FrameKey {
        FrameKey::filled_by(Suite::ChaCha20Poly1305, |key, iv| {
            iv.fill(0);
            key.fill(0);
            cipher(&self.0)
                .encrypt_inout_detached(&nonce(u64::MAX), &[], key.into())
                .expect("32 bytes are fewer than what the cipher takes");
        })
    }
}

fn cipher(key: &Secret<32>) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(<&Key>::from(key.expose()))
}

/// 4 zero bytes, and the number little-endian.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce.into()
}
