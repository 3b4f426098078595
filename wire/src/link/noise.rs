//! Two ends that share a key agree on a session by Noise: recorded frames stay secret when the key is lost later.
//!
//! ```text
//! knock    0x81 | mode | mac 8                                    10 bytes, as with a shared key alone
//! hello    0x02 | mode | Noise message 1: e 32, payload 10, tag 16        60 bytes
//! reply    0x83 | mode | Noise message 2: e 32, payload 10, tag 16        60 bytes
//! finish   0x04 | Noise transport message 0 of the host, without payload: its tag, 16            17 bytes
//!
//! mode         0x11 Noise_NNpsk0_25519_ChaChaPoly_SHA256, 0x21 Noise_KKpsk0_25519_ChaChaPoly_SHA256
//! payload      longest frame u16 | lineage 8, big-endian: what a hello and a reply say with a shared key alone
//! prologue     "cotter/link/noise/v1\0" | mode | suite 0x01
//! session id   the first 8 bytes of the handshake hash
//! frames       the split keys after Noise's Rekey, IV 0
//! ```
//!
//! The host is the initiator. Mode, version and suite are in the prologue and the pattern's name in the handshake hash, so
//! an end that was told another of them has other keys. A hello can be replayed and then costs a reply: the host's finish
//! is what shows the module that its own fresh key was heard. Everything after that is in
//! [`session`](super::session), as after the handshake with a shared key alone.
//!
//! With `NNpsk0` both ends are whoever has the shared key. With `KKpsk0` each end has a static X25519 key as well, and who
//! learns the shared key alone is neither of them.
//!
//! Source: The Noise Protocol Framework, revision 34.

mod pattern;
mod symmetric;

pub use pattern::{StaticKeys, public_key};

use super::credentials::{About, Credentials};
use super::handshake::{
    Established, FINISH, FINISH_HEAD, HELLO_HEAD, HandshakeError, KNOCK, LEAST_FRAME, LinkPsk, Offer, REPLY_HEAD,
};
use super::mode::Mode;
use super::session::{Session, SessionId, Side};
use super::suite::{Suite, SuiteSet};
use cotter_formats::secret::Secret;
use pattern::{Before, Finished, Initiator, MESSAGE, PAYLOAD, Responder};

/// Bytes of a hello and of a reply.
pub const NOISE_HELLO: usize = 2 + MESSAGE;
const _: () = assert!(NOISE_HELLO <= LEAST_FRAME as usize);

/// The keys of one end. Which pattern it speaks is in which keys it has.
#[derive(Debug)]
pub struct NoiseKeys {
    psk: LinkPsk,
    statics: Option<StaticKeys>,
}

impl NoiseKeys {
    /// For `NNpsk0`.
    #[must_use]
    pub const fn nn(psk: LinkPsk) -> Self {
        Self { psk, statics: None }
    }

    /// For `KKpsk0`.
    #[must_use]
    pub const fn kk(psk: LinkPsk, statics: StaticKeys) -> Self {
        Self { psk, statics: Some(statics) }
    }

    fn before(&self) -> (&'static str, [u8; 23]) {
        let protocol = match &self.statics {
            None => "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
            Some(_) => "Noise_KKpsk0_25519_ChaChaPoly_SHA256",
        };
        let mut prologue = *b"cotter/link/noise/v1\0\0\0";
        prologue[21..].copy_from_slice(&[self.mode() as u8, Suite::ChaCha20Poly1305 as u8]);
        (protocol, prologue)
    }

    fn begun<T>(&self, with: impl FnOnce(Before<'_>) -> T) -> T {
        let (protocol, prologue) = self.before();
        with(Before { protocol, prologue: &prologue, psk: self.psk.psk(), statics: self.statics.as_ref() })
    }

    fn message<'m>(&self, message: &'m [u8]) -> Result<&'m [u8; MESSAGE], HandshakeError> {
        self.mode().check(message)?;
        let length = HandshakeError::Length { len: message.len(), expected: NOISE_HELLO };
        let message: &[u8; NOISE_HELLO] = message.try_into().map_err(|_| length)?;
        message.last_chunk().ok_or(length)
    }
}

impl Credentials for NoiseKeys {
    type Message = [u8; NOISE_HELLO];
    type Greeting = NoiseGreeting;
    type Hello = NoiseHello;

    fn mode(&self) -> Mode {
        if self.statics.is_some() { Mode::NoiseKk } else { Mode::NoiseNn }
    }

    fn knock(&self) -> [u8; KNOCK] {
        self.psk.knock_of(self.mode())
    }

    fn check_knock(&self, message: &[u8]) -> Result<(), HandshakeError> {
        self.psk.check_knock_of(self.mode(), message)
    }

    /// Noise's suite is in its name, and so `suites` does not count.
    fn greet(&self, _: SuiteSet, about: About, fresh: impl FnOnce(&mut [u8])) -> NoiseGreeting {
        let ephemeral = Secret::filled_by(|key| fresh(key));
        let (initiator, sealed) = self.begun(|before| Initiator::start(before, &ephemeral, &write(about)));
        NoiseGreeting { initiator, message: framed(HELLO_HEAD, self.mode(), &sealed) }
    }

    fn hello(greeting: &NoiseGreeting) -> &[u8; NOISE_HELLO] {
        &greeting.message
    }

    fn answered(&self, greeting: &NoiseGreeting, reply: &[u8]) -> Result<Established, HandshakeError> {
        let reply = self.message(reply)?;
        let finished = self.begun(|before| greeting.initiator.finish(before, reply))?;
        let peer = offer(&finished.payload, reply)?;
        Ok(established(Side::Host, &finished, peer))
    }

    fn greeted(&self, hello: &[u8]) -> Result<NoiseHello, HandshakeError> {
        let hello = self.message(hello)?;
        let responder = self.begun(|before| Responder::start(before, hello))?;
        let offer = offer(&responder.payload, hello)?;
        Ok(NoiseHello { responder, offer })
    }

    /// The beginning of the host's ephemeral key.
    fn nonce(hello: &NoiseHello) -> [u8; 16] {
        hello.offer.nonce
    }

    /// Noise's suite is in its name, and so `suites` does not count.
    fn reply(
        &self,
        hello: &NoiseHello,
        _: SuiteSet,
        about: About,
        fresh: impl FnOnce(&mut [u8]),
    ) -> Result<([u8; NOISE_HELLO], Established), HandshakeError> {
        let ephemeral = Secret::filled_by(|key| fresh(key));
        let (sealed, finished) = self.begun(|before| hello.responder.finish(before, &ephemeral, &write(about)))?;
        Ok((framed(REPLY_HEAD, self.mode(), &sealed), established(Side::Module, &finished, hello.offer)))
    }
}

/// A hello that this host has sent and that waits for its reply. Its private key is wiped when it is dropped.
#[derive(Debug)]
pub struct NoiseGreeting {
    initiator: Initiator,
    message: [u8; NOISE_HELLO],
}

/// An authentic hello, fresh or replayed.
#[derive(Debug)]
pub struct NoiseHello {
    responder: Responder,
    offer: Offer,
}

fn framed(head: u8, mode: Mode, sealed: &[u8; MESSAGE]) -> [u8; NOISE_HELLO] {
    let mut message = [0; NOISE_HELLO];
    message[..2].copy_from_slice(&[head, mode as u8]);
    message[2..].copy_from_slice(sealed);
    message
}

fn write(about: About) -> [u8; PAYLOAD] {
    let mut payload = [0; PAYLOAD];
    payload[..2].copy_from_slice(&about.longest_frame.to_be_bytes());
    payload[2..].copy_from_slice(&about.lineage);
    payload
}

/// What a payload says; the nonce is the beginning of the ephemeral key beside it.
fn offer(payload: &[u8; PAYLOAD], message: &[u8; MESSAGE]) -> Result<Offer, HandshakeError> {
    let [high, low, lineage @ ..] = *payload;
    let longest_frame = u16::from_be_bytes([high, low]);
    if longest_frame < LEAST_FRAME {
        return Err(HandshakeError::LongestFrame(longest_frame));
    }
    Ok(Offer { longest_frame, lineage, nonce: core::array::from_fn(|at| message[at]) })
}

fn established(side: Side, finished: &Finished, peer: Offer) -> Established {
    let mut finish = [FINISH_HEAD; FINISH];
    finish[1..].copy_from_slice(&finished.to_responder.empty_message());
    let (to_module, to_host) = (finished.to_responder.frame_key(), finished.to_initiator.frame_key());
    let (sending, receiving) = match side {
        Side::Host => (to_module, to_host),
        Side::Module => (to_host, to_module),
    };
    let id = SessionId(core::array::from_fn(|at| finished.hash[at]));
    Established::new(Session::new(side, id, sending, receiving), peer, finish)
}

#[cfg(test)]
mod tests;
