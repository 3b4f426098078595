//! An end that shares a key with the other.

pub use super::end::{Counts, End, Event, NoRoom, NotOpen, Received, Refusal, Settings};
use cotter_wire::link::handshake::LinkPsk;

/// An end with a shared key alone: cheap, without forward secrecy. With a `FRAME` of 280 and a `WINDOW` of 1024 it needs
/// about 2 KiB.
pub type PskEnd<const FRAME: usize, const WINDOW: usize> = End<LinkPsk, FRAME, WINDOW>;
