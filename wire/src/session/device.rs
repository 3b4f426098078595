//! The device's side of a session.

use super::{MAX_MESSAGE, Party, Request, SessionError, SessionId, request_mac};
use crate::canonical::{Scanner, Writer};
use crate::ids::{DeviceId, KeyEpoch, UnixTime};
use crate::keys::{DeviceKeys, SessionKey};
use hmac::Mac;

/// A hello that waits for its welcome.
#[derive(Debug)]
pub struct Greeting {
    party: Party,
    device_nonce: [u8; 16],
}

impl Greeting {
    /// A greeting. `device_nonce` must be fresh from a cryptographic random source: it is what makes the welcome, and
    /// so the time in it, fresh.
    #[must_use]
    pub const fn new(device: DeviceId, epoch: KeyEpoch, device_nonce: [u8; 16]) -> Self {
        Self { party: Party { device, epoch }, device_nonce }
    }

    /// Writes the hello into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough.
    ///
    /// # Errors
    /// [`SessionError::OutputFull`].
    pub fn write<'o>(&self, keys: &DeviceKeys, out: &'o mut [u8]) -> Result<&'o [u8], SessionError> {
        let mac = self.party.hello_mac(&keys.request, &self.device_nonce).finalize();
        let mut writer = Writer::new(out);
        writer.literal("{\"version\":1,\"device_id\":\"").literal(self.party.device.as_str());
        writer.literal("\",\"epoch\":").number(self.party.epoch.0);
        writer.literal(",\"device_nonce\":\"").hex(&self.device_nonce);
        writer.literal("\",\"mac\":\"").hex(&mac.into_bytes()).literal("\"}");
        Ok(writer.finish()?)
    }

    /// Takes the welcome to this very hello, and begins the session.
    ///
    /// # Errors
    /// [`SessionError::Canonical`] or [`SessionError::Mac`].
    pub fn accept(self, keys: &DeviceKeys, welcome: &[u8]) -> Result<DeviceSession, SessionError> {
        let mut scanner = Scanner::new(welcome, MAX_MESSAGE)?;
        scanner.literal("{\"session\":\"")?;
        let id = SessionId(scanner.hex()?);
        scanner.literal("\",\"server_nonce\":\"")?;
        let server_nonce = scanner.hex()?;
        scanner.literal("\",\"time\":")?;
        let time = UnixTime(scanner.u64()?);
        scanner.literal(",\"mac\":\"")?;
        let mac: [u8; 32] = scanner.hex()?;
        scanner.literal("\"}")?;
        scanner.end()?;
        self.party
            .welcome_mac(&keys.downlink, &self.device_nonce, id, &server_nonce, time)
            .verify_slice(&mac)
            .map_err(|_| SessionError::Mac)?;
        let key = self.party.session_key(&keys.request, &self.device_nonce, &server_nonce, id);
        Ok(DeviceSession { id, key, counter: 0, time })
    }
}

/// A session, as the device holds it. Lost at a restart; then it greets again.
#[derive(Debug)]
pub struct DeviceSession {
    id: SessionId,
    key: SessionKey,
    counter: u32,
    time: UnixTime,
}

impl DeviceSession {
    /// Which session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// When the server sent the welcome, by its clock: authenticated, and no older than the hello.
    #[must_use]
    pub const fn time(&self) -> UnixTime {
        self.time
    }

    /// The value of the session header for one request, in the beginning of `out`
    /// ([`MAX_HEADER`](super::MAX_HEADER) bytes are always enough). A request that is sent again is signed again.
    ///
    /// # Errors
    /// [`SessionError::Exhausted`], [`SessionError::RequestLine`] or [`SessionError::OutputFull`].
    pub fn sign<'o>(&mut self, request: &Request<'_>, out: &'o mut [u8]) -> Result<&'o str, SessionError> {
        let counter = self.counter.checked_add(1).ok_or(SessionError::Exhausted)?;
        let mac = request_mac(&self.key, self.id, counter, request)?.finalize();
        self.counter = counter;
        let mut writer = Writer::new(out);
        writer.hex(&self.id.0).literal(":").number(counter).literal(":").hex(&mac.into_bytes());
        core::str::from_utf8(writer.finish()?).map_err(|_| SessionError::OutputFull)
    }

    #[cfg(test)]
    pub(super) const fn with_counter(mut self, counter: u32) -> Self {
        self.counter = counter;
        self
    }
}
