//! What the updater is told and what it asks for.

use crate::session::AuthenticatedTime;
use cotter_wire::api::{self, Path};
use cotter_wire::content::CHUNK;
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use cotter_wire::manifest::MAX_ENVELOPE;
use cotter_wire::status::StatusReport;
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The firmware is up, and everything it needs has been started. Once, first.
    Booted,
    /// It is time to poll.
    Wake,
    /// 204: there is nothing newer.
    NoOffer,
    /// 200: the manifest envelope.
    Offer {
        /// The body of the answer.
        envelope: &'a [u8],
        /// The time now.
        now: AuthenticatedTime,
    },
    /// A chunk.
    Chunk {
        /// The number that was asked for in the request that this answers.
        index: u32,
        /// The body of the answer; decrypted in place.
        bytes: &'a mut [u8],
        /// The time now.
        now: AuthenticatedTime,
    },
    /// The server took the status.
    Reported,
    /// The request failed: no connection, another status code, a time-out. The next [`Event::Wake`] goes on.
    ConnectionLost,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until [`Event::Wake`].
    Sleep,
    /// Send this and feed the answer back in.
    Request(Request),
    /// Reset the chip.
    Reboot,
}

/// A request to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Ask for a newer release: answers [`Event::Offer`] or [`Event::NoOffer`].
    Poll {
        /// What runs.
        version: Version,
        /// Its place in the anti-rollback order.
        secure_version: SecureVersion,
        /// Whose manifests it believes.
        trust: TrustNumber,
    },
    /// Ask for a chunk: answers [`Event::Chunk`].
    Chunk {
        /// Of which release.
        release: ReleaseId,
        /// Which one.
        index: u32,
        /// How long it must be.
        len: usize,
    },
    /// Tell how an update went: answers [`Event::Reported`].
    Status(StatusReport),
}

impl Request {
    /// The HTTP method.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Poll { .. } | Self::Chunk { .. } => "GET",
            Self::Status(_) => "POST",
        }
    }

    /// Path and query.
    #[must_use]
    pub fn path(&self, device: &DeviceId) -> Path {
        match self {
            Self::Poll { version, secure_version, trust } => {
                api::update_trusting(device, *version, *secure_version, *trust)
            }
            Self::Chunk { release, index, .. } => api::chunk(device, release, *index),
            Self::Status(_) => api::status(device),
        }
    }

    /// Writes the body, which is empty for all but a status.
    #[must_use]
    pub fn body<'o>(&self, out: &'o mut [u8; StatusReport::MAX_LEN]) -> &'o [u8] {
        match self {
            Self::Poll { .. } | Self::Chunk { .. } => &[],
            Self::Status(report) => report.write(out).expect("MAX_LEN bytes are always enough"),
        }
    }

    /// How many bytes of an answer to read at most. That is one more than a good answer can have, so that the updater
    /// sees that it is too long, and endless data ends here.
    #[must_use]
    pub const fn read_limit(&self) -> usize {
        match self {
            Self::Poll { .. } => MAX_ENVELOPE + 1,
            Self::Chunk { .. } => CHUNK + 1,
            Self::Status(_) => 0,
        }
    }
}
