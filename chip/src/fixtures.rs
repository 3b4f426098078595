//! What the tests of ROM and second stage share: a key of our own, and flash content made with it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use cotter_formats::addr::FlashAddr;
use cotter_formats::flash_encryption::xts::{self, XtsKey};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::{RsaPublicKey, append_signature};
use std::sync::LazyLock;

pub(crate) const FLASH_KEY: &[u8] = include_bytes!("../../vectors/efuse/fe_key_256.bin");

/// A key of our own, for images that espsecure does not make.
static OWN: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa3072).unwrap());

pub(crate) fn own_public() -> RsaPublicKey {
    // PKCS#1: SEQUENCE and INTEGER headers, a sign byte, then the modulus.
    let n_be = OWN.public_key().as_ref()[9..][..384].try_into().unwrap();
    RsaPublicKey { n_be, e: 65537 }
}

pub(crate) fn signed_by_us(content: &[u8]) -> Vec<u8> {
    append_signature(content, &own_public(), |_| {
        let padded = content.len().div_ceil(4096) * 4096;
        let mut message = content.to_vec();
        message.resize(padded, 0xff);
        let mut signature = [0; 384];
        OWN.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &message, &mut signature).map(|()| signature)
    })
    .unwrap()
}

pub(crate) fn encrypted_for(address: u32, image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image.resize(image.len().next_multiple_of(16), 0xff);
    let key = XtsKey::Aes128(Secret::from_slice(FLASH_KEY).unwrap());
    xts::encrypt(&key, FlashAddr(address), &mut image).unwrap();
    image
}
