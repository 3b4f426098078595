//! Keys in PEM and DER, private and public.

use base64ct::{Base64, Encoding};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::PublicKey;

/// What is accepted is written and read again as the same key. The bytes are also taken for the DER inside of a PEM, of
/// each kind that there is; no password is tried, because the file says how many rounds that takes.
pub fn key_file(data: &[u8]) {
    private(data);
    public(PublicKey::from_pem(data).ok());
    public(PublicKey::from_spki(data).ok());
    public(PublicKey::from_pkcs1(data).ok());
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
        let body = Base64::encode_string(data);
        let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
        private(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).as_bytes());
    }
}

fn private(pem: &[u8]) {
    let Ok(key) = PrivateKey::from_pem(pem, None) else { return };
    let written = key.to_pem().expect("what was read can be written");
    let again = PrivateKey::from_pem(written.as_bytes(), None).expect("what we wrote can be read");
    assert_eq!(again.public(), key.public(), "a private key changed in a round trip");
    public(Some(key.public().clone()));
}

fn public(key: Option<PublicKey>) {
    let Some(key) = key else { return };
    let spki = key.to_spki().expect("what was read can be written");
    assert_eq!(PublicKey::from_spki(&spki).as_ref(), Ok(&key), "a public key changed in a round trip");
    let pem = key.to_pem().expect("what was read can be written");
    assert_eq!(PublicKey::from_pem(pem.as_bytes()).as_ref(), Ok(&key), "a public key changed in a round trip");
    let _ = (key.kind(), key.secure_boot_digest());
}
