//! What the table's words for preparations and data stand for.

use super::host::{CHILD, Host, PARENT, SERIAL, public_key, sha};
use cotter_formats::atecc::Opcode;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};

/// Runs what comes before a command. That some of it is refused in some states is no matter here: it has its own row.
pub(crate) fn prepare(host: &mut Host, before: &str) {
    if let Some((first, then)) = before.split_once(" and ") {
        prepare(host, first);
        return prepare(host, then);
    }
    let (word, slot) = before.split_once(' ').unwrap_or((before, "0"));
    let slot: u8 = slot.parse().unwrap();
    match word {
        "-" => {}
        "nonce" => random_nonce(host),
        "fixed" if slot == 64 => drop(host.run(Opcode::NONCE, 0x23, 0, &[1; 64])),
        "fixed" => {
            host.run(Opcode::NONCE, 0x03, 0, &[1; 32]);
            host.temp_key = [1; 32];
        }
        "digest" if slot == 64 => drop(host.run(Opcode::NONCE, 0x63, 0, &[1; 64])),
        "digest" => drop(host.run(Opcode::NONCE, 0x43, 0, &[1; 32])),
        "alternate" => drop(host.run(Opcode::NONCE, 0x83, 0, &[1; 32])),
        "private" => drop(host.run(Opcode::GEN_KEY, 0x04, 0xffff, &[])),
        "hmac" => drop(host.run(Opcode::SHA, 0x04, slot.into(), &[])),
        "sha" => drop(host.run(Opcode::SHA, 0x00, 0, &[])),
        "session" => {
            random_nonce(host);
            host.run(Opcode::GEN_DIG, 0x02, u16::from(slot), &[]);
            let header = [0x15, 0x02, slot, 0];
            host.temp_key = sha(&[&[slot; 32], &header, &SERIAL, &[0; 25], &host.temp_key]);
        }
        "key" => {
            random_nonce(host);
            host.run(Opcode::GEN_KEY, 0x10, u16::from(slot), &[0; 3]);
            let header = [0x40, 0, 0, 0];
            host.temp_key = sha(&[&host.temp_key, &header, &SERIAL, &[0; 25], &public_key(CHILD)]);
        }
        "certificate" => {
            host.run(Opcode::SHA, 0x00, 0, &[]);
            host.run(Opcode::SHA, 0x01, 64, &[5; 64]);
            host.run(Opcode::SHA, 0x03, 14, &[]);
            host.run(Opcode::SHA, 0x02, 0, &[]);
        }
        _ => panic!("{before}"),
    }
}

fn random_nonce(host: &mut Host) {
    let random = host.run(Opcode::NONCE, 0x00, 0, &[9; 20]);
    host.temp_key = sha(&[&random, &[9; 20], &[0x16, 0, 0]]);
}

/// What comes with a command.
pub(crate) fn data(host: &Host, word: &str, opcode: Opcode, param1: u8, param2: u16) -> Vec<u8> {
    let [low, high] = param2.to_le_bytes();
    let header = [opcode.0, param1, low, high];
    let temp_key = &host.temp_key;
    let padded = |pad: &[u8], plain: &[u8]| plain.iter().zip(pad).map(|(byte, pad)| byte ^ pad).collect::<Vec<_>>();
    match word {
        "-" => Vec::new(),
        "public key" => public_key(5),
        "private key" => [[0; 4].as_slice(), &[11; 32]].concat(),
        "mac answer" => {
            let challenge = if param1 & 1 == 0 { [6; 32] } else { *temp_key };
            // Nobody has written OTP.
            let otp = if param1 & 0x20 == 0 { [0; 8] } else { [0xff; 8] };
            let message: [&[u8]; 8] =
                [&[low; 32], &challenge, &[0; 4], &otp, &[0; 3], &SERIAL[..1], &[0; 4], &SERIAL[1..]];
            let answer = sha(&[&message.concat(), &[0; 2]]);
            [&[6; 32], &answer[..], &[0; 13]].concat()
        }
        "parent mac" => sha(&[&[4; 32], &header, &SERIAL]).to_vec(),
        "sealed block" => {
            let mac = sha(&[temp_key, &header, &SERIAL, &[0; 25], &[7; 32]]);
            [padded(temp_key, &[7; 32]), mac.to_vec()].concat()
        }
        "sealed key" => {
            let plain = [[0; 4].as_slice(), &[11; 32]].concat();
            let mac = sha(&[temp_key, &header, &SERIAL, &[0; 21], &plain]);
            let pad = [*temp_key, sha(&[temp_key])].concat();
            [padded(&pad, &plain), mac.to_vec()].concat()
        }
        "kdf prf" => [&[0x01, 0, 0, 16], &[2; 16][..]].concat(),
        "kdf hkdf" => [&[0x02, 0, 0, 16], &[2; 16][..]].concat(),
        "kdf aes" => [&[0x00, 0, 0, 0], &[2; 16][..]].concat(),
        "signature" => signature(PARENT, &[1; 32]),
        "signature and key" => [signature(PARENT, &[1; 32]), public_key(PARENT)].concat(),
        "image" => [&[8; 32], &signature(PARENT, &[8; 32])[..]].concat(),
        "other image" => [&[9; 32], &signature(PARENT, &[8; 32])[..]].concat(),
        // What personalisation left in slot 12.
        "sealed digest" => padded(&sha(&[&[4; 32], temp_key]), &[12; 32]),
        "validation" => validation(temp_key, param1 == 0x07),
        "other validation" => validation(temp_key, param1 != 0x07),
        "certified" => signature(PARENT, &sha(&[&[5; 64], &public_key(CHILD)])),
        _ => vec![0; word.strip_prefix("zeros ").unwrap().parse().unwrap()],
    }
}

/// The parent's signature over the key in `TempKey`, and the 19 bytes that were hashed besides.
fn validation(temp_key: &[u8; 32], is_valid: bool) -> Vec<u8> {
    let mut other = [0; 19];
    other[17] = u8::from(is_valid);
    let [head, middle, tail] = [&other[..10], &other[10..14], &other[14..]];
    let message = sha(&[temp_key, &[0x41], head, &SERIAL[..1], middle, &SERIAL[1..], tail]);
    [signature(PARENT, &message), other.to_vec()].concat()
}

fn signature(seed: u8, digest: &[u8; 32]) -> Vec<u8> {
    let signature: Signature = SigningKey::from_slice(&[seed; 32]).unwrap().sign_prehash(digest).unwrap();
    signature.to_bytes().to_vec()
}
