//! The HTTP paths: as templates for the server's router, and built for one device.
//!
//! | method, path | body | answer |
//! |---|---|---|
//! | POST `/v1/devices/{id}/telemetry` | a packet | `answer` |
//! | POST `/v2/devices/{id}/telemetry` | a compact packet | `answer` |
//! | POST `/v1/devices/{id}/session` | a hello | a welcome |
//! | POST `/v1/devices/{id}/recovery` | an ask | a challenge |
//! | POST `/v1/devices/{id}/recovery/claim` | a claim | a grant |
//! | POST `/v1/devices/{id}/key` | a confirmation | an acknowledgement |
//! | GET `/v1/devices/{id}/trust/{number}` | | 200 the trust statement that follows that number, 204 there is none |
//! | GET `/v1/devices/{id}/update?version=&secure_version=&trust=` | | 200 manifest envelope, 204 nothing newer |
//! | GET `/v1/devices/{id}/key?nonce=` | | 200 a new root key, 204 none is due |
//! | GET `/v1/devices/{id}/releases/{release}/chunks/{chunk}` | | 200 octets |
//! | GET `/v1/devices/{id}/releases/{release}/artifact` | | 206 octets |
//! | POST `/v1/devices/{id}/status` | a status | 204 |
//! | GET `/v1/devices/{id}/commands` | | 200 a sealed command, 204 none waits |
//! | POST `/v1/devices/{id}/commands/result` | a result | 204 |
//!
//! All but the first six carry a [`SESSION_HEADER`]. A path has one spelling: nothing in it ever needs escaping.

use crate::hex;
use crate::ids::{DeviceId, ReleaseId, SecureVersion};
use crate::trust::TrustNumber;
use crate::version::{Version, push_decimal};

/// A path with its query, without the host.
pub type Path = heapless::String<PATH_MAX>;

/// Router template of [`telemetry`].
pub const TELEMETRY: &str = "/v1/devices/{id}/telemetry";
/// Router template of [`compact_telemetry`].
pub const COMPACT_TELEMETRY: &str = "/v2/devices/{id}/telemetry";
/// The same over MQTT: what follows `/devices/{id}/events/` in the topic of a packet.
pub const MQTT_TELEMETRY: &str = "telemetry-v1";
/// The same for a compact packet.
pub const MQTT_COMPACT_TELEMETRY: &str = "telemetry-v2";
/// Router template of [`session`].
pub const SESSION: &str = "/v1/devices/{id}/session";
/// Router template of [`recovery`].
pub const RECOVERY: &str = "/v1/devices/{id}/recovery";
/// Router template of [`recovery_claim`].
pub const RECOVERY_CLAIM: &str = "/v1/devices/{id}/recovery/claim";
/// Router template of [`trust`].
pub const TRUST: &str = "/v1/devices/{id}/trust/{number}";
/// Router template of [`key`] and [`next_key`].
pub const KEY: &str = "/v1/devices/{id}/key";
/// Router template of [`update`].
pub const UPDATE: &str = "/v1/devices/{id}/update";
/// Router template of [`chunk`].
pub const CHUNK: &str = "/v1/devices/{id}/releases/{release}/chunks/{chunk}";
/// Router template of [`artifact`].
pub const ARTIFACT: &str = "/v1/devices/{id}/releases/{release}/artifact";
/// Router template of [`status`].
pub const STATUS: &str = "/v1/devices/{id}/status";
/// Router template of [`commands`].
pub const COMMANDS: &str = "/v1/devices/{id}/commands";
/// Router template of [`command_result`].
pub const COMMAND_RESULT: &str = "/v1/devices/{id}/commands/result";
/// POST: enrolment of a device, by the factory.
pub const ADMIN_DEVICES: &str = "/admin/v1/devices";
/// GET: what a device has measured.
pub const ADMIN_READINGS: &str = "/admin/v1/devices/{id}/readings";
/// POST: packets of an older protocol are no longer taken from a device.
pub const ADMIN_MINIMUM_PROTOCOL: &str = "/admin/v1/devices/{id}/minimum-protocol";
/// POST: a release, signed.
pub const ADMIN_RELEASES: &str = "/admin/v1/releases";
/// POST: offers a release to the fleet.
pub const ADMIN_PUBLISH: &str = "/admin/v1/releases/{release}/publish";

/// Header that authenticates a device's request: `<session>:<counter>:<mac>`.
pub const SESSION_HEADER: &str = "Cotter-Session";
/// Longest [`Path`]: that of a chunk.
pub const PATH_MAX: usize = 160;

/// Where a device sends its packets.
#[must_use]
pub fn telemetry(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/telemetry"])
}

/// Where a device sends its compact packets.
#[must_use]
pub fn compact_telemetry(device: &DeviceId) -> Path {
    join(&["/v2/devices/", device.as_str(), "/telemetry"])
}

/// Where a device says hello.
#[must_use]
pub fn session(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/session"])
}

/// Where a device that lost its nonce counter asks for a challenge.
#[must_use]
pub fn recovery(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/recovery"])
}

/// Where it answers the challenge.
#[must_use]
pub fn recovery_claim(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/recovery/claim"])
}

/// Where a device confirms a new root key.
#[must_use]
pub fn key(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/key"])
}

/// Where a device asks whether it gets a new root key, with 16 fresh random bytes.
#[must_use]
pub fn next_key(device: &DeviceId, nonce: &[u8; 16]) -> Path {
    let mut digits = [0; 32];
    let nonce = hex::encode(nonce, &mut digits).unwrap_or_default();
    join(&["/v1/devices/", device.as_str(), "/key?nonce=", nonce])
}

/// Where a device that runs `version` asks for a newer one.
#[must_use]
pub fn update(device: &DeviceId, version: Version, secure_version: SecureVersion) -> Path {
    let mut path = join(&["/v1/devices/", device.as_str(), "/update?version=", &version.text(), "&secure_version="]);
    push_decimal(&mut path, secure_version.0).expect(FITS);
    path
}

/// As [`update`], for a device that has followed trust statements; the beginning is not mentioned.
#[must_use]
pub fn update_trusting(device: &DeviceId, version: Version, secure_version: SecureVersion, trust: TrustNumber) -> Path {
    let mut path = update(device, version, secure_version);
    if trust > TrustNumber::BEGINNING {
        path.push_str("&trust=").expect(FITS);
        push_decimal(&mut path, trust.0).expect(FITS);
    }
    path
}

/// Where a device whose trust has this number asks for what follows.
#[must_use]
pub fn trust(device: &DeviceId, number: TrustNumber) -> Path {
    let mut path = join(&["/v1/devices/", device.as_str(), "/trust/"]);
    push_decimal(&mut path, number.0).expect(FITS);
    path
}

/// Where a device gets chunk number `chunk` of a release's ciphertext.
#[must_use]
pub fn chunk(device: &DeviceId, release: &ReleaseId, chunk: u32) -> Path {
    let mut digits = [0; 64];
    let release = hex::encode(&release.0, &mut digits).unwrap_or_default();
    let mut path = join(&["/v1/devices/", device.as_str(), "/releases/", release, "/chunks/"]);
    push_decimal(&mut path, chunk).expect(FITS);
    path
}

/// Where a device gets all of a release's ciphertext, or a range of it.
#[must_use]
pub fn artifact(device: &DeviceId, release: &ReleaseId) -> Path {
    let mut digits = [0; 64];
    let release = hex::encode(&release.0, &mut digits).unwrap_or_default();
    join(&["/v1/devices/", device.as_str(), "/releases/", release, "/artifact"])
}

/// Where a device says how an update ended.
#[must_use]
pub fn status(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/status"])
}

/// Where a device fetches the command that waits for it.
#[must_use]
pub fn commands(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/commands"])
}

/// Where a device says what came of a command.
#[must_use]
pub fn command_result(device: &DeviceId) -> Path {
    join(&["/v1/devices/", device.as_str(), "/commands/result"])
}

fn join(parts: &[&str]) -> Path {
    let mut path = Path::new();
    for part in parts {
        path.push_str(part).expect(FITS);
    }
    path
}

const FITS: &str = "the longest path has 136 characters, and a path holds 160";

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::string::{String, ToString};

    fn longest() -> DeviceId {
        "0123456789abcdef0123456789abcdef".parse().expect("legal")
    }

    fn fill(template: &str, values: &[(&str, String)]) -> String {
        values.iter().fold(template.to_string(), |path, (name, value)| path.replace(name, value))
    }

    #[test]
    fn every_builder_fills_its_template() {
        let id = longest();
        let device = [("{id}", id.to_string())];
        assert_eq!(telemetry(&id).as_str(), fill(TELEMETRY, &device));
        assert_eq!(compact_telemetry(&id).as_str(), fill(COMPACT_TELEMETRY, &device));
        assert_eq!(session(&id).as_str(), fill(SESSION, &device));
        assert_eq!(recovery(&id).as_str(), fill(RECOVERY, &device));
        assert_eq!(recovery_claim(&id).as_str(), fill(RECOVERY_CLAIM, &device));
        assert_eq!(key(&id).as_str(), fill(KEY, &device));
        assert_eq!(next_key(&id, &[0xab; 16]).as_str(), fill(KEY, &device) + "?nonce=" + &"ab".repeat(16));
        assert_eq!(status(&id).as_str(), fill(STATUS, &device));
        assert_eq!(commands(&id).as_str(), fill(COMMANDS, &device));
        assert_eq!(command_result(&id).as_str(), fill(COMMAND_RESULT, &device));
        let number = [("{id}", id.to_string()), ("{number}", u32::MAX.to_string())];
        assert_eq!(trust(&id, TrustNumber(u32::MAX)).as_str(), fill(TRUST, &number));
        let release = ReleaseId([0xab; 32]);
        let values = [("{id}", id.to_string()), ("{release}", release.to_string()), ("{chunk}", u32::MAX.to_string())];
        assert_eq!(chunk(&id, &release, u32::MAX).as_str(), fill(CHUNK, &values));
        assert!(chunk(&id, &release, u32::MAX).len() <= 136);
        assert_eq!(artifact(&id, &release).as_str(), fill(ARTIFACT, &values));
    }

    #[test]
    fn the_update_query_has_one_spelling() {
        let id: DeviceId = "esp32-001".parse().expect("legal");
        assert_eq!(
            update(&id, Version::new(1, 0, 0), SecureVersion(0)).as_str(),
            "/v1/devices/esp32-001/update?version=1.0.0&secure_version=0"
        );
        let widest = update(&longest(), Version::new(65535, 65535, 65535), SecureVersion(u32::MAX));
        assert!(widest.len() <= PATH_MAX && widest.ends_with("=65535.65535.65535&secure_version=4294967295"));
        let (version, secure_version) = (Version::new(65535, 65535, 65535), SecureVersion(u32::MAX));
        let trusting = |number| update_trusting(&longest(), version, secure_version, TrustNumber(number));
        assert_eq!(trusting(0), widest);
        assert_eq!(trusting(u32::MAX).strip_prefix(widest.as_str()), Some("&trust=4294967295"));
    }
}
