//! Debug certificates of the ESP32-S31, and the chip information that they are signed for.

use cotter_formats::crc::crc_a;
use cotter_formats::secure_debug::{CERTIFICATE_LEN, ChipInfo, DebugCertificate, Feature, SessionCounter};
use sha2::{Digest, Sha256};

/// What is accepted encodes to the same bytes, and holds for no chip that it does not name.
pub fn debug_certificate(data: &[u8]) {
    if let Ok(info) = ChipInfo::parse(data) {
        assert_eq!(info.encode()[..], *data, "chip information changed in a round trip");
    }
    accepted(data);
    if let Ok(mut mended) = <[u8; CERTIFICATE_LEN]>::try_from(data) {
        mended[..12].copy_from_slice(&[0x43, 0x41, 0x4D, 0x52, 1, 0, 0, 1, 0xB4, 1, 0, 0]);
        mended[16..20].fill(0);
        let digest = Sha256::digest(&mended[20..404]);
        mended[404..436].copy_from_slice(&digest);
        let crc = crc_a(&mended[20..436]);
        mended[12..16].copy_from_slice(&crc.to_le_bytes());
        assert!(accepted(&mended), "every checksum holds");
    }
}

fn accepted(data: &[u8]) -> bool {
    let Ok(certificate) = DebugCertificate::parse(data) else { return false };
    assert_eq!(certificate.encode()[..], *data, "a certificate changed in a round trip");
    let unlocks = Feature::ALL.into_iter().any(|feature| certificate.unlock.has(feature));
    assert_eq!(certificate.unlock.0.iter().any(|&byte| byte != 0), unlocks || certificate.unlock.has_unknown());
    let _ = certificate.key_digest();
    let chip = ChipInfo::of([2; 6], SessionCounter::ALL[0], certificate.nonce);
    assert!(certificate.verify(&chip).is_err(), "holds for a chip that nobody signed for");
    true
}
