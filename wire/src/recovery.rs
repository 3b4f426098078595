//! Recovery of a lost nonce counter: the device asks for a new key epoch. A nonce is never lowered within an epoch.
//!
//! ```text
//! ask        {"version":1,"device_id":"..","device_nonce":"<32 hex>","mac":"<64 hex>"}
//!            mac = HMAC(recovery key, "cotter/recovery-ask/v1\0" | length of the id u8 | id | device nonce)
//! challenge  {"server_nonce":"<32 hex>","mac":"<64 hex>"}
//!            mac = HMAC(.., "cotter/recovery-challenge/v1\0" | length of the id | id | device nonce | server nonce)
//! claim      {"version":1,"device_id":"..","epoch":3,"device_nonce":"<32 hex>","server_nonce":"<32 hex>","mac":"<64 hex>"}
//!            mac = HMAC(.., "cotter/recovery-claim/v1\0" | length of the id | id | device nonce | server nonce
//!                  | epoch u32 BE)
//! grant      {"epoch":4,"nonce":10000,"mac":"<64 hex>"}
//!            mac = HMAC(.., "cotter/recovery-grant/v1\0" | length of the id | id | device nonce | server nonce
//!                  | epoch u32 BE | nonce u32 BE)
//! ```
//!
//! The recovery key does not depend on the epoch, because a device whose store was restored from a backup may not know the
//! present one. The epoch in the claim is the device's own: the granted one is above both that and the server's, so that
//! neither side's backup brings an old epoch back. The nonce in the grant counts as used.
//!
//! Device: [`Recovery`], [`Claim`], then a [`Grant`]. Server: [`Ask`] and [`ClaimMessage`], each parsed, then verified.
//! A recorded ask brings a challenge that nobody can answer; a recorded claim answers a challenge that is no longer open.

use crate::canonical::{CanonicalError, OutputFull, Scanner, Writer};
use crate::ids::{DeviceId, KeyEpoch, Nonce};
use crate::keys::{self, RecoveryKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 320;

/// An ask that waits for its challenge.
#[derive(Debug)]
pub struct Recovery {
    device: DeviceId,
    epoch: KeyEpoch,
    device_nonce: [u8; 16],
}

impl Recovery {
    /// Begins one. `epoch` is that of the device's keys now; `device_nonce` must be fresh from a cryptographic random
    /// source.
    #[must_use]
    pub const fn new(device: DeviceId, epoch: KeyEpoch, device_nonce: [u8; 16]) -> Self {
        Self { device, epoch, device_nonce }
    }

    /// Writes the ask into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough.
    ///
    /// # Errors
    /// [`RecoveryError::OutputFull`].
    pub fn ask<'o>(&self, key: &RecoveryKey, out: &'o mut [u8]) -> Result<&'o [u8], RecoveryError> {
        let mut writer = Writer::new(out);
        writer.literal(HEAD).literal(self.device.as_str()).literal("\",\"device_nonce\":\"").hex(&self.device_nonce);
        finish(writer, mac(key, ASK, &self.device, &[&self.device_nonce]), "\"")
    }

    /// Takes the challenge to this very ask.
    ///
    /// # Errors
    /// [`RecoveryError::Canonical`] or [`RecoveryError::Mac`].
    pub fn challenged(self, key: &RecoveryKey, challenge: &[u8]) -> Result<Claim, RecoveryError> {
        let mut scanner = Scanner::new(challenge, MAX_MESSAGE)?;
        scanner.literal("{\"server_nonce\":\"")?;
        let server_nonce = scanner.hex()?;
        let parts: [&[u8]; 2] = [&self.device_nonce, &server_nonce];
        check(scanner, mac(key, CHALLENGE, &self.device, &parts), "\"")?;
        Ok(Claim {
            device: self.device,
            epoch: self.epoch,
            nonces: Nonces { device: self.device_nonce, server: server_nonce },
        })
    }
}

/// The device's answer to a challenge.
#[derive(Debug)]
pub struct Claim {
    device: DeviceId,
    epoch: KeyEpoch,
    nonces: Nonces,
}

impl Claim {
    /// Writes it into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough.
    ///
    /// # Errors
    /// [`RecoveryError::OutputFull`].
    pub fn write<'o>(&self, key: &RecoveryKey, out: &'o mut [u8]) -> Result<&'o [u8], RecoveryError> {
        let mut writer = Writer::new(out);
        writer.literal(HEAD).literal(self.device.as_str()).literal("\",\"epoch\":").number(self.epoch.0);
        writer.literal(",\"device_nonce\":\"").hex(&self.nonces.device);
        writer.literal("\",\"server_nonce\":\"").hex(&self.nonces.server);
        finish(writer, self.nonces.claim_mac(key, &self.device, self.epoch), "\"")
    }

    /// Takes the grant for this very claim.
    ///
    /// # Errors
    /// [`RecoveryError::Canonical`], [`RecoveryError::Mac`], [`RecoveryError::Epoch`] if it is not a new epoch.
    pub fn granted(self, key: &RecoveryKey, grant: &[u8]) -> Result<Grant, RecoveryError> {
        let mut scanner = Scanner::new(grant, MAX_MESSAGE)?;
        scanner.literal("{\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"nonce\":")?;
        let nonce = Nonce(scanner.u32()?);
        check(scanner, self.nonces.grant_mac(key, &self.device, epoch, nonce), "")?;
        if epoch <= self.epoch {
            return Err(RecoveryError::Epoch { granted: epoch, own: self.epoch });
        }
        Ok(Grant { epoch, nonce })
    }
}

/// What the server grants. Only [`Claim::granted`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    epoch: KeyEpoch,
    nonce: Nonce,
}

impl Grant {
    /// The epoch that counts from now on.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// What counts as the last used nonce in it.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }
}

/// A well-formed ask of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct Ask {
    device: DeviceId,
    device_nonce: [u8; 16],
    mac: [u8; 32],
}

impl Ask {
    /// Reads the one spelling of an ask.
    ///
    /// # Errors
    /// [`RecoveryError::Canonical`].
    pub fn parse(body: &[u8]) -> Result<Self, RecoveryError> {
        let mut scanner = Scanner::new(body, MAX_MESSAGE)?;
        scanner.literal(HEAD)?;
        let device = scanner.device_id()?;
        scanner.literal("\",\"device_nonce\":\"")?;
        let device_nonce = scanner.hex()?;
        Ok(Self { device, device_nonce, mac: read_mac(scanner, "\"")? })
    }

    /// Who it claims to come from.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Checks the MAC, in constant time.
    ///
    /// # Errors
    /// [`RecoveryError::Mac`].
    pub fn verify(self, key: &RecoveryKey) -> Result<VerifiedAsk, RecoveryError> {
        mac(key, ASK, &self.device, &[&self.device_nonce]).verify_slice(&self.mac).map_err(|_| RecoveryError::Mac)?;
        Ok(VerifiedAsk { device: self.device, device_nonce: self.device_nonce })
    }
}

/// An ask that its device has made, now or earlier.
#[derive(Clone, Debug)]
pub struct VerifiedAsk {
    device: DeviceId,
    device_nonce: [u8; 16],
}

impl VerifiedAsk {
    /// Both nonces. `server` must be fresh from a cryptographic random source, and remembered until it is claimed.
    #[must_use]
    pub const fn with(&self, server: [u8; 16]) -> Nonces {
        Nonces { device: self.device_nonce, server }
    }

    /// What the device has drawn.
    #[must_use]
    pub const fn device_nonce(&self) -> &[u8; 16] {
        &self.device_nonce
    }

    /// Writes the challenge into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough.
    ///
    /// # Errors
    /// [`RecoveryError::OutputFull`].
    pub fn challenge<'o>(
        &self,
        key: &RecoveryKey,
        server_nonce: &[u8; 16],
        out: &'o mut [u8],
    ) -> Result<&'o [u8], RecoveryError> {
        let mut writer = Writer::new(out);
        writer.literal("{\"server_nonce\":\"").hex(server_nonce);
        finish(writer, mac(key, CHALLENGE, &self.device, &[&self.device_nonce, server_nonce]), "\"")
    }
}

/// A well-formed claim of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct ClaimMessage {
    device: DeviceId,
    epoch: KeyEpoch,
    nonces: Nonces,
    mac: [u8; 32],
}

impl ClaimMessage {
    /// Reads the one spelling of a claim.
    ///
    /// # Errors
    /// [`RecoveryError::Canonical`].
    pub fn parse(body: &[u8]) -> Result<Self, RecoveryError> {
        let mut scanner = Scanner::new(body, MAX_MESSAGE)?;
        scanner.literal(HEAD)?;
        let device = scanner.device_id()?;
        scanner.literal("\",\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"device_nonce\":\"")?;
        let own = scanner.hex()?;
        scanner.literal("\",\"server_nonce\":\"")?;
        let server = scanner.hex()?;
        Ok(Self { device, epoch, nonces: Nonces { device: own, server }, mac: read_mac(scanner, "\"")? })
    }

    /// Who it claims to come from.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Checks the MAC, in constant time. Whether its challenge is open is for the receiver to say.
    ///
    /// # Errors
    /// [`RecoveryError::Mac`].
    pub fn verify(self, key: &RecoveryKey) -> Result<VerifiedClaim, RecoveryError> {
        self.nonces.claim_mac(key, &self.device, self.epoch).verify_slice(&self.mac).map_err(|_| RecoveryError::Mac)?;
        Ok(VerifiedClaim { device: self.device, epoch: self.epoch, nonces: self.nonces })
    }
}

/// A claim that its device has made, now or earlier.
#[derive(Clone, Debug)]
pub struct VerifiedClaim {
    device: DeviceId,
    epoch: KeyEpoch,
    nonces: Nonces,
}

impl VerifiedClaim {
    /// The epoch that the device knows.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// Which challenge it answers.
    #[must_use]
    pub const fn nonces(&self) -> &Nonces {
        &self.nonces
    }

    /// Writes the grant into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough.
    ///
    /// # Errors
    /// [`RecoveryError::OutputFull`].
    pub fn grant<'o>(
        &self,
        key: &RecoveryKey,
        epoch: KeyEpoch,
        nonce: Nonce,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], RecoveryError> {
        let mut writer = Writer::new(out);
        writer.literal("{\"epoch\":").number(epoch.0).literal(",\"nonce\":").number(nonce.0);
        finish(writer, self.nonces.grant_mac(key, &self.device, epoch, nonce), "")
    }
}

/// What both ends have drawn: one recovery, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonces {
    /// By the device.
    pub device: [u8; 16],
    /// By the server.
    pub server: [u8; 16],
}

impl Nonces {
    fn claim_mac(&self, key: &RecoveryKey, device: &DeviceId, epoch: KeyEpoch) -> Hmac<Sha256> {
        mac(key, CLAIM, device, &[&self.device, &self.server, &epoch.0.to_be_bytes()])
    }

    fn grant_mac(&self, key: &RecoveryKey, device: &DeviceId, epoch: KeyEpoch, nonce: Nonce) -> Hmac<Sha256> {
        mac(key, GRANT, device, &[&self.device, &self.server, &epoch.0.to_be_bytes(), &nonce.0.to_be_bytes()])
    }
}

/// All parts have one length each, so that no two messages have the same bytes under one domain.
fn mac(key: &RecoveryKey, domain: &[u8], device: &DeviceId, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = keys::hmac(key.expose());
    mac.update(domain);
    mac.update(&[device.len_byte()]);
    mac.update(device.as_bytes());
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// Writes `after`, which ends the last member, then the MAC.
fn finish<'o>(mut writer: Writer<'o>, mac: Hmac<Sha256>, after: &str) -> Result<&'o [u8], RecoveryError> {
    writer.literal(after).literal(",\"mac\":\"").hex(&mac.finalize().into_bytes()).literal("\"}");
    Ok(writer.finish()?)
}

fn read_mac(mut scanner: Scanner<'_>, after: &'static str) -> Result<[u8; 32], RecoveryError> {
    scanner.literal(after)?;
    scanner.literal(",\"mac\":\"")?;
    let mac = scanner.hex()?;
    scanner.literal("\"}")?;
    scanner.end()?;
    Ok(mac)
}

fn check(scanner: Scanner<'_>, mac: Hmac<Sha256>, after: &'static str) -> Result<(), RecoveryError> {
    mac.verify_slice(&read_mac(scanner, after)?).map_err(|_| RecoveryError::Mac)
}

const HEAD: &str = "{\"version\":1,\"device_id\":\"";
const ASK: &[u8] = b"cotter/recovery-ask/v1\0";
const CHALLENGE: &[u8] = b"cotter/recovery-challenge/v1\0";
const CLAIM: &[u8] = b"cotter/recovery-claim/v1\0";
const GRANT: &[u8] = b"cotter/recovery-grant/v1\0";

/// Why a message is refused. For the audit log; the sender learns only "refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Not the one spelling of a message.
    #[error("recovery: {0}")]
    Canonical(#[from] CanonicalError),
    /// Nobody who knows the key said this, or not in this recovery.
    #[error("recovery: the MAC does not hold")]
    Mac,
    /// Authentic, but nonces would be used again in that epoch.
    #[error("recovery: key epoch {granted} is granted, which is not above {own}")]
    Epoch {
        /// By the server.
        granted: KeyEpoch,
        /// The device's.
        own: KeyEpoch,
    },
    /// The caller's buffer is too small.
    #[error("recovery: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for RecoveryError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests;
