//! What somebody puts into the flash of a product instead of what its owner did, one thing at a time.

use super::{Piece, Place, Product, Scheme, image};
use cotter_chip::report::RefusalCode;
use cotter_formats::chip::Chip;
use cotter_formats::crc::crc_b;
use cotter_formats::secure_boot::v1::SIGNATURE_LEN;
use cotter_formats::secure_boot::v2::BLOCK_LEN;

pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    /// As it lies in flash.
    pub(crate) bytes: Vec<u8>,
    pub(crate) code: RefusalCode,
    /// What the chip prints.
    pub(crate) line: &'static str,
    /// The chip sees noise, which once in 256 times begins or ends as it should, and is refused for something else.
    pub(crate) is_noise: bool,
}

/// One that espsecure has yet to encrypt, with the device's key, another one or none.
struct Draft {
    name: &'static str,
    place: Place,
    plain: Vec<u8>,
    key: Option<&'static str>,
    code: RefusalCode,
    line: &'static str,
}

/// In the first segment.
const BODY: usize = 0x60;

impl Product {
    /// All of them.
    pub(crate) fn attacks(&self, pieces: &[Piece; 3]) -> Vec<Attack> {
        let mut drafts = match self.scheme {
            Scheme::V1 => self.attacks_on_v1(pieces),
            Scheme::Rsa | Scheme::Ecdsa => self.attacks_on_v2(pieces),
        };
        let [boot, table, app] = pieces;
        let on_any = |piece: &Piece, code, line| {
            let draft = |name, key| Draft { name, place: piece.place, plain: piece.plain.clone(), key, code, line };
            [draft("plaintext", None), draft("of another device", Some("other"))]
        };
        drafts.extend(on_any(boot, RefusalCode::InvalidHeader, "invalid header: 0x"));
        drafts.extend(on_any(table, RefusalCode::PartitionTableInvalid, "Failed to verify partition table"));
        drafts.extend(on_any(app, RefusalCode::InvalidHeader, "invalid magic byte"));
        let mut attacks = self.finished(drafts);

        // Of the right ciphertext, a bit, and another place.
        let mut flipped = boot.content.clone();
        let body = if self.scheme == Scheme::V1 { 0x1000 + BODY } else { BODY };
        flipped[body] ^= 1;
        let (code, line) = self.broken_body();
        attacks.push(Attack {
            name: "flipped bit of the ciphertext",
            place: Place::Boot,
            bytes: flipped,
            code,
            line,
            is_noise: self.scheme == Scheme::V1,
        });
        attacks.push(Attack {
            name: "ciphertext of another place",
            place: Place::Boot,
            bytes: app.content[..0x2000.min(app.content.len())].repeat(2),
            code: RefusalCode::InvalidHeader,
            line: "invalid header: 0x",
            is_noise: true,
        });
        attacks
    }

    /// What is found first when the second stage is not what was signed.
    fn broken_body(&self) -> (RefusalCode, &'static str) {
        match (self.scheme, self.chip) {
            (Scheme::V1, _) => (RefusalCode::ChecksumMismatch, "secure boot check fail"),
            (_, Chip::Esp32) => (RefusalCode::SignedDigestMismatch, "Sig block 0 invalid: Image digest does not match"),
            _ => (RefusalCode::HashMismatch, "SHA-256 simple hash comparison failed."),
        }
    }

    fn attacks_on_v1(&self, pieces: &[Piece; 3]) -> Vec<Draft> {
        let [boot, _, app] = pieces;
        let [of_other_key, app_of_stranger] = [(&*self.boot, Place::Boot), (&self.app, Place::App)]
            .map(|(image, place)| self.signed(&[(image, place, "stranger")]).remove(0));
        let changed = |change: fn(&mut Vec<u8>)| {
            let mut plain = boot.plain.clone();
            change(&mut plain);
            plain
        };
        let broken = self.broken_body();
        let mismatch = (RefusalCode::SignedDigestMismatch, "secure boot check fail");
        let unsigned = [&self.app[..], &[0xff; SIGNATURE_LEN]].concat();
        let app_refused = "Secure boot signature verification failed";
        let on_app = [
            ("signed by a stranger", app_of_stranger, RefusalCode::BadSignature, app_refused),
            ("unsigned", unsigned, RefusalCode::Unsigned, app_refused),
            ("flipped bit of the body", flipped(&app.plain, 0x400), RefusalCode::ChecksumMismatch, "Checksum failed"),
            (
                "flipped bit of the signature",
                flipped(&app.plain, self.app.len() + 20),
                RefusalCode::BadSignature,
                app_refused,
            ),
        ];
        let key = Some("flash");
        let on_app = on_app.map(|(name, plain, code, line)| Draft { name, place: Place::App, plain, key, code, line });
        let on_boot = [
            ("wrong boot key", of_other_key, mismatch),
            ("flipped bit of the body", changed(|plain| plain[0x1000 + BODY] ^= 1), broken),
            ("flipped bit of the digest", changed(|plain| plain[128] ^= 1), mismatch),
            ("no digest", changed(|plain| plain[..0x1000].fill(0xff)), mismatch),
        ]
        .map(|(name, plain, (code, line))| Draft { name, place: Place::Boot, plain, key, code, line });
        on_boot.into_iter().chain(on_app).collect()
    }

    fn attacks_on_v2(&self, pieces: &[Piece; 3]) -> Vec<Draft> {
        let [boot, table, app] = pieces;
        let other_chip = if self.chip == Chip::Esp32C3 { Chip::Esp32S3 } else { Chip::Esp32C3 };
        let [wrong_boot, wrong_app] = [&self.boot, &self.app].map(|image| image::for_chip(image, other_chip));
        let signed = self.signed(&[
            (&self.boot, Place::Boot, "stranger"),
            (&self.boot, Place::Boot, "revoked"),
            (&wrong_boot, Place::Boot, "owner"),
            (&self.app, Place::App, "stranger"),
            (&self.app, Place::App, "revoked"),
            (&wrong_app, Place::App, "owner"),
            (&self.old_app, Place::App, "owner"),
        ]);
        let (broken, broken_line) = self.broken_body();
        use RefusalCode as Code;
        let untrusted = "Sig block 0 signed with untrusted key";
        let mut drafts = vec![
            (Place::Boot, "wrongly signed", signed[0].clone(), Code::UntrustedKey, untrusted),
            (Place::Boot, "signed with a revoked key", signed[1].clone(), Code::UntrustedKey, untrusted),
            (
                Place::Boot,
                "unsigned",
                unsigned(&boot.plain),
                Code::Unsigned,
                "No signature block magic byte found at signature sector (found 0xff not 0xe7). Image not V2 signed?",
            ),
            (Place::Boot, "flipped bit of the body", flipped(&boot.plain, BODY), broken, broken_line),
            (
                Place::Boot,
                "flipped bit of the padding",
                flipped(&boot.plain, SIGNATURE_SECTOR - 1),
                Code::SignedDigestMismatch,
                "Sig block 0 invalid: Image digest does not match",
            ),
            (
                Place::Boot,
                "flipped bit of the signature",
                flipped(&boot.plain, SIGNATURE_SECTOR + self.signature()),
                Code::SignatureBlockInvalid,
                "Sig block 0 invalid: Stored CRC",
            ),
            (
                Place::Boot,
                "flipped bit of the signature, its CRC mended",
                mended(&flipped(&boot.plain, SIGNATURE_SECTOR + self.signature())),
                Code::BadSignature,
                "Sig block 0 signature verification failed",
            ),
            (
                Place::Table,
                "flipped bit of the table",
                flipped(&table.plain, 8),
                Code::PartitionTableInvalid,
                "Failed to verify partition table",
            ),
            (Place::App, "wrongly signed", signed[3].clone(), Code::UntrustedKey, "signature verification failed"),
            (
                Place::App,
                "signed with a revoked key",
                signed[4].clone(),
                Code::UntrustedKey,
                "signature verification failed",
            ),
            (Place::App, "for another chip", signed[5].clone(), Code::WrongChip, "mismatch chip ID"),
            (
                Place::App,
                "older than the eFuses demand",
                signed[6].clone(),
                Code::SecureVersionTooLow,
                "secure version",
            ),
            (Place::App, "unsigned", unsigned(&app.plain), Code::Unsigned, "signature verification failed"),
            (
                Place::App,
                "flipped bit of the body",
                flipped(&app.plain, 0x400),
                Code::ChecksumMismatch,
                "Checksum failed",
            ),
            (
                Place::App,
                "flipped bit of the signature",
                flipped(&app.plain, app.plain.len() - 0x1000 + self.signature()),
                Code::SignatureBlockInvalid,
                "signature verification failed",
            ),
            (
                Place::App,
                "flipped bit of the signature, its CRC mended",
                mended(&flipped(&app.plain, app.plain.len() - 0x1000 + self.signature())),
                Code::BadSignature,
                "signature verification failed",
            ),
        ];
        // The ESP32's ROM is not known to look at the chip id.
        if self.chip != Chip::Esp32 {
            let line = "Bootloader for wrong chip?";
            drafts.push((Place::Boot, "for another chip", signed[2].clone(), Code::WrongChip, line));
        }
        let draft = |(place, name, plain, code, line)| Draft { name, place, plain, key: Some("flash"), code, line };
        drafts.into_iter().map(draft).collect()
    }

    /// Where the signature proper begins in its block.
    fn signature(&self) -> usize {
        if self.scheme == Scheme::Rsa { 812 } else { 101 }
    }

    fn finished(&self, drafts: Vec<Draft>) -> Vec<Attack> {
        let under_key = |draft: &Draft| draft.key.is_some();
        let jobs: Vec<_> =
            drafts.iter().filter_map(|draft| Some((draft.place, &draft.plain[..], draft.key?))).collect();
        let mut encrypted = self.encrypted(&jobs).into_iter();
        drafts
            .into_iter()
            .map(|draft| {
                let bytes = if under_key(&draft) { encrypted.next().unwrap() } else { draft.plain };
                let is_noise = draft.key != Some("flash");
                Attack { name: draft.name, place: draft.place, bytes, code: draft.code, line: draft.line, is_noise }
            })
            .collect()
    }
}

/// Where the signature blocks of the second stage are, which is short.
const SIGNATURE_SECTOR: usize = 0x1000;

fn flipped(plain: &[u8], at: usize) -> Vec<u8> {
    let mut plain = plain.to_vec();
    plain[at] ^= 1;
    plain
}

fn unsigned(signed: &[u8]) -> Vec<u8> {
    let content = signed.len() - 0x1000;
    let mut plain = signed[..content].to_vec();
    plain.resize(signed.len(), 0xff);
    plain
}

/// Makes the CRC of the signature block hold.
fn mended(signed: &[u8]) -> Vec<u8> {
    let mut plain = signed.to_vec();
    let sector = plain.len() - 0x1000;
    let block = &mut plain[sector..sector + BLOCK_LEN];
    let crc = crc_b(&block[..1196]);
    block[1196..1200].copy_from_slice(&crc.to_le_bytes());
    plain
}
