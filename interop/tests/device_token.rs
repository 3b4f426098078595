//! Device tokens against PyJWT, both ways from random claims, and against OpenSSL.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use cotter_interop::{Generator, hex, temp_dir, tools, unhex};
use cotter_server::device_key::{DeviceKey, DeviceKeyError, KeyFormat};
use cotter_server::device_token::{Expected, RegisteredKey, Reuse, TokenRefusal, admit};
use cotter_wire::ids::UnixTime;
use cotter_wire::token::{Algorithm, Claims, MAX_LIFETIME_S, MAX_TOKEN, SKEW_S, ToBeSigned, TokenError, Unverified};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("device_token/peer.py");
const CASES: usize = 40;

fn admitted(token: &str, key: DeviceKey, project: &str, now: u64) -> Result<u64, TokenRefusal> {
    let keys = [RegisteredKey { key, expires_at: None }];
    let expected = Expected { project, reuse: Reuse::WhileFresh };
    admit(token.as_bytes(), &keys, &expected, UnixTime(now)).map(|admission| admission.close_at.0)
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

/// PyJWT's own spelling of random claims, with members that we ignore; and the same claims as MicroPython writes them.
#[test]
fn believes_what_pyjwt_signed_with_a_key_in_each_format() {
    let made = tools().python(["-c", SCRIPT, "sign", &CASES.to_string()]).accepted();
    let made: Vec<Value> = serde_json::from_str(&made).unwrap();
    assert_eq!(made.len(), CASES);
    for case in &made {
        let (project, issued, expires) =
            (text(case, "aud"), case["iat"].as_u64().unwrap(), case["exp"].as_u64().unwrap());
        for token in [text(case, "token"), text(case, "spaced")] {
            for (format, pem) in case["keys"].as_object().unwrap() {
                let key = DeviceKey::from_pem(format.parse::<KeyFormat>().unwrap(), pem.as_str().unwrap().as_bytes());
                assert_eq!(admitted(token, key.unwrap(), project, issued), Ok(expires + SKEW_S), "{case}");
            }
            let key = || DeviceKey::from_spki(&unhex(text(case, "spki"))).unwrap();
            assert_eq!(admitted(token, key(), "another", issued), Err(TokenRefusal::OtherProject));
            let other = DeviceKey::from_spki(&unhex(text(case, "other_spki"))).unwrap();
            assert_eq!(admitted(token, other, project, issued), Err(TokenError::Signature.into()));
        }
        for (name, token) in case["bad"].as_object().unwrap() {
            let key = DeviceKey::from_spki(&unhex(text(case, "spki"))).unwrap();
            let refusal = admitted(token.as_str().unwrap(), key, project, issued).unwrap_err();
            let expected = match name.as_str() {
                "none" | "other_hash" | "hmac" => "token-algorithm",
                "many_audiences" | "fraction" | "no_audience" => "token-malformed",
                "far" => "token-lifetime",
                "future" => "token-issued-later",
                "expired" => "token-expired",
                other => panic!("{other}"),
            };
            assert_eq!(refusal.code(), expected, "{name}: {refusal}");
        }
    }
}

/// A key in memory; its signatures go into our writer.
enum Signer {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    const P256_HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

    fn spki(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => [&unhex(Self::P256_HEAD), key.public_key().as_ref()].concat(),
            Self::Rs256(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref().to_vec(),
        }
    }

    fn token(&self, claims: &Claims<'_>) -> String {
        let (mut out, random) = ([0; MAX_TOKEN], SystemRandom::new());
        let unsigned = |algorithm, out| ToBeSigned::new(algorithm, claims, out).unwrap();
        match self {
            Self::Es256(key) => {
                let unsigned = unsigned(Algorithm::Es256, &mut out);
                let signature = key.sign(&random, unsigned.signing_input()).unwrap();
                unsigned.finish(signature.as_ref()).unwrap().to_owned()
            }
            Self::Rs256(key) => {
                let unsigned = unsigned(Algorithm::Rs256, &mut out);
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, unsigned.signing_input(), &mut signature).unwrap();
                unsigned.finish(&signature).unwrap().to_owned()
            }
        }
    }
}

fn signers() -> Vec<Signer> {
    let es256 = || Signer::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
    let rs256 = |size| Signer::Rs256(RsaKeyPair::generate(size).unwrap());
    vec![es256(), es256(), rs256(KeySize::Rsa2048), rs256(KeySize::Rsa3072), rs256(KeySize::Rsa4096)]
}

#[test]
fn pyjwt_believes_what_our_writer_wrote() {
    let (mut random, signers) = (Generator::seeded(), signers());
    let mut cases = Vec::new();
    for index in 0..CASES {
        let length = random.between(1, 30);
        let audience = random.word(length);
        let issued_at = u64::from(random.next_u32());
        let expires_at = issued_at + random.below(usize::try_from(MAX_LIFETIME_S).unwrap()) as u64;
        let claims = Claims { audience: &audience, issued_at: UnixTime(issued_at), expires_at: UnixTime(expires_at) };
        let signer = &signers[index % signers.len()];
        cases.push(json!({
            "token": signer.token(&claims), "spki": hex(&signer.spki()),
            "aud": audience, "iat": issued_at, "exp": expires_at,
        }));
    }
    let check = |cases: &[Value]| tools().python_on(SCRIPT, &["verify"], &serde_json::to_vec(cases).unwrap());
    assert_eq!(check(&cases).accepted().trim(), "ok");
    // It would notice: the first character of a signature, another one; another claim.
    let token = text(&cases[0], "token").to_owned();
    let at = token.rfind('.').unwrap() + 1;
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    let mut forged = cases[0].clone();
    forged["token"] = format!("{}{other}{}", &token[..at], &token[at + 1..]).into();
    assert!(check(&[forged]).refused().contains("Signature verification failed"));
    let mut elsewhere = cases[0].clone();
    elsewhere["aud"] = "elsewhere".into();
    assert!(check(&[elsewhere]).refused().contains("Audience doesn't match"));
}

/// `r || s` as the ECDSA-Sig-Value that OpenSSL wants.
fn der_signature(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let bytes = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap()..];
        let zero: &[u8] = if bytes[0] & 0x80 == 0 { &[] } else { &[0] };
        [&[2, u8::try_from(zero.len() + bytes.len()).unwrap()][..], zero, bytes].concat()
    };
    let both = [integer(&raw[..32]), integer(&raw[32..])].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()][..], &both].concat()
}

#[test]
fn openssl_verifies_the_signatures_of_our_tokens_and_of_the_chip() {
    let chip = include_str!("../../vectors/token/atecc608a.jwt").trim_end().to_owned();
    let chip_key = "04390ecbd69cca62bba25848e40257085faf158b19c0a03af5d3be753c14c267fd\
        8eb8a086330f7b9dd769f7ea1e55886b407ad4410d7d5152c70a7df6ed971cff";
    let mut cases = vec![(chip, unhex(&format!("{}{chip_key}", Signer::P256_HEAD)))];
    let claims =
        Claims { audience: "my-project", issued_at: UnixTime(1_800_000_000), expires_at: UnixTime(1_800_000_060) };
    cases.extend(signers().iter().map(|signer| (signer.token(&claims), signer.spki())));
    let dir = temp_dir();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (token, spki) in cases {
        let unverified = Unverified::parse(token.as_bytes()).unwrap();
        let mut signature = Vec::new();
        let _refused = unverified.verify(|_, found| {
            signature = match unverified.algorithm() {
                Algorithm::Es256 => der_signature(found),
                Algorithm::Rs256 => found.to_vec(),
            };
            false
        });
        std::fs::write(path("key.der"), spki).unwrap();
        std::fs::write(path("signature"), signature).unwrap();
        std::fs::write(path("input"), unverified.signing_input()).unwrap();
        tools()
            .openssl(["pkey", "-pubin", "-inform", "DER", "-in", &path("key.der"), "-out", &path("key.pem")])
            .accepted();
        let verify = || {
            let (key, signature) = (path("key.pem"), path("signature"));
            tools().openssl(["dgst", "-sha256", "-verify", &key, "-signature", &signature, &path("input")])
        };
        assert_eq!(verify().accepted().trim(), "Verified OK");
        std::fs::write(path("input"), b"something else").unwrap();
        assert!(verify().refused().contains("Verification failure"));
    }
}

/// The blocks that OpenSSL writes, whichever way: a certificate of version 3, and keys that are too weak.
#[test]
fn keys_and_certificates_of_openssl_are_read_or_refused_by_name() {
    let dir = temp_dir();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let read = |format| DeviceKey::from_pem(format, &std::fs::read(path("out.pem")).unwrap());
    for (algorithm, option, format, x509, outcome) in [
        ("EC", "ec_paramgen_curve:P-256", KeyFormat::Es256, KeyFormat::Es256X509, Ok(Algorithm::Es256)),
        ("RSA", "rsa_keygen_bits:2048", KeyFormat::Rsa, KeyFormat::RsaX509, Ok(Algorithm::Rs256)),
        ("EC", "ec_paramgen_curve:P-384", KeyFormat::Es256, KeyFormat::Es256X509, Err(DeviceKeyError::Key)),
        ("EC", "ec_paramgen_curve:secp256k1", KeyFormat::Es256, KeyFormat::Es256X509, Err(DeviceKeyError::Key)),
        ("RSA", "rsa_keygen_bits:1024", KeyFormat::Rsa, KeyFormat::RsaX509, Err(DeviceKeyError::Key)),
    ] {
        let (private, out) = (path("private.pem"), path("out.pem"));
        tools().openssl(["genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", &private]).accepted();
        tools().openssl(["pkey", "-in", &private, "-pubout", "-out", &out]).accepted();
        assert_eq!(read(format).map(|key| key.algorithm()), outcome, "{option}");
        tools()
            .openssl(["req", "-x509", "-new", "-key", &private, "-subj", "/CN=unused", "-days", "1", "-out", &out])
            .accepted();
        assert_eq!(read(x509).map(|key| key.algorithm()), outcome, "{option}");
        std::fs::copy(&private, &out).unwrap();
        assert_eq!(read(format).err(), Some(DeviceKeyError::Private));
    }
}
