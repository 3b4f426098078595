//! What a call returns, why something was refused, and all other numbers.

use cotter_device::link::end::Refusal;
use cotter_wire::link::compat::CompatError;
use cotter_wire::link::delimiter::DelimiterError;
use cotter_wire::link::derivation::DerivationError;
use cotter_wire::link::handshake::HandshakeError;
use cotter_wire::link::session::FrameError;

use crate::pointer::Code;

// What calls return.
pub(crate) const COTTER_LINK_OK: i32 = 0;
pub(crate) const COTTER_LINK_NULL: i32 = -1;
pub(crate) const COTTER_LINK_ALIGNMENT: i32 = -2;
pub(crate) const COTTER_LINK_SMALL: i32 = -3;
pub(crate) const COTTER_LINK_LENGTH: i32 = -4;
pub(crate) const COTTER_LINK_OVERLAP: i32 = -5;
pub(crate) const COTTER_LINK_NONE: i32 = -6;
pub(crate) const COTTER_LINK_BUSY: i32 = -7;
pub(crate) const COTTER_LINK_ARGUMENT: i32 = -8;
pub(crate) const COTTER_LINK_RANDOM: i32 = -9;
pub(crate) const COTTER_LINK_EXAMPLE_KEY: i32 = -10;
pub(crate) const COTTER_LINK_EXAMPLE_IV: i32 = -11;
pub(crate) const COTTER_LINK_KEY_LENGTH: i32 = -12;
pub(crate) const COTTER_LINK_IV_LENGTH: i32 = -13;
pub(crate) const COTTER_LINK_LOW_ORDER: i32 = -14;
pub(crate) const COTTER_LINK_OWN_KEY: i32 = -15;
pub(crate) const COTTER_LINK_NOT_OPEN: i32 = -16;
pub(crate) const COTTER_LINK_NO_ROOM: i32 = -17;
pub(crate) const COTTER_LINK_FULL: i32 = -18;
pub(crate) const COTTER_LINK_EXHAUSTED: i32 = -19;
pub(crate) const COTTER_LINK_MAC_LENGTH: i32 = -20;
pub(crate) const COTTER_LINK_UNIQUE_ID_LENGTH: i32 = -21;
pub(crate) const COTTER_LINK_OWN_LENGTH: i32 = -22;

// Why something on the wire was refused.
pub(crate) const COTTER_LINK_REFUSED_TOO_LONG: i32 = 1;
pub(crate) const COTTER_LINK_REFUSED_CUT_SHORT: i32 = 2;
pub(crate) const COTTER_LINK_REFUSED_EMPTY: i32 = 3;
pub(crate) const COTTER_LINK_REFUSED_TOO_SHORT: i32 = 4;
pub(crate) const COTTER_LINK_REFUSED_REFLECTED: i32 = 5;
pub(crate) const COTTER_LINK_REFUSED_UNKNOWN_KIND: i32 = 6;
pub(crate) const COTTER_LINK_REFUSED_REPLAYED: i32 = 7;
pub(crate) const COTTER_LINK_REFUSED_FRAME: i32 = 8;
pub(crate) const COTTER_LINK_REFUSED_PAYLOAD: i32 = 9;
pub(crate) const COTTER_LINK_REFUSED_EXHAUSTED: i32 = 10;
pub(crate) const COTTER_LINK_REFUSED_LENGTH: i32 = 11;
pub(crate) const COTTER_LINK_REFUSED_VERSION: i32 = 12;
pub(crate) const COTTER_LINK_REFUSED_OTHER_MODE: i32 = 13;
pub(crate) const COTTER_LINK_REFUSED_SUITE: i32 = 14;
pub(crate) const COTTER_LINK_REFUSED_NO_COMMON_SUITE: i32 = 15;
pub(crate) const COTTER_LINK_REFUSED_LONGEST_FRAME: i32 = 16;
pub(crate) const COTTER_LINK_REFUSED_LOW_ORDER: i32 = 17;
pub(crate) const COTTER_LINK_REFUSED_HANDSHAKE: i32 = 18;
pub(crate) const COTTER_LINK_REFUSED_NO_SESSION: i32 = 19;
pub(crate) const COTTER_LINK_REFUSED_REPLAYED_HELLO: i32 = 20;
pub(crate) const COTTER_LINK_REFUSED_TOO_SOON: i32 = 21;
pub(crate) const COTTER_LINK_REFUSED_UNEXPECTED_REPLY: i32 = 22;
pub(crate) const COTTER_LINK_REFUSED_UNEXPECTED_FINISH: i32 = 23;

// What happened.
pub(crate) const COTTER_LINK_EVENT_NONE: u8 = 0;
pub(crate) const COTTER_LINK_EVENT_OPENED: u8 = 1;
pub(crate) const COTTER_LINK_EVENT_DATA: u8 = 2;
pub(crate) const COTTER_LINK_EVENT_ESCAPE: u8 = 3;
pub(crate) const COTTER_LINK_EVENT_REFUSED: u8 = 4;

// Which end.
pub(crate) const COTTER_LINK_HOST: u8 = 0;
pub(crate) const COTTER_LINK_MODULE: u8 = 1;

// Which handshake; the second byte of its messages.
pub(crate) const COTTER_LINK_PSK: u8 = 0x01;
pub(crate) const COTTER_LINK_NOISE_NN: u8 = 0x11;
pub(crate) const COTTER_LINK_NOISE_KK: u8 = 0x21;

// Suites by number, and all of them as a set.
pub(crate) const COTTER_LINK_CHACHA20_POLY1305: u8 = 1;
pub(crate) const COTTER_LINK_AES_128_GCM: u8 = 2;
pub(crate) const COTTER_LINK_ASCON_AEAD128: u8 = 3;
pub(crate) const COTTER_LINK_AES_128_CCM: u8 = 4;
pub(crate) const COTTER_LINK_AES_128_CCM_8: u8 = 5;
pub(crate) const COTTER_LINK_SUITES_ALL: u8 = 0x1f;

// Keystreams.
pub(crate) const COTTER_COMPAT_AES_128_CTR: u8 = 1;
pub(crate) const COTTER_COMPAT_AES_192_CTR: u8 = 2;
pub(crate) const COTTER_COMPAT_AES_256_CTR: u8 = 3;
pub(crate) const COTTER_COMPAT_CHACHA20: u8 = 4;
pub(crate) const COTTER_COMPAT_SALSA20: u8 = 5;

// Bytes.
pub(crate) const COTTER_LINK_KEY: usize = 32;
pub(crate) const COTTER_LINK_FRAME: usize = 280;
pub(crate) const COTTER_LINK_WINDOW: usize = 1024;
pub(crate) const COTTER_LINK_WIRE: usize = 284;
pub(crate) const COTTER_LINK_WIRE_LEAST: usize = 67;
pub(crate) const COTTER_COMPAT_MOST_SENT: usize = 4096;
pub(crate) const COTTER_COMPAT_MOST_RECEIVED: usize = 8192;

/// The number of a refusal.
pub(crate) fn reason(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::Delimiter(DelimiterError::TooLong { .. }) => COTTER_LINK_REFUSED_TOO_LONG,
        Refusal::Delimiter(DelimiterError::CutShort { .. }) => COTTER_LINK_REFUSED_CUT_SHORT,
        Refusal::Empty => COTTER_LINK_REFUSED_EMPTY,
        Refusal::Frame(error) => match error {
            FrameError::TooShort { .. } => COTTER_LINK_REFUSED_TOO_SHORT,
            FrameError::Reflected => COTTER_LINK_REFUSED_REFLECTED,
            FrameError::UnknownKind(_) => COTTER_LINK_REFUSED_UNKNOWN_KIND,
            FrameError::Replayed { .. } => COTTER_LINK_REFUSED_REPLAYED,
            FrameError::NotAuthentic => COTTER_LINK_REFUSED_FRAME,
            FrameError::Payload { .. } => COTTER_LINK_REFUSED_PAYLOAD,
            // No room is said when a frame is sealed, never of one that came.
            FrameError::Exhausted | FrameError::NoRoom => COTTER_LINK_REFUSED_EXHAUSTED,
        },
        Refusal::Handshake(error) => match error {
            HandshakeError::Length { .. } => COTTER_LINK_REFUSED_LENGTH,
            HandshakeError::Version(_) => COTTER_LINK_REFUSED_VERSION,
            HandshakeError::OtherMode { .. } => COTTER_LINK_REFUSED_OTHER_MODE,
            HandshakeError::Suite(_) => COTTER_LINK_REFUSED_SUITE,
            HandshakeError::NoCommonSuite { .. } => COTTER_LINK_REFUSED_NO_COMMON_SUITE,
            HandshakeError::LongestFrame(_) => COTTER_LINK_REFUSED_LONGEST_FRAME,
            HandshakeError::LowOrder => COTTER_LINK_REFUSED_LOW_ORDER,
            // The first two are said when keys are loaded, never of a message.
            HandshakeError::ExampleKey | HandshakeError::OwnKey | HandshakeError::NotAuthentic => {
                COTTER_LINK_REFUSED_HANDSHAKE
            }
        },
        Refusal::NoSession => COTTER_LINK_REFUSED_NO_SESSION,
        Refusal::ReplayedHello => COTTER_LINK_REFUSED_REPLAYED_HELLO,
        Refusal::TooSoon => COTTER_LINK_REFUSED_TOO_SOON,
        Refusal::UnexpectedReply => COTTER_LINK_REFUSED_UNEXPECTED_REPLY,
        Refusal::UnexpectedFinish => COTTER_LINK_REFUSED_UNEXPECTED_FINISH,
    }
}

impl From<HandshakeError> for Code {
    /// Of keys that are loaded.
    fn from(error: HandshakeError) -> Self {
        Self(match error {
            HandshakeError::ExampleKey => COTTER_LINK_EXAMPLE_KEY,
            HandshakeError::LowOrder => COTTER_LINK_LOW_ORDER,
            HandshakeError::OwnKey => COTTER_LINK_OWN_KEY,
            _ => COTTER_LINK_ARGUMENT,
        })
    }
}

impl From<CompatError> for Code {
    fn from(error: CompatError) -> Self {
        Self(match error {
            CompatError::KeyLength { .. } => COTTER_LINK_KEY_LENGTH,
            CompatError::IvLength { .. } => COTTER_LINK_IV_LENGTH,
            CompatError::ExampleKey => COTTER_LINK_EXAMPLE_KEY,
            CompatError::ExampleIv => COTTER_LINK_EXAMPLE_IV,
            CompatError::Exhausted => COTTER_LINK_EXHAUSTED,
            CompatError::WriteLength(_) | CompatError::ReadLength(_) => COTTER_LINK_LENGTH,
        })
    }
}

impl From<DerivationError> for Code {
    fn from(error: DerivationError) -> Self {
        Self(match error {
            DerivationError::MacLength(_) => COTTER_LINK_MAC_LENGTH,
            DerivationError::UniqueIdLength(_) => COTTER_LINK_UNIQUE_ID_LENGTH,
            DerivationError::OwnLength(_) => COTTER_LINK_OWN_LENGTH,
        })
    }
}

const _: () = {
    use cotter_wire::link::delimiter::wire_len;
    use cotter_wire::link::handshake::LEAST_FRAME;
    use cotter_wire::link::mode::Mode;
    use cotter_wire::link::suite::{Suite, SuiteSet};
    assert!(COTTER_LINK_WIRE >= wire_len(COTTER_LINK_FRAME));
    assert!(COTTER_LINK_WIRE_LEAST == LEAST_FRAME as usize + 3);
    assert!(COTTER_LINK_PSK == Mode::Psk as u8 && COTTER_LINK_NOISE_NN == Mode::NoiseNn as u8);
    assert!(COTTER_LINK_NOISE_KK == Mode::NoiseKk as u8 && COTTER_LINK_SUITES_ALL == SuiteSet::ALL.0);
    assert!(COTTER_LINK_CHACHA20_POLY1305 == Suite::ChaCha20Poly1305 as u8);
    assert!(COTTER_LINK_AES_128_GCM == Suite::Aes128Gcm as u8);
    assert!(COTTER_LINK_ASCON_AEAD128 == Suite::AsconAead128 as u8);
    assert!(COTTER_LINK_AES_128_CCM == Suite::Aes128Ccm as u8);
    assert!(COTTER_LINK_AES_128_CCM_8 == Suite::Aes128Ccm8 as u8);
    assert!(COTTER_COMPAT_MOST_SENT == cotter_wire::link::compat::MAX_WRITE);
    assert!(COTTER_COMPAT_MOST_RECEIVED == cotter_wire::link::compat::MAX_READ);
};
