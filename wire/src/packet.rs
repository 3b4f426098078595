//! A telemetry packet, version 1: a reading that was compressed, encrypted, and then authenticated.
//!
//! ```text
//! {"version":1,"device_id":"..","epoch":1,"nonce":10001,"encrypted":true,"compressed":false,
//!  "iv":"<32 hex>","payload":"<base64>","mac":"<64 hex>"}            (one line, canonical, at most 2048 bytes)
//!
//! payload = base64(AES-128-CBC(telemetry cipher key, iv, PKCS#7(compressed reading)))
//! mac     = HMAC-SHA256(telemetry MAC key, "cotter/packet/v1\0" | length of the id u8 | id | epoch u32 BE
//!           | nonce u32 BE | flags u8 (1 encrypted, 2 compressed) | iv | payload as base64 text)
//! ```
//!
//! The receiver goes through three types, so that no step can be left out: [`Packet::parse`] believes nothing,
//! [`Packet::verify`] yields a [`Verified`], and only that can be opened. All fields are under the MAC, the id and the
//! flags included. Whoever receives a packet under a path or a connection that names a device compares the names.

use crate::canonical::{Base64Text, CanonicalError, OutputFull, Scanner, Writer};
use crate::codec::{self, Codec, CodecError, MAX_READING};
use crate::ids::{DeviceId, KeyEpoch, Nonce};
use crate::keys::{DeviceKeys, TelemetryCipherKey, TelemetryMacKey};
use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Longest packet, in bytes; a body beyond it is refused unread.
pub const MAX_PACKET: usize = 2048;

/// Makes a packet in the beginning of `out`; [`MAX_PACKET`] bytes are always enough.
///
/// `nonce` must never have been used before by this device in this epoch: persist first, then seal.
/// `iv` must be fresh from a cryptographic random source. `plain` is at most [`MAX_READING`] bytes.
///
/// # Errors
/// [`PacketError::Codec`] if `plain` is too long, [`PacketError::OutputFull`] if `out` is too small.
pub fn seal<'o>(
    keys: &DeviceKeys,
    device: &DeviceId,
    epoch: KeyEpoch,
    nonce: Nonce,
    iv: &[u8; 16],
    plain: &[u8],
    out: &'o mut [u8],
) -> Result<&'o [u8], PacketError> {
    // 1. Compress, unless that makes it longer.
    let mut buffer = [0; MAX_CIPHERTEXT];
    let (codec, compressed) = codec::compress(plain, &mut buffer)?;
    let (compressed, len) = (codec == Codec::Heatshrink, compressed.len());
    // 2. Encrypt in place.
    let ciphertext = cbc::Encryptor::<Aes128>::new(keys.telemetry_cipher.expose().into(), iv.into())
        .encrypt_padded::<Pkcs7>(&mut buffer, len)
        .map_err(|_| PacketError::OutputFull)?;
    // 3. Everything but the MAC, with the ciphertext in base64.
    let mut writer = Writer::new(out);
    writer.literal("{\"version\":1,\"device_id\":\"").literal(device.as_str());
    writer.literal("\",\"epoch\":").number(epoch.0).literal(",\"nonce\":").number(nonce.0);
    writer.literal(",\"encrypted\":true,\"compressed\":").boolean(compressed);
    writer.literal(",\"iv\":\"").hex(iv).literal("\",\"payload\":\"");
    let payload_at = writer.written().len();
    writer.base64(ciphertext);
    // 4. Authenticate all of it.
    let payload = writer.written().get(payload_at..).ok_or(PacketError::OutputFull)?;
    let mac = authenticate(&keys.telemetry_mac, device, epoch, nonce, compressed, iv, payload).finalize();
    writer.literal("\",\"mac\":\"").hex(&mac.into_bytes()).literal("\"}");
    Ok(writer.finish()?)
}

/// A well-formed packet of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    raw: &'a [u8],
    device: DeviceId,
    epoch: KeyEpoch,
    nonce: Nonce,
    compressed: bool,
    iv: [u8; 16],
    payload: Base64Text<'a>,
    mac: [u8; 32],
}

impl<'a> Packet<'a> {
    /// Reads the one spelling of a packet. Does no cryptography.
    ///
    /// # Errors
    /// [`PacketError::Canonical`] for another spelling, [`PacketError::NotEncrypted`] for a packet in the clear,
    /// [`PacketError::PayloadLength`] unless the payload is whole AES blocks.
    pub fn parse(raw: &'a [u8]) -> Result<Self, PacketError> {
        let mut scanner = Scanner::new(raw, MAX_PACKET)?;
        scanner.literal("{\"version\":1,\"device_id\":\"")?;
        let device = scanner.device_id()?;
        scanner.literal("\",\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"nonce\":")?;
        let nonce = Nonce(scanner.u32()?);
        scanner.literal(",\"encrypted\":")?;
        if !scanner.boolean()? {
            return Err(PacketError::NotEncrypted);
        }
        scanner.literal(",\"compressed\":")?;
        let compressed = scanner.boolean()?;
        scanner.literal(",\"iv\":\"")?;
        let iv = scanner.hex()?;
        scanner.literal("\",\"payload\":\"")?;
        let payload = scanner.base64(MAX_PAYLOAD)?;
        scanner.literal("\",\"mac\":\"")?;
        let mac = scanner.hex()?;
        scanner.literal("\"}")?;
        scanner.end()?;
        if !payload.decoded_len().is_multiple_of(BLOCK) {
            return Err(PacketError::PayloadLength(payload.decoded_len()));
        }
        Ok(Self { raw, device, epoch, nonce, compressed, iv, payload, mac })
    }

    /// Who it claims to come from.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Which generation of keys it claims to be made with.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// The number that it claims.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Checks the MAC, in constant time. `key` is that of the device and epoch that the packet claims.
    ///
    /// # Errors
    /// [`PacketError::Mac`]. Count it, but let the sender learn no more than "refused".
    pub fn verify(self, key: &TelemetryMacKey) -> Result<Verified<'a>, PacketError> {
        authenticate(key, &self.device, self.epoch, self.nonce, self.compressed, &self.iv, self.payload.text())
            .verify_slice(&self.mac)
            .map_err(|_| PacketError::Mac)?;
        Ok(Verified(self))
    }
}

/// A packet that its device has sealed, exactly so. Whether it is a replay is for the receiver's store to say.
#[derive(Clone, Debug)]
pub struct Verified<'a>(Packet<'a>);

impl Verified<'_> {
    /// Who sent it.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.0.device
    }

    /// With which generation of keys.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.0.epoch
    }

    /// Its number.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.0.nonce
    }

    /// SHA-256 of the whole packet. As a packet has one spelling, equal digests mean the same packet.
    #[must_use]
    pub fn packet_digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.raw).into()
    }

    /// Decrypts and decompresses into the beginning of `out`; [`MAX_READING`] bytes are always enough.
    ///
    /// # Errors
    /// [`PacketError::Padding`] and [`PacketError::Codec`] mean that the device itself sealed nonsense;
    /// [`PacketError::OutputFull`] if `out` is too small.
    pub fn open<'o>(&self, key: &TelemetryCipherKey, out: &'o mut [u8]) -> Result<&'o [u8], PacketError> {
        let mut buffer = [0; MAX_CIPHERTEXT];
        let ciphertext = self.0.payload.decode(&mut buffer)?;
        // PKCS#7, strict: every padding byte is looked at.
        let compressed = cbc::Decryptor::<Aes128>::new(key.expose().into(), (&self.0.iv).into())
            .decrypt_padded::<Pkcs7>(ciphertext)
            .map_err(|_| PacketError::Padding)?;
        let codec = if self.0.compressed { Codec::Heatshrink } else { Codec::Identity };
        Ok(codec::decompress(codec, compressed, out)?)
    }
}

fn authenticate(
    key: &TelemetryMacKey,
    device: &DeviceId,
    epoch: KeyEpoch,
    nonce: Nonce,
    compressed: bool,
    iv: &[u8; 16],
    payload: &[u8],
) -> Hmac<Sha256> {
    let mut mac = crate::keys::hmac(key.expose());
    mac.update(DOMAIN);
    mac.update(&[device.len_byte()]);
    mac.update(device.as_bytes());
    mac.update(&epoch.0.to_be_bytes());
    mac.update(&nonce.0.to_be_bytes());
    mac.update(&[FLAG_ENCRYPTED | if compressed { FLAG_COMPRESSED } else { 0 }]);
    mac.update(iv);
    mac.update(payload);
    mac
}

const DOMAIN: &[u8] = b"cotter/packet/v1\0";
const FLAG_ENCRYPTED: u8 = 1;
const FLAG_COMPRESSED: u8 = 2;
const BLOCK: usize = 16;
/// A longest reading with its padding: one block more.
const MAX_CIPHERTEXT: usize = MAX_READING + BLOCK;
/// That in base64.
const MAX_PAYLOAD: usize = MAX_CIPHERTEXT.div_ceil(3) * 4;

/// Why a packet was not sealed, or is refused. For the audit log; the sender learns only "refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Not the one spelling of a packet.
    #[error("packet: {0}")]
    Canonical(#[from] CanonicalError),
    /// Version 1 always encrypts.
    #[error("packet: not encrypted")]
    NotEncrypted,
    /// Not whole AES blocks.
    #[error("packet: payload of {0} bytes is not a multiple of 16")]
    PayloadLength(usize),
    /// Nobody who knows the key made this packet.
    #[error("packet: the MAC does not hold")]
    Mac,
    /// Authentic, but its padding is wrong.
    #[error("packet: authentic, but its padding is wrong")]
    Padding,
    /// Authentic, but it does not decompress; or too long to be sealed.
    #[error("packet: {0}")]
    Codec(#[from] CodecError),
    /// The caller's buffer is too small.
    #[error("packet: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for PacketError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests;
