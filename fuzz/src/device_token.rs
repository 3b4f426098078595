//! Device tokens, and the keys that they are verified with.

use base64ct::{Base64UrlUnpadded, Encoding};
use cotter_server::device_key::{DeviceKey, KeyFormat, MAX_PEM};
use cotter_wire::token::{Claims, MAX_TOKEN, ToBeSigned, TokenError, Unverified};
use serde_json::Value;

/// What is read as a token has one spelling, and claims what another JSON library reads in it; written anew, it claims the
/// same. The input is tried as a token, as a header, as claims, and as a key.
pub fn device_token(data: &[u8]) {
    token(data);
    let part = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let signature = part(&[0; 64]);
    token(format!("{}.{}.{signature}", part(data), part(b"{}")).as_bytes());
    token(format!("{}.{}.{signature}", part(b"{\"alg\":\"ES256\"}"), part(data)).as_bytes());
    key(data);
}

fn token(data: &[u8]) {
    let Ok(token) = Unverified::parse(data) else { return };
    assert!(data.len() <= MAX_TOKEN && data.starts_with(token.signing_input()));
    assert_eq!(token.verify(|_, _| false), Err(TokenError::Signature), "a claim before the signature");
    let parts: Vec<_> = data.split(|byte| *byte == b'.').map(|part| (part, decoded(part))).collect();
    assert_eq!(parts.len(), 3);
    for (part, bytes) in &parts {
        assert_eq!(Base64UrlUnpadded::encode_string(bytes).as_bytes(), *part, "a part has two spellings");
    }
    let verified = token.verify(|input, signature| {
        assert_eq!((input, signature), (token.signing_input(), &parts[2].1[..]));
        true
    });
    let Ok(verified) = verified else { return };
    let claims = verified.claims();
    assert!(Claims::is_audience(claims.audience));
    // It takes less: escapes of half a character, and numbers beyond its own.
    if let Ok(value) = serde_json::from_slice::<Value>(&parts[1].1) {
        assert_eq!(value["aud"], claims.audience);
        assert_eq!((&value["iat"], &value["exp"]), (&claims.issued_at.0.into(), &claims.expires_at.0.into()));
    }
    let mut out = [0; MAX_TOKEN];
    if let Ok(unsigned) = ToBeSigned::new(token.algorithm(), &claims, &mut out) {
        let again = unsigned.finish(&parts[2].1).expect("a token that was read has room");
        let again = Unverified::parse(again.as_bytes()).expect("what was written can be read");
        assert_eq!(again.verify(|_, _| true), Ok(verified), "claims changed in a round trip");
    }
}

fn decoded(part: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(part).expect("base64url is text");
    Base64UrlUnpadded::decode_vec(text).expect("what was read is base64url")
}

fn key(data: &[u8]) {
    let check = |key: &DeviceKey| {
        assert!(!key.verifies(b"", &[0; 64]) && !key.verifies(b"", &[0; 256]) && !key.verifies(b"", &[]));
        let again = DeviceKey::from_spki(key.spki()).expect("a key that was read");
        assert_eq!((again.id(), again.algorithm()), (key.id(), key.algorithm()));
    };
    if let Ok(key) = DeviceKey::from_spki(data) {
        assert_eq!(key.spki(), data, "a key changed in a round trip");
        check(&key);
    }
    let read: Vec<_> = KeyFormat::ALL.into_iter().filter_map(|format| DeviceKey::from_pem(format, data).ok()).collect();
    assert!(read.len() <= 1 && (read.is_empty() || data.len() <= MAX_PEM), "one text in two formats");
    read.iter().for_each(check);
}
