extern crate std;
use super::*;
use crate::identity::{FIRMWARE_KEYS, FIRMWARE_REQUIRED};
use crate::test_store::{TestStore, mount};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::{Flash, FlashError};
use cotter_formats::addr::FlashAddr;
use cotter_formats::nvs::value::Value;
use cotter_wire::firmware_key::{Algorithm, FirmwareKey};
use cotter_wire::manifest::{ManifestSignature, VerifyPolicy};
use cotter_wire::trust::encode_statement;
use std::sync::OnceLock;
use std::vec::Vec;
use std::{format, println};

/// The test's keys, by number.
fn signer(number: u8) -> &'static EcdsaKeyPair {
    static SIGNERS: OnceLock<Vec<EcdsaKeyPair>> = OnceLock::new();
    let generate = |_| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    &SIGNERS.get_or_init(|| (0..8).map(generate).collect())[usize::from(number)]
}

fn spki(signer: &EcdsaKeyPair) -> Vec<u8> {
    let der: PublicKeyX509Der<'_> = signer.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

fn key(signer: &EcdsaKeyPair) -> FirmwareKey {
    FirmwareKey::from_spki(&spki(signer)).unwrap()
}

/// Number `number`: from now on `signers` count, `required` of them; signed by `by`.
fn statement(number: u32, signers: &[u8], required: usize, by: &[u8]) -> Vec<u8> {
    let statement = Statement {
        project: Project::new("cotter-app").unwrap(),
        number: TrustNumber(number),
        policy: VerifyPolicy::new(signers.iter().map(|scalar| key(signer(*scalar))), required).unwrap(),
        secure_boot: heapless::Vec::new(),
    };
    let mut body = [0; MAX_BODY];
    let body = statement.encode(&mut body).unwrap();
    let signatures: Vec<_> = by
        .iter()
        .map(|scalar| {
            let message = [b"cotter/trust/v1\0", body].concat();
            let signature = signer(*scalar).sign(&SystemRandom::new(), &message).unwrap();
            let bytes = heapless::Vec::from_slice(signature.as_ref()).unwrap();
            ManifestSignature { key: key(signer(*scalar)).id(), algorithm: Algorithm::Es256, bytes }
        })
        .collect();
    encode_statement(body, &signatures, &mut [0; MAX_STATEMENT]).unwrap().to_vec()
}

/// Two factory keys, 1 and 2, both of which must sign.
fn factory() -> TestStore {
    let blob = |scalar| Value::Blob(spki(signer(scalar)).into());
    TestStore::factory()
        .set(FIRMWARE_KEYS[0], blob(1))
        .set(FIRMWARE_KEYS[1], blob(2))
        .set(FIRMWARE_REQUIRED, Value::U32(2))
}

fn trusted(store: &mut Nvs<Flash>) -> (u32, Vec<FirmwareKey>, usize) {
    let identity = Identity::load(store).unwrap();
    let policy = identity.firmware_policy();
    (identity.trust().0, policy.keys().to_vec(), policy.required())
}

fn walk(store: &mut Nvs<Flash>, bytes: &[u8]) -> Result<TrustNumber, FollowError<FlashError>> {
    let identity = Identity::load(store).unwrap();
    follow(&identity, bytes, store)
}

#[test]
fn follows_a_chain_one_by_one_and_remembers_it_over_a_reset() {
    let flash = Flash::with_content(factory().build(), Fault::default()).unwrap();
    let mut store = mount(flash.clone(), FlashAddr(0));
    let chain = [
        statement(1, &[1, 3], 2, &[1, 2, 3]),
        statement(2, &[4, 5, 6], 2, &[1, 3, 5, 6]),
        statement(3, &[7], 1, &[4, 5, 7]),
    ];
    for (number, bytes) in (1..).zip(&chain) {
        let identity = Identity::load(&mut store).unwrap();
        assert!(path(&identity).ends_with(&format!("/trust/{}", number - 1)));
        assert_eq!(follow(&identity, bytes, &mut store), Ok(TrustNumber(number)));
        store = mount(flash.clone(), FlashAddr(0));
        assert_eq!(trusted(&mut store).0, number);
    }
    assert_eq!(trusted(&mut store), (3, [key(signer(7))].into(), 1));
}

#[test]
fn goes_back_to_no_earlier_statement_and_skips_none() {
    let mut store = factory().mount();
    let (one, two) = (statement(1, &[1, 3], 2, &[1, 2, 3]), statement(2, &[3, 4], 2, &[1, 3, 4]));
    let number = |after, found| {
        let refusal = TrustError::Number { after: TrustNumber(after), found: TrustNumber(found) };
        Err(FollowError::Trust(refusal))
    };
    let skipping = statement(2, &[1, 3], 2, &[1, 2, 3]);
    assert_eq!(walk(&mut store, &skipping), number(0, 2));
    let far = statement(u32::MAX, &[1, 3], 2, &[1, 2, 3]);
    assert_eq!(walk(&mut store, &far), number(0, u32::MAX));
    assert_eq!(walk(&mut store, &two), Err(TrustError::NotEnoughOld { valid: 1, required: 2 }.into()), "as signed");
    assert_eq!(walk(&mut store, &one), Ok(TrustNumber(1)));
    assert_eq!(walk(&mut store, &one), number(1, 1), "the same again, which keys of both sides signed");
    let again = statement(1, &[5], 1, &[1, 3, 5]);
    assert_eq!(walk(&mut store, &again), number(1, 1), "another one of the same number");
    assert_eq!(walk(&mut store, &two), Ok(TrustNumber(2)));
    assert_eq!(walk(&mut store, &one), Err(TrustError::NotEnoughOld { valid: 1, required: 2 }.into()));
    let lower = statement(1, &[5], 1, &[3, 4, 5]);
    assert_eq!(walk(&mut store, &lower), number(2, 1));
    assert_eq!(trusted(&mut store).0, 2);
}

#[test]
fn an_identity_of_before_follows_nothing_more() {
    let mut store = factory().mount();
    let old = Identity::load(&mut store).unwrap();
    assert_eq!(follow(&old, &statement(1, &[1, 3], 2, &[1, 2, 3]), &mut store), Ok(TrustNumber(1)));
    let other = statement(1, &[4], 1, &[1, 2, 4]);
    assert_eq!(follow(&old, &other, &mut store), Err(FollowError::Stale { stored: TrustNumber(1) }));
}

#[test]
fn what_is_not_signed_by_both_sides_changes_nothing() {
    let mut store = factory().mount();
    let before = trusted(&mut store);
    for (bytes, refusal) in [
        (statement(1, &[3, 4], 2, &[]), TrustError::Unsigned),
        (statement(1, &[3, 4], 2, &[3, 4]), TrustError::NotEnoughOld { valid: 0, required: 2 }),
        (statement(1, &[3, 4], 2, &[1, 3, 4]), TrustError::NotEnoughOld { valid: 1, required: 2 }),
        (statement(1, &[3, 4], 2, &[1, 2, 3]), TrustError::NotEnoughNew { valid: 1, required: 2 }),
    ] {
        assert_eq!(walk(&mut store, &bytes), Err(refusal.into()));
        assert_eq!(trusted(&mut store), before);
    }
}

#[test]
fn what_another_firmware_wrote_counts_for_nothing() {
    let mut store = factory().set(TRUST, Value::Blob(b"{\"format\":2}".to_vec().into())).mount();
    assert_eq!(trusted(&mut store).0, 0);
    assert_eq!(walk(&mut store, &statement(1, &[1, 3], 2, &[1, 2, 3])), Ok(TrustNumber(1)));
    assert_eq!(trusted(&mut store).0, 1);
}

/// Cut at every flash operation of a chain of two: the old policy or the new one, and the same statement goes through
/// afterwards.
#[test]
fn a_power_cut_leaves_the_old_policy_or_the_new_one() {
    let content = factory().build();
    let chain = [statement(1, &[1, 3], 2, &[1, 2, 3]), statement(2, &[4, 5], 2, &[1, 3, 4, 5])];
    let all = |flash: &Flash| -> Result<(), ()> {
        let mut store = mount(flash.clone(), FlashAddr(0));
        loop {
            let identity = Identity::load(&mut store).map_err(drop)?;
            let Some(next) = chain.get(identity.trust().0 as usize) else { return Ok(()) };
            follow(&identity, next, &mut store).map_err(drop)?;
        }
    };
    let whole = Flash::with_content(content.clone(), Fault::default()).unwrap();
    all(&whole).unwrap();
    let expected = trusted(&mut mount(whole.clone(), FlashAddr(0)));
    let (mut cuts, mut seen) = (0, std::collections::BTreeSet::new());
    for op in 0..whole.fault().operations() {
        for phase in Phase::ALL {
            let flash = Flash::with_content(content.clone(), Fault::new(op)).unwrap();
            flash.fault().cut_at(CutPoint { op, phase });
            if all(&flash).is_ok() {
                continue;
            }
            flash.fault().restore_power();
            let (number, keys, _) = trusted(&mut mount(flash.clone(), FlashAddr(0)));
            let scalars: &[u8] = [&[1, 2][..], &[1, 3], &[4, 5]][number as usize];
            assert!(
                keys.iter().zip(scalars).all(|(found, scalar)| *found == key(signer(*scalar))),
                "op {op} {phase:?}"
            );
            seen.insert(number);
            all(&flash).unwrap_or_else(|()| panic!("stuck after a cut at op {op} {phase:?}"));
            assert_eq!(trusted(&mut mount(flash, FlashAddr(0))), expected);
            cuts += 1;
        }
    }
    assert_eq!(seen, [0, 1, 2].into());
    println!("trust: {cuts} power cuts");
}
