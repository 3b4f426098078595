extern crate alloc;
use super::*;
use alloc::format;
use alloc::string::String;
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

    fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::P256(pair) => pair.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    fn key(&self) -> FirmwareKey {
        FirmwareKey::from_spki(&self.spki()).unwrap()
    }

    fn sign(&self, body: &[u8]) -> ManifestSignature {
        let message = [b"cotter/trust/v1\0", body].concat();
        let bytes = match self {
            Self::Rsa(pair) => {
                let mut signature = [0; 256];
                pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
                signature.to_vec()
            }
            Self::P256(pair) => pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
        };
        let (key, bytes) = (self.key(), heapless::Vec::from_slice(&bytes).unwrap());
        ManifestSignature { key: key.id(), algorithm: key.algorithm(), bytes }
    }
}

fn project() -> Project {
    Project::new("cotter-app").unwrap()
}

fn policy(signers: &[&Signer], required: usize) -> VerifyPolicy {
    VerifyPolicy::new(signers.iter().map(|signer| signer.key()), required).unwrap()
}

fn body(number: u32, signers: &[&Signer], required: usize) -> Vec<u8> {
    let statement = Statement {
        project: project(),
        number: TrustNumber(number),
        policy: policy(signers, required),
        secure_boot: heapless::Vec::from_slice(&[[0xab; 32]]).unwrap(),
    };
    statement.encode(&mut [0; MAX_BODY]).unwrap().to_vec()
}

fn signed(body: &[u8], signers: &[&Signer]) -> Vec<u8> {
    let signatures: Vec<_> = signers.iter().map(|signer| signer.sign(body)).collect();
    encode_statement(body, &signatures, &mut [0; MAX_STATEMENT]).unwrap().to_vec()
}

fn verify(bytes: &[u8], after: u32, policy: &VerifyPolicy) -> Result<Statement, TrustError> {
    SignedStatement::parse(bytes)?.verify(&project(), TrustNumber(after), policy)
}

#[test]
fn follows_a_statement_that_old_and_new_keys_signed() {
    let (old, other_old, new, other_new) = (Signer::rsa(), Signer::p256(), Signer::rsa(), Signer::p256());
    let trusted = policy(&[&old, &other_old], 2);
    let body = body(1, &[&new, &other_new], 2);
    let statement = verify(&signed(&body, &[&old, &other_old, &new, &other_new]), 0, &trusted).unwrap();
    assert_eq!((statement.number, statement.policy.required()), (TrustNumber(1), 2));
    assert_eq!(statement.policy.keys(), [new.key(), other_new.key()]);
    assert_eq!(statement.secure_boot.as_slice(), [[0xab; 32]]);
}

#[test]
fn too_few_of_either_side_are_told_apart() {
    let (old, other_old, new, other_new) = (Signer::p256(), Signer::p256(), Signer::p256(), Signer::p256());
    let trusted = policy(&[&old, &other_old], 2);
    let body = body(1, &[&new, &other_new], 2);
    let refused = |signers: &[&Signer]| verify(&signed(&body, signers), 0, &trusted).unwrap_err();
    assert_eq!(refused(&[]), TrustError::Unsigned);
    assert_eq!(refused(&[&new, &other_new]), TrustError::NotEnoughOld { valid: 0, required: 2 });
    assert_eq!(refused(&[&old, &new, &other_new]), TrustError::NotEnoughOld { valid: 1, required: 2 });
    assert_eq!(refused(&[&old, &other_old]), TrustError::NotEnoughNew { valid: 0, required: 2 });
    assert_eq!(refused(&[&old, &other_old, &new]), TrustError::NotEnoughNew { valid: 1, required: 2 });
    assert_eq!(refused(&[&old, &old, &new, &other_new]), TrustError::Signature(SignatureFault::Duplicate));
}

#[test]
fn a_key_that_stays_counts_on_both_sides() {
    let (stays, old, new) = (Signer::p256(), Signer::p256(), Signer::p256());
    let trusted = policy(&[&stays, &old], 2);
    let body = body(1, &[&stays, &new], 2);
    assert!(verify(&signed(&body, &[&stays, &old, &new]), 0, &trusted).is_ok());
    let refused = verify(&signed(&body, &[&stays, &new]), 0, &trusted).unwrap_err();
    assert_eq!(refused, TrustError::NotEnoughOld { valid: 1, required: 2 });
}

#[test]
fn numbers_follow_each_other_one_by_one() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let trusted = policy(&[&old], 1);
    let statement = |number| signed(&body(number, &[&new], 1), &[&old, &new]);
    assert!(verify(&statement(8), 7, &trusted).is_ok());
    for (found, why) in [(9, "skipped"), (7, "the same"), (6, "lowered"), (0, "the beginning"), (u32::MAX, "far ahead")]
    {
        let refused = verify(&statement(found), 7, &trusted).unwrap_err();
        assert_eq!(refused, TrustError::Number { after: TrustNumber(7), found: TrustNumber(found) }, "{why}");
    }
    let refused = verify(&statement(0), u32::MAX, &trusted).unwrap_err();
    assert_eq!(refused, TrustError::Number { after: TrustNumber(u32::MAX), found: TrustNumber(0) }, "it wraps nowhere");
}

#[test]
fn another_project_and_another_domain_are_refused() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let (trusted, body) = (policy(&[&old], 1), body(1, &[&new], 1));
    let statement = SignedStatement::parse(&signed(&body, &[&old, &new])).unwrap();
    let other = Project::new("other-app").unwrap();
    let refused = statement.verify(&other, TrustNumber::BEGINNING, &trusted).err();
    assert_eq!(refused, Some(TrustError::WrongProject));
    // What signs manifests does not sign a statement by accident.
    let mut signature = old.sign(&body);
    let Signer::P256(pair) = &old else { unreachable!() };
    let manifest = [b"cotter/manifest/v1\0", &body[..]].concat();
    let bytes = pair.sign(&SystemRandom::new(), &manifest).unwrap();
    signature.bytes = heapless::Vec::from_slice(bytes.as_ref()).unwrap();
    let mut out = [0; MAX_STATEMENT];
    let forged = encode_statement(&body, &[signature, new.sign(&body)], &mut out).unwrap();
    assert_eq!(verify(forged, 0, &trusted).unwrap_err(), TrustError::Signature(SignatureFault::Bad));
}

#[test]
fn every_flipped_bit_is_refused() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let trusted = policy(&[&old], 1);
    let good = signed(&body(1, &[&new], 1), &[&old, &new]);
    assert!(verify(&good, 0, &trusted).is_ok());
    for bit in 0..8 * good.len() {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed, 0, &trusted).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let body = body(1, &[&new], 1);
    let good = signed(&body, &[&old, &new]);
    for len in 0..good.len() {
        assert!(matches!(SignedStatement::parse(&good[..len]), Err(TrustError::Form(_))), "{len}");
    }
    for len in 0..body.len() {
        assert!(matches!(Statement::parse(&body[..len]), Err(TrustError::Form(_))), "{len}");
    }
}

#[test]
fn keys_that_protect_nothing_are_refused() {
    let (one, other) = (Signer::p256(), Signer::p256());
    let text = |number, signers: &[&Signer]| String::from_utf8(body(number, signers, 1)).unwrap();
    let refused = |text: &str| Statement::parse(text.as_bytes()).unwrap_err();
    let twice = text(1, &[&one]).replace("],\"secure", &format!(",{}],\"secure", key_text(&one.spki())));
    assert_eq!(refused(&twice), TrustError::Policy(PolicyError::DuplicateKey(one.key().id())));
    for required in [0, 3, u32::MAX] {
        let changed = text(1, &[&one, &other]).replace("\"required\":1", &format!("\"required\":{required}"));
        let threshold = PolicyError::Threshold { required: required as usize, keys: 2 };
        assert_eq!(refused(&changed), TrustError::Policy(threshold));
    }
    let nobody = text(1, &[&one]).replace(&key_text(&one.spki()), "");
    assert!(matches!(refused(&nobody), TrustError::Form(CanonicalError::Expected { .. })));
    let many: Vec<_> = (0..5).map(|_| key_text(&Signer::p256().spki())).collect();
    let five = text(1, &[&one]).replace(&key_text(&one.spki()), &many.join(","));
    assert_eq!(refused(&five), TrustError::Policy(PolicyError::TooManyKeys));

    let at = text(1, &[&one]).find("[\"").unwrap() + 2;
    let with = |spki: &[u8]| refused(&text(1, &[&one]).replace(&key_text(&one.spki()), &key_text(spki)));
    let mut weak = one.spki();
    *weak.last_mut().unwrap() ^= 1;
    assert_eq!(with(&weak), TrustError::Key { at, source: KeyError::Weak }, "not on the curve");
    let mut even = Signer::rsa().spki();
    even[33 + 255] &= !1;
    assert_eq!(with(&even), TrustError::Key { at, source: KeyError::Weak }, "an even modulus");
    assert_eq!(with(&one.spki()[1..]), TrustError::Key { at, source: KeyError::Kind });
    let digest = format!("\"{}\"", "ab".repeat(32));
    let twice = text(1, &[&one]).replace(&digest, &format!("{digest},{digest}"));
    assert!(matches!(refused(&twice), TrustError::DuplicateDigest { .. }));
}

#[test]
fn the_largest_statement_fits() {
    let signers: Vec<_> = (0..4).map(|_| Signer::rsa()).collect();
    let signers: Vec<_> = signers.iter().collect();
    let statement = Statement {
        project: Project::new("1234567890123456789012345678901").unwrap(),
        number: TrustNumber(u32::MAX),
        policy: policy(&signers, 4),
        secure_boot: heapless::Vec::from_slice(&[[1; 32], [2; 32], [3; 32]]).unwrap(),
    };
    let mut out = [0; MAX_BODY];
    let body = statement.encode(&mut out).unwrap();
    let whole = signed(body, &signers);
    assert_eq!(SignedStatement::parse(&whole).unwrap().body(), body);
    assert_eq!(Statement::parse(body).unwrap().encode(&mut [0; MAX_BODY]).unwrap(), body);
}

fn key_text(spki: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    let mut out = [0; 512];
    format!("\"{}\"", Base64::encode(spki, &mut out).unwrap())
}
