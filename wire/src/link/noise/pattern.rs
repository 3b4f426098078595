//! The two messages of `NNpsk0` and `KKpsk0`, token by token, for the initiator and the responder.
//!
//! ```text
//! NNpsk0                      KKpsk0
//!                               -> s
//!                               <- s
//!                               ...
//!   -> psk, e                   -> psk, e, es, ss
//!   <- e, ee                    <- e, ee, se
//! ```
//!
//! Source: The Noise Protocol Framework, revision 34, sections 5.3, 7.4, 9.3 and 9.4. `ss` is the same in all handshakes of
//! two ends, and so it is computed once, by [`StaticKeys`]. An X25519 result of all zeros, which the specification leaves to
//! the application (section 12.1), is refused.

use super::symmetric::{Symmetric, TransportKey};
use crate::link::handshake::HandshakeError;
use cotter_formats::secret::Secret;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret, X25519_BASEPOINT_BYTES};

/// Bytes of either message: an X25519 key, and a payload with its tag.
pub(super) const MESSAGE: usize = 32 + PAYLOAD + 16;
/// Bytes of either payload.
pub(super) const PAYLOAD: usize = 10;

/// The X25519 keys of `KKpsk0`: this end's pair, and the other's public key.
pub struct StaticKeys {
    own: StaticSecret,
    own_public: PublicKey,
    peer: PublicKey,
    /// DH(own, peer)
    shared: SharedSecret,
}

impl StaticKeys {
    /// `own`: the 32 bytes of a private key, from a cryptographic random source. `peer`: the other end's public key.
    ///
    /// # Errors
    /// [`HandshakeError::LowOrder`] if `peer` is a point that no honest end has; [`HandshakeError::OwnKey`] if it is this
    /// end's own.
    pub fn new(own: &Secret<32>, peer: [u8; 32]) -> Result<Self, HandshakeError> {
        let own = StaticSecret::from(*own.expose());
        let (own_public, peer) = (public_of(&own), PublicKey::from(peer));
        if own_public == peer {
            return Err(HandshakeError::OwnKey);
        }
        let shared = contributory(&own, &peer)?;
        Ok(Self { own, own_public, peer, shared })
    }

    /// What the other end is to be given.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.own_public.to_bytes()
    }
}

impl core::fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StaticKeys(..)")
    }
}

/// The public key of a private one.
#[must_use]
pub fn public_key(private: &Secret<32>) -> [u8; 32] {
    public_of(&StaticSecret::from(*private.expose())).to_bytes()
}

/// What both ends of a handshake know before it.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    /// `Noise_..`
    pub(super) protocol: &'a str,
    pub(super) prologue: &'a [u8],
    pub(super) psk: &'a Secret<32>,
    /// For KK.
    pub(super) statics: Option<&'a StaticKeys>,
}

/// An initiator between the two messages.
pub(super) struct Initiator {
    symmetric: Symmetric,
    ephemeral: StaticSecret,
}

impl Initiator {
    /// Writes the first message. `ephemeral` must be fresh.
    pub(super) fn start(before: Before<'_>, ephemeral: &Secret<32>, payload: &[u8; PAYLOAD]) -> (Self, [u8; MESSAGE]) {
        let mut message = Message { payload: *payload, ..Message::default() };
        // 1. -> s, <- s; psk
        let statics = before.statics.map(|keys| [keys.own_public.as_bytes(), keys.peer.as_bytes()]);
        let mut symmetric = Symmetric::new(before.protocol, before.prologue, statics.into_iter().flatten(), before.psk);
        // 2. e
        let ephemeral = StaticSecret::from(*ephemeral.expose());
        message.ephemeral = public_of(&ephemeral).to_bytes();
        symmetric.mix_ephemeral(&message.ephemeral);
        // 3. es, ss: the peer's static key was seen not to be of low order.
        if let Some(keys) = before.statics {
            symmetric.mix_key(ephemeral.diffie_hellman(&keys.peer).as_bytes());
            symmetric.mix_key(keys.shared.as_bytes());
        }
        symmetric.seal(&mut message.payload, &mut message.tag);
        (Self { symmetric, ephemeral }, message.to_bytes())
    }

    /// Reads the second message. This can be tried again with another one.
    ///
    /// # Errors
    /// [`HandshakeError::LowOrder`], [`HandshakeError::NotAuthentic`].
    pub(super) fn finish(&self, before: Before<'_>, message: &[u8; MESSAGE]) -> Result<Finished, HandshakeError> {
        let mut message = Message::read(message);
        let mut symmetric = self.symmetric.fork();
        let theirs = PublicKey::from(message.ephemeral);
        // 1. e, ee
        symmetric.mix_ephemeral(&message.ephemeral);
        symmetric.mix_key(contributory(&self.ephemeral, &theirs)?.as_bytes());
        // 2. se: here the own static key with the other's ephemeral one.
        if let Some(keys) = before.statics {
            symmetric.mix_key(contributory(&keys.own, &theirs)?.as_bytes());
        }
        let Message { payload, tag, .. } = &mut message;
        if !symmetric.open(payload, tag) {
            return Err(HandshakeError::NotAuthentic);
        }
        Ok(Finished::new(symmetric, message.payload))
    }
}

impl core::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Initiator(..)")
    }
}

/// A responder between the two messages.
#[derive(Debug)]
pub(super) struct Responder {
    symmetric: Symmetric,
    theirs: PublicKey,
    /// What the initiator said.
    pub(super) payload: [u8; PAYLOAD],
}

impl Responder {
    /// Reads the first message.
    ///
    /// # Errors
    /// [`HandshakeError::LowOrder`], [`HandshakeError::NotAuthentic`].
    pub(super) fn start(before: Before<'_>, message: &[u8; MESSAGE]) -> Result<Self, HandshakeError> {
        let mut message = Message::read(message);
        // 1. -> s, <- s; psk
        let statics = before.statics.map(|keys| [keys.peer.as_bytes(), keys.own_public.as_bytes()]);
        let mut symmetric = Symmetric::new(before.protocol, before.prologue, statics.into_iter().flatten(), before.psk);
        // 2. e
        let theirs = PublicKey::from(message.ephemeral);
        symmetric.mix_ephemeral(&message.ephemeral);
        // 3. es, ss: here the own static key with the other's ephemeral one.
        if let Some(keys) = before.statics {
            symmetric.mix_key(contributory(&keys.own, &theirs)?.as_bytes());
            symmetric.mix_key(keys.shared.as_bytes());
        }
        let Message { payload, tag, .. } = &mut message;
        if !symmetric.open(payload, tag) {
            return Err(HandshakeError::NotAuthentic);
        }
        Ok(Self { symmetric, theirs, payload: message.payload })
    }

    /// Writes the second message. `ephemeral` must be fresh.
    ///
    /// # Errors
    /// [`HandshakeError::LowOrder`].
    pub(super) fn finish(
        &self,
        before: Before<'_>,
        ephemeral: &Secret<32>,
        payload: &[u8; PAYLOAD],
    ) -> Result<([u8; MESSAGE], Finished), HandshakeError> {
        let mut message = Message { payload: *payload, ..Message::default() };
        let mut symmetric = self.symmetric.fork();
        // 1. e, ee
        let ephemeral = StaticSecret::from(*ephemeral.expose());
        message.ephemeral = public_of(&ephemeral).to_bytes();
        symmetric.mix_ephemeral(&message.ephemeral);
        symmetric.mix_key(contributory(&ephemeral, &self.theirs)?.as_bytes());
        // 2. se: the peer's static key was seen not to be of low order.
        if let Some(keys) = before.statics {
            symmetric.mix_key(ephemeral.diffie_hellman(&keys.peer).as_bytes());
        }
        symmetric.seal(&mut message.payload, &mut message.tag);
        Ok((message.to_bytes(), Finished::new(symmetric, self.payload)))
    }
}

/// A handshake after its second message.
pub(super) struct Finished {
    /// `h`, which names this handshake and no other.
    pub(super) hash: [u8; 32],
    /// What the other end said.
    pub(super) payload: [u8; PAYLOAD],
    /// From the initiator to the responder.
    pub(super) to_responder: TransportKey,
    /// From the responder to the initiator.
    pub(super) to_initiator: TransportKey,
}

impl Finished {
    fn new(symmetric: Symmetric, payload: [u8; PAYLOAD]) -> Self {
        let hash = *symmetric.hash();
        let [to_responder, to_initiator] = symmetric.split();
        Self { hash, payload, to_responder, to_initiator }
    }
}

/// Either message.
#[derive(Default)]
struct Message {
    ephemeral: [u8; 32],
    payload: [u8; PAYLOAD],
    tag: [u8; 16],
}

impl Message {
    fn read(bytes: &[u8; MESSAGE]) -> Self {
        let mut message = Self::default();
        message.ephemeral.copy_from_slice(&bytes[..32]);
        message.payload.copy_from_slice(&bytes[32..32 + PAYLOAD]);
        message.tag.copy_from_slice(&bytes[32 + PAYLOAD..]);
        message
    }

    fn to_bytes(&self) -> [u8; MESSAGE] {
        let mut bytes = [0; MESSAGE];
        bytes[..32].copy_from_slice(&self.ephemeral);
        bytes[32..32 + PAYLOAD].copy_from_slice(&self.payload);
        bytes[32 + PAYLOAD..].copy_from_slice(&self.tag);
        bytes
    }
}

/// The ladder alone, as for all else: no tables in flash.
fn public_of(private: &StaticSecret) -> PublicKey {
    PublicKey::from(*private.diffie_hellman(&PublicKey::from(X25519_BASEPOINT_BYTES)).as_bytes())
}

fn contributory(own: &StaticSecret, theirs: &PublicKey) -> Result<SharedSecret, HandshakeError> {
    let shared = own.diffie_hellman(theirs);
    if shared.was_contributory() { Ok(shared) } else { Err(HandshakeError::LowOrder) }
}
