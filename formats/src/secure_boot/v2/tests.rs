extern crate std;
use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use core::convert::Infallible;
use std::vec::Vec;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../../vectors/sbv2/", $name))
    };
}
const A: &[u8] = golden!("signed-rsa3072_a.bin");
const AB: &[u8] = golden!("signed-rsa-ab.bin");
const DIGEST_A: &[u8; 32] = golden!("digest-rsa3072_a.bin");
const DIGEST_B: &[u8; 32] = golden!("digest-rsa3072_b.bin");
const UNSIGNED: &[u8] = include_bytes!("../../../../vectors/image/esp32c3-bootloader.bin");

#[test]
fn verifies_what_espsecure_signs_with_the_key_that_signed_it() {
    let app = SignedFile::parse(golden!("app-esp32c3-signed-rsa_a.bin")).unwrap();
    assert_eq!(app.content.len(), 0x2_0000);
    assert_eq!(app.verify(DIGEST_A), Ok(0));
    assert_eq!(app.verify(DIGEST_B), Err(SignatureError::Untrusted));
    assert_eq!(SignedFile::parse(golden!("signed-rsa3072_b.bin")).unwrap().verify(DIGEST_B), Ok(0));
    let both = SignedFile::parse(AB).unwrap();
    assert_eq!((both.verify(DIGEST_A), both.verify(DIGEST_B)), (Ok(0), Ok(1)));
    assert_eq!(both.signatures.ended_by(), None);
}

#[test]
fn reads_a_file_signed_without_padding() {
    let file = SignedFile::parse(golden!("signed-skip-padding.bin")).unwrap();
    assert_eq!(file.content, UNSIGNED);
    let block = file.signatures.blocks().next().unwrap();
    assert_eq!(block.image_digest(), &Sha256::digest(UNSIGNED)[..]);
}

#[test]
fn reads_ecdsa_blocks_and_refuses_to_verify_them_by_name() {
    for (file, digest, scheme) in [
        (&golden!("signed-ecdsa_p192.bin")[..], golden!("digest-ecdsa_p192.bin"), Scheme::EcdsaP192),
        (golden!("signed-ecdsa_p256.bin"), golden!("digest-ecdsa_p256.bin"), Scheme::EcdsaP256),
        (golden!("signed-precalc-p256.bin"), golden!("digest-ecdsa_p256.bin"), Scheme::EcdsaP256),
        (golden!("signed-ecdsa_p384.bin"), golden!("digest-ecdsa_p384.bin"), Scheme::EcdsaP384),
    ] {
        let file = SignedFile::parse(file).unwrap();
        let block = file.signatures.blocks().next().unwrap();
        assert_eq!((block.scheme(), block.key_digest(), block.rsa_key()), (scheme, *digest, None));
        if scheme != Scheme::EcdsaP384 {
            assert_eq!(block.image_digest(), content_digest(file.content));
        }
        assert_eq!(file.verify(digest), Err(SignatureError::Scheme(scheme)));
    }
    let mixed = SignedFile::parse(golden!("signed-rsa-ab-plus-ecdsa.bin")).unwrap();
    let schemes: Vec<_> = mixed.signatures.blocks().map(SignatureBlock::scheme).collect();
    assert_eq!(schemes, [Scheme::Rsa3072, Scheme::Rsa3072, Scheme::EcdsaP256]);
}

/// The big-endian signature in a block, to be replayed as if a signer had made it.
fn signature(block: &SignatureBlock<'_>) -> [u8; 384] {
    reversed(&field(block.as_bytes(), SIGNATURE))
}

#[test]
fn builds_the_same_bytes_as_espsecure_around_the_same_signature() {
    let golden = SignedFile::parse(AB).unwrap();
    let blocks: Vec<_> = golden.signatures.blocks().collect();
    let key = |index: usize| blocks[index].rsa_key().unwrap();
    assert_eq!(key(0).key_digest(), Ok(*DIGEST_A));
    let once = append_signature(UNSIGNED, &key(0), |_| Ok::<_, Infallible>(signature(blocks[0]))).unwrap();
    let twice = add_signature(&once, &key(1), |_| Ok::<_, Infallible>(signature(blocks[1]))).unwrap();
    assert!(twice == AB);
}

#[test]
fn returns_nothing_that_it_would_not_accept() {
    let golden = SignedFile::parse(AB).unwrap();
    let blocks: Vec<_> = golden.signatures.blocks().collect();
    let (key_a, key_b) = (blocks[0].rsa_key().unwrap(), blocks[1].rsa_key().unwrap());
    let by_b = |_: &[u8; 32]| Ok::<_, Infallible>(signature(blocks[1]));
    let wrong_key = append_signature(UNSIGNED, &key_a, by_b);
    assert!(matches!(wrong_key, Err(SignError::Signature(PssError::Mismatch | PssError::Range))));
    assert_eq!(append_signature(&UNSIGNED[1..], &key_b, by_b), Err(SignError::Signature(PssError::Mismatch)));
    assert_eq!(append_signature(UNSIGNED, &key_b, |_| Err("no card")), Err(SignError::Signer("no card")));
    let even = RsaPublicKey { n_be: [0xfe; 384], e: 65537 };
    assert_eq!(append_signature(UNSIGNED, &even, by_b), Err(SignError::Key(PssError::Modulus)));
    let unsigned = SignatureError::Magic { found: 0xff };
    assert_eq!(add_signature(&[0xff; 8192], &key_b, by_b), Err(SignError::Unsigned(unsigned)));
    let full = add_signature(&add_signature(AB, &key_b, by_b).unwrap(), &key_b, by_b);
    assert_eq!(full, Err(SignError::Full));
}

#[test]
fn verifies_its_own_signature_by_a_fresh_key() {
    let pair = KeyPair::generate(KeySize::Rsa3072).unwrap();
    let n_be = pair.public_key().as_ref()[9..][..384].try_into().unwrap();
    let key = RsaPublicKey { n_be, e: 65537 };
    let content = b"not a multiple of anything";
    let file = append_signature(content, &key, |_| {
        // aws-lc hashes by itself, so it gets the padded content instead of the digest.
        let mut padded = content.to_vec();
        padded.resize(SECTOR_LEN, 0xff);
        let mut signature = [0; 384];
        pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &padded, &mut signature).map(|()| signature)
    })
    .unwrap();
    assert_eq!(file.len(), 2 * SECTOR_LEN);
    assert_eq!(SignedFile::parse(&file).unwrap().verify(&key.key_digest().unwrap()), Ok(0));
}

#[test]
fn refuses_truncation_at_every_length() {
    let sector = &A[A.len() - SECTOR_LEN..];
    for len in 0..SECTOR_LEN {
        let refusal = SignatureSector::parse(&sector[..len]);
        let truncated = ReadError::Truncated { at: 0, needed: SECTOR_LEN, remaining: len };
        assert_eq!(refusal, Err(SignatureError::Read(truncated)));
    }
    for len in (0..BLOCK_LEN).chain([BLOCK_LEN + 1]) {
        assert!(matches!(SignatureBlock::parse(&sector[..len]), Err(SignatureError::Read(_))));
    }
}

/// The golden block of key A with a change, its CRC mended or not.
fn changed(mend: bool, change: impl FnOnce(&mut [u8; BLOCK_LEN])) -> [u8; BLOCK_LEN] {
    let mut block = A[A.len() - SECTOR_LEN..][..BLOCK_LEN].try_into().unwrap();
    change(&mut block);
    if mend {
        let crc = crc_b(&block[..CRC]);
        block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
    }
    block
}

#[test]
fn detects_every_bit_flip_that_the_silicon_reads() {
    for bit in 0..8 * BLOCK_LEN {
        let flipped = changed(false, |block| block[bit / 8] ^= 1 << (bit % 8));
        let refusal = SignatureBlock::parse(&flipped).err();
        match bit / 8 {
            0 => assert_eq!(refusal, Some(SignatureError::Magic { found: flipped[0] })),
            1 if flipped[1] != 3 => assert_eq!(refusal, Some(SignatureError::Version { found: flipped[1] })),
            1200.. => assert_eq!(refusal, None, "no checksum covers the tail, and nobody reads it"),
            _ => assert!(matches!(refusal, Some(SignatureError::Crc { .. })), "bit {bit}"),
        }
    }
}

#[test]
fn refuses_each_mended_forgery_by_name() {
    let digest = content_digest(UNSIGNED);
    let verdict = |block: [u8; BLOCK_LEN]| SignatureBlock::parse(&block).and_then(|block| block.verify(&digest));
    assert_eq!(verdict(changed(true, |_| {})), Ok(()));
    assert_eq!(verdict(changed(true, |b| b[4] ^= 1)), Err(SignatureError::Digest));
    assert_eq!(verdict(changed(true, |b| b[36] ^= 1)), Err(SignatureError::Pss(PssError::Modulus)));
    assert_eq!(verdict(changed(true, |b| b[37] ^= 1)), Err(SignatureError::Constants));
    assert_eq!(verdict(changed(true, |b| b[420] = 2)), Err(SignatureError::Pss(PssError::Exponent(0x1_0002))));
    assert_eq!(verdict(changed(true, |b| b[424] ^= 1)), Err(SignatureError::Constants));
    assert_eq!(verdict(changed(true, |b| b[808] ^= 1)), Err(SignatureError::Constants));
    assert_eq!(verdict(changed(true, |b| b[812] ^= 1)), Err(SignatureError::Pss(PssError::Mismatch)));
    assert_eq!(verdict(changed(true, |b| b[812..1196].fill(0xff))), Err(SignatureError::Pss(PssError::Range)));
    assert_eq!(verdict(changed(true, |b| b[1] = 4)), Err(SignatureError::Version { found: 4 }));
    let ecdsa = |hash, curve_at: usize, curve| changed(true, |b| (b[1], b[2], b[curve_at]) = (3, hash, curve));
    assert_eq!(verdict(ecdsa(0, 36, 9)), Err(SignatureError::Curve { found: 9 }));
    assert_eq!(verdict(ecdsa(1, 52, 2)), Err(SignatureError::Curve { found: 2 }));
    assert_eq!(verdict(ecdsa(2, 36, 2)), Err(SignatureError::Hash { found: 2 }));
    assert_eq!(verdict(ecdsa(0, 36, 2)), Err(SignatureError::Scheme(Scheme::EcdsaP256)));
}

#[test]
fn detects_a_change_anywhere_in_the_content_or_its_padding() {
    for at in [0, UNSIGNED.len() - 1, UNSIGNED.len(), A.len() - SECTOR_LEN - 1] {
        let mut file = A.to_vec();
        file[at] ^= 1;
        assert_eq!(SignedFile::parse(&file).unwrap().verify(DIGEST_A), Err(SignatureError::Digest), "{at:#x}");
    }
    assert_eq!(SignedFile::parse(&A[..8192]).unwrap_err(), SignatureError::Magic { found: A[4096] });
}

#[test]
fn a_damaged_block_ends_the_list_and_says_so() {
    let sector = AB.len() - SECTOR_LEN;
    let mut file = AB.to_vec();
    file[sector + BLOCK_LEN + 100] ^= 1;
    let parsed = SignedFile::parse(&file).unwrap();
    assert_eq!(parsed.signatures.blocks().count(), 1);
    assert!(matches!(parsed.signatures.ended_by(), Some(SignatureError::Crc { .. })));
    assert_eq!(parsed.verify(DIGEST_B), Err(SignatureError::Untrusted));
    file[sector] = 0xff;
    assert_eq!(SignedFile::parse(&file).unwrap_err(), SignatureError::Magic { found: 0xff });
}

#[test]
fn pads_to_whole_sectors() {
    for (len, padded) in [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)] {
        assert_eq!(content_padded_len(len), padded);
    }
    assert_eq!(content_digest(UNSIGNED), <[u8; 32]>::from(Sha256::digest(golden!("bootloader-padded.bin"))));
}
