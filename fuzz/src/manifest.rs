//! Manifests, their envelopes, the keys that sign them, and the upload that carries all of it.

use cotter_formats::secret::Secret;
use cotter_server::firmware::upload::Upload;
use cotter_wire::content::{ContentKey, chunk_count, chunk_len, decrypt_chunk, encrypt, without_padding};
use cotter_wire::firmware_key::FirmwareKey;
use cotter_wire::manifest::{Envelope, MAX_BODY, MAX_ENVELOPE, Manifest, ManifestError, VerifyPolicy, encode_envelope};

/// The public half of Espressif's P-256 test key, as DER: what the policy trusts. Nothing here can sign with it.
const TRUSTED: &[u8] = include_bytes!("../corpus/manifest/key-p256.der");

/// Body and envelope have one spelling each; nothing that a fuzzer makes is signed.
pub fn manifest(data: &[u8]) {
    body(data);
    chunk(data);
    if let Ok(envelope) = Envelope::parse(data) {
        let mut out = [0; MAX_ENVELOPE];
        let again = encode_envelope(envelope.body(), envelope.signatures(), envelope.content_key(), &mut out);
        assert_eq!(again, Ok(data), "an envelope changed in a round trip");
        body(envelope.body());
        let refusal = envelope.verify(&policy()).expect_err("nobody signed this");
        assert!(!envelope.signatures().is_empty() || refusal == ManifestError::Unsigned);
    }
    if let Ok(upload) = Upload::parse(data) {
        assert_eq!(*upload.to_body(), data, "an upload changed in a round trip");
    }
    if let Ok(key) = FirmwareKey::from_spki(data) {
        assert!(key.is_same_key(&key));
        assert!(!key.verifies(&[0; 32], &[0; 64]) && !key.verifies(&[0; 32], &[0; 256]));
    }
}

fn body(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes) else { return };
    assert_eq!(manifest.encode(&mut [0; MAX_BODY]), Ok(bytes), "a manifest changed in a round trip");
    let size = manifest.encrypted_size();
    assert!(size > manifest.size);
    let count = chunk_count(size);
    let length = |index| chunk_len(size, index).and_then(|length| u64::try_from(length).ok());
    let last = length(count - 1).expect("the last chunk is one");
    assert_eq!(u64::from(count - 1) * length(0).filter(|_| count > 1).unwrap_or(0) + last, u64::from(size));
    assert_eq!(length(count), None, "a chunk behind the last");
}

/// The input as the only chunk of an image: what is left without its padding is encrypted again to the same bytes.
fn chunk(data: &[u8]) {
    if let Ok(len) = without_padding(data) {
        assert!((1..=16).contains(&(data.len() - len)), "a padding of {} bytes", data.len() - len);
    }
    let key = ContentKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let (mut plain, mut previous) = (data.to_vec(), [0x24; 16]);
    if decrypt_chunk(&key, &mut previous, &mut plain).is_err() {
        assert!(data.is_empty() || !data.len().is_multiple_of(16));
        return;
    }
    assert!(data.ends_with(&previous), "the next chunk would be decrypted otherwise");
    if let Ok(len) = without_padding(&plain) {
        assert_eq!(encrypt(&key, &[0x24; 16], &plain[..len]), data, "a chunk changed in a round trip");
    }
}

fn policy() -> VerifyPolicy {
    let key = FirmwareKey::from_spki(TRUSTED).expect("the committed key is one");
    VerifyPolicy::new([key], 1).expect("one of one key")
}
