//! What a driver runs: one command with its answer ([`Request`]), or several of them ([`Procedure`]).

use super::packet::Packet;
use super::refusal::Error;
use cotter_formats::atecc::Status;

/// Whether a command may be sent again when it was perhaps executed and its answer cannot be read any more.
///
/// An answer that arrives damaged is first read again, which the part allows as often as one likes. This is for when
/// that fails too. `Safe` are commands that twice come to the same as once, or whose last answer is the one that
/// counts. Not safe are those that count, create, lock, or use up the buffer they work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Twice is as good as once.
    Safe,
    /// Twice is not.
    Never,
}

/// One command.
pub trait Request {
    /// What its answer says.
    type Output;

    /// Writes the command.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::TooLong`]; nothing is sent then.
    fn fill(&self, packet: &mut Packet) -> Result<(), Error>;

    /// Whether it may be repeated.
    fn repeat(&self) -> Repeat;

    /// Reads the answer, whose CRC holds. Status codes that are not success are for [`expect`] and [`succeeded`].
    ///
    /// # Errors
    /// What the part refused, or what is wrong with the answer.
    fn decode(&self, payload: &[u8]) -> Result<Self::Output, Error>;
}

/// One or more commands in a row.
pub trait Procedure {
    /// What they come to.
    type Output;

    /// Writes the next command, or is done. `answer` is the last one's payload; there is none at first. A single status
    /// byte is an answer too.
    ///
    /// # Errors
    /// What the part refused; the procedure ends with it.
    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<Self::Output>, Error>;
}

/// What comes next.
#[derive(Debug)]
pub enum Step<T> {
    /// The command in the packet is to be sent.
    Send(Repeat),
    /// All are.
    Done(T),
}

impl<R: Request> Procedure for R {
    type Output = R::Output;

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<R::Output>, Error> {
        match answer {
            None => send(self, packet),
            Some(payload) => self.decode(payload).map(Step::Done),
        }
    }
}

/// Sends a request in the course of a procedure.
///
/// # Errors
/// As [`Request::fill`].
pub fn send<R: Request, T>(request: &R, packet: &mut Packet) -> Result<Step<T>, Error> {
    request.fill(packet)?;
    Ok(Step::Send(request.repeat()))
}

/// The `N` bytes of an answer that is no status.
///
/// # Errors
/// The status, or [`Error::Length`].
pub fn expect<const N: usize>(payload: &[u8]) -> Result<&[u8; N], Error> {
    if let Ok(bytes) = payload.try_into() {
        return Ok(bytes);
    }
    let length = Error::Length { got: payload.len(), expected: N };
    let &[status] = payload else { return Err(length) };
    Err(Error::from_status(Status(status)).unwrap_or(length))
}

/// For commands that answer with a status only.
///
/// # Errors
/// The status, unless it is success; [`Error::Length`].
pub fn succeeded(payload: &[u8]) -> Result<(), Error> {
    let &[status] = payload else { return Err(Error::Length { got: payload.len(), expected: 1 }) };
    Error::from_status(Status(status)).map_or(Ok(()), Err)
}
