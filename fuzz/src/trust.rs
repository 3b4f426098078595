//! Trust statements, their bodies, and the keys in them.

use cotter_wire::firmware_key::FirmwareKey;
use cotter_wire::manifest::{Project, VerifyPolicy};
use cotter_wire::trust::{
    MAX_BODY, MAX_STATEMENT, SignedStatement, Statement, TrustError, TrustNumber, encode_statement,
};

/// The public half of Espressif's P-256 test key, as DER: what is trusted. Nothing here can sign with it.
const TRUSTED: &[u8] = include_bytes!("../corpus/manifest/key-p256.der");

/// A statement and its body have one spelling each; nothing that a fuzzer makes is signed.
pub fn trust(data: &[u8]) {
    body(data);
    let Ok(signed) = SignedStatement::parse(data) else { return };
    let again = encode_statement(signed.body(), signed.signatures(), &mut [0; MAX_STATEMENT]).map(<[u8]>::to_vec);
    assert_eq!(again.as_deref(), Ok(data), "a statement changed in a round trip");
    body(signed.body());
    let key = FirmwareKey::from_spki(TRUSTED).expect("the committed key is one");
    let policy = VerifyPolicy::new([key], 1).expect("one of one key");
    let project = Project::new("cotter-app").expect("a legal name");
    let refusal = signed.verify(&project, TrustNumber::BEGINNING, &policy).expect_err("nobody signed this");
    assert!(!signed.signatures().is_empty() || refusal == TrustError::Unsigned);
}

fn body(bytes: &[u8]) {
    let Ok(statement) = Statement::parse(bytes) else { return };
    assert_eq!(statement.encode(&mut [0; MAX_BODY]), Ok(bytes), "a body changed in a round trip");
    for key in statement.policy.keys() {
        let again = FirmwareKey::from_spki(key.spki(&mut [0; FirmwareKey::MAX_SPKI])).expect("what was read");
        assert!(again.is_same_key(key));
    }
    assert!((1..=statement.policy.keys().len()).contains(&statement.policy.required()));
}
