//! The handshake of two ends that share a key of 32 bytes: the host greets, the module replies, the host finishes.
//!
//! ```text
//! knock    0x81 | version | mac                                            10 bytes, module to host: greet me
//! hello    0x02 | version | suites | longest frame u16 | lineage 8 | host nonce 16 | mac 16         45 bytes
//! reply    0x83 | version | suite  | longest frame u16 | lineage 8 | module nonce 16 | mac 16       45 bytes
//! finish   0x04 | mac 16                                                   17 bytes
//!
//! greeting key    HKDF-SHA256(psk, salt "cotter/link/psk/v1", info "greeting"), 32 bytes
//! knock's mac     HMAC-SHA256(greeting key, "cotter/link/knock/v1\0" | 0x81 | version), its first 8 bytes
//! hello's mac     HMAC-SHA256(greeting key, "cotter/link/hello/v1\0" | hello without it), its first 16 bytes
//! transcript      SHA-256("cotter/link/psk/v1\0" | hello | reply without its mac)
//! secret          HKDF-Extract(salt = host nonce | module nonce, psk)
//! derived         HKDF-Expand(secret, "cotter/link/psk/v1/" use "\0" | transcript)
//! reply's mac     HMAC-SHA256(derived "confirm-module" 32 bytes, transcript), its first 16 bytes
//! finish's mac    HMAC-SHA256(derived "confirm-host" 32 bytes, transcript | reply's mac), its first 16 bytes
//! session id      derived "session", 8 bytes
//! frames          derived "key/to-module", "iv/to-module", "key/to-host", "iv/to-host", as long as the suite has them
//! ```
//!
//! Version, offered and chosen suites and both nonces are in the transcript, so an end that was lied to about any of them
//! has other keys. A hello or a knock can be replayed and then costs a reply or a handshake, but opens nothing. `lineage`
//! says which streams an end still holds, zero for none: if both name the same, the streams go on in the new session.

use super::mode::Mode;
use super::session::{Session, SessionId, Side};
use super::suite::{FrameKey, Suite, SuiteSet};
use crate::keys;
use cotter_formats::secret::Secret;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Version of these messages.
pub const VERSION: u8 = Mode::Psk as u8;
/// Bytes of a knock.
pub const KNOCK: usize = 10;
/// Bytes of a hello and of a reply.
pub const HELLO: usize = 45;
/// Bytes of a finish.
pub const FINISH: usize = 17;
/// The shortest longest frame that an end may have.
pub const LEAST_FRAME: u16 = 64;

/// What begins each message.
pub const KNOCK_HEAD: u8 = 0x81;
/// What begins each message.
pub const HELLO_HEAD: u8 = 0x02;
/// What begins each message.
pub const REPLY_HEAD: u8 = 0x83;
/// What begins each message.
pub const FINISH_HEAD: u8 = 0x04;

/// The key that the two ends share, and what greets with it.
#[derive(Debug)]
pub struct LinkPsk {
    psk: Secret<32>,
    greeting: Secret<32>,
}

impl LinkPsk {
    /// Takes the key that both ends were given.
    ///
    /// # Errors
    /// [`HandshakeError::ExampleKey`] for 32 times the same byte, such as the `A` and the `T` of Espressif's example.
    pub fn new(psk: Secret<32>) -> Result<Self, HandshakeError> {
        let [first, rest @ ..] = psk.expose();
        if rest.iter().fold(0, |differing, byte| differing | (byte ^ first)) == 0 {
            return Err(HandshakeError::ExampleKey);
        }
        Ok(Self::unchecked(psk))
    }

    /// The same for a key that somebody asked for although everybody knows it.
    #[must_use]
    pub fn allowing_example_keys(psk: Secret<32>) -> Self {
        Self::unchecked(psk)
    }

    fn unchecked(psk: Secret<32>) -> Self {
        let extracted = Hkdf::<Sha256>::new(Some(LABEL), psk.expose());
        let greeting = Secret::filled_by(|key| {
            extracted.expand(b"greeting", key).expect("HKDF-SHA256 expands to at most 8160 bytes, this is 32");
        });
        Self { psk, greeting }
    }

    /// What a module says that wants to be greeted.
    #[must_use]
    pub fn knock(&self) -> [u8; KNOCK] {
        self.knock_of(Mode::Psk)
    }

    /// The knock of any mode.
    pub(super) fn knock_of(&self, mode: Mode) -> [u8; KNOCK] {
        let mut knock = [0; KNOCK];
        knock[..2].copy_from_slice(&[KNOCK_HEAD, mode as u8]);
        let mac = self.greeting_mac(b"cotter/link/knock/v1\0", &knock[..2]);
        knock[2..].copy_from_slice(&mac[..KNOCK - 2]);
        knock
    }

    /// Checks a knock.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn check_knock(&self, message: &[u8]) -> Result<(), HandshakeError> {
        self.check_knock_of(Mode::Psk, message)
    }

    /// Checks the knock of any mode.
    pub(super) fn check_knock_of(&self, mode: Mode, message: &[u8]) -> Result<(), HandshakeError> {
        mode.check(message)?;
        let knock: &[u8; KNOCK] = sized(message)?;
        holds(&knock[..], &self.knock_of(mode)[..])
    }

    pub(super) const fn psk(&self) -> &Secret<32> {
        &self.psk
    }

    fn greeting_mac(&self, domain: &[u8], message: &[u8]) -> [u8; 16] {
        let mut mac = keys::hmac(self.greeting.expose());
        mac.update(domain);
        mac.update(message);
        short(mac)
    }
}

/// What a hello and a reply say about their sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The longest frame that it takes, before it is delimited: [`LEAST_FRAME`] at least.
    pub longest_frame: u16,
    /// Which streams it still holds, zero for none.
    pub lineage: [u8; 8],
    /// Fresh from a cryptographic random source.
    pub nonce: [u8; 16],
}

/// A hello that this host has sent and that waits for its reply.
#[derive(Debug)]
pub struct Greeting {
    message: [u8; HELLO],
    suites: SuiteSet,
}

impl Greeting {
    /// Makes a hello. The nonce of `offer` must never have been used before.
    #[must_use]
    pub fn new(psk: &LinkPsk, suites: SuiteSet, offer: &Offer) -> Self {
        let mut message = write(HELLO_HEAD, suites.0, offer);
        let mac = psk.greeting_mac(HELLO_DOMAIN, &message[..UNMACED]);
        message[UNMACED..].copy_from_slice(&mac);
        Self { message, suites }
    }

    /// What goes over the wire, as often as it takes.
    #[must_use]
    pub const fn message(&self) -> &[u8; HELLO] {
        &self.message
    }

    /// Opens the session that a module's reply offers.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn answered(&self, psk: &LinkPsk, message: &[u8]) -> Result<Established, HandshakeError> {
        // 1. Authentic: by who knows the key, and to this hello.
        Mode::Psk.check(message)?;
        let reply: &[u8; HELLO] = sized(message)?;
        let number = reply[2];
        let suite = Suite::from_number(number).ok_or(HandshakeError::Suite(number))?;
        let schedule = Schedule::new(psk, &self.message, reply);
        holds(&schedule.confirm_module(), &reply[UNMACED..])?;
        // 2. Among what was offered.
        if !self.suites.contains(suite) {
            return Err(HandshakeError::Suite(number));
        }
        let peer = offer(reply)?;
        Ok(schedule.established(Side::Host, suite, peer, &reply[UNMACED..]))
    }
}

/// An authentic hello, fresh or replayed.
#[derive(Clone, Debug)]
pub struct Hello {
    message: [u8; HELLO],
    suites: SuiteSet,
    offer: Offer,
}

impl Hello {
    /// Reads and checks a hello.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn parse(psk: &LinkPsk, message: &[u8]) -> Result<Self, HandshakeError> {
        Mode::Psk.check(message)?;
        let message: &[u8; HELLO] = sized(message)?;
        holds(&psk.greeting_mac(HELLO_DOMAIN, &message[..UNMACED]), &message[UNMACED..])?;
        Ok(Self { message: *message, suites: SuiteSet(message[2]), offer: offer(message)? })
    }

    /// The bytes that it was read from.
    #[must_use]
    pub const fn message(&self) -> &[u8; HELLO] {
        &self.message
    }

    /// What its sender offers.
    #[must_use]
    pub const fn suites(&self) -> SuiteSet {
        self.suites
    }

    /// What it says about its sender.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Makes the reply, and the session that it opens once the host has finished. The nonce of `ours` must never have been
    /// used before.
    ///
    /// # Errors
    /// [`HandshakeError::NoCommonSuite`].
    pub fn reply(
        &self,
        psk: &LinkPsk,
        suites: SuiteSet,
        ours: &Offer,
    ) -> Result<([u8; HELLO], Established), HandshakeError> {
        let refused = HandshakeError::NoCommonSuite { theirs: self.suites.0, ours: suites.0 };
        let suite = suites.choose(self.suites).ok_or(refused)?;
        let mut reply = write(REPLY_HEAD, suite as u8, ours);
        let schedule = Schedule::new(psk, &self.message, &reply);
        reply[UNMACED..].copy_from_slice(&schedule.confirm_module());
        let established = schedule.established(Side::Module, suite, self.offer, &reply[UNMACED..]);
        Ok((reply, established))
    }
}

/// What a handshake agreed on. A module must not use it before [`Established::check_finish`] has held.
#[derive(Debug)]
pub struct Established {
    /// The session.
    pub session: Session,
    /// What the other end said about itself.
    pub peer: Offer,
    finish: [u8; FINISH],
}

impl Established {
    pub(super) const fn new(session: Session, peer: Offer, finish: [u8; FINISH]) -> Self {
        Self { session, peer, finish }
    }

    /// What the host sends last, as often as it takes.
    #[must_use]
    pub const fn finish(&self) -> &[u8; FINISH] {
        &self.finish
    }

    /// Whether `message` is the finish of this handshake, in constant time.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn check_finish(&self, message: &[u8]) -> Result<(), HandshakeError> {
        let message: &[u8; FINISH] = sized(message)?;
        holds(&message[..], &self.finish[..])
    }
}

/// All that is derived from one handshake.
struct Schedule {
    extracted: Hkdf<Sha256>,
    transcript: [u8; 32],
}

impl Schedule {
    fn new(psk: &LinkPsk, hello: &[u8; HELLO], reply: &[u8; HELLO]) -> Self {
        let mut nonces = [0; 32];
        nonces[..16].copy_from_slice(&hello[NONCE..UNMACED]);
        nonces[16..].copy_from_slice(&reply[NONCE..UNMACED]);
        let transcript = Sha256::new().chain_update(LABEL).chain_update(b"\0");
        let transcript = transcript.chain_update(hello).chain_update(&reply[..UNMACED]).finalize().into();
        Self { extracted: Hkdf::new(Some(&nonces), psk.psk.expose()), transcript }
    }

    fn expand(&self, usage: &[u8], out: &mut [u8]) {
        self.extracted
            .expand_multi_info(&[LABEL, b"/", usage, b"\0", &self.transcript], out)
            .expect("HKDF-SHA256 expands to at most 8160 bytes, and these have 32 at most");
    }

    fn confirmation(&self, usage: &[u8]) -> Hmac<Sha256> {
        let key = Secret::<32>::filled_by(|key| self.expand(usage, key));
        let mut mac = keys::hmac(key.expose());
        mac.update(&self.transcript);
        mac
    }

    fn confirm_module(&self) -> [u8; 16] {
        short(self.confirmation(b"confirm-module"))
    }

    fn established(&self, side: Side, suite: Suite, peer: Offer, reply_mac: &[u8]) -> Established {
        let mut confirm = self.confirmation(b"confirm-host");
        confirm.update(reply_mac);
        let mut finish = [FINISH_HEAD; FINISH];
        finish[1..].copy_from_slice(&short(confirm));
        let mut id = [0; 8];
        self.expand(b"session", &mut id);
        let to_module = FrameKey::filled_by(suite, |key, iv| {
            self.expand(b"key/to-module", key);
            self.expand(b"iv/to-module", iv);
        });
        let to_host = FrameKey::filled_by(suite, |key, iv| {
            self.expand(b"key/to-host", key);
            self.expand(b"iv/to-host", iv);
        });
        let (sending, receiving) = match side {
            Side::Host => (to_module, to_host),
            Side::Module => (to_host, to_module),
        };
        Established { session: Session::new(side, SessionId(id), sending, receiving), peer, finish }
    }
}

fn write(head: u8, suites: u8, offer: &Offer) -> [u8; HELLO] {
    let mut message = [0; HELLO];
    message[..3].copy_from_slice(&[head, VERSION, suites]);
    message[3..LINEAGE].copy_from_slice(&offer.longest_frame.to_be_bytes());
    message[LINEAGE..NONCE].copy_from_slice(&offer.lineage);
    message[NONCE..UNMACED].copy_from_slice(&offer.nonce);
    message
}

fn offer(message: &[u8; HELLO]) -> Result<Offer, HandshakeError> {
    let longest_frame = u16::from_be_bytes([message[3], message[4]]);
    if longest_frame < LEAST_FRAME {
        return Err(HandshakeError::LongestFrame(longest_frame));
    }
    let (mut lineage, mut nonce) = ([0; 8], [0; 16]);
    lineage.copy_from_slice(&message[LINEAGE..NONCE]);
    nonce.copy_from_slice(&message[NONCE..UNMACED]);
    Ok(Offer { longest_frame, lineage, nonce })
}

fn sized<const N: usize>(message: &[u8]) -> Result<&[u8; N], HandshakeError> {
    message.try_into().map_err(|_| HandshakeError::Length { len: message.len(), expected: N })
}

fn holds(one: &[u8], other: &[u8]) -> Result<(), HandshakeError> {
    if bool::from(one.ct_eq(other)) { Ok(()) } else { Err(HandshakeError::NotAuthentic) }
}

fn short(mac: Hmac<Sha256>) -> [u8; 16] {
    let whole: [u8; 32] = mac.finalize().into_bytes().into();
    core::array::from_fn(|at| whole[at])
}

const LABEL: &[u8] = b"cotter/link/psk/v1";
const HELLO_DOMAIN: &[u8] = b"cotter/link/hello/v1\0";
const LINEAGE: usize = 5;
const NONCE: usize = 13;
const UNMACED: usize = 29;

/// Why a handshake message is refused. The sender learns nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// A key that everybody knows.
    #[error("link: the key is the same byte 32 times, as the example's is")]
    ExampleKey,
    /// Not the one length of its kind.
    #[error("link: a handshake message of {len} bytes, expected {expected}")]
    Length {
        /// Its length.
        len: usize,
        /// What its kind has.
        expected: usize,
    },
    /// Another protocol.
    #[error("link: version {0:#04x} of the handshake is not known here")]
    Version(u8),
    /// The other end was told another mode, or somebody wants this one to take a weaker one.
    #[error("link: the other end speaks {theirs}, and this one {ours}")]
    OtherMode {
        /// What came.
        theirs: Mode,
        /// What this end was told.
        ours: Mode,
    },
    /// A suite that does not exist or was not offered.
    #[error("link: suite {0} was not offered")]
    Suite(u8),
    /// Nothing to agree on.
    #[error("link: no common suite: theirs {theirs:#04x}, ours {ours:#04x}")]
    NoCommonSuite {
        /// A [`SuiteSet`].
        theirs: u8,
        /// A [`SuiteSet`].
        ours: u8,
    },
    /// An end with which nothing could be exchanged.
    #[error("link: the other end takes frames of {0} bytes, at least {LEAST_FRAME}")]
    LongestFrame(u16),
    /// An X25519 key with which every shared secret is zero.
    #[error("link: an X25519 key of low order")]
    LowOrder,
    /// The static key of the other end is that of this one.
    #[error("link: the other end's static key is this end's own")]
    OwnKey,
    /// Nobody who knows the key said this, or not in this handshake.
    #[error("link: the MAC of a handshake message does not hold")]
    NotAuthentic,
}

#[cfg(test)]
mod tests;
