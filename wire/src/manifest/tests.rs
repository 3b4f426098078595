extern crate alloc;
use super::*;
use crate::content::WrappedKey;
use crate::firmware_key::{Algorithm, FirmwareKey};
use crate::ids::KeyEpoch;
use alloc::vec::Vec;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_SHA256};

/// Signs with aws-lc, so that our verifier is not tested on our own arithmetic.
enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn key(&self) -> FirmwareKey {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::P256(pair) => pair.public_key().as_der().unwrap(),
        };
        FirmwareKey::from_spki(der.as_ref()).unwrap()
    }

    fn sign(&self, body: &[u8]) -> ManifestSignature {
        let mut message = b"cotter/manifest/v1\0".to_vec();
        message.extend_from_slice(body);
        let bytes = match self {
            Self::Rsa(pair) => {
                let mut signature = [0; 256];
                pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
                signature.to_vec()
            }
            Self::P256(pair) => pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
        };
        let key = self.key();
        ManifestSignature {
            key: key.id(),
            algorithm: key.algorithm(),
            bytes: heapless::Vec::from_slice(&bytes).unwrap(),
        }
    }
}

fn manifest() -> Manifest {
    Manifest {
        project: Project::new("cotter-app").unwrap(),
        chip: Chip::Esp32C3,
        version: Version::new(1, 1, 0),
        secure_version: SecureVersion(1),
        size: 135_168,
        sha256: [0xab; 32],
        iv: [0xcd; 16],
        issued: UnixTime(1_000_000),
        expires: UnixTime(2_000_000),
    }
}

fn body() -> Vec<u8> {
    manifest().encode(&mut [0; MAX_BODY]).unwrap().to_vec()
}

fn envelope(signatures: &[ManifestSignature]) -> Vec<u8> {
    encode_envelope(&body(), signatures, None, &mut [0; MAX_ENVELOPE]).unwrap().to_vec()
}

fn verify(bytes: &[u8], policy: &VerifyPolicy) -> Result<VerifiedManifest, ManifestError> {
    Envelope::parse(bytes)?.verify(policy)
}

#[test]
fn believes_two_of_two_kinds_of_key() {
    let (rsa, p256) = (Signer::rsa(), Signer::p256());
    let policy = VerifyPolicy::new([rsa.key(), p256.key()], 2).unwrap();
    let verified = verify(&envelope(&[rsa.sign(&body()), p256.sign(&body())]), &policy).unwrap();
    assert_eq!(verified.manifest(), &manifest());
    let refused = verify(&envelope(&[rsa.sign(&body())]), &policy);
    assert_eq!(refused, Err(ManifestError::NotEnoughSignatures { valid: 1, required: 2 }));
}

#[test]
fn one_key_does_not_count_twice() {
    let rsa = Signer::rsa();
    let policy = VerifyPolicy::new([rsa.key(), Signer::p256().key()], 2).unwrap();
    let refused = verify(&envelope(&[rsa.sign(&body()), rsa.sign(&body())]), &policy);
    assert_eq!(refused, Err(ManifestError::DuplicateSignature));
    let refused = VerifyPolicy::new([rsa.key(), rsa.key()], 2).err();
    assert_eq!(refused, Some(PolicyError::DuplicateKey(rsa.key().id())));
}

#[test]
fn thresholds_that_nobody_or_everybody_meets_are_no_policy() {
    assert_eq!(VerifyPolicy::new([], 0).err(), Some(PolicyError::Threshold { required: 0, keys: 0 }));
    let key = Signer::p256().key();
    assert_eq!(VerifyPolicy::new([key.clone()], 0).err(), Some(PolicyError::Threshold { required: 0, keys: 1 }));
    assert_eq!(VerifyPolicy::new([key], 2).err(), Some(PolicyError::Threshold { required: 2, keys: 1 }));
}

#[test]
fn unsigned_and_untrusted_are_told_apart() {
    let (rsa, other) = (Signer::rsa(), Signer::rsa());
    let policy = VerifyPolicy::new([rsa.key()], 1).unwrap();
    assert_eq!(verify(&envelope(&[]), &policy), Err(ManifestError::Unsigned));
    let refused = verify(&envelope(&[other.sign(&body())]), &policy);
    assert_eq!(refused, Err(ManifestError::NotEnoughSignatures { valid: 0, required: 1 }));
}

#[test]
fn the_algorithm_is_the_keys() {
    let rsa = Signer::rsa();
    let policy = VerifyPolicy::new([rsa.key()], 1).unwrap();
    let mut signature = rsa.sign(&body());
    signature.algorithm = Algorithm::Es256;
    assert_eq!(verify(&envelope(&[signature]), &policy), Err(ManifestError::AlgorithmMismatch));
}

#[test]
fn every_flipped_bit_of_an_envelope_is_refused() {
    let p256 = Signer::p256();
    let policy = VerifyPolicy::new([p256.key()], 1).unwrap();
    let good = envelope(&[p256.sign(&body())]);
    assert!(verify(&good, &policy).is_ok());
    for bit in 0..8 * good.len() {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed, &policy).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let p256 = Signer::p256();
    let wrapped = WrappedKey { epoch: KeyEpoch(1), nonce: [1; 12], wrapped: [2; 48] };
    let mut out = [0; MAX_ENVELOPE];
    let whole = encode_envelope(&body(), &[p256.sign(&body())], Some(&wrapped), &mut out).unwrap();
    assert_eq!(Envelope::parse(whole).unwrap().content_key(), Some(&wrapped));
    for len in 0..whole.len() {
        assert!(matches!(Envelope::parse(&whole[..len]), Err(ManifestError::Form(_))), "{len}");
    }
    let body = body();
    for len in 0..body.len() {
        assert!(matches!(Manifest::parse(&body[..len]), Err(ManifestError::Form(_))), "{len}");
    }
}

#[test]
fn der_signatures_are_refused() {
    let p256 = Signer::p256();
    let policy = VerifyPolicy::new([p256.key()], 1).unwrap();
    let mut signature = p256.sign(&body());
    let mut der = heapless::Vec::from_slice(&[0x30, 0x44, 0x02, 0x20]).unwrap();
    der.extend_from_slice(&signature.bytes[..32]).unwrap();
    der.extend_from_slice(&[0x02, 0x20]).unwrap();
    der.extend_from_slice(&signature.bytes[32..]).unwrap();
    signature.bytes = der;
    assert_eq!(verify(&envelope(&[signature]), &policy), Err(ManifestError::BadSignature));
}

#[test]
fn contradictory_fields_are_refused() {
    let text = |from: &str, to: &str| {
        let body = body();
        let body = core::str::from_utf8(&body).unwrap();
        assert!(body.contains(from), "{from}");
        body.replacen(from, to, 1).into_bytes()
    };
    for (from, to) in [
        ("\"encrypted_size\":135184", "\"encrypted_size\":135185"),
        ("\"size\":135168", "\"size\":0"),
        ("\"expires\":2000000", "\"expires\":1000000"),
    ] {
        assert_eq!(Manifest::parse(&text(from, to)), Err(ManifestError::Inconsistent), "{to}");
    }
    let refused = Manifest::parse(&text("esp32c3", "esp8266"));
    assert!(matches!(refused, Err(ManifestError::UnknownChip { .. })));
    assert!(Manifest::parse(&text("\"chunk_size\":2048", "\"chunk_size\":4096")).is_err());
    assert!(Manifest::parse(&text("\"version\":\"1.1.0\"", "\"version\":\"01.1.0\"")).is_err());
}

#[test]
fn every_unsuitable_release_is_named() {
    let fit = Situation {
        now: UnixTime(1_500_000),
        project: "cotter-app",
        chip: Chip::Esp32C3,
        version: Version::new(1, 0, 9),
        secure_version: SecureVersion(1),
    };
    assert_eq!(manifest().check(&fit), Ok(()));
    for (situation, refusal) in [
        (Situation { now: UnixTime(2_000_000), ..fit }, Unsuitable::Expired),
        (Situation { now: UnixTime(999_399), ..fit }, Unsuitable::FromTheFuture),
        (Situation { project: "other", ..fit }, Unsuitable::WrongProject),
        (Situation { chip: Chip::Esp32, ..fit }, Unsuitable::WrongChip),
        (Situation { version: Version::new(1, 1, 0), ..fit }, Unsuitable::NotNewer),
        (Situation { version: Version::new(99, 0, 0), ..fit }, Unsuitable::NotNewer),
        (Situation { secure_version: SecureVersion(2), ..fit }, Unsuitable::SecureVersionTooLow),
    ] {
        assert_eq!(manifest().check(&situation), Err(refusal));
    }
    assert_eq!(manifest().check(&Situation { now: UnixTime(999_400), ..fit }), Ok(()), "ten minutes of skew");
}

#[test]
fn other_keys_are_no_firmware_keys() {
    use crate::firmware_key::KeyError;
    let small = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    let der: PublicKeyX509Der<'_> = small.public_key().as_der().unwrap();
    assert_eq!(FirmwareKey::from_spki(der.as_ref()).err(), Some(KeyError::Kind));
    let Signer::P256(pair) = Signer::p256() else { unreachable!() };
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let mut der = der.as_ref().to_vec();
    *der.last_mut().unwrap() ^= 1;
    assert_eq!(FirmwareKey::from_spki(&der).err(), Some(KeyError::Weak), "not on the curve");
    for len in 0..der.len() {
        assert!(FirmwareKey::from_spki(&der[..len]).is_err());
    }
}
