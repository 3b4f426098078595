//! The server's side of a session.

use super::{LIFETIME_S, MAX_HEADER, MAX_MESSAGE, Party, Request, SessionError, SessionId, request_mac};
use crate::canonical::{Scanner, Writer};
use crate::ids::{DeviceId, KeyEpoch, UnixTime};
use crate::keys::{DeviceKeys, RequestKey, SessionKey};
use hmac::Mac;

/// A well-formed hello of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct Hello {
    party: Party,
    device_nonce: [u8; 16],
    mac: [u8; 32],
}

impl Hello {
    /// Reads the one spelling of a hello.
    ///
    /// # Errors
    /// [`SessionError::Canonical`].
    pub fn parse(body: &[u8]) -> Result<Self, SessionError> {
        let mut scanner = Scanner::new(body, MAX_MESSAGE)?;
        scanner.literal("{\"version\":1,\"device_id\":\"")?;
        let device = scanner.device_id()?;
        scanner.literal("\",\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"device_nonce\":\"")?;
        let device_nonce = scanner.hex()?;
        scanner.literal("\",\"mac\":\"")?;
        let mac = scanner.hex()?;
        scanner.literal("\"}")?;
        scanner.end()?;
        Ok(Self { party: Party { device, epoch }, device_nonce, mac })
    }

    /// Who it claims to come from.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.party.device
    }

    /// Which generation of keys it claims to be made with.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.party.epoch
    }

    /// Checks the MAC, in constant time. `key` is that of the device and epoch that the hello claims.
    ///
    /// # Errors
    /// [`SessionError::Mac`].
    pub fn verify(self, key: &RequestKey) -> Result<VerifiedHello, SessionError> {
        self.party.hello_mac(key, &self.device_nonce).verify_slice(&self.mac).map_err(|_| SessionError::Mac)?;
        Ok(VerifiedHello { party: self.party, device_nonce: self.device_nonce })
    }
}

/// A hello that its device has made, now or earlier.
#[derive(Clone, Debug)]
pub struct VerifiedHello {
    party: Party,
    device_nonce: [u8; 16],
}

impl VerifiedHello {
    /// Who sent it.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.party.device
    }

    /// Begins a session and writes its welcome into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough.
    ///
    /// `id` and `server_nonce` must be fresh from a cryptographic random source; `time` is now.
    ///
    /// # Errors
    /// [`SessionError::OutputFull`].
    pub fn welcome<'o>(
        &self,
        keys: &DeviceKeys,
        id: SessionId,
        server_nonce: &[u8; 16],
        time: UnixTime,
        out: &'o mut [u8],
    ) -> Result<(&'o [u8], ServerSession), SessionError> {
        let mac = self.party.welcome_mac(&keys.downlink, &self.device_nonce, id, server_nonce, time).finalize();
        let mut writer = Writer::new(out);
        writer.literal("{\"session\":\"").hex(&id.0).literal("\",\"server_nonce\":\"").hex(server_nonce);
        writer.literal("\",\"time\":").number(time.0);
        writer.literal(",\"mac\":\"").hex(&mac.into_bytes()).literal("\"}");
        let key = self.party.session_key(&keys.request, &self.device_nonce, server_nonce, id);
        Ok((writer.finish()?, ServerSession { party: self.party, id, key, opened: time, last: 0 }))
    }
}

/// A session, as the server holds it: in memory only, and for [`LIFETIME_S`] at most.
#[derive(Debug)]
pub struct ServerSession {
    party: Party,
    id: SessionId,
    key: SessionKey,
    opened: UnixTime,
    last: u32,
}

impl ServerSession {
    /// Which session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Whose session. A path that names another device is to be refused.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.party.device
    }

    /// With which generation of keys.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.party.epoch
    }

    /// Whether it has authenticated a request yet: before that, its hello may have been a replay.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.last > 0
    }

    /// Whether it is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        now.0.checked_sub(self.opened.0).is_none_or(|age| age >= LIFETIME_S)
    }

    /// Accepts one request, once. Nothing changes unless all of it holds.
    ///
    /// # Errors
    /// [`SessionError::OtherSession`], [`SessionError::Mac`], [`SessionError::Expired`], [`SessionError::Replay`] or
    /// [`SessionError::RequestLine`].
    pub fn check(&mut self, credential: &Credential, request: &Request<'_>, now: UnixTime) -> Result<(), SessionError> {
        // 1. For this session, and made by who knows its key.
        if credential.session != self.id {
            return Err(SessionError::OtherSession);
        }
        request_mac(&self.key, self.id, credential.counter, request)?
            .verify_slice(&credential.mac)
            .map_err(|_| SessionError::Mac)?;
        // 2. In time.
        if self.is_expired(now) {
            return Err(SessionError::Expired);
        }
        // 3. Never seen before.
        if credential.counter <= self.last {
            return Err(SessionError::Replay { counter: credential.counter, last: self.last });
        }
        self.last = credential.counter;
        Ok(())
    }
}

/// The value of the session header, of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct Credential {
    session: SessionId,
    counter: u32,
    mac: [u8; 32],
}

impl Credential {
    /// Reads the one spelling of `<session>:<counter>:<mac>`.
    ///
    /// # Errors
    /// [`SessionError::Canonical`].
    pub fn parse(header: &[u8]) -> Result<Self, SessionError> {
        let mut scanner = Scanner::new(header, MAX_HEADER)?;
        let session = SessionId(scanner.hex()?);
        scanner.literal(":")?;
        let counter = scanner.u32()?;
        scanner.literal(":")?;
        let mac = scanner.hex()?;
        scanner.end()?;
        Ok(Self { session, counter, mac })
    }

    /// Which session it claims; look it up, then ask [`ServerSession::check`].
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }
}
