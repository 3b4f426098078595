//! Rotation of a device's root key: a new root key and key epoch, sealed under the present ones, then confirmed.
//!
//! ```text
//! ask      GET /v1/devices/{id}/key?nonce=<32 hex>, in a session; the nonce is fresh
//! offer    {"epoch":4,"ticket":"<120 hex>","nonce":"<24 hex>","sealed":"<96 hex>"}
//!          sealed = AES-256-GCM(offer key of the present root key, nonce, new root key, aad), the tag at the end
//!          aad = "cotter/rotation-offer/v1\0" | length of the id u8 | id | present epoch u32 BE | new epoch u32 BE
//!                | device nonce | ticket
//! confirm  POST /v1/devices/{id}/key
//!          {"version":1,"device_id":"..","epoch":4,"device_nonce":"<32 hex>","ticket":"<120 hex>","mac":"<64 hex>"}
//!          mac = HMAC(confirmation key of the new root key, "cotter/rotation-confirm/v1\0" | length of the id | id
//!                | epoch u32 BE | device nonce | ticket)
//! ack      {"epoch":4,"mac":"<64 hex>"}
//!          mac = HMAC(.., "cotter/rotation-ack/v1\0" | length of the id | id | epoch u32 BE | device nonce)
//! ```
//!
//! The device makes the new keys its present ones when it has the acknowledgement, and not before; the server when it has
//! the confirmation. So in between the device has both, and may confirm as often as it likes, without a session.
//!
//! The ticket is the new root key, sealed under a key that only the server has, for this device and epoch. The device keeps
//! it beside the key. A server that was restored from a backup older than the rotation learns the key again from it.
//!
//! Device: [`Asking`], then an [`Offered`] key to store, then a [`Confirmation`]. Server: [`Asked::offer`], then
//! [`ConfirmMessage`], parsed, then verified.

use crate::canonical::{CanonicalError, OutputFull, Scanner, Writer};
use crate::ids::{DeviceId, KeyEpoch};
use crate::keys::{self, ConfirmationKey, OfferKey, RootKey};
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use cotter_formats::secret::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 384;

/// What the device keeps for a server that forgets: opaque to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub [u8; Self::LEN]);

impl Ticket {
    /// Its length in bytes.
    pub const LEN: usize = 60;
}

/// An ask that waits for its offer.
#[derive(Debug)]
pub struct Asking {
    device: DeviceId,
    epoch: KeyEpoch,
    device_nonce: [u8; 16],
}

impl Asking {
    /// Begins one. `epoch` is that of the device's keys now; `device_nonce` must be fresh from a cryptographic random
    /// source.
    #[must_use]
    pub const fn new(device: DeviceId, epoch: KeyEpoch, device_nonce: [u8; 16]) -> Self {
        Self { device, epoch, device_nonce }
    }

    /// The path to ask at, in a session.
    #[must_use]
    pub fn path(&self) -> crate::api::Path {
        crate::api::next_key(&self.device, &self.device_nonce)
    }

    /// Opens the offer to this very ask.
    ///
    /// # Errors
    /// [`RotationError::Canonical`], [`RotationError::NotAuthentic`], [`RotationError::Epoch`] if it is not a new epoch.
    pub fn offered(self, key: &OfferKey, offer: &[u8]) -> Result<Offered, RotationError> {
        let mut scanner = Scanner::new(offer, MAX_MESSAGE)?;
        scanner.literal("{\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"ticket\":\"")?;
        let ticket = Ticket(scanner.hex()?);
        scanner.literal("\",\"nonce\":\"")?;
        let nonce: [u8; 12] = scanner.hex()?;
        scanner.literal("\",\"sealed\":\"")?;
        let sealed: [u8; SEALED] = scanner.hex()?;
        scanner.literal("\"}")?;
        scanner.end()?;
        let asked = Asked { device: &self.device, epoch: self.epoch, device_nonce: &self.device_nonce };
        let context = asked.context(epoch, &ticket);
        let (content, tag) = sealed.split_last_chunk::<TAG>().ok_or(RotationError::NotAuthentic)?;
        let root = Secret::try_filled_by(|root: &mut [u8; 32]| {
            root.copy_from_slice(content);
            Aes256Gcm::new(key.expose().into())
                .decrypt_inout_detached((&nonce).into(), context.as_bytes(), root.as_mut_slice().into(), tag.into())
                .map_err(|_| RotationError::NotAuthentic)
        })?;
        if epoch <= self.epoch {
            return Err(RotationError::Epoch { offered: epoch, own: self.epoch });
        }
        Ok(Offered { epoch, root: RootKey::new(root), ticket })
    }
}

/// What the server has offered. The device stores all of it before it confirms.
#[derive(Debug)]
pub struct Offered {
    /// The epoch of the new key, above the present one.
    pub epoch: KeyEpoch,
    /// The new root key.
    pub root: RootKey,
    /// What goes with it.
    pub ticket: Ticket,
}

/// Who asks, as its session has shown, and what the offer is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The device.
    pub device: &'a DeviceId,
    /// The epoch of its keys now.
    pub epoch: KeyEpoch,
    /// What it has drawn.
    pub device_nonce: &'a [u8; 16],
}

impl Asked<'_> {
    /// Writes the offer into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough. `key` is derived from the
    /// present root key; `nonce`: 12 fresh random bytes.
    ///
    /// # Errors
    /// [`RotationError::OutputFull`].
    pub fn offer<'o>(
        &self,
        key: &OfferKey,
        offered: &Offered,
        nonce: [u8; 12],
        out: &'o mut [u8],
    ) -> Result<&'o [u8], RotationError> {
        let context = self.context(offered.epoch, &offered.ticket);
        let mut sealed = [0; SEALED];
        let (body, tag) = sealed.split_at_mut(SEALED - TAG);
        body.copy_from_slice(offered.root.expose());
        let made = Aes256Gcm::new(key.expose().into())
            .encrypt_inout_detached((&nonce).into(), context.as_bytes(), body.into())
            .map_err(|_| RotationError::OutputFull)?;
        tag.copy_from_slice(&made);
        let mut writer = Writer::new(out);
        writer.literal("{\"epoch\":").number(offered.epoch.0).literal(",\"ticket\":\"").hex(&offered.ticket.0);
        writer.literal("\",\"nonce\":\"").hex(&nonce).literal("\",\"sealed\":\"").hex(&sealed).literal("\"}");
        Ok(writer.finish()?)
    }

    fn context(&self, offered: KeyEpoch, ticket: &Ticket) -> Context {
        let mut context = Context { bytes: [0; Context::MAX], len: 0 };
        let (present, offered) = (self.epoch.0.to_be_bytes(), offered.0.to_be_bytes());
        let length = [self.device.len_byte()];
        let parts: [&[u8]; 7] =
            [OFFER, &length, self.device.as_bytes(), &present, &offered, self.device_nonce, &ticket.0];
        for part in parts {
            context.bytes[context.len..context.len + part.len()].copy_from_slice(part);
            context.len += part.len();
        }
        context
    }
}

/// The device's word that it has stored the new key.
#[derive(Debug)]
pub struct Confirmation {
    /// The device.
    pub device: DeviceId,
    /// The epoch that was offered with the key.
    pub epoch: KeyEpoch,
    /// Fresh from a cryptographic random source.
    pub device_nonce: [u8; 16],
    /// What came with the key.
    pub ticket: Ticket,
}

impl Confirmation {
    /// Writes it into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough. `key` is derived from the new root
    /// key.
    ///
    /// # Errors
    /// [`RotationError::OutputFull`].
    pub fn write<'o>(&self, key: &ConfirmationKey, out: &'o mut [u8]) -> Result<&'o [u8], RotationError> {
        let mut writer = Writer::new(out);
        writer.literal(HEAD).literal(self.device.as_str()).literal("\",\"epoch\":").number(self.epoch.0);
        writer.literal(",\"device_nonce\":\"").hex(&self.device_nonce);
        writer.literal("\",\"ticket\":\"").hex(&self.ticket.0).literal("\",\"mac\":\"");
        writer.hex(&self.mac(key).finalize().into_bytes()).literal("\"}");
        Ok(writer.finish()?)
    }

    /// Takes the acknowledgement of this very confirmation.
    ///
    /// # Errors
    /// [`RotationError::Canonical`], [`RotationError::Mac`].
    pub fn acknowledged(&self, key: &ConfirmationKey, ack: &[u8]) -> Result<(), RotationError> {
        let mut scanner = Scanner::new(ack, MAX_MESSAGE)?;
        scanner.literal("{\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"mac\":\"")?;
        let mac: [u8; 32] = scanner.hex()?;
        scanner.literal("\"}")?;
        scanner.end()?;
        self.ack_mac(key, epoch).verify_slice(&mac).map_err(|_| RotationError::Mac)?;
        if epoch == self.epoch { Ok(()) } else { Err(RotationError::Mac) }
    }

    fn mac(&self, key: &ConfirmationKey) -> Hmac<Sha256> {
        mac(key, CONFIRM, &self.device, &[&self.epoch.0.to_be_bytes(), &self.device_nonce, &self.ticket.0])
    }

    fn ack_mac(&self, key: &ConfirmationKey, epoch: KeyEpoch) -> Hmac<Sha256> {
        mac(key, ACK, &self.device, &[&epoch.0.to_be_bytes(), &self.device_nonce])
    }
}

/// A well-formed confirmation of which nothing is believed yet.
#[derive(Debug)]
pub struct ConfirmMessage {
    confirmation: Confirmation,
    mac: [u8; 32],
}

impl ConfirmMessage {
    /// Reads the one spelling of a confirmation.
    ///
    /// # Errors
    /// [`RotationError::Canonical`].
    pub fn parse(body: &[u8]) -> Result<Self, RotationError> {
        let mut scanner = Scanner::new(body, MAX_MESSAGE)?;
        scanner.literal(HEAD)?;
        let device = scanner.device_id()?;
        scanner.literal("\",\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"device_nonce\":\"")?;
        let device_nonce = scanner.hex()?;
        scanner.literal("\",\"ticket\":\"")?;
        let ticket = Ticket(scanner.hex()?);
        scanner.literal("\",\"mac\":\"")?;
        let mac = scanner.hex()?;
        scanner.literal("\"}")?;
        scanner.end()?;
        Ok(Self { confirmation: Confirmation { device, epoch, device_nonce, ticket }, mac })
    }

    /// Who it claims to come from.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.confirmation.device
    }

    /// The epoch that it claims to confirm.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.confirmation.epoch
    }

    /// The ticket in it, which may be anything.
    #[must_use]
    pub const fn ticket(&self) -> &Ticket {
        &self.confirmation.ticket
    }

    /// Checks the MAC, in constant time.
    ///
    /// # Errors
    /// [`RotationError::Mac`].
    pub fn verify(&self, key: &ConfirmationKey) -> Result<Confirmed<'_>, RotationError> {
        self.confirmation.mac(key).verify_slice(&self.mac).map_err(|_| RotationError::Mac)?;
        Ok(Confirmed(&self.confirmation))
    }
}

/// A confirmation by a device that has the key.
#[derive(Debug)]
pub struct Confirmed<'a>(&'a Confirmation);

impl Confirmed<'_> {
    /// Writes the acknowledgement into the beginning of `out`; [`MAX_MESSAGE`] bytes are always enough. The same
    /// confirmation has the same acknowledgement.
    ///
    /// # Errors
    /// [`RotationError::OutputFull`].
    pub fn acknowledge<'o>(&self, key: &ConfirmationKey, out: &'o mut [u8]) -> Result<&'o [u8], RotationError> {
        let mut writer = Writer::new(out);
        writer.literal("{\"epoch\":").number(self.0.epoch.0).literal(",\"mac\":\"");
        writer.hex(&self.0.ack_mac(key, self.0.epoch).finalize().into_bytes()).literal("\"}");
        Ok(writer.finish()?)
    }
}

/// All parts have one length each, so that no two messages have the same bytes under one domain.
fn mac(key: &ConfirmationKey, domain: &[u8], device: &DeviceId, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = keys::hmac(key.expose());
    mac.update(domain);
    mac.update(&[device.len_byte()]);
    mac.update(device.as_bytes());
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// The associated data of an offer, in bytes.
struct Context {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Context {
    const MAX: usize = OFFER.len() + 1 + DeviceId::MAX_LEN + 8 + 16 + Ticket::LEN;

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const HEAD: &str = "{\"version\":1,\"device_id\":\"";
const OFFER: &[u8] = b"cotter/rotation-offer/v1\0";
const CONFIRM: &[u8] = b"cotter/rotation-confirm/v1\0";
const ACK: &[u8] = b"cotter/rotation-ack/v1\0";
const TAG: usize = 16;
const SEALED: usize = 32 + TAG;

/// Why a message is refused. For the audit log; the sender learns only "refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// Not the one spelling of a message.
    #[error("rotation: {0}")]
    Canonical(#[from] CanonicalError),
    /// Not sealed by the server for this device, epoch and ask.
    #[error("rotation: the offer does not open")]
    NotAuthentic,
    /// Nobody who knows the new key said this, or not about this confirmation.
    #[error("rotation: the MAC does not hold")]
    Mac,
    /// Authentic, but an epoch does not come back.
    #[error("rotation: key epoch {offered} is offered, which is not above {own}")]
    Epoch {
        /// By the server.
        offered: KeyEpoch,
        /// The device's.
        own: KeyEpoch,
    },
    /// The caller's buffer is too small.
    #[error("rotation: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for RotationError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests;
