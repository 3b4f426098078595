//! Authorities, requests and chains: what is issued, what is refused, and what hostile bytes do.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::pki::ca::AuthorityPlan;
use cotter_factory::pki::certificate::CertificateError;
use cotter_factory::pki::chain::{Chain, End, Fault, Question};
use cotter_factory::pki::signature::{SignatureAlgorithm, SignatureError};
use cotter_factory::pki::{Certificate, DateTime, Leaf, Name, PkiError, ProductCa, Purpose, Request, Validity, now};
use cotter_factory::private_key::{PrivateKey, PrivateKeyError};
use cotter_factory::public_key::KeyKind;
use cotter_formats::secure_boot::v2::Curve;
use proptest::prelude::*;
use std::collections::BTreeSet;

const P256: KeyKind = KeyKind::Ecdsa(Curve::P256);

fn key(kind: KeyKind) -> PrivateKey {
    PrivateKey::generate(kind).unwrap()
}

fn plan(name: &str, path_length: Option<u8>) -> AuthorityPlan {
    let validity = Validity::days(now().unwrap(), 100).unwrap();
    AuthorityPlan { subject: Name::common(name).unwrap(), path_length, validity }
}

fn root(path_length: Option<u8>) -> ProductCa {
    ProductCa::root(key(P256), &plan("root", path_length)).unwrap()
}

fn leaf(name: &str) -> Leaf {
    Leaf {
        subject: Name::common(name).unwrap(),
        alternative_names: vec!["device.example".parse().unwrap()],
        purposes: vec![Purpose::Client],
        validity: Validity::days(now().unwrap(), 10).unwrap(),
    }
}

fn at(at: DateTime) -> Question<'static> {
    Question { at, purpose: None, host: None }
}

/// Path from the first of `presented`, now: where it ends, and the faults of each link.
fn judged(presented: &[&Certificate], trusted: &[&Certificate], question: &Question<'_>) -> (End, Vec<Vec<Fault>>) {
    let [presented, trusted] = [presented, trusted].map(|all| all.iter().map(|&one| one.clone()).collect::<Vec<_>>());
    let chain = Chain::find(&presented, &trusted, question).unwrap();
    (chain.end, chain.links.into_iter().map(|link| link.faults).collect())
}

#[test]
fn every_kind_of_key_signs_and_is_signed() {
    for authority in [P256, KeyKind::Ecdsa(Curve::P384), KeyKind::Rsa(3072)] {
        let ca = ProductCa::root(key(authority), &plan("root", Some(0))).unwrap();
        for kind in [P256, KeyKind::Ecdsa(Curve::P384), KeyKind::Rsa(2048)] {
            let certificate = ca.issue(key(kind).public(), &leaf("device")).unwrap();
            assert_eq!(certificate.public_key().unwrap().kind(), kind);
            let (end, faults) = judged(&[&certificate], &[ca.certificate()], &at(now().unwrap()));
            assert_eq!((end, faults), (End::Trusted, vec![vec![], vec![]]), "{kind} by {authority}");
        }
    }
}

#[test]
fn what_is_issued_says_what_was_asked_and_nothing_twice() {
    let ca = root(Some(0));
    let device = key(P256);
    let forever = Leaf { validity: Validity::forever(now().unwrap()).unwrap(), ..leaf("device-0001") };
    let serials: BTreeSet<Vec<u8>> = (0..50)
        .map(|_| {
            let certificate = ca.issue(device.public(), &forever).unwrap();
            assert_eq!(certificate.not_after(), DateTime::INFINITY);
            let end = b"99991231235959Z";
            assert!(certificate.as_der().windows(end.len()).any(|window| window == end));
            assert_eq!(certificate.version(), 3);
            assert_eq!(certificate.issuer(), ca.certificate().subject());
            assert_eq!(certificate.authority_key_id().unwrap(), ca.certificate().subject_key_id().unwrap());
            assert!(!certificate.authority().unwrap().ca);
            assert_eq!(certificate.extended_key_usage().unwrap(), [Purpose::Client.oid()]);
            certificate.serial().to_vec()
        })
        .collect();
    assert_eq!(serials.len(), 50);
    assert!(serials.iter().all(|serial| serial.len() == 20 && serial[0] < 0x80));
}

#[test]
fn an_authority_is_loaded_only_with_its_key_and_only_if_it_is_one() {
    let ca = root(None);
    let pem = ca.key().to_pem().unwrap();
    let load = |certificate: &[u8], pem: &str| {
        ProductCa::load(certificate, PrivateKey::from_pem(pem.as_bytes(), None).unwrap()).map(|_| ())
    };
    load(ca.certificate_pem().as_bytes(), &pem).unwrap();
    load(ca.certificate_der(), &pem).unwrap();
    let other = key(P256).to_pem().unwrap();
    assert!(matches!(load(ca.certificate_der(), &other), Err(PkiError::OtherKey)));
    let device = key(P256);
    let certificate = ca.issue(device.public(), &leaf("device")).unwrap();
    let refused = load(certificate.as_der(), &device.to_pem().unwrap());
    assert!(matches!(refused, Err(PkiError::NotAuthority("basicConstraints does not say CA:TRUE"))));
    assert!(matches!(load(b"hello", &pem), Err(PkiError::Certificate(CertificateError::None))));
}

#[test]
fn path_lengths_are_kept_when_made_and_when_verified() {
    let top = root(Some(1));
    let refused = top.intermediate(key(P256), &plan("below", Some(1))).err().unwrap();
    assert!(matches!(refused, PkiError::PathLength(1)));
    let below = top.intermediate(key(P256), &plan("below", None)).unwrap();
    assert_eq!(below.certificate().authority().unwrap().path_length, Some(0));
    assert!(matches!(below.intermediate(key(P256), &plan("third", None)), Err(PkiError::PathLength(0))));
    let device = below.issue(key(P256).public(), &leaf("device")).unwrap();
    let question = at(now().unwrap());
    let (end, faults) = judged(&[&device, below.certificate()], &[top.certificate()], &question);
    assert_eq!((end, faults), (End::Trusted, vec![vec![]; 3]));
    // A CA that believes itself longer than its root allows: same key and name, another root certificate.
    let short = AuthorityPlan { path_length: Some(0), ..plan("root", None) };
    let pem = top.key().to_pem().unwrap();
    let short = ProductCa::root(PrivateKey::from_pem(pem.as_bytes(), None).unwrap(), &short).unwrap();
    let (_, faults) = judged(&[&device, below.certificate()], &[short.certificate()], &question);
    assert_eq!(faults[2], [Fault::PathLength { allowed: 0, below: 1 }]);
}

#[test]
fn an_expired_authority_and_an_impossible_life_issue_nothing() {
    let early = DateTime::new(2001, 1, 1, 0, 0, 0).unwrap();
    let old = AuthorityPlan { validity: Validity::days(early, 365).unwrap(), ..plan("old", Some(0)) };
    let old = ProductCa::root(key(P256), &old).unwrap();
    let device = key(P256);
    assert!(matches!(old.issue(device.public(), &leaf("device")), Err(PkiError::Expired(_))));
    let late = DateTime::new(2999, 1, 1, 0, 0, 0).unwrap();
    let young = AuthorityPlan { validity: Validity::days(late, 365).unwrap(), ..plan("young", Some(0)) };
    let young = ProductCa::root(key(P256), &young).unwrap();
    assert!(matches!(young.issue(device.public(), &leaf("device")), Err(PkiError::NotYet(_))));
    let backwards = Validity { not_before: late, not_after: early };
    let refused = root(None).issue(device.public(), &Leaf { validity: backwards, ..leaf("device") });
    assert!(matches!(refused, Err(PkiError::Life)));
}

#[test]
fn every_way_in_which_a_link_breaks_is_told_by_name() {
    let top = root(None);
    let below = top.intermediate(key(P256), &plan("below", None)).unwrap();
    let device = below.issue(key(P256).public(), &leaf("device")).unwrap();
    let (top, middle) = (top.certificate(), below.certificate());
    let today = now().unwrap();
    let end = |presented: &[&Certificate], trusted: &[&Certificate]| judged(presented, trusted, &at(today)).0;
    assert_eq!(end(&[&device], &[top]), End::Incomplete);
    assert_eq!(end(&[&device, middle, top], &[]), End::Untrusted);
    assert_eq!(end(&[&device, top, middle], &[top]), End::Trusted);
    let shuffled = [&device, top, middle].map(Clone::clone);
    assert!(!Chain::find(&shuffled, &[], &at(today)).unwrap().in_order);
    let later = DateTime::new(today.year() + 1, 1, 1, 0, 0, 0).unwrap();
    let faults = |question: &Question<'_>| judged(&[&device, middle], &[top], question).1;
    assert_eq!(faults(&at(later))[0], [Fault::Expired(device.not_after())]);
    assert_eq!(faults(&at(DateTime::new(2000, 1, 1, 0, 0, 0).unwrap()))[2], [Fault::NotYet(top.not_before())]);
    let server = Question { purpose: Some(Purpose::Server), ..at(today) };
    assert_eq!(faults(&server)[0], [Fault::Purpose("TLS servers")]);
    assert_eq!(
        faults(&Question { host: Some("other.example"), ..at(today) })[0],
        [Fault::Host("other.example".into())]
    );
    assert!(faults(&Question { host: Some("DEVICE.example"), ..at(today) })[0].is_empty());
    // Of the same name, but another key.
    let imposter = ProductCa::root(key(P256), &plan("below", None)).unwrap();
    let (_, faults) = judged(&[&device, imposter.certificate()], &[top], &at(today));
    assert_eq!(faults[0], [Fault::Signature(SignatureError::Wrong), Fault::KeyId]);
    // A device that signs a device.
    let middleman = key(P256);
    let no_ca = below.issue(middleman.public(), &leaf("middleman")).unwrap();
    let fake = AuthorityPlan { subject: Name::common("middleman").unwrap(), ..plan("x", None) };
    let fake = ProductCa::root(middleman, &fake).unwrap().issue(key(P256).public(), &leaf("device")).unwrap();
    let (_, faults) = judged(&[&fake, &no_ca, middle], &[top], &at(today));
    assert_eq!(faults[1], [Fault::NotAuthority, Fault::KeyUsage]);
}

#[test]
fn requests_are_granted_only_to_who_holds_a_good_key_and_asks_for_a_leaf() {
    let device = key(P256);
    let names = ["device.example".parse().unwrap(), "192.0.2.7".parse().unwrap()];
    let request = Request::create(&device, &Name::common("device").unwrap(), &names).unwrap();
    assert_eq!(Request::read(request.to_pem().as_bytes()).unwrap(), request);
    assert_eq!(request.judge().unwrap(), *device.public());
    assert_eq!(request.alternative_names().unwrap(), names);
    // Whoever changes the subject or the key has no signature for it.
    let mut broken = 0;
    for bit in 0..8 * request.as_der().len() {
        let mut bytes = request.as_der().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match Request::read(&bytes).map_err(PkiError::from).and_then(|request| request.judge()) {
            Err(_) => broken += 1,
            Ok(_) => unreachable!("bit {bit} flipped, and the request is still granted"),
        }
    }
    assert_eq!(broken, 8 * request.as_der().len());
    for length in 0..request.as_der().len() {
        assert!(Request::read(&request.as_der()[..length]).is_err(), "{length}");
    }
}

#[test]
fn every_truncation_and_every_bit_flip_of_a_certificate_is_refused() {
    let ca = root(Some(0));
    let device = ca.issue(key(P256).public(), &leaf("device")).unwrap();
    let der = device.as_der();
    for length in 0..der.len() {
        assert!(Certificate::from_der(&der[..length]).is_err(), "{length}");
    }
    let (mut unreadable, mut unsigned) = (0, 0);
    for bit in 0..8 * der.len() {
        let mut bytes = der.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(flipped) = Certificate::from_der(&bytes) else {
            unreadable += 1;
            continue;
        };
        let (end, faults) = judged(&[&flipped], &[ca.certificate()], &at(now().unwrap()));
        assert!(end != End::Trusted || faults.iter().any(|faults| !faults.is_empty()), "bit {bit} went unnoticed");
        unsigned += 1;
    }
    println!("{unreadable} flips are no certificate, {unsigned} do not verify");
}

#[test]
fn weak_keys_and_weak_signatures_are_refused_by_name() {
    let numbers = cotter_factory::public_key::RsaNumbers { n: vec![0xc1; 128], e: vec![1, 0, 1] };
    let weak = cotter_factory::public_key::PublicKey::Rsa(numbers);
    let refused = root(None).issue(&weak, &leaf("device")).unwrap_err().to_string();
    assert_eq!(refused, "the RSA-1024 key has fewer than 2048 bits");
    let refused = ProductCa::root(key(KeyKind::Ecdsa(Curve::P192)), &plan("root", None)).err().unwrap().to_string();
    assert!(refused.contains("P-192"), "{refused}");
    use cotter_factory::pki::signature::Hash;
    let sha1 = SignatureAlgorithm::RsaPkcs1(Hash::Sha1);
    let spki = key(KeyKind::Rsa(2048)).public().to_spki().unwrap();
    assert_eq!(sha1.verify(&spki, b"", b""), Err(SignatureError::Weak(sha1)));
}

#[test]
fn encrypted_keys_open_with_their_password_only() {
    let made = key(P256);
    let pem = made.to_encrypted_pem(b"correct horse").unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let read = |password: Option<&[u8]>| PrivateKey::from_pem(pem.as_bytes(), password);
    assert_eq!(read(Some(b"correct horse")).unwrap().public(), made.public());
    assert!(matches!(read(Some(b"wrong")).err(), Some(PrivateKeyError::Password)));
    assert!(matches!(read(None).err(), Some(PrivateKeyError::PasswordNeeded)));
}

#[test]
fn many_threads_issue_from_one_authority() {
    let ca = root(Some(0));
    let serials: BTreeSet<Vec<u8>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let ca = &ca;
                scope.spawn(move || {
                    (0..125)
                        .map(|device| {
                            let issued = ca.issue_device(&format!("device-{worker}-{device}")).unwrap();
                            Certificate::from_der(&issued.certificate_der).unwrap().serial().to_vec()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(serials.len(), 1000);
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut sequence = vec![0x30, 0x82, 1, 0];
        sequence.extend(&bytes);
        for input in [&bytes, &sequence] {
            let _ = (Certificate::read_all(input), Request::read(input), Name::from_der(input));
        }
    }

    #[test]
    fn names_survive_encoding(common in "[a-zA-Z0-9 ,+/\\\\=äß-]{1,64}", organisation in "[a-zA-Z0-9 äöü€,+/=\\\\'()-]{1,64}") {
        prop_assume!(!common.trim().is_empty() && common.trim() == common);
        prop_assume!(!organisation.trim().is_empty() && organisation.trim() == organisation);
        let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('+', "\\+");
        let name: Name = format!("CN={},O={}", escape(&common), escape(&organisation)).parse().unwrap();
        prop_assert_eq!(name.common_name(), Some(common));
        prop_assert_eq!(&Name::from_der(name.as_der()).unwrap(), &name);
    }
}
