//! Sessions: how a device proves each of its requests, and how it learns the time from its server.
//!
//! ```text
//! hello    {"version":1,"device_id":"..","epoch":1,"device_nonce":"<32 hex>","mac":"<64 hex>"}
//!          mac = HMAC(request key, "cotter/hello/v1\0" | length of the id u8 | id | epoch u32 BE | device nonce)
//! welcome  {"session":"<32 hex>","server_nonce":"<32 hex>","time":1700000000,"mac":"<64 hex>"}
//!          mac = HMAC(downlink key, "cotter/welcome/v1\0" | length of the id | id | epoch | device nonce
//!                | session | server nonce | time u64 BE)
//! key      HKDF-SHA256(request key, salt = device nonce | server nonce,
//!                info = "cotter/session/v1\0" | length of the id | id | epoch | session), 32 bytes
//! request  Cotter-Session: <session 32 hex>:<counter>:<mac 64 hex>
//!          mac = HMAC(session key, "cotter/request/v1\0" | session | counter u32 BE | length of the method u8 | method
//!                | length of path and query u16 BE | path and query | SHA-256(body))
//! ```
//!
//! Device: [`Greeting`], then a [`DeviceSession`]. Server: [`Hello`], [`VerifiedHello`], then a [`ServerSession`] to
//! which each [`Credential`] is shown.
//!
//! A hello can be replayed, and then yields a session whose key the replayer does not know. So a new session must not
//! push the old one out before it has authenticated a request, and sessions per device are to be limited.

mod device;
mod server;

pub use device::{DeviceSession, Greeting};
pub use server::{Credential, Hello, ServerSession, VerifiedHello};

use crate::canonical::{CanonicalError, OutputFull};
use crate::hex;
use crate::ids::{DeviceId, KeyEpoch, UnixTime};
use crate::keys::{self, RequestKey, SessionKey};
use core::fmt;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Longest hello or welcome, in bytes.
pub const MAX_MESSAGE: usize = 256;
/// Longest value of the session header, in bytes.
pub const MAX_HEADER: usize = 108;
/// How long a session lasts after the welcome, in seconds.
pub const LIFETIME_S: u64 = 15 * 60;

/// Which session; chosen by the server at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        write!(f, "SessionId({})", hex::encode(&self.0, &mut digits).unwrap_or_default())
    }
}

/// What a request's MAC covers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET` or `POST`, in upper case.
    pub method: &'a str,
    /// Path and query, exactly as on the request line.
    pub path: &'a str,
    /// The body; empty if there is none.
    pub body: &'a [u8],
}

/// Who is talking in which epoch: the beginning of every MAC here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Party {
    device: DeviceId,
    epoch: KeyEpoch,
}

impl Party {
    fn authenticate(&self, mac: &mut Hmac<Sha256>) {
        mac.update(&[self.device.len_byte()]);
        mac.update(self.device.as_bytes());
        mac.update(&self.epoch.0.to_be_bytes());
    }

    fn hello_mac(&self, key: &RequestKey, device_nonce: &[u8; 16]) -> Hmac<Sha256> {
        let mut mac = keys::hmac(key.expose());
        mac.update(b"cotter/hello/v1\0");
        self.authenticate(&mut mac);
        mac.update(device_nonce);
        mac
    }

    fn welcome_mac(
        &self,
        key: &keys::DownlinkKey,
        device_nonce: &[u8; 16],
        session: SessionId,
        server_nonce: &[u8; 16],
        time: UnixTime,
    ) -> Hmac<Sha256> {
        let mut mac = keys::hmac(key.expose());
        mac.update(b"cotter/welcome/v1\0");
        self.authenticate(&mut mac);
        mac.update(device_nonce);
        mac.update(&session.0);
        mac.update(server_nonce);
        mac.update(&time.0.to_be_bytes());
        mac
    }

    fn session_key(
        &self,
        key: &RequestKey,
        device_nonce: &[u8; 16],
        server_nonce: &[u8; 16],
        session: SessionId,
    ) -> SessionKey {
        let mut salt = [0; 32];
        salt[..16].copy_from_slice(device_nonce);
        salt[16..].copy_from_slice(server_nonce);
        let extracted = Hkdf::<Sha256>::new(Some(&salt), key.expose());
        let epoch = self.epoch.0.to_be_bytes();
        let length = [self.device.len_byte()];
        let info: [&[u8]; 5] = [b"cotter/session/v1\0", &length, self.device.as_bytes(), &epoch, &session.0];
        SessionKey::new(cotter_formats::secret::Secret::filled_by(|bytes| {
            extracted.expand_multi_info(&info, bytes).expect("HKDF-SHA256 expands to at most 8160 bytes, this is 32");
        }))
    }
}

/// # Errors
/// [`SessionError::RequestLine`] if a length does not fit its field: then two requests could share one MAC.
fn request_mac(
    key: &SessionKey,
    session: SessionId,
    counter: u32,
    request: &Request<'_>,
) -> Result<Hmac<Sha256>, SessionError> {
    let method = u8::try_from(request.method.len()).map_err(|_| SessionError::RequestLine)?;
    let path = u16::try_from(request.path.len()).map_err(|_| SessionError::RequestLine)?;
    let mut mac = keys::hmac(key.expose());
    mac.update(b"cotter/request/v1\0");
    mac.update(&session.0);
    mac.update(&counter.to_be_bytes());
    mac.update(&[method]);
    mac.update(request.method.as_bytes());
    mac.update(&path.to_be_bytes());
    mac.update(request.path.as_bytes());
    mac.update(&Sha256::digest(request.body));
    Ok(mac)
}

/// Why a message or a request is refused. For the audit log; the sender learns only "refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Not the one spelling of a message.
    #[error("session: {0}")]
    Canonical(#[from] CanonicalError),
    /// Nobody who knows the key said this, or not in this session, or about another request.
    #[error("session: the MAC does not hold")]
    Mac,
    /// Authentic, but of another session.
    #[error("session: the request belongs to another session")]
    OtherSession,
    /// Older than [`LIFETIME_S`], or from before the session began.
    #[error("session: expired")]
    Expired,
    /// Authentic, but a counter was used twice or went back.
    #[error("session: request {counter} after request {last}")]
    Replay {
        /// Of this request.
        counter: u32,
        /// Of the latest one before it.
        last: u32,
    },
    /// No counter is left; open another session.
    #[error("session: all counters are used")]
    Exhausted,
    /// A method or path that is too long.
    #[error("session: method or path is too long")]
    RequestLine,
    /// The caller's buffer is too small.
    #[error("session: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for SessionError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests;
