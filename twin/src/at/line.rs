//! What lies between the AT text and the wire: nothing, a keystream, or a protocol with a handshake.
//!
//! One value of a [`Line`] lives from one power-up of its end to the next. It does no input or output and has no clock:
//! its owner carries bytes and time.

pub mod compat;
pub mod sealed;
#[cfg(feature = "link-tls")]
pub mod tls;

use std::time::Instant;

/// One end of a link, as its owner drives it.
pub trait Line: Send {
    /// What this end sends before anything else: the first message of a handshake, or nothing.
    ///
    /// # Errors
    /// [`LineError`].
    fn start(&mut self, _now: Instant) -> Result<Vec<u8>, LineError> {
        Ok(Vec::new())
    }

    /// Takes bytes from the wire, however they are cut.
    ///
    /// # Errors
    /// [`LineError`] if the line is of no use any more. What a line can live with is dropped in silence.
    fn incoming(&mut self, wire: &[u8], now: Instant) -> Result<Incoming, LineError>;

    /// Seals bytes for the wire. They are never sent in the clear instead.
    ///
    /// # Errors
    /// [`LineError::NotReady`] before the line is ready; nothing is changed then.
    fn outgoing(&mut self, plain: &[u8], now: Instant) -> Result<Vec<u8>, LineError>;

    /// The end of passthrough for the wire: `+++` where that is all there is, else a message that only the other end can
    /// make. The owner keeps the guard times around it.
    ///
    /// # Errors
    /// [`LineError::NotReady`].
    fn escape(&mut self, now: Instant) -> Result<Vec<u8>, LineError>;

    /// Time passes: what has to be sent again, or is due. The owner calls it every few hundred milliseconds.
    ///
    /// # Errors
    /// [`LineError`].
    fn tick(&mut self, _now: Instant) -> Result<Vec<u8>, LineError> {
        Ok(Vec::new())
    }

    /// Can [`Line::outgoing`] be used?
    fn ready(&self) -> bool;

    /// Where the other end's escape is found.
    fn escape_place(&self) -> EscapePlace;

    /// Why the newest of what was dropped in silence was not believed, for a person who wonders; `None` if nothing was since
    /// the line came up.
    fn refusal(&self) -> Option<String> {
        None
    }
}

/// What ends passthrough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapePlace {
    /// `+++` alone between two silences on the wire, below the line.
    Wire,
    /// The same in what the line delivers: who is at the wire cannot say it.
    Text,
    /// A message of the line's own, told by [`Incoming::escapes`].
    Message,
}

/// What bytes from the wire meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// To be delivered upward.
    pub plain: Vec<u8>,
    /// To be answered on the wire at once.
    pub wire: Vec<u8>,
    /// Where in `plain` the other end left passthrough: so many bytes came before it. In order.
    pub escapes: Vec<usize>,
}

/// Why a line is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The handshake is not over, so that nothing can be sealed.
    #[error("AT link: {bytes} bytes cannot be sent before the handshake is over")]
    NotReady {
        /// So many.
        bytes: usize,
    },
    /// A keystream is used up, or a counter has come to its end.
    #[error("AT link: this session can seal no more; a new one is needed")]
    Exhausted,
}

/// No line at all: what is said is on the wire as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Line for Plain {
    fn incoming(&mut self, wire: &[u8], _: Instant) -> Result<Incoming, LineError> {
        Ok(Incoming { plain: wire.to_vec(), ..Incoming::default() })
    }

    fn outgoing(&mut self, plain: &[u8], _: Instant) -> Result<Vec<u8>, LineError> {
        Ok(plain.to_vec())
    }

    fn escape(&mut self, _: Instant) -> Result<Vec<u8>, LineError> {
        Ok(b"+++".to_vec())
    }

    fn ready(&self) -> bool {
        true
    }

    fn escape_place(&self) -> EscapePlace {
        EscapePlace::Wire
    }
}
