//! esp_secure_cert partitions: entries under their own CRC, integrity, signatures; and the legacy format.

use crate::tally::{Tally, Verdict};
use crate::vector;
use cotter_factory::secure_cert::open;
use cotter_formats::crc::crc_a;
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_cert::{
    Builder, CustFlash, Entries, Entry, Finding, FindingKind, Flags, Inspection, TlvType, Weight, inspect,
};
use sha2::{Digest, Sha256};

/// As they lie in flash, and with the CRC of every entry mended: what remains is what integrity and signature refuse.
pub(crate) fn partitions() -> Vec<Tally> {
    let (small, signed) = (small(), signed());
    vec![
        Tally::of("esp_secure_cert with integrity", &small, |flipped, at| judged(&small, flipped, at)),
        Tally::of("esp_secure_cert with integrity, CRCs mended", &small, |flipped, at| {
            judged(&small, &mended(flipped), at)
        }),
        Tally::of("esp_secure_cert, signed", &signed, |flipped, at| judged(&signed, flipped, at)),
        Tally::of("esp_secure_cert, signed, CRCs mended", &signed, |flipped, at| judged(&signed, &mended(flipped), at)),
        Tally::of("esp_secure_cert, signed, CRCs and integrity mended", &signed, |flipped, at| {
            judged(&signed, &mended(&with_integrity(flipped)), at)
        }),
    ]
}

/// User data of odd length and a derived key with its salt; then the erased rest.
fn small() -> Vec<u8> {
    let mut builder = Builder::new(0x1000).unwrap();
    builder.add(TlvType::USER_DATA_1, 3, Flags::NONE, b"serial 4711").unwrap();
    builder.add(TlvType::ECDSA_SALT, 0, Flags::NONE, &[0x5A; 32]).unwrap();
    builder.add(TlvType::PRIVATE_KEY, 0, Flags::HMAC_DERIVED, &[]).unwrap();
    builder.add_integrity().unwrap();
    builder.finish_filled()[..256].to_vec()
}

/// The signature of Espressif's tool with P-256, over nothing but a CA certificate.
fn signed() -> Vec<u8> {
    vector("securecert/signed-p256_signed.bin")
}

/// Every entry that begins and ends somewhere gets the CRC of what it is now.
fn mended(partition: &[u8]) -> Vec<u8> {
    let mut bytes = partition.to_vec();
    for entry in Entries::new(partition).flatten() {
        let at = entry.end() - Entry::CRC_LEN;
        let crc = crc_a(&bytes[entry.offset..at]);
        bytes[at..entry.end()].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// An integrity entry gets the SHA-256 of what is before it now.
fn with_integrity(partition: &[u8]) -> Vec<u8> {
    let mut bytes = mended(partition);
    for entry in Entries::new(partition).flatten().filter(|entry| entry.kind == TlvType::INTEGRITY) {
        let digest = Sha256::digest(&bytes[..entry.offset]);
        let at = entry.offset + Entry::HEADER_LEN;
        let len = entry.data.len().min(digest.len());
        bytes[at..at + len].copy_from_slice(&digest[..len]);
    }
    bytes
}

fn judged(before: &[u8], after: &[u8], at: usize) -> Verdict {
    let (was, is) = (inspect(before, None), inspect(after, None));
    let known = |kind: FindingKind| was.findings.iter().any(|finding| finding.kind == kind);
    let new = |finding: &&Finding| finding.kind.weight() > Weight::Note && !known(finding.kind);
    if let Some(found) = is.findings.iter().find(new) {
        return Verdict::refused(&found.kind);
    }
    let trusted = |read: &Inspection<'_>, bytes: &[u8]| {
        let found = open::signatures(bytes, read);
        found.iter().map(|signature| (signature.key_digest, signature.verdict)).collect::<Vec<_>>()
    };
    let (signatures, now) = (trusted(&was, before), trusted(&is, after));
    assert!(signatures.iter().all(|(_, verdict)| verdict.is_ok()));
    match now[..] {
        [] if signatures.is_empty() => {}
        [(_, Err(refusal))] => return Verdict::refused(&refusal),
        [(key, Ok(()))] if key != signatures[0].0 => return Verdict::Refused("another key".into()),
        [(_, Ok(()))] => {}
        _ => return Verdict::Refused("no signature".into()),
    }
    // A length that swallows the integrity entry behind it, where nobody's CRC objects.
    if is.findings.iter().any(|finding| finding.kind == FindingKind::NoIntegrity) {
        return Verdict::Refused("NoIntegrity".into());
    }
    let place = was.entries.iter().find(|entry| (entry.offset..entry.end()).contains(&at));
    let (kind, within) = place.map(|entry| (entry.kind, at - entry.offset)).unwrap();
    // The hash itself is what holds or not.
    let data = |entry: &Entry<'_>| if entry.kind == TlvType::INTEGRITY { Vec::new() } else { entry.data.to_vec() };
    let what = |entry: &Entry<'_>| (entry.kind, entry.subtype, entry.flags, data(entry));
    if was.entries.iter().map(what).eq(is.entries.iter().map(what)) {
        return Verdict::Harmless(match (kind, within) {
            (_, 5..8) => "reserved bytes behind the flags",
            (TlvType::INTEGRITY, 12..44) => "the hash that was mended",
            _ if is.findings.iter().any(|finding| finding.kind == FindingKind::Padding) => "padding behind the data",
            _ => "the CRC that was mended",
        });
    }
    match (kind, within) {
        (TlvType::INTEGRITY, 9) => {
            Verdict::Unseen("subtype of the integrity entry, whose hash covers what is before it")
        }
        (TlvType::SIGNATURE, 13..=15 | 25..=27) => Verdict::Harmless("reserved bytes of the signature"),
        (TlvType::SIGNATURE, 16..=23) => {
            Verdict::Harmless("offset and length in the signature, which the firmware ignores")
        }
        _ => unreachable!("byte {at} changed what is read, and no check sees it: {:?}", is.findings),
    }
}

/// An entry that is encrypted under the HMAC key, its CRC mended: AES-GCM refuses.
pub(crate) fn encrypted() -> Vec<Tally> {
    let file = vector("securecert/derived-hmac-encrypted.bin");
    let key = HmacKey::from_slice(&vector("keys/hmac_key.bin")).unwrap();
    let read = inspect(&file, None);
    let entry = *read.entry(TlvType::PRIVATE_KEY, 0).unwrap();
    open::decrypt(entry.data, &key).unwrap();
    vec![Tally::of("esp_secure_cert, encrypted key, CRC mended", entry.bytes, |flipped, at| {
        let bytes = mended(flipped);
        let now = inspect(&bytes, None);
        let lone = |finding: &&Finding| finding.kind.weight() == Weight::Broken;
        let Some(entry) = now.entry(TlvType::PRIVATE_KEY, 0).filter(|entry| entry.flags == Flags::HMAC_ENCRYPTED)
        else {
            return Verdict::Refused("NoKey".into());
        };
        if let Some(found) = now.findings.iter().find(lone) {
            return Verdict::refused(&found.kind);
        }
        match open::decrypt(entry.data, &key) {
            Err(refusal) => Verdict::refused(&refusal),
            Ok(_) if at >= entry.end() - Entry::CRC_LEN => Verdict::Harmless("the CRC that was mended"),
            Ok(_) if (5..8).contains(&at) => Verdict::Harmless("reserved bytes behind the flags"),
            Ok(_) if entry.data.len() + Entry::HEADER_LEN <= at => Verdict::Harmless("padding behind the data"),
            Ok(_) => unreachable!("byte {at} changed and the key opens"),
        }
    })]
}

/// One record of lengths and checksums, and fixed places.
pub(crate) fn legacy() -> Vec<Tally> {
    let file = vector("securecert/legacy-custflash-ds-c3.bin");
    let file = &file[..IV_AT + 16];
    let before = CustFlash::parse(file).unwrap();
    vec![Tally::of("cust_flash (legacy)", file, |flipped, at| match CustFlash::parse(flipped) {
        Err(refusal) => Verdict::refused(&refusal),
        Ok(read) if read == before => Verdict::Harmless(match at {
            0..64 => "reserved bytes of the record",
            _ => "behind a certificate or the ciphertext, in what its place leaves free",
        }),
        Ok(_) if (30..33).contains(&at) => {
            Verdict::Unseen("key length or key block, which no CRC covers: no signature comes out right")
        }
        Ok(_) => unreachable!("byte {at} changed what is read"),
    })]
}

const CIPHERTEXT_AT: usize = 6208;
const IV_AT: usize = CIPHERTEXT_AT + 1200 + 16;
