//! Azure IoT Hub and its Device Provisioning Service (DPS), for devices with a symmetric key.
//!
//! ```text
//! device key  HMAC-SHA256(group key, registration id)                           an enrollment group's key, for one device
//! resource    <hub>/devices/<device id>   or   <id scope>/registrations/<registration id>
//! signature   HMAC-SHA256(device key, percent(resource) "\n" expiry)            expiry: Unix seconds, decimal
//! token       SharedAccessSignature sr=percent(resource)&sig=percent(base64(signature))&se=expiry[&skn=registration]
//! ```
//!
//! Both services compute the signature over the resource as it is escaped in `sr`. Clients of Microsoft's disagree whether a
//! device id is escaped once or twice; [`Resource`] takes only names for which that is the same.
//!
//! Source: learn.microsoft.com, "Control access to IoT Hub with shared access signatures", "Symmetric key attestation" (DPS).

use super::{is_unreserved, percent_encoded, text};
use crate::canonical::{OutputFull, Writer};
use crate::ids::UnixTime;
use base64ct::{Base64, Encoding};
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the shortest symmetric key.
pub const MIN_KEY: usize = 16;
/// Bytes of the longest.
pub const MAX_KEY: usize = 64;
/// Characters of the longest in base64.
pub const MAX_KEY_TEXT: usize = MAX_KEY.div_ceil(3) * 4;
/// Characters of the longest registration id, and of the longest device id.
pub const MAX_ID: usize = 128;
/// Characters of the longest host name.
pub const MAX_HOST: usize = 253;
/// More than any token has characters.
pub const MAX_SAS: usize = 640;

/// A key of a device, or of an enrollment group. Wiped on drop.
pub struct SymmetricKey {
    bytes: Zeroizing<[u8; MAX_KEY]>,
    len: usize,
}

impl SymmetricKey {
    /// Reads it as the portal shows it: base64 with padding, 16 to 64 bytes.
    ///
    /// # Errors
    /// [`SymmetricKeyError`].
    pub fn from_base64(text: &[u8]) -> Result<Self, SymmetricKeyError> {
        let mut bytes = Zeroizing::new([0; MAX_KEY]);
        if text.len() > MAX_KEY_TEXT {
            return Err(SymmetricKeyError::Base64);
        }
        let len = Base64::decode(text, &mut *bytes).map_err(|_| SymmetricKeyError::Base64)?.len();
        if len < MIN_KEY {
            return Err(SymmetricKeyError::Length { len });
        }
        Ok(Self { bytes, len })
    }

    /// The key of one device out of its enrollment group's.
    #[must_use]
    pub fn derive(&self, device: &RegistrationId<'_>) -> Self {
        let mut bytes = Zeroizing::new([0; MAX_KEY]);
        let mac = Zeroizing::new(self.mac(&[device.0.as_bytes()]));
        bytes.iter_mut().zip(&*mac).for_each(|(to, from)| *to = *from);
        Self { bytes, len: mac.len() }
    }

    /// The bytes, for whoever stores them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// As the portal shows it, in a buffer that the caller wipes.
    pub fn write_base64<'o>(&self, out: &'o mut [u8; MAX_KEY_TEXT]) -> &'o str {
        Base64::encode(self.expose(), out).expect("the buffer is for the longest key")
    }

    fn mac(&self, pieces: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.expose()).expect("HMAC takes keys of any length");
        pieces.iter().for_each(|piece| mac.update(piece));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey(..)")
    }
}

/// Why text is no symmetric key. What it says is not in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymmetricKeyError {
    /// Not base64 with padding, or of more than 64 bytes.
    #[error("symmetric key: not base64 of 16 to 64 bytes")]
    Base64,
    /// Too short.
    #[error("symmetric key: {len} bytes, expected 16 to 64")]
    Length {
        /// Its length.
        len: usize,
    },
}

/// The name of a device in DPS: 1 to 128 letters, digits and `-._:`, of which the last is a letter, a digit or `-`. For a
/// device with a certificate it is the certificate's common name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationId<'a>(&'a str);

impl<'a> RegistrationId<'a> {
    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`NameError::RegistrationId`].
    pub fn new(text: &'a str) -> Result<Self, NameError> {
        let allows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
        let ends_well = text.bytes().last().is_some_and(|last| last.is_ascii_alphanumeric() || last == b'-');
        if text.len() <= MAX_ID && ends_well && text.bytes().all(allows) {
            Ok(Self(text))
        } else {
            Err(NameError::RegistrationId)
        }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// One device in a hub. See [`Self::hub`].
    Hub(Checked<'a>),
    /// One registration in an id scope of DPS. See [`Self::provisioning`].
    Provisioning(Checked<'a>),
}

/// Names that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked<'a> {
    authority: &'a str,
    name: &'a str,
}

impl<'a> Resource<'a> {
    /// `host`: `my-hub.azure-devices.net`. `device`: 1 to 128 letters, digits and `-._~`; hubs take more, see above.
    ///
    /// # Errors
    /// [`NameError::Host`], [`NameError::DeviceId`].
    pub fn hub(host: &'a str, device: &'a str) -> Result<Self, NameError> {
        if !is_host(host) {
            return Err(NameError::Host);
        }
        if !is_plain(device) {
            return Err(NameError::DeviceId);
        }
        Ok(Self::Hub(Checked { authority: host, name: device }))
    }

    /// `id_scope`: what the portal shows, as 0ne00012345.
    ///
    /// # Errors
    /// [`NameError::IdScope`]; [`NameError::Escaped`] for a registration id with a `:`.
    pub fn provisioning(id_scope: &'a str, registration: &RegistrationId<'a>) -> Result<Self, NameError> {
        let is_scope = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_scope(id_scope) {
            return Err(NameError::IdScope);
        }
        if !is_plain(registration.0) {
            return Err(NameError::Escaped);
        }
        Ok(Self::Provisioning(Checked { authority: id_scope, name: registration.0 }))
    }

    /// The MQTT user name.
    ///
    /// # Errors
    /// [`OutputFull`].
    pub fn user_name<'o>(&self, out: &'o mut [u8]) -> Result<&'o str, OutputFull> {
        let mut writer = Writer::new(out);
        match self {
            Self::Hub(Checked { authority, name }) => {
                writer.literal(authority).literal("/").literal(name).literal("/?api-version=").literal(HUB_VERSION)
            }
            Self::Provisioning(Checked { authority, name }) => writer
                .literal(authority)
                .literal("/registrations/")
                .literal(name)
                .literal("/api-version=")
                .literal(DPS_VERSION),
        };
        writer.finish().map(text)
    }

    /// The token, which is the MQTT password, into the beginning of `out`; [`MAX_SAS`] bytes are always enough.
    ///
    /// # Errors
    /// [`OutputFull`].
    pub fn sas<'o>(&self, key: &SymmetricKey, expires_at: UnixTime, out: &'o mut [u8]) -> Result<&'o str, OutputFull> {
        let (checked, middle, tail) = match self {
            Self::Hub(checked) => (checked, "%2Fdevices%2F", ""),
            Self::Provisioning(checked) => (checked, "%2Fregistrations%2F", "&skn=registration"),
        };
        let mut number = [0; 20];
        let mut writer = Writer::new(&mut number);
        writer.number(expires_at.0);
        let expiry = writer.finish()?;
        // 1. Nothing in the names is escaped but the slashes between them.
        let pieces = [checked.authority, middle, checked.name].map(str::as_bytes);
        let [authority, slashes, name] = pieces;
        let signature = Base64Mac::of(&key.mac(&[authority, slashes, name, b"\n", expiry]));
        // 2. The token.
        let mut writer = Writer::new(out);
        writer.literal("SharedAccessSignature sr=");
        writer.literal(checked.authority).literal(middle).literal(checked.name).literal("&sig=");
        percent_encoded(&mut writer, text(&signature.0));
        writer.literal("&se=").literal(text(expiry)).literal(tail);
        writer.finish().map(text)
    }
}

/// A MAC in base64.
struct Base64Mac([u8; 44]);

impl Base64Mac {
    fn of(mac: &[u8; 32]) -> Self {
        let mut out = [0; 44];
        Base64::encode(mac, &mut out).expect("32 bytes are 44 characters");
        Self(out)
    }
}

fn is_plain(name: &str) -> bool {
    (1..=MAX_ID).contains(&name.len()) && name.bytes().all(is_unreserved)
}

fn is_host(host: &str) -> bool {
    let allows = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    host.len() <= MAX_HOST && host.contains('.') && host.bytes().all(allows) && host.split('.').all(is_label)
}

/// Why a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// See [`RegistrationId`].
    #[error("a registration id is 1 to 128 letters, digits and -._: and ends with a letter, a digit or -")]
    RegistrationId,
    /// Of a hub.
    #[error("a hub is a host name in lower case, as my-hub.azure-devices.net")]
    Host,
    /// See [`Resource::hub`].
    #[error("a device id is 1 to 128 letters, digits and -._~; others have two spellings in a token")]
    DeviceId,
    /// Of DPS.
    #[error("an id scope is 1 to 64 letters and digits, as 0ne00012345")]
    IdScope,
    /// A registration id that is legal, but has two spellings in a token.
    #[error("a registration id with : has two spellings in a token")]
    Escaped,
}

/// Of the MQTT interface of a hub.
const HUB_VERSION: &str = "2021-04-12";
/// Of the MQTT interface of DPS.
const DPS_VERSION: &str = "2019-03-31";

/// Where DPS listens, whatever the id scope.
pub const PROVISIONING_HOST: &str = "global.azure-devices-provisioning.net";

#[cfg(test)]
mod tests;
