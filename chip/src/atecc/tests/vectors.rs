//! Golden vectors, named by where they come from.

use super::*;

/// cryptoauthlib 20260505 `test/api_atcab/atca_tests_kdf.c`: the key that all three take.
const KEY: [u8; 32] = hex!("000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f");

/// The test configuration with KDF over AES.
fn host() -> Host {
    let mut config = DEMO;
    config[90] |= 4;
    Host::configured(&config, 2)
}

fn details(flags: u32, len: u8) -> Vec<u8> {
    (flags | u32::from(len) << 24).to_le_bytes().to_vec()
}

#[test]
fn kdf_prf_of_cryptoauthlib() {
    let mut host = host();
    host.ok(Opcode::NONCE, 3, 0, &KEY);
    let data = [details(0x101, 16), KEY[..16].to_vec()].concat();
    let found = host.ok(Opcode::KDF, 0x10, 0x1234, &data);
    let expected = hex!(
        "1ebcbe62005ab948fdffe1c402aaba354ec676050c9bc1aae1ff5b1509a4a04a"
        "44254664c2a480f5b77ea2d1020c7ba4b3640c4ac793324c26d6fddfdb1f011a"
    );
    assert_eq!(found, expected);
    // Encrypted under the I/O protection key, which is in slot 4 and still blank.
    let protected = host.ok(Opcode::KDF, 0x14, 0x1234, &data);
    let pads = [sha(&[&[0xff; 32], &protected[64..80]]), sha(&[&[0xff; 32], &protected[80..]])].concat();
    assert_eq!(xor(&protected[..64], &pads), expected);
}

#[test]
fn kdf_aes_of_cryptoauthlib() {
    let mut host = host();
    host.ok(Opcode::NONCE, 3, 0, &KEY);
    let found = host.ok(Opcode::KDF, 0x30, 0x1234, &[details(0, 0), KEY[..16].to_vec()].concat());
    assert_eq!(found, hex!("0a940bb5416ef045f1c39458c653ea5a00000000000000000000000000000000"));
}

#[test]
fn kdf_hkdf_is_hmac_and_wants_its_initialization_string() {
    let mut host = host();
    host.ok(Opcode::NONCE, 3, 0, &KEY);
    let found = host.ok(Opcode::KDF, 0x50, 0, &[details(2, 16), KEY[..16].to_vec()].concat());
    let pad = |with: u8| [KEY.map(|byte| byte ^ with).to_vec(), vec![with; 32]].concat();
    assert_eq!(found, sha(&[&pad(0x5c), &sha(&[&pad(0x36), &KEY[..16]])]));
    let mut message = KEY[..16].to_vec();
    assert_eq!(host.refused(Opcode::KDF, 0x50, 0, &[details(3, 16), message.clone()].concat()), Status::EXECUTION);
    message[9..11].copy_from_slice(&[0x69, 0x76]);
    host.ok(Opcode::NONCE, 3, 0, &KEY);
    host.ok(Opcode::KDF, 0x50, 0, &[details(3, 16), message].concat());
}

/// NIST's example for AES-128 in ECB mode (SP 800-38A F.1.1).
#[test]
fn aes_of_nist() {
    let mut host = host();
    let key = hex!("2b7e151628aed2a6abf7158809cf4f3c");
    let (plain, cipher) = (hex!("6bc1bee22e409f96e93d7e117393172a"), hex!("3ad77bb40d7a3660a89ecaf32466ef97"));
    host.ok(Opcode::NONCE, 0x23, 0, &[[0; 32], [key, key].concat().try_into().unwrap()].concat());
    for block in [2, 3] {
        assert_eq!(host.ok(Opcode::AES, block << 6, 0xffff, &plain), cipher);
        assert_eq!(host.ok(Opcode::AES, block << 6 | 1, 0xffff, &cipher), plain);
    }
    host.ok(Opcode::NONCE, 3, 0, &[0; 32]);
    assert_eq!(host.refused(Opcode::AES, 2 << 6, 0xffff, &plain), Status::EXECUTION, "32 bytes are two keys");
}

/// Test case 2 of the GCM specification (McGrew and Viega), as cryptoauthlib's `aes_gfm` has it.
#[test]
fn field_multiplication_of_gcm() {
    let (h, x) = (hex!("66e94bd4ef8a2c3b884cfa59ca342b2e"), hex!("0388dace60b6a392f328c2b971b2fe78"));
    let found = host().ok(Opcode::AES, 3, 0, &[h, x].concat());
    assert_eq!(found, hex!("5e2ec746917062882c85b0685353deb7"));
}

#[test]
fn without_the_factory_bit_there_is_no_aes() {
    let mut bytes = host().part.to_bytes().to_vec();
    bytes[24 + 13] = 0;
    let end = bytes.len() - 32;
    let checksum = sha(&[&bytes[..end]]);
    bytes[end..].copy_from_slice(&checksum);
    let mut host = host();
    host.part = SecureElement::from_bytes(&bytes, Entropy::known(3)).unwrap();
    assert_eq!(host.refused(Opcode::AES, 3, 0, &[0; 32]), Status::EXECUTION);
}
