//! PKCS#11 URIs.

use cotter_factory::token::uri::Pkcs11Uri;

/// What is accepted survives being written; a PIN is never accepted, and no refusal repeats what was given.
pub fn pkcs11_uri(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<Pkcs11Uri>() {
        Ok(uri) => {
            let written = uri.to_string();
            assert_eq!(written.parse(), Ok(uri.clone()), "a URI changed in a round trip");
            let pin = written.split([';', '?', '&']).any(|part| part.starts_with("pin-value="));
            assert!(!pin && written.is_ascii());
            let _ = (uri.pin_file(), uri.slot_id(), uri.module_path());
        }
        Err(refusal) => assert!(!refusal.to_string().contains(char::is_control)),
    }
}
