//! Images: bare, signed, encrypted; and the signature blocks of every scheme.

use crate::tally::{Tally, Verdict};
use crate::vector;
use cotter_factory::encrypted_image::decrypt;
use cotter_factory::private_key::PrivateKey;
use cotter_formats::chip::Chip;
use cotter_formats::crc::crc_b;
use cotter_formats::image::Image;
use cotter_formats::secure_boot::v2::{
    BLOCK_LEN, BlockRefusal, ContentDigests, Curve, EcdsaPublicKey, SECTOR_LEN, Scheme, SignatureBlock, SignedFile,
    append_block,
};
use sha2::{Digest, Sha256};

/// esptool's image for the ESP32-C3, its first segment cut to the two descriptors, checksum and SHA-256 mended.
fn small() -> Vec<u8> {
    let whole = vector("image/esp32c3.bin");
    let mut image = whole[..24].to_vec();
    image[1] = 1;
    image.extend(&whole[24..28]);
    image.extend(352u32.to_le_bytes());
    image.extend(&whole[32..32 + 352]);
    let checksum = image[32..].iter().fold(0xEF, |sum, byte| sum ^ byte);
    image.resize((image.len() + 1).next_multiple_of(16), 0);
    *image.last_mut().unwrap() = checksum;
    let digest = Sha256::digest(&image);
    image.extend(digest);
    image
}

pub(crate) fn unsigned() -> Vec<Tally> {
    let image = small();
    Image::parse(&image, Chip::Esp32C3).unwrap();
    vec![Tally::of("image with SHA-256", &image, |flipped, _| match Image::parse(flipped, Chip::Esp32C3) {
        Err(refusal) => Verdict::refused(&refusal),
        // `hash_appended` is a bit like any other: without it, the digest is 32 bytes behind the image.
        Ok(parsed) if parsed.digest().is_none() => Verdict::Refused("bytes behind the image".into()),
        Ok(_) => Verdict::Harmless("nothing"),
    })]
}

/// One sector of content and the sector of signatures, as a device with this key's digest in eFuse sees them.
pub(crate) fn signed() -> Vec<Tally> {
    let key = PrivateKey::from_pem(&vector("keys/rsa3072_a.pem"), None).unwrap();
    let mut content = small();
    content.resize(SECTOR_LEN, 0xFF);
    let file = append_block(&small(), &key.sign_block(&ContentDigests::of(&content)).unwrap());
    let trusted: [u8; 32] = vector("sbv2/digest-rsa3072_a.bin").try_into().unwrap();
    assert_eq!(SignedFile::parse(&file).unwrap().verify(&trusted), Ok(0));
    vec![Tally::of("signed image, RSA-3072", &file, |flipped, at| {
        let file = match SignedFile::parse(flipped) {
            Ok(file) => file,
            Err(refusal) => return Verdict::refused(&refusal),
        };
        match (file.verify(&trusted), at.checked_sub(SECTOR_LEN)) {
            (Err(refusal), _) => Verdict::refused(&refusal),
            (Ok(_), Some(..BLOCK_LEN)) => Verdict::Harmless(BEHIND_CRC),
            (Ok(_), Some(BLOCK_LEN..)) => Verdict::Harmless("erased space behind the block that holds"),
            (Ok(_), None) => unreachable!("content changed at {at} and is accepted"),
        }
    })]
}

const BLOCKS: [&str; 4] = ["rsa3072_a", "ecdsa_p192", "ecdsa_p256", "ecdsa_p384"];

/// The first block of espsecure's files, and what a device that trusts its key says of a changed one.
pub(crate) fn blocks() -> Vec<Tally> {
    BLOCKS.map(|key| tally(key, "", |block| block.to_vec())).into()
}

/// The same with a CRC that holds: what remains is what cryptography refuses.
pub(crate) fn mended_blocks() -> Vec<Tally> {
    BLOCKS
        .map(|key| {
            tally(key, ", CRC mended", |block| {
                let crc = crc_b(&block[..CRC]);
                [&block[..CRC], &crc.to_le_bytes(), &block[CRC_END..]].concat()
            })
        })
        .into()
}

fn tally(key: &str, suffix: &str, mend: impl Fn(&[u8]) -> Vec<u8>) -> Tally {
    let file = vector(&format!("sbv2/signed-{key}.bin"));
    let (content, sector) = file.split_at(file.len() - SECTOR_LEN);
    let (digests, block) = (ContentDigests::of(content), &sector[..BLOCK_LEN]);
    let (trusted, scheme) = (vector(&format!("sbv2/digest-{key}.bin")), SignatureBlock::parse(block).unwrap().scheme());
    let name = format!("signature block, {scheme}{suffix}");
    Tally::of(&name, block, |flipped, at| {
        let mended = mend(flipped);
        let block = match SignatureBlock::parse(&mended) {
            Ok(block) => block,
            Err(refusal) => return Verdict::refused(&refusal),
        };
        if block.key_digest()[..] != trusted {
            return Verdict::Refused("Untrusted".into());
        }
        match block.verify_any(&digests) {
            Err(BlockRefusal::Block(refusal)) => Verdict::refused(&refusal),
            Err(refusal) => Verdict::refused(&refusal),
            Ok(()) => harmless(scheme, &block, at),
        }
    })
}

/// Why a block that changed at `at` still holds: its key, its digest and its signature are what they were.
fn harmless(scheme: Scheme, block: &SignatureBlock<'_>, at: usize) -> Verdict {
    match (at, Curve::of(scheme)) {
        (CRC_END.., _) => Verdict::Harmless(BEHIND_CRC),
        (CRC..CRC_END, _) => Verdict::Harmless("the CRC that was mended"),
        (2..4, _) => Verdict::Harmless("reserved bytes behind the version"),
        (_, Some(curve)) => {
            assert_eq!(EcdsaPublicKey::of_block(block).unwrap().curve(), curve);
            let (key, pair) = if curve == Curve::P384 { (52, 96) } else { (36, 64) };
            let numbers = key + 1 + pair;
            match at {
                _ if at >= numbers + pair => Verdict::Harmless("space that an ECDSA block leaves free"),
                _ if at >= numbers + 2 * curve.coordinate_len() => Verdict::Harmless("space behind r and s of P-192"),
                _ if (36..key).contains(&at) => Verdict::Harmless("space behind the digest"),
                _ => unreachable!("{scheme}: byte {at} changed and the block holds"),
            }
        }
        (_, None) => unreachable!("{scheme}: byte {at} changed and the block holds"),
    }
}

/// Both of Espressif's files, with 48 bytes of content encrypted anew.
pub(crate) fn encrypted() -> Vec<Tally> {
    [("rsa3072_a", "RSA-3072"), ("ecdsa_p256", "ECIES P-256")]
        .map(|(key, name)| {
            let key = PrivateKey::from_pem(&vector(&format!("keys/{key}.pem")), None).unwrap();
            let file = cotter_factory::encrypted_image::encrypt(&[0x5A; 48], key.public()).unwrap();
            Tally::of(&format!("encrypted image, {name}"), &file, |flipped, at| match decrypt(flipped, &key) {
                Err(refusal) => Verdict::refused(&refusal),
                Ok(_) => unreachable!("byte {at} changed and the file opens"),
            })
        })
        .into()
}

const CRC: usize = 1196;
const CRC_END: usize = CRC + 4;
const BEHIND_CRC: &str = "the 16 bytes behind the CRC, which nobody reads";
