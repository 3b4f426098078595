//! Enrolment records.

use base64ct::{Base64, Encoding};
use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_wire::enrolment::{Enrolment, MAX_CERTIFICATE, MAX_ENROLMENT, SealedEnrolment};
use cotter_wire::ids::KeyEpoch;
use cotter_wire::keys::{EnrolmentKey, RootKey};

/// A record has one spelling, which sealing its fields gives again; it opens exactly if it was sealed so.
pub fn enrolment(data: &[u8]) {
    let Ok(record) = SealedEnrolment::parse(data) else { return };
    let fields: serde_json::Value = serde_json::from_slice(data).expect("a canonical record is JSON");
    let text = |name: &str| fields[name].as_str().expect("a string");
    let certificate =
        fields.get("certificate").map(|_| Base64::decode_vec(text("certificate")).expect("strict base64"));
    let same = Enrolment {
        device: text("device_id").parse().expect("a legal id"),
        epoch: KeyEpoch(fields["epoch"].as_u64().and_then(|epoch| epoch.try_into().ok()).expect("32 bits")),
        chip: Chip::from_name(text("chip")).expect("a known chip"),
        mac: bytes(text("mac")),
        secure_boot: bytes(text("secure_boot")),
        certificate: certificate.as_deref(),
    };
    let key = EnrolmentKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let root = RootKey::new(Secret::filled_by(|key| key.fill(0x43)));
    let mut out = [0; MAX_ENROLMENT];
    let sealed = same.seal(&key, &bytes(text("nonce")), &root, &mut out).expect("what was read can be written");
    let secret_at = sealed.len() - 98;
    assert_eq!(sealed[..secret_at], data[..secret_at], "a record changed in a round trip");

    let mut certificate = [0; MAX_CERTIFICATE];
    assert_eq!(record.open(&key, &mut certificate).is_ok(), sealed == data, "the tag says otherwise");
    let mut certificate = [0; MAX_CERTIFICATE];
    let parsed = SealedEnrolment::parse(sealed).expect("our own record");
    let (opened, _root) = parsed.open(&key, &mut certificate).expect("our own seal");
    assert_eq!(opened, same);
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
}
