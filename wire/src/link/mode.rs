//! Which handshake two ends have, told apart by the second byte of its messages. Both are told which; nothing is negotiated.

use super::handshake::HandshakeError;

/// A handshake and its version: the second byte of its knock, hello and reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mode {
    /// With a shared key alone: no forward secrecy.
    Psk = 0x01,
    /// Noise `NNpsk0`: a shared key and fresh X25519 keys.
    NoiseNn = 0x11,
    /// Noise `KKpsk0`: the same, and a static X25519 key of either end that the other knows.
    NoiseKk = 0x21,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Psk, Self::NoiseNn, Self::NoiseKk];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Psk => "psk",
            Self::NoiseNn => "noise-nn",
            Self::NoiseKk => "noise-kk",
        }
    }

    /// Refuses a message of another mode or of no mode. One too short to say is left to whoever checks its length.
    pub(super) fn check(self, message: &[u8]) -> Result<(), HandshakeError> {
        let Some(byte) = message.get(1).copied().filter(|byte| *byte != self as u8) else { return Ok(()) };
        Err(match Self::ALL.into_iter().find(|mode| *mode as u8 == byte) {
            Some(theirs) => HandshakeError::OtherMode { theirs, ours: self },
            None => HandshakeError::Version(byte),
        })
    }
}

impl core::fmt::Display for Mode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
