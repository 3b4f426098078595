//! Releases made by Python and OpenSSL (see /vectors/wire/README.md), and the attacks that they were made for.
#![cfg(feature = "alloc")]

use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_wire::canonical::CanonicalError;
use cotter_wire::content::{
    self, CHUNK, ContentKey, UnwrapError, WrappedKey, chunk_count, decrypt_chunk, without_padding,
};
use cotter_wire::firmware_key::{Algorithm, FirmwareKey, KeyError};
use cotter_wire::ids::{DeviceId, KeyEpoch, SecureVersion};
use cotter_wire::keys::{DeviceKeys, RootKey};
use cotter_wire::manifest::{Envelope, Manifest, ManifestError, VerifiedManifest, VerifyPolicy, encode_envelope};
use cotter_wire::version::Version;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../vectors/wire/release/", $name)).as_slice()
    };
}

const ENVELOPE: &[u8] = vector!("envelope.json");
const BODY: &[u8] = vector!("body.json");
const IMAGE: &[u8] = vector!("image.bin");
const CONTENT: &[u8] = vector!("content.bin");
const IV: [u8; 16] = [0x1f; 16];

fn rsa() -> FirmwareKey {
    FirmwareKey::from_spki(vector!("rsa.spki.der")).expect("RSA-2048")
}

fn p256() -> FirmwareKey {
    FirmwareKey::from_spki(vector!("p256.spki.der")).expect("P-256")
}

fn policy(required: usize) -> VerifyPolicy {
    VerifyPolicy::new([rsa(), p256()], required).expect("two different keys")
}

fn verify(envelope: &[u8], required: usize) -> Result<VerifiedManifest, ManifestError> {
    Envelope::parse(envelope)?.verify(&policy(required))
}

fn device() -> DeviceId {
    "esp32-001".parse().expect("legal")
}

fn device_keys(device: &DeviceId, epoch: KeyEpoch) -> DeviceKeys {
    let root = RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)));
    DeviceKeys::derive(&root, device, epoch)
}

fn content_key() -> ContentKey {
    ContentKey::new(Secret::filled_by(|key| key.fill(0x5a)))
}

#[test]
fn believes_what_openssl_signed() {
    assert_eq!((rsa().algorithm(), p256().algorithm()), (Algorithm::RsaPss2048, Algorithm::Es256));
    let verified = verify(ENVELOPE, 2).expect("two good signatures");
    let manifest = verified.manifest();
    assert_eq!((manifest.project.as_str(), manifest.chip), ("cotter-app", Chip::Esp32C3));
    assert_eq!((manifest.version, manifest.secure_version), (Version::new(1, 1, 0), SecureVersion(1)));
    assert_eq!((manifest.size as usize, manifest.encrypted_size() as usize), (IMAGE.len(), CONTENT.len()));
    assert_eq!(manifest.sha256, <[u8; 32]>::from(Sha256::digest(IMAGE)));
    assert_eq!(manifest.iv, IV);
    assert_eq!(verified.release().0, <[u8; 32]>::from(Sha256::digest(BODY)));
    verify(vector!("by-rsa.json"), 1).expect("one good signature");
    verify(vector!("by-p256.json"), 1).expect("one good signature");
}

#[test]
fn writes_what_python_writes() {
    let envelope = Envelope::parse(ENVELOPE).expect("canonical");
    let mut out = [0; 4096];
    assert_eq!(Manifest::parse(BODY).expect("canonical").encode(&mut out), Ok(BODY));
    assert_eq!(envelope.body(), BODY);
    assert_eq!(encode_envelope(BODY, envelope.signatures(), envelope.content_key(), &mut out), Ok(ENVELOPE));
}

#[test]
fn every_other_kind_of_signature_is_refused() {
    let bad = Err(ManifestError::BadSignature);
    let cases = [
        ("PSS with the longest salt, as the EcoWatt guide has it", vector!("by-rsa-salt-max.json"), bad.clone()),
        ("PSS without salt", vector!("by-rsa-salt-0.json"), bad.clone()),
        ("PSS with MGF1 over SHA-1", vector!("by-rsa-mgf1-sha1.json"), bad.clone()),
        ("PSS over SHA-512", vector!("by-rsa-sha512.json"), bad.clone()),
        ("PKCS#1 v1.5, as EcoWatt's server has it", vector!("by-rsa-pkcs1-v1_5.json"), bad.clone()),
        ("RSA over the body without our domain", vector!("by-rsa-without-domain.json"), bad.clone()),
        ("ECDSA over the body without our domain", vector!("by-p256-without-domain.json"), bad.clone()),
        ("ECDSA in DER", vector!("by-p256-der.json"), bad.clone()),
        ("ECDSA with r = s = 0", vector!("by-p256-zero.json"), bad),
        ("ECDSA that claims to be RSA", vector!("by-p256-as-rsa.json"), Err(ManifestError::AlgorithmMismatch)),
        (
            "a key that nobody trusts",
            vector!("by-rsa3072.json"),
            Err(ManifestError::NotEnoughSignatures { valid: 0, required: 1 }),
        ),
        (
            "one of two signatures",
            vector!("by-rsa.json"),
            Err(ManifestError::NotEnoughSignatures { valid: 1, required: 2 }),
        ),
    ];
    for (attack, envelope, refusal) in cases {
        let required = if attack == "one of two signatures" { 2 } else { 1 };
        assert_eq!(verify(envelope, required), refusal, "{attack}");
    }
}

#[test]
fn other_kinds_of_key_are_refused() {
    let cases = [
        ("RSA-2048 with e = 3", vector!("rsa-e3.spki.der")),
        ("RSA-3072", vector!("rsa3072.spki.der")),
        ("P-384", vector!("p384.spki.der")),
        ("Ed25519", vector!("ed25519.spki.der")),
        ("P-256, compressed", vector!("p256-compressed.spki.der")),
    ];
    for (kind, der) in cases {
        assert_eq!(FirmwareKey::from_spki(der).err(), Some(KeyError::Kind), "{kind}");
    }
    for der in [vector!("rsa.spki.der"), vector!("p256.spki.der")] {
        for len in 0..der.len() {
            assert_eq!(FirmwareKey::from_spki(&der[..len]).err(), Some(KeyError::Kind), "{len}");
        }
        assert_eq!(FirmwareKey::from_spki(&[der, &[0]].concat()).err(), Some(KeyError::Kind));
    }
}

#[test]
fn refuses_every_flipped_bit_of_what_is_signed() {
    let content_key_at = ENVELOPE.windows(13).position(|window| window == b"\"content_key\"").expect("is there");
    for bit in 0..8 * ENVELOPE.len() {
        let mut flipped = ENVELOPE.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match verify(&flipped, 2) {
            Err(
                ManifestError::Form(_)
                | ManifestError::BadSignature
                | ManifestError::NotEnoughSignatures { valid: 1, required: 2 },
            ) => {}
            Err(refusal) => panic!("bit {bit}: {refusal}"),
            // The content key is bound by its own tag instead.
            Ok(verified) => {
                assert!(bit / 8 > content_key_at, "bit {bit}");
                let envelope = Envelope::parse(&flipped).expect("canonical");
                let wrapped = envelope.content_key().expect("is there");
                let keys = device_keys(&device(), KeyEpoch(1));
                let refusal = wrapped.unwrap(&keys.firmware_unwrap, &device(), &verified.release()).err();
                assert_eq!(refusal, Some(UnwrapError), "bit {bit}");
            }
        }
    }
}

#[test]
fn refuses_truncation_at_every_length() {
    for len in 0..ENVELOPE.len() {
        assert!(matches!(Envelope::parse(&ENVELOPE[..len]), Err(ManifestError::Form(_))), "{len}");
    }
    for len in 0..BODY.len() {
        assert!(matches!(Manifest::parse(&BODY[..len]), Err(ManifestError::Form(_))), "{len}");
    }
}

#[test]
fn every_second_spelling_of_a_body_is_refused_by_its_own_error() {
    let body = std::str::from_utf8(BODY).expect("ASCII");
    let at = |token: &str| body.find(token).expect("is there");
    let size = at("\"size\":") + 7;
    let sha256 = at("\"sha256\":\"") + 10;
    let cases = [
        ("\"size\":5000", "\"size\":05000", CanonicalError::LeadingZero { at: size }),
        ("\"size\":5000", "\"size\":5000.0", CanonicalError::Fraction { at: size + 4 }),
        ("\"size\":5000", "\"size\":4294967296", CanonicalError::Overflow { at: size }),
        ("\"size\":5000", "\"size\": 5000", CanonicalError::Whitespace { at: size }),
        (
            "\"size\":5000",
            "\"size\":5000,\"size\":5000",
            CanonicalError::Expected { at: size + 4, literal: ",\"sha256\":\"" },
        ),
        ("}", "}\n", CanonicalError::Trailing { at: body.len() }),
        ("\"sha256\":\"", "\"sha256\":\"F", CanonicalError::UpperCaseHex { at: sha256 }),
        ("{", "\u{feff}{", CanonicalError::ByteOrderMark { at: 0 }),
    ];
    for (old, new, refusal) in cases {
        let changed = body.replacen(old, new, 1);
        assert_eq!(Manifest::parse(changed.as_bytes()), Err(ManifestError::Form(refusal)), "{changed}");
    }
}

#[test]
fn unwraps_what_python_wrapped_and_wraps_the_same() {
    let keys = device_keys(&device(), KeyEpoch(1));
    let envelope = Envelope::parse(ENVELOPE).expect("canonical");
    let wrapped = envelope.content_key().expect("is there");
    let unwrapped = wrapped.unwrap(&keys.firmware_unwrap, &device(), &envelope.release()).expect("ours");
    assert_eq!(unwrapped.expose(), content_key().expose());
    let ours = WrappedKey::wrap(
        &keys.firmware_unwrap,
        &device(),
        KeyEpoch(1),
        &envelope.release(),
        [0x77; 12],
        &content_key(),
    );
    assert_eq!(&ours, wrapped);
    let other: DeviceId = "esp32-002".parse().expect("legal");
    let other_keys = device_keys(&other, KeyEpoch(1));
    assert_eq!(wrapped.unwrap(&other_keys.firmware_unwrap, &other, &envelope.release()).err(), Some(UnwrapError));
}

#[test]
fn decrypts_what_python_encrypted_and_encrypts_the_same() {
    assert_eq!(content::encrypt(&content_key(), &IV, IMAGE), CONTENT);
    let len = u32::try_from(CONTENT.len()).expect("short");
    assert_eq!(chunk_count(len), 3);
    let (mut previous, mut plain) = (IV, Vec::new());
    for chunk in CONTENT.chunks(CHUNK) {
        let mut chunk = chunk.to_vec();
        decrypt_chunk(&content_key(), &mut previous, &mut chunk).expect("whole blocks");
        plain.extend_from_slice(&chunk);
    }
    let last = plain.len() / CHUNK * CHUNK;
    let kept = last + without_padding(&plain[last..]).expect("PKCS#7");
    assert_eq!(&plain[..kept], IMAGE);
    // A resume knows only the last block before its chunk.
    let mut resumed = CONTENT[CHUNK..2 * CHUNK].to_vec();
    let mut previous: [u8; 16] = CONTENT[CHUNK - 16..CHUNK].try_into().expect("16 bytes");
    decrypt_chunk(&content_key(), &mut previous, &mut resumed).expect("whole blocks");
    assert_eq!(resumed, &IMAGE[CHUNK..2 * CHUNK]);
}

proptest! {
    #[test]
    fn survives_any_change(at in 0..ENVELOPE.len(), remove in 0usize..9, insert in proptest::collection::vec(any::<u8>(), 0..9)) {
        let mut changed = ENVELOPE.to_vec();
        let end = (at + remove).min(changed.len());
        changed.splice(at..end, insert);
        if let Ok(verified) = verify(&changed, 2) {
            prop_assert_eq!(verified.release().0, <[u8; 32]>::from(Sha256::digest(BODY)));
        }
    }

    #[test]
    fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Envelope::parse(&bytes).is_err());
        prop_assert!(Manifest::parse(&bytes).is_err());
        prop_assert!(FirmwareKey::from_spki(&bytes).is_err());
    }
}
