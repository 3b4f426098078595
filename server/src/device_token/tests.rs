use super::*;
use crate::device_key::tests::Signer;
use base64ct::{Base64UrlUnpadded, Encoding};
use cotter_wire::token::{Base64UrlError, JsonError, MAX_TOKEN, Part, ToBeSigned};
use std::sync::OnceLock;

const NOW: UnixTime = UnixTime(1_800_000_000);
const PROJECT: &str = "my-project";
const EXPECTED: Expected<'static> = Expected { project: PROJECT, reuse: Reuse::UntilExpired };

fn es256() -> &'static Signer {
    static KEY: OnceLock<Signer> = OnceLock::new();
    KEY.get_or_init(Signer::es256)
}

fn rs256() -> &'static Signer {
    static KEY: OnceLock<Signer> = OnceLock::new();
    KEY.get_or_init(Signer::rs256)
}

fn registered(signer: &Signer, expires_at: Option<u64>) -> RegisteredKey {
    RegisteredKey { key: signer.key(), expires_at: expires_at.map(UnixTime) }
}

fn keys() -> Vec<RegisteredKey> {
    vec![registered(&Signer::es256(), None), registered(rs256(), None), registered(es256(), None)]
}

fn encoded(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Any header and claims, signed by `signer`.
fn signed(signer: &Signer, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()));
    let signature = signer.sign(input.as_bytes());
    format!("{input}.{}", encoded(&signature))
}

/// Offsets from now, in seconds.
fn claims(audience: &str, issued: i64, expires: i64) -> String {
    let at = |offset| NOW.0.checked_add_signed(offset).unwrap();
    format!(r#"{{"aud":"{audience}","iat":{},"exp":{}}}"#, at(issued), at(expires))
}

const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

fn timed(issued: i64, expires: i64) -> String {
    signed(es256(), HEADER, &claims(PROJECT, issued, expires))
}

fn admitted(token: &str) -> Result<Admission, TokenRefusal> {
    admit(token.as_bytes(), &keys(), &EXPECTED, NOW)
}

#[test]
fn a_device_is_believed_by_any_of_its_keys() {
    for (signer, algorithm) in [(es256(), Algorithm::Es256), (rs256(), Algorithm::Rs256)] {
        let claims = Claims { audience: PROJECT, issued_at: NOW, expires_at: UnixTime(NOW.0 + 3600) };
        let mut out = [0; MAX_TOKEN];
        let unsigned = ToBeSigned::new(algorithm, &claims, &mut out).unwrap();
        let signature = signer.sign(unsigned.signing_input());
        let token = unsigned.finish(&signature).unwrap();
        let admission = Admission { key: signer.key().id(), close_at: UnixTime(NOW.0 + 3600 + SKEW_S) };
        assert_eq!(admitted(token), Ok(admission), "{algorithm}");
    }
}

/// By the documentation: `exp` 01:10:20 ends at 01:20:20. A key that ends sooner ends it sooner.
#[test]
fn a_connection_ends_with_the_token_or_the_key_whichever_is_first() {
    let close_at = |key_ends| {
        let keys = [registered(es256(), key_ends)];
        admit(timed(0, 60).as_bytes(), &keys, &EXPECTED, NOW).unwrap().close_at.0 - NOW.0
    };
    assert_eq!((close_at(None), close_at(Some(NOW.0 + 9999)), close_at(Some(NOW.0 + 10))), (660, 660, 10));
}

#[test]
fn the_token_of_a_real_chip_is_believed_at_its_time_and_not_later() {
    let token = include_str!("../../../vectors/token/atecc608a.jwt").trim_end();
    let point = "390ecbd69cca62bba25848e40257085faf158b19c0a03af5d3be753c14c267fd\
        8eb8a086330f7b9dd769f7ea1e55886b407ad4410d7d5152c70a7df6ed971cff";
    let point: Vec<u8> =
        (0..64).map(|index| u8::from_str_radix(&point[2 * index..2 * index + 2], 16).unwrap()).collect();
    let head = &es256().spki()[..27];
    let chip = [RegisteredKey { key: DeviceKey::from_spki(&[head, &point].concat()).unwrap(), expires_at: None }];
    let at = |seconds| {
        let expected = Expected { project: "stoked-axle-258910", ..EXPECTED };
        admit(token.as_bytes(), &chip, &expected, UnixTime(seconds)).map(|admission| admission.close_at.0)
    };
    let (issued, expires) = (1_573_899_913, 1_573_943_113);
    for now in [issued - SKEW_S, issued, expires, expires + SKEW_S - 1] {
        assert_eq!(at(now), Ok(expires + SKEW_S));
    }
    assert_eq!(at(issued - SKEW_S - 1), Err(TokenRefusal::IssuedLater { seconds: SKEW_S + 1 }));
    assert_eq!(at(expires + SKEW_S), Err(TokenRefusal::Expired { seconds: SKEW_S }));
    let mut flipped = token.as_bytes().to_vec();
    let expected = Expected { project: "stoked-axle-258910", ..EXPECTED };
    for bit in 0..8 * flipped.len() {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(admit(&flipped, &chip, &expected, UnixTime(issued)).is_err(), "bit {bit}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(admit(&flipped, &chip, &expected, UnixTime(issued)).is_ok());
}

#[test]
fn what_is_no_token_of_the_device_is_refused_by_name() {
    let good = timed(0, 3600);
    let (input, signature) = good.rsplit_once('.').unwrap();
    let raw = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let with = |signature: &[u8]| format!("{input}.{}", encoded(signature));
    let length = |got| TokenRefusal::Token(TokenError::SignatureLength { algorithm: Algorithm::Es256, got });
    let base64 = |error| TokenRefusal::Token(TokenError::Base64 { part: Part::Signature, error });
    let forged = TokenRefusal::Token(TokenError::Signature);
    let zero_r = [&[0; 32][..], &raw[32..]].concat();
    let zero_s = [&raw[..32], &[0; 32][..]].concat();
    // The order of the group, which no r and no s reaches.
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let der = [&[0x30, 0x44, 2, 0x20][..], &raw[..32], &[2, 0x20], &raw[32..]].concat();
    let last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = last.find(good.chars().last().unwrap()).unwrap();
    let not_canonical = format!("{}{}", &good[..good.len() - 1], &last[at + 1..at + 2]);
    let duplicate = format!(r#"{{"aud":"{PROJECT}","iat":{0},"exp":{0},"aud":"x"}}"#, NOW.0);
    let json = |error| TokenRefusal::Token(TokenError::Json { part: Part::Claims, error });
    let other_key = signed(&Signer::es256(), HEADER, &claims(PROJECT, 0, 3600));
    let cases = [
        ("DER", with(&der), length(70)),
        ("63 bytes", with(&raw[..63]), length(63)),
        ("65 bytes", with(&[&raw[..], &[0]].concat()), length(65)),
        ("r zero", with(&zero_r), forged.clone()),
        ("s zero", with(&zero_s), forged.clone()),
        ("both zero", with(&[0; 64]), forged.clone()),
        ("r too large", with(&[&order[..], &raw[32..]].concat()), forged.clone()),
        ("s too large", with(&[&raw[..32], &order[..]].concat()), forged.clone()),
        ("padding", format!("{good}=="), base64(Base64UrlError::Padding { at: 86 })),
        ("second spelling", not_canonical, base64(Base64UrlError::TrailingBits)),
        ("duplicate claim", signed(es256(), HEADER, &duplicate), json(JsonError::DuplicateName { at: 54 })),
        ("another device's key", other_key, forged),
        ("two audiences", signed(es256(), HEADER, r#"{"aud":["a","b"]}"#), TokenRefusal::Token(TokenError::Audience)),
        ("another project", signed(es256(), HEADER, &claims("my-projec", 0, 60)), TokenRefusal::OtherProject),
        ("upper case", signed(es256(), HEADER, &claims("My-project", 0, 60)), TokenRefusal::OtherProject),
    ];
    for (name, token, refusal) in cases {
        assert_eq!(admitted(&token), Err(refusal), "{name}");
    }
    assert!(admitted(&good).is_ok());
    assert_eq!(admit(good.as_bytes(), &[], &EXPECTED, NOW), Err(TokenRefusal::NoKey));
}

#[test]
fn the_algorithm_is_that_of_the_key() {
    let unsigned = format!("{}.{}.", encoded(br#"{"alg":"none"}"#), encoded(claims(PROJECT, 0, 60).as_bytes()));
    // The classic: the public key, as everybody has it, as the secret of a MAC.
    let input = format!("{}.{}", encoded(br#"{"alg":"HS256"}"#), encoded(claims(PROJECT, 0, 60).as_bytes()));
    let public = crate::device_key::tests::pem("PUBLIC KEY", &es256().spki());
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let mac = aws_lc_rs::hmac::sign(&secret, input.as_bytes());
    let confused = format!("{input}.{}", encoded(mac.as_ref()));
    for (token, name) in [(unsigned, "none"), (confused, "HS256")] {
        let Err(TokenRefusal::Token(TokenError::Algorithm(found))) = admitted(&token) else { panic!("{name}") };
        assert_eq!(found.as_str(), name);
    }
    // Well signed, but with the other name, or the device has no such key.
    let token = signed(rs256(), r#"{"alg":"RS256"}"#, &claims(PROJECT, 0, 60));
    let only = [registered(es256(), None)];
    let refusal = TokenRefusal::OtherAlgorithm { algorithm: Algorithm::Rs256 };
    assert_eq!(admit(token.as_bytes(), &only, &EXPECTED, NOW), Err(refusal));
    let misnamed = signed(rs256(), HEADER, &claims(PROJECT, 0, 60));
    let refusal = TokenError::SignatureLength { algorithm: Algorithm::Es256, got: 256 };
    assert_eq!(admitted(&misnamed), Err(refusal.into()));
}

#[test]
fn a_key_counts_until_it_expires() {
    let token = timed(0, 60);
    let with = |expires_at| {
        let keys = [registered(rs256(), None), registered(es256(), Some(expires_at))];
        admit(token.as_bytes(), &keys, &EXPECTED, NOW).map(|_| ())
    };
    assert_eq!(with(NOW.0 + 1), Ok(()));
    assert_eq!(with(NOW.0), Err(TokenRefusal::KeyExpired { key: es256().key().id() }));
    // Only who signed with it hears that of it.
    let other = signed(&Signer::es256(), HEADER, &claims(PROJECT, 0, 60));
    let expired = [registered(es256(), Some(NOW.0))];
    let refused = admit(other.as_bytes(), &expired, &EXPECTED, NOW);
    assert_eq!(refused, Err(TokenError::Signature.into()));
}

#[test]
fn times_are_within_a_day_and_the_skew() {
    let day = i64::try_from(MAX_LIFETIME_S).unwrap();
    let skew = i64::try_from(SKEW_S).unwrap();
    let cases = [
        ("from now for a day", (0, day), Ok(())),
        ("a day and the skew", (0, day + skew), Ok(())),
        ("longer", (0, day + skew + 1), Err(TokenRefusal::Lifetime { seconds: 87_001 })),
        ("no time at all", (0, 0), Ok(())),
        ("backwards", (0, -1), Err(TokenRefusal::ExpiresBeforeIssued)),
        ("at the edge of the future", (skew, 3600), Ok(())),
        ("in the future", (skew + 1, 3600), Err(TokenRefusal::IssuedLater { seconds: 601 })),
        ("just not expired", (-3600, 1 - skew), Ok(())),
        ("expired", (-3600, -skew), Err(TokenRefusal::Expired { seconds: 600 })),
    ];
    for (name, (issued, expires), outcome) in cases {
        assert_eq!(admitted(&timed(issued, expires)).map(|_| ()), outcome, "{name}");
    }
    let far = format!(r#"{{"aud":"{PROJECT}","iat":{0},"exp":{0}}}"#, u64::MAX);
    let refused = admitted(&signed(es256(), HEADER, &far));
    assert_eq!(refused, Err(TokenRefusal::IssuedLater { seconds: u64::MAX - NOW.0 }));
}

#[test]
fn an_old_token_opens_nothing_where_only_fresh_ones_do() {
    let fresh = Expected { reuse: Reuse::WhileFresh, ..EXPECTED };
    let at = |issued| admit(timed(issued, 3600).as_bytes(), &keys(), &fresh, NOW).map(|_| ());
    assert_eq!((at(0), at(-600)), (Ok(()), Ok(())));
    assert_eq!(at(-601), Err(TokenRefusal::Stale { seconds: 601 }));
    assert!(admitted(&timed(-601, 3600)).is_ok());
}

#[test]
fn names_for_the_log_are_stable() {
    let refusal = |token: &str| admitted(token).unwrap_err().code();
    assert_eq!(refusal("a.b.c"), "token-malformed");
    assert_eq!(refusal("eyJhbGciOiJub25lIn0.."), "token-algorithm");
    assert_eq!(refusal(&signed(&Signer::es256(), HEADER, "{}")), "token-signature");
    assert_eq!(refusal(&timed(-9000, -8000)), "token-expired");
}
