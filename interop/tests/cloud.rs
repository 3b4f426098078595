//! Credentials for clouds, from random names and keys, against Python: hmac, urllib, cryptography.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::cloud::{AuthorizerKey, fresh_token};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_interop::{Generator, tools};
use cotter_wire::cloud::aws::AuthorizerToken;
use cotter_wire::cloud::azure::{MAX_KEY_TEXT, MAX_SAS, RegistrationId, Resource, SymmetricKey};
use cotter_wire::ids::UnixTime;
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("cloud/peer.py");
const CASES: usize = 60;

/// A name of these characters that ends with a letter.
fn name(random: &mut Generator, alphabet: &[u8], longest: usize) -> String {
    let length = random.between(0, longest - 1);
    let head: String = (0..length).map(|_| char::from(*random.pick(alphabet))).collect();
    head + "z"
}

fn text(key: &SymmetricKey) -> String {
    key.write_base64(&mut [0; MAX_KEY_TEXT]).to_owned()
}

/// A key of any length that there is, as text.
fn key(random: &mut Generator) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Whole groups of three bytes, so that every digit may be any.
    let groups = random.between(6, 21);
    (0..4 * groups).map(|_| char::from(*random.pick(DIGITS))).collect()
}

fn azure(random: &mut Generator) -> Value {
    let shown = key(random);
    let key = SymmetricKey::from_base64(shown.as_bytes()).unwrap();
    assert_eq!(text(&key), shown);
    let expiry = random.next_u64() >> random.below(64);
    let mut out = [0; MAX_SAS];
    if random.below(2) == 0 {
        let device = name(random, b"abcXYZ019-._~", 128);
        let hub = name(random, b"abc019", 60) + ".azure-devices.net";
        let sas = Resource::hub(&hub, &device).unwrap().sas(&key, UnixTime(expiry), &mut out).unwrap();
        return json!({ "key": shown, "hub": hub, "device": device, "expiry": expiry, "sas": sas });
    }
    let registration = name(random, b"abcXYZ019-._", 128);
    let scope = name(random, b"abcXYZ019", 20);
    let id = RegistrationId::new(&registration).unwrap();
    let derived = key.derive(&id);
    let resource = Resource::provisioning(&scope, &id).unwrap();
    let sas = resource.sas(&derived, UnixTime(expiry), &mut out).unwrap();
    json!({
        "key": shown, "registration": registration, "scope": scope, "expiry": expiry,
        "derived": text(&derived), "sas": sas,
    })
}

#[test]
fn pythons_hmac_makes_the_same_keys_and_tokens_for_azure() {
    let mut random = Generator::seeded();
    let cases: Vec<Value> = (0..CASES).map(|_| azure(&mut random)).collect();
    let check = |cases: &[Value]| tools().python_on(SCRIPT, &[], &serde_json::to_vec(cases).unwrap());
    assert_eq!(check(&cases).accepted().trim(), "ok");
    // It would notice.
    let mut later = cases[0].clone();
    later["expiry"] = (later["expiry"].as_u64().unwrap() ^ 1).into();
    assert!(check(&[later]).refused().contains("AssertionError"));
}

#[test]
fn cryptography_verifies_what_a_custom_authorizer_of_aws_is_shown() {
    let mut random = Generator::seeded();
    let mut cases = Vec::new();
    for bits in [2048, 3072, 4096] {
        let key = PrivateKey::generate(KeyKind::Rsa(bits)).unwrap();
        let public = key.public().to_pem().unwrap();
        let key = AuthorizerKey::new(key).unwrap();
        for _ in 0..5 {
            let user = name(&mut random, b"abcXYZ019-._~", 128);
            let authorizer = name(&mut random, b"abcXYZ019_=,@-", 128);
            let token_key = name(&mut random, b"abcXYZ019_-", 100);
            let token = match random.below(2) {
                0 => fresh_token().unwrap().to_string(),
                _ => name(&mut random, b"abcXYZ019-._~", 4096),
            };
            let shown = AuthorizerToken::new(&user, &authorizer, &token_key, &token).unwrap();
            cases.push(json!({
                "user": user, "authorizer": authorizer, "token_key": token_key, "token": token,
                "public": public, "user_name": key.user_name(&shown).unwrap().as_str(),
            }));
        }
    }
    let check = |cases: &[Value]| tools().python_on(SCRIPT, &[], &serde_json::to_vec(cases).unwrap());
    assert_eq!(check(&cases).accepted().trim(), "ok");
    // It would notice: the key of another size.
    let public = cases[14]["public"].clone();
    cases[0]["public"] = public;
    assert!(check(&cases).refused().contains("InvalidSignature"));
}
