//! What an end is given before it has said anything, and the handshake that goes with it: one interface for all modes.
//!
//! The messages of all modes have the heads of [`handshake`](super::handshake), and what comes of a handshake is always an
//! [`Established`]. So the end in the device crate is the same for all of them.

use super::handshake::{Established, Greeting, HELLO, HandshakeError, Hello, KNOCK, LinkPsk, Offer};
use super::mode::Mode;
use super::suite::SuiteSet;

/// The keys of one end, and its part in a handshake. The host greets, the module replies, the host finishes.
pub trait Credentials {
    /// A hello, and a reply of the same length, without delimiters: at most
    /// [`LEAST_FRAME`](super::handshake::LEAST_FRAME) bytes.
    type Message: AsRef<[u8]> + core::fmt::Debug;
    /// What a host keeps from its hello until the reply.
    type Greeting: core::fmt::Debug;
    /// An authentic hello, fresh or replayed.
    type Hello: core::fmt::Debug;

    /// Which handshake.
    fn mode(&self) -> Mode;

    /// What a module says that wants to be greeted.
    fn knock(&self) -> [u8; KNOCK];

    /// Checks a knock.
    ///
    /// # Errors
    /// [`HandshakeError`].
    fn check_knock(&self, message: &[u8]) -> Result<(), HandshakeError>;

    /// Makes a hello. `fresh` fills what it is given from a cryptographic random source.
    fn greet(&self, suites: SuiteSet, about: About, fresh: impl FnOnce(&mut [u8])) -> Self::Greeting;

    /// What goes over the wire, as often as it takes.
    fn hello(greeting: &Self::Greeting) -> &Self::Message;

    /// Opens the session that a module's reply offers. The greeting can be answered again if this one is refused.
    ///
    /// # Errors
    /// [`HandshakeError`].
    fn answered(&self, greeting: &Self::Greeting, reply: &[u8]) -> Result<Established, HandshakeError>;

    /// Reads and checks a hello.
    ///
    /// # Errors
    /// [`HandshakeError`].
    fn greeted(&self, hello: &[u8]) -> Result<Self::Hello, HandshakeError>;

    /// What tells this hello from all others of hosts that have these keys.
    fn nonce(hello: &Self::Hello) -> [u8; 16];

    /// Makes the reply, and the session that it opens once the host has finished. `fresh` as in [`Self::greet`].
    ///
    /// # Errors
    /// [`HandshakeError`].
    fn reply(
        &self,
        hello: &Self::Hello,
        suites: SuiteSet,
        about: About,
        fresh: impl FnOnce(&mut [u8]),
    ) -> Result<(Self::Message, Established), HandshakeError>;
}

/// What an end says about itself in each handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The longest frame that it takes, before it is delimited: [`LEAST_FRAME`](super::handshake::LEAST_FRAME) at least.
    pub longest_frame: u16,
    /// Which streams it still holds, zero for none.
    pub lineage: [u8; 8],
}

impl About {
    fn with(self, fresh: impl FnOnce(&mut [u8])) -> Offer {
        let mut nonce = [0; 16];
        fresh(&mut nonce);
        Offer { longest_frame: self.longest_frame, lineage: self.lineage, nonce }
    }
}

impl Credentials for LinkPsk {
    type Message = [u8; HELLO];
    type Greeting = Greeting;
    type Hello = Hello;

    fn mode(&self) -> Mode {
        Mode::Psk
    }

    fn knock(&self) -> [u8; KNOCK] {
        Self::knock(self)
    }

    fn check_knock(&self, message: &[u8]) -> Result<(), HandshakeError> {
        Self::check_knock(self, message)
    }

    fn greet(&self, suites: SuiteSet, about: About, fresh: impl FnOnce(&mut [u8])) -> Greeting {
        Greeting::new(self, suites, &about.with(fresh))
    }

    fn hello(greeting: &Greeting) -> &[u8; HELLO] {
        greeting.message()
    }

    fn answered(&self, greeting: &Greeting, reply: &[u8]) -> Result<Established, HandshakeError> {
        greeting.answered(self, reply)
    }

    fn greeted(&self, hello: &[u8]) -> Result<Hello, HandshakeError> {
        Hello::parse(self, hello)
    }

    fn nonce(hello: &Hello) -> [u8; 16] {
        hello.offer().nonce
    }

    fn reply(
        &self,
        hello: &Hello,
        suites: SuiteSet,
        about: About,
        fresh: impl FnOnce(&mut [u8]),
    ) -> Result<([u8; HELLO], Established), HandshakeError> {
        hello.reply(self, suites, &about.with(fresh))
    }
}
