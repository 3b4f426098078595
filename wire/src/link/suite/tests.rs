extern crate std;
use super::*;
use hex_literal::hex;

fn key(suite: Suite, key: &[u8], iv: &[u8]) -> FrameKey {
    FrameKey::filled_by(suite, |key_out, iv_out| {
        key_out.copy_from_slice(key);
        iv_out.copy_from_slice(iv);
    })
}

/// RFC 8439, 2.8.2; its nonce as the IV, and counter 0.
#[test]
fn chacha20_poly1305_is_that_of_rfc_8439() {
    let bytes: [u8; 32] = core::array::from_fn(|at| u8::try_from(at + 0x80).unwrap());
    let key = key(Suite::ChaCha20Poly1305, &bytes, &hex!("070000004041424344454647"));
    let mut data = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let mut tag = [0; 16];
    key.seal(0, &hex!("50515253c0c1c2c3c4c5c6c7"), &mut data, &mut tag);
    assert_eq!(tag, hex!("1ae10b594f09e26a7e902ecbd0600691"));
    assert_eq!(data[..8], hex!("d31a8d34648e60db"));
}

/// The GCM specification's test case 2: all zero.
#[test]
fn aes_128_gcm_is_that_of_its_specification() {
    let (mut data, mut tag) = ([0; 16], [0; 16]);
    key(Suite::Aes128Gcm, &[0; 16], &[0; 12]).seal(0, &[], &mut data, &mut tag);
    assert_eq!((data, tag), (hex!("0388dace60b6a392f328c2b971b2fe78"), hex!("ab6e47d42cec13bdf53a67b21257bddf")));
}

/// NIST SP 800-38C, example 3, has a nonce of 12 bytes and a tag of 8.
#[test]
fn aes_128_ccm_8_is_that_of_nist() {
    let key = key(Suite::Aes128Ccm8, &hex!("404142434445464748494a4b4c4d4e4f"), &hex!("101112131415161718191a1b"));
    let mut data = hex!("202122232425262728292a2b2c2d2e2f3031323334353637");
    let mut tag = [0; 8];
    key.seal(0, &hex!("000102030405060708090a0b0c0d0e0f10111213"), &mut data, &mut tag);
    assert_eq!(data, hex!("e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5"));
    assert_eq!(tag, hex!("484392fbc1b09951"));
}

#[test]
fn the_counter_is_the_last_eight_bytes_of_the_nonce() {
    for suite in Suite::ALL {
        let (one, other) = ([3; 32], [0x55; 16]);
        let mut shifted = other;
        let counter = 0x0102_0304_0506_0708_u64;
        let len = suite.nonce_len();
        shifted[len - 8..len].iter_mut().zip(counter.to_be_bytes()).for_each(|(byte, count)| *byte ^= count);
        let sealed = |iv: &[u8; 16], counter| {
            let (mut data, mut tag) = ([9; 20], [0; 16]);
            let key = key(suite, &one[..suite.key_len()], &iv[..len]);
            key.seal(counter, b"head", &mut data, &mut tag[..suite.tag_len()]);
            assert!(key.open(counter, b"head", &mut data.clone(), &tag[..suite.tag_len()]));
            assert!(!key.open(counter + 1, b"head", &mut data.clone(), &tag[..suite.tag_len()]));
            assert!(!key.open(counter, b"heaD", &mut data.clone(), &tag[..suite.tag_len()]));
            assert!(!key.open(counter, b"head", &mut data.clone(), &tag[..suite.tag_len() - 1]));
            (data, tag)
        };
        assert_eq!(sealed(&other, counter), sealed(&shifted, 0));
    }
}

#[test]
fn names_and_numbers_are_read_back() {
    for suite in Suite::ALL {
        assert_eq!((Suite::from_name(suite.as_str()), Suite::from_number(suite as u8)), (Some(suite), Some(suite)));
        assert!(SuiteSet::ALL.contains(suite));
        assert_eq!(SuiteSet::only(suite).choose(SuiteSet::ALL), Some(suite));
    }
    assert_eq!((Suite::from_name("none"), Suite::from_number(0), Suite::from_number(6)), (None, None, None));
    assert_eq!(SuiteSet::only(Suite::Aes128Gcm).choose(SuiteSet::only(Suite::Aes128Ccm)), None);
    assert_eq!(SuiteSet::ALL.choose(SuiteSet::ALL), Some(Suite::ChaCha20Poly1305));
}
