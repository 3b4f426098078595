//! What an end does not believe, and what it cannot send.

use cotter_wire::link::delimiter::DelimiterError;
use cotter_wire::link::handshake::HandshakeError;
use cotter_wire::link::session::FrameError;

/// Nothing can be sent: the other end has not proven itself yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("link: not open: the other end has not proven itself yet")]
pub struct NotOpen;

/// The caller's buffer holds no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("link: the output buffer holds no frame, 67 bytes at least")]
pub struct NoRoom;

/// Why something on the wire was not believed. The other end learns nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No frame: noise, or a frame damaged in its delimiting.
    #[error(transparent)]
    Delimiter(#[from] DelimiterError),
    /// A frame of no bytes.
    #[error("link: an empty frame")]
    Empty,
    /// Not a frame of the present session.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Not a message of a handshake with these keys.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A frame before any handshake.
    #[error("link: a frame without a session")]
    NoSession,
    /// The hello that opened the present session, again.
    #[error("link: the hello of the present session is replayed")]
    ReplayedHello,
    /// Hellos come too fast; an honest host says it again.
    #[error("link: another hello too soon")]
    TooSoon,
    /// A reply that no hello waits for.
    #[error("link: a reply to no hello")]
    UnexpectedReply,
    /// A finish that no reply waits for.
    #[error("link: a finish of no handshake")]
    UnexpectedFinish,
}
