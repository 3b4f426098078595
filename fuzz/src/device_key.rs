//! Device keys with their numbers laid open: PEM and DER, for the DS and ECDSA peripherals.

use cotter_factory::device_key::DeviceKey;

/// What is read is written and read again as the same numbers. No password is tried, because the file says how many rounds
/// that takes.
pub fn device_key(data: &[u8]) {
    let Ok(key) = DeviceKey::read(data, None) else { return };
    for written in [key.to_der().expect("what was read can be written"), key.to_stored().expect("likewise")] {
        let text = written.strip_suffix(&[0]).filter(|_| written.starts_with(b"-----")).unwrap_or(&written);
        let again = DeviceKey::read(text, None).expect("what we wrote can be read");
        assert_eq!(again.public(), key.public(), "a key changed in a round trip");
        assert!(again.secret_number() == key.secret_number(), "a key changed in a round trip");
        assert_eq!(again.curve(), key.curve());
    }
    let pem = key.to_pem().expect("what was read can be written");
    assert!(DeviceKey::read(pem.as_bytes(), None).is_ok_and(|again| again.public() == key.public()));
}
