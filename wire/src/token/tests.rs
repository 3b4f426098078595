extern crate std;
use super::*;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64ct::{Base64UrlUnpadded, Encoding};
use hex_literal::hex;
use proptest::prelude::*;
use std::string::String;
use std::{format, vec};

/// Of a real ATECC608A, by the demo of Microchip's and Google's tutorial: vectors/token/README.md.
const CHIP_TOKEN: &str = include_str!("../../../vectors/token/atecc608a.jwt");
const CHIP_KEY: [u8; 65] = hex!(
    "04 390ecbd69cca62bba25848e40257085faf158b19c0a03af5d3be753c14c267fd
        8eb8a086330f7b9dd769f7ea1e55886b407ad4410d7d5152c70a7df6ed971cff"
);

fn chip_token() -> &'static str {
    CHIP_TOKEN.trim_end()
}

fn verify(token: &str) -> Result<Verified, TokenError> {
    Unverified::parse(token.as_bytes())?.verify(|input, signature| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, CHIP_KEY).verify(input, signature).is_ok()
    })
}

/// A token of these parts, whatever they are, with a signature of 64 zeros.
fn token(header: &str, claims: &str) -> String {
    let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    format!("{}.{}.{}", part(header), part(claims), Base64UrlUnpadded::encode_string(&[0; 64]))
}

const ES256: &str = r#"{"alg":"ES256"}"#;

fn parse(header: &str) -> Result<Algorithm, TokenError> {
    Unverified::parse(token(header, "{}").as_bytes()).map(|token| token.algorithm())
}

fn read(claims: &str) -> Result<Verified, TokenError> {
    Unverified::parse(token(ES256, claims).as_bytes())?.verify(|_, _| true)
}

#[test]
fn the_token_of_a_real_chip_verifies() {
    let unverified = Unverified::parse(chip_token().as_bytes()).unwrap();
    assert_eq!(unverified.algorithm(), Algorithm::Es256);
    let digest: [u8; 32] =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, unverified.signing_input()).as_ref().try_into().unwrap();
    assert_eq!(digest, hex!("ae22fc2991ba3b0c8b4dadc4eb2fa68915f809f265237abbe8e6c4a1de614f69"));
    let claims = Claims {
        audience: "stoked-axle-258910",
        issued_at: UnixTime(1_573_899_913),
        expires_at: UnixTime(1_573_943_113),
    };
    assert_eq!(verify(chip_token()).unwrap().claims(), claims);
}

#[test]
fn every_flipped_bit_of_it_is_noticed() {
    let mut bytes = chip_token().as_bytes().to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verified = Unverified::parse(&bytes).and_then(|token| {
            token.verify(|input, signature| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, CHIP_KEY).verify(input, signature).is_ok()
            })
        });
        assert!(verified.is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for len in 0..bytes.len() {
        assert!(verify(&chip_token()[..len]).is_err(), "{len} characters");
    }
}

#[test]
fn a_bad_signature_hides_the_claims() {
    assert_eq!(Unverified::parse(chip_token().as_bytes()).unwrap().verify(|_, _| false), Err(TokenError::Signature));
    // Not even what is wrong with them is said.
    let token = token(ES256, "{");
    assert_eq!(Unverified::parse(token.as_bytes()).unwrap().verify(|_, _| false), Err(TokenError::Signature));
}

#[test]
fn only_two_algorithms_are_taken() {
    assert_eq!(parse(r#"{"alg":"ES256"}"#), Ok(Algorithm::Es256));
    assert_eq!(parse(r#"{"alg":"RS256"}"#), Err(TokenError::SignatureLength { algorithm: Algorithm::Rs256, got: 64 }));
    for name in ["none", "None", "nOnE", "HS256", "ES384", "es256", "ES256K", "PS256", "RS512", "EdDSA", "ES256 ", ""] {
        let Err(TokenError::Algorithm(found)) = parse(&format!(r#"{{"alg":"{name}"}}"#)) else { panic!("{name}") };
        assert_eq!(found.as_str(), name.replace(' ', "?"));
    }
    let Err(TokenError::Algorithm(escaped)) = parse(r#"{"alg":"\u0045S256\u001b[0mand more"}"#) else { panic!() };
    assert_eq!(escaped.as_str(), "?u0045S256?u001b");
    for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["ES256"]}"#, r#"{"typ":"JWT"}"#] {
        assert_eq!(parse(header), Err(TokenError::NoAlgorithm), "{header}");
    }
    // Named although nothing else about them holds either.
    for unsigned in ["eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJub25lIn0.."] {
        assert!(matches!(Unverified::parse(unsigned.as_bytes()), Err(TokenError::Algorithm(_))), "{unsigned}");
    }
}

#[test]
fn headers_are_judged_by_the_table() {
    let json = |error| TokenError::Json { part: Part::Header, error };
    let cases = [
        (r#"{"typ":"JWT","alg":"ES256"}"#, Ok(Algorithm::Es256)),
        (r#"{"alg": "ES256", "typ": "JWT", "kid": "../../x' OR 1=1", "x5t": "a", "cty": "b"}"#, Ok(Algorithm::Es256)),
        (r#"{"alg":"ES256","typ":"jwt"}"#, Err(TokenError::Type)),
        (r#"{"alg":"ES256","typ":"at+jwt"}"#, Err(TokenError::Type)),
        (r#"{"alg":"ES256","typ":null}"#, Err(TokenError::Type)),
        (r#"{"alg":"ES256","crit":["exp"]}"#, Err(TokenError::Critical)),
        (r#"{"alg":"ES256","crit":[]}"#, Err(TokenError::Critical)),
        (r#"{"alg":"ES256","b64":false}"#, Err(TokenError::Critical)),
        (r#"{"alg":"ES256","jwk":{"kty":"EC"}}"#, Err(TokenError::BringsKey)),
        (r#"{"alg":"ES256","jku":"https://x"}"#, Err(TokenError::BringsKey)),
        (r#"{"alg":"ES256","x5c":[]}"#, Err(TokenError::BringsKey)),
        (r#"{"alg":"ES256","x5u":"https://x"}"#, Err(TokenError::BringsKey)),
        (r#"{"alg":"ES256","alg":"ES256"}"#, Err(json(JsonError::DuplicateName { at: 15 }))),
        (r#"{"alg":"ES256","kid":1,"kid":2}"#, Err(json(JsonError::DuplicateName { at: 23 }))),
        (r#"{"alg":"ES256","\u0061lg":"none"}"#, Err(json(JsonError::EscapedName { at: 15 }))),
        (r#"["ES256"]"#, Err(json(JsonError::Unexpected { at: 0 }))),
        ("", Err(json(JsonError::Truncated { at: 0 }))),
    ];
    for (header, outcome) in cases {
        assert_eq!(parse(header), outcome, "{header}");
    }
    let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "x".repeat(MAX_HEADER));
    let error = Base64UrlError::TooLong { max: MAX_HEADER };
    assert_eq!(parse(&long), Err(TokenError::Base64 { part: Part::Header, error }));
}

#[test]
fn claims_are_one_audience_and_two_times() {
    let good = read(r#"{"iat": 1, "nbf": "never", "aud": "a b", "sub": [{}], "exp": 2}"#).unwrap();
    assert_eq!(good.claims(), Claims { audience: "a b", issued_at: UnixTime(1), expires_at: UnixTime(2) });
    let json = |error| TokenError::Json { part: Part::Claims, error };
    let (iat, exp) = (TokenError::Time { claim: "iat" }, TokenError::Time { claim: "exp" });
    let cases = [
        (r#"{"aud":["a"],"iat":1,"exp":2}"#, TokenError::Audience),
        (r#"{"aud":"","iat":1,"exp":2}"#, TokenError::Audience),
        (r#"{"aud":null,"iat":1,"exp":2}"#, TokenError::Audience),
        (r#"{"aud":"\u0061","iat":1,"exp":2}"#, TokenError::Audience),
        ("{\"aud\":\"\u{e9}\",\"iat\":1,\"exp\":2}", TokenError::Audience),
        (r#"{"iat":1,"exp":2}"#, TokenError::Audience),
        (r#"{"aud":"a","exp":2}"#, iat.clone()),
        (r#"{"aud":"a","iat":"1","exp":2}"#, iat.clone()),
        (r#"{"aud":"a","iat":-1,"exp":2}"#, iat.clone()),
        (r#"{"aud":"a","iat":1.0,"exp":2}"#, iat),
        (r#"{"aud":"a","iat":1}"#, exp.clone()),
        (r#"{"aud":"a","iat":1,"exp":2e9}"#, exp.clone()),
        (r#"{"aud":"a","iat":1,"exp":18446744073709551616}"#, exp.clone()),
        (r#"{"aud":"a","iat":1,"exp":null}"#, exp),
        (r#"{"aud":"a","iat":1,"exp":2,"aud":"b"}"#, json(JsonError::DuplicateName { at: 27 })),
        (r#"{"aud":"a","iat":1,"exp":2,"sub":0,"sub":0}"#, json(JsonError::DuplicateName { at: 35 })),
        (r#"{"aud":"a","iat":1,"exp":2,"x":[[[[]]]]}"#, json(JsonError::TooDeep { at: 34 })),
        (r#"{"aud":"a","iat":1,"exp":2} ."#, json(JsonError::Trailing { at: 28 })),
    ];
    for (claims, refusal) in cases {
        assert_eq!(read(claims), Err(refusal), "{claims}");
    }
    let audience = |len| read(&format!(r#"{{"aud":"{}","iat":1,"exp":2}}"#, "a".repeat(len))).map(|_| ());
    assert_eq!((audience(MAX_AUDIENCE), audience(MAX_AUDIENCE + 1)), (Ok(()), Err(TokenError::Audience)));
}

#[test]
fn the_form_is_exact() {
    let (head, signature) = chip_token().rsplit_once('.').unwrap();
    let base64 = |error| TokenError::Base64 { part: Part::Signature, error };
    let es256 = |got| TokenError::SignatureLength { algorithm: Algorithm::Es256, got };
    let bytes = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let encoded = |bytes: &[u8]| format!("{head}.{}", Base64UrlUnpadded::encode_string(bytes));
    let cases = [
        (String::new(), TokenError::Parts),
        (String::from("."), TokenError::Parts),
        (String::from(head), TokenError::Parts),
        (format!("{}.", chip_token()), TokenError::Parts),
        (format!("{}.e30", chip_token()), TokenError::Parts),
        ("a".repeat(MAX_TOKEN + 1), TokenError::TooLong),
        (format!("{}==", chip_token()), base64(Base64UrlError::Padding { at: 86 })),
        (format!("{}\n", chip_token()), base64(Base64UrlError::Whitespace { at: 86 })),
        (format!("{}R", &chip_token()[..chip_token().len() - 1]), base64(Base64UrlError::TrailingBits)),
        (encoded(&bytes[..63]), es256(63)),
        (encoded(&[&bytes[..], &[0]].concat()), es256(65)),
        (encoded(&[0x30; 70]), es256(70)),
        (encoded(&[]), es256(0)),
        (encoded(&[0; MAX_SIGNATURE + 1]), base64(Base64UrlError::TooLong { max: MAX_SIGNATURE })),
    ];
    for (token, refusal) in cases {
        assert_eq!(verify(&token), Err(refusal), "{token}");
    }
    let spaced = format!(" {}", chip_token());
    let error = Base64UrlError::Whitespace { at: 0 };
    assert_eq!(verify(&spaced), Err(TokenError::Base64 { part: Part::Header, error }));
}

#[test]
fn the_longest_token_is_taken() {
    let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let header = format!(r#"{{"alg":"RS256"{}}}"#, " ".repeat(MAX_HEADER - 15));
    let claims = format!(r#"{{"aud":"a","iat":1,"exp":2{}}}"#, " ".repeat(MAX_CLAIMS - 27));
    let signature = Base64UrlUnpadded::encode_string(&[0; MAX_SIGNATURE]);
    let token = format!("{}.{}.{signature}", part(&header), part(&claims));
    assert_eq!(token.len(), MAX_TOKEN);
    assert!(Unverified::parse(token.as_bytes()).unwrap().verify(|_, _| true).is_ok());
}

fn claims() -> Claims<'static> {
    Claims { audience: "stoked-axle-258910", issued_at: UnixTime(1_573_899_913), expires_at: UnixTime(1_573_943_113) }
}

#[test]
fn writes_what_it_reads_into_a_buffer_that_just_fits() {
    for (algorithm, signature) in [(Algorithm::Es256, 64), (Algorithm::Rs256, 256), (Algorithm::Rs256, 512)] {
        let mut out = [0; MAX_TOKEN];
        let unsigned = ToBeSigned::new(algorithm, &claims(), &mut out).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, unsigned.signing_input());
        assert_eq!(unsigned.digest(), digest.as_ref());
        let written = unsigned.finish(&vec![7; signature]).unwrap();
        let token = Unverified::parse(written.as_bytes()).unwrap();
        assert_eq!(token.algorithm(), algorithm);
        let verified = token.verify(|input, found| {
            assert_eq!((input, found), (token.signing_input(), &vec![7; signature][..]));
            true
        });
        assert_eq!(verified.unwrap().claims(), claims());
        for len in 0..written.len() {
            let mut short = vec![0; len];
            let refused = ToBeSigned::new(algorithm, &claims(), &mut short)
                .and_then(|unsigned| unsigned.finish(&vec![7; signature]).map(|_| ()));
            assert_eq!(refused, Err(WriteError::OutputFull), "{len}");
        }
        assert!(ToBeSigned::new(algorithm, &claims(), &mut vec![0; written.len()]).is_ok());
    }
    let header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.";
    let mut out = [0; MAX_TOKEN];
    let unsigned = ToBeSigned::new(Algorithm::Es256, &claims(), &mut out).unwrap();
    assert!(unsigned.signing_input().starts_with(header.as_bytes()) && chip_token().starts_with(header));
}

#[test]
fn nothing_is_written_that_no_server_would_take() {
    let write = |claims: Claims<'_>| ToBeSigned::new(Algorithm::Es256, &claims, &mut [0; MAX_TOKEN]).map(|_| ());
    for audience in ["", "a\"b", "a\\b", "a\nb", "\u{e9}", &"a".repeat(MAX_AUDIENCE + 1)] {
        assert_eq!(write(Claims { audience, ..claims() }), Err(WriteError::Audience), "{audience}");
    }
    let until = |expires_at| write(Claims { expires_at: UnixTime(expires_at), ..claims() });
    let issued = claims().issued_at.0;
    assert_eq!(until(issued - 1), Err(WriteError::ExpiresBeforeIssued));
    assert_eq!(until(issued + MAX_LIFETIME_S + 1), Err(WriteError::Lifetime { seconds: MAX_LIFETIME_S + 1 }));
    assert_eq!((until(issued), until(issued + MAX_LIFETIME_S)), (Ok(()), Ok(())));
    for (algorithm, got) in [(Algorithm::Es256, 63), (Algorithm::Es256, 72), (Algorithm::Rs256, 128)] {
        let mut out = [0; MAX_TOKEN];
        let unsigned = ToBeSigned::new(algorithm, &claims(), &mut out).unwrap();
        assert_eq!(unsigned.finish(&vec![0; got]), Err(WriteError::SignatureLength { algorithm, got }));
    }
}

proptest! {
    #[test]
    fn any_claims_go_there_and_back(
        audience in "[ -!#-\\[\\]-~]{1,128}",
        issued_at in 0..u64::MAX - MAX_LIFETIME_S,
        lifetime in 0..=MAX_LIFETIME_S,
        signature: [u8; 32],
    ) {
        let expires_at = UnixTime(issued_at + lifetime);
        let claims = Claims { audience: &audience, issued_at: UnixTime(issued_at), expires_at };
        let mut out = [0; MAX_TOKEN];
        let unsigned = ToBeSigned::new(Algorithm::Es256, &claims, &mut out).unwrap();
        let written = unsigned.finish(&[signature, signature].concat()).unwrap();
        let verified = Unverified::parse(written.as_bytes()).unwrap().verify(|_, _| true).unwrap();
        prop_assert_eq!(verified.claims(), claims);
    }
}
