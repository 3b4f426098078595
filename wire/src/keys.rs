//! Keys typed by use, all derived from one root key per device.
//!
//! HKDF-SHA256 (RFC 5869): the key material is the root key, the salt is `cotter/v1`, and the info is
//! `cotter/v1/` use `\0` epoch (u32, big-endian) length of the id (u8) id. So no key is shared between two uses,
//! two devices or two epochs, and learning one tells nothing about another.
//!
//! The keys of version 2 of the telemetry are a family of their own: the salt is `cotter/v2`, and the info is
//! `cotter/v2/` use `\0` direction (u8) epoch (u32, big-endian) length of the id (u8) id. The uses are `key` and `iv`.
//!
//! The recovery key stands alone: the salt is `cotter/recovery/v1`, and the info is `cotter/recovery/v1\0` length of the id
//! (u8) id. So do the two keys of a rotation: the salt is `cotter/rotation/v1`, and the info is `cotter/rotation/v1/` use
//! `\0` length of the id (u8) id. The uses are `offer` and `confirm`.

use crate::ids::{DeviceId, KeyEpoch};
use cotter_formats::secret::Secret;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Secret<$len>);

        impl $name {
            /// Names the use of `secret`.
            #[must_use]
            pub const fn new(secret: Secret<$len>) -> Self {
                Self(secret)
            }

            /// The bytes, for the primitive that uses them.
            #[must_use]
            pub const fn expose(&self) -> &[u8; $len] {
                self.0.expose()
            }
        }
    };
}

key!(
    /// What a device is born with, and all that the server has to keep for it.
    RootKey,
    32
);
key!(
    /// HMAC-SHA256 key of telemetry packets.
    TelemetryMacKey,
    32
);
key!(
    /// AES-128-CBC key of telemetry packets.
    TelemetryCipherKey,
    16
);
key!(
    /// HMAC-SHA256 key of the recovery of a lost nonce counter. It does not depend on the epoch.
    RecoveryKey,
    32
);
key!(
    /// AES-256-GCM key that seals a new root key under the present one. It does not depend on the epoch.
    OfferKey,
    32
);
key!(
    /// HMAC-SHA256 key that a device confirms a new root key with. It does not depend on the epoch.
    ConfirmationKey,
    32
);
key!(
    /// AES-128-GCM key of compact packets.
    CompactKey,
    16
);
key!(
    /// What the nonces of compact packets are made from.
    CommonIv,
    12
);
key!(
    /// AES-256-GCM key that wraps the content key of a release for one device.
    FirmwareUnwrapKey,
    32
);
key!(
    /// HMAC-SHA256 key of what the server tells the device.
    DownlinkKey,
    32
);
key!(
    /// AES-256-GCM key of commands to the device.
    CommandKey,
    32
);
key!(
    /// HMAC-SHA256 key of what the device says about commands.
    CommandResultKey,
    32
);
key!(
    /// HMAC-SHA256 key of session requests, and the root of each session key.
    RequestKey,
    32
);
key!(
    /// HMAC-SHA256 key of the requests of one session.
    SessionKey,
    32
);
key!(
    /// HMAC-SHA256 key of one EcoWatt device, in the compatibility profile only; derived from nothing.
    EcowattKey,
    32
);
key!(
    /// AES-256-GCM key that the factory seals root keys with for the server.
    EnrolmentKey,
    32
);

/// All keys of one device in one epoch.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Authenticates telemetry.
    pub telemetry_mac: TelemetryMacKey,
    /// Encrypts telemetry.
    pub telemetry_cipher: TelemetryCipherKey,
    /// Unwraps content keys.
    pub firmware_unwrap: FirmwareUnwrapKey,
    /// Authenticates the server to the device.
    pub downlink: DownlinkKey,
    /// Authenticates the device's requests.
    pub request: RequestKey,
    /// Seals commands.
    pub command: CommandKey,
    /// Authenticates what came of them.
    pub command_result: CommandResultKey,
}

impl DeviceKeys {
    /// Derives them; both ends do, so nothing but the root key is ever stored.
    #[must_use]
    pub fn derive(root: &RootKey, device: &DeviceId, epoch: KeyEpoch) -> Self {
        let extracted = Hkdf::<Sha256>::new(Some(SALT), root.expose());
        Self {
            telemetry_mac: TelemetryMacKey(expand(&extracted, b"telemetry-mac", device, epoch)),
            telemetry_cipher: TelemetryCipherKey(expand(&extracted, b"telemetry-cipher", device, epoch)),
            firmware_unwrap: FirmwareUnwrapKey(expand(&extracted, b"firmware-unwrap", device, epoch)),
            downlink: DownlinkKey(expand(&extracted, b"downlink", device, epoch)),
            request: RequestKey(expand(&extracted, b"request", device, epoch)),
            command: CommandKey(expand(&extracted, b"command", device, epoch)),
            command_result: CommandResultKey(expand(&extracted, b"command-result", device, epoch)),
        }
    }
}

fn expand<const N: usize>(extracted: &Hkdf<Sha256>, usage: &[u8], device: &DeviceId, epoch: KeyEpoch) -> Secret<N> {
    Secret::filled_by(|key| {
        extracted
            .expand_multi_info(
                &[b"cotter/v1/", usage, b"\0", &epoch.0.to_be_bytes(), &[device.len_byte()], device.as_bytes()],
                key,
            )
            .expect("HKDF-SHA256 expands to at most 8160 bytes, and keys have 16 or 32");
    })
}

impl RecoveryKey {
    /// Derives it; both ends do.
    #[must_use]
    pub fn derive(root: &RootKey, device: &DeviceId) -> Self {
        let extracted = Hkdf::<Sha256>::new(Some(b"cotter/recovery/v1"), root.expose());
        Self(Secret::filled_by(|key| {
            extracted
                .expand_multi_info(&[b"cotter/recovery/v1\0", &[device.len_byte()], device.as_bytes()], key)
                .expect("HKDF-SHA256 expands to at most 8160 bytes, and this has 32");
        }))
    }
}

impl OfferKey {
    /// Derives it from the present root key; both ends do.
    #[must_use]
    pub fn derive(root: &RootKey, device: &DeviceId) -> Self {
        Self(rotation(root, b"offer", device))
    }
}

impl ConfirmationKey {
    /// Derives it from the new root key; both ends do.
    #[must_use]
    pub fn derive(root: &RootKey, device: &DeviceId) -> Self {
        Self(rotation(root, b"confirm", device))
    }
}

fn rotation(root: &RootKey, usage: &[u8], device: &DeviceId) -> Secret<32> {
    let extracted = Hkdf::<Sha256>::new(Some(b"cotter/rotation/v1"), root.expose());
    Secret::filled_by(|key| {
        extracted
            .expand_multi_info(&[b"cotter/rotation/v1/", usage, b"\0", &[device.len_byte()], device.as_bytes()], key)
            .expect("HKDF-SHA256 expands to at most 8160 bytes, and these have 32");
    })
}

/// Which way a compact packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the device to the server.
    Up = 0,
    /// From the server to the device.
    Down = 1,
}

/// Key and common IV of the compact packets of one device, in one epoch and direction.
pub(crate) fn compact(
    root: &RootKey,
    device: &DeviceId,
    epoch: KeyEpoch,
    direction: Direction,
) -> (CompactKey, CommonIv) {
    fn expand<const N: usize>(extracted: &Hkdf<Sha256>, usage: &[u8], context: &[&[u8]; 4]) -> Secret<N> {
        let [direction, epoch, len, device] = *context;
        Secret::filled_by(|key| {
            extracted
                .expand_multi_info(&[b"cotter/v2/", usage, b"\0", direction, epoch, len, device], key)
                .expect("HKDF-SHA256 expands to at most 8160 bytes, and these have 16 and 12");
        })
    }
    let extracted = Hkdf::<Sha256>::new(Some(b"cotter/v2"), root.expose());
    let (epoch, len) = (epoch.0.to_be_bytes(), [device.len_byte()]);
    let context: [&[u8]; 4] = [&[direction as u8], &epoch, &len, device.as_bytes()];
    (CompactKey(expand(&extracted, b"key", &context)), CommonIv(expand(&extracted, b"iv", &context)))
}

/// HMAC-SHA256 under a key of this crate.
pub(crate) fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

const SALT: &[u8] = b"cotter/v1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn derives_what_python_derives() {
        let root = RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)));
        let mut compared = 0;
        for line in include_str!("../../vectors/wire/keys.txt").lines() {
            let mut words = line.split(' ');
            let device = words.next().expect("id").parse().expect("legal id");
            let epoch = KeyEpoch(words.next().expect("epoch").parse().expect("u32"));
            let keys = DeviceKeys::derive(&root, &device, epoch);
            let key: &[u8] = match words.next().expect("use") {
                "telemetry-mac" => keys.telemetry_mac.expose(),
                "telemetry-cipher" => keys.telemetry_cipher.expose(),
                "firmware-unwrap" => keys.firmware_unwrap.expose(),
                "downlink" => keys.downlink.expose(),
                "request" => keys.request.expose(),
                "command" => keys.command.expose(),
                "command-result" => keys.command_result.expose(),
                other => panic!("{other}"),
            };
            let mut digits = [0; 64];
            let ours = hex::encode(key, &mut digits[..2 * key.len()]).expect("two digits per byte");
            assert_eq!(Some(ours), words.nth(1), "{line}");
            compared += 1;
        }
        assert_eq!(compared, 21);
    }
}
