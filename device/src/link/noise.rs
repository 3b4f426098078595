//! An end with Noise: what was recorded stays secret when the shared key is lost later.
//!
//! The keys say which pattern, `NNpsk0` or `KKpsk0`. Each handshake has fresh X25519 keys, for new keys by count or time as
//! well, and so [`Settings::rekey_millis`] is how much a captured end can tell of what it heard before. On a small chip an
//! X25519 takes tens of milliseconds: each end has two of them in `NNpsk0`, the fresh key itself included, and four at the
//! most in `KKpsk0`. [`Timing::answer`](super::Timing) should have room for them; a reply that comes too late is answered
//! all the same.

pub use super::end::{Counts, End, Event, NoRoom, NotOpen, Received, Refusal, Settings};
use cotter_wire::link::noise::NoiseKeys;

/// An end with Noise, host or module. Its suite is `ChaCha20-Poly1305`, whatever [`Settings::suites`] says.
pub type NoiseEnd<const FRAME: usize, const WINDOW: usize> = End<NoiseKeys, FRAME, WINDOW>;

#[cfg(test)]
mod tests;
