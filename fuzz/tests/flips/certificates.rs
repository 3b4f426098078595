//! Certificates: signed permissions and chains.

use crate::tally::{Tally, Verdict};
use crate::vector;
use cotter_formats::crt_bundle::{CrtBundle, Root};
use cotter_formats::secure_debug::{ChipInfo, DebugCertificate, SessionCounter};

/// espsecure's certificate, on the chip and in the session for which it is signed.
pub(crate) fn debug() -> Vec<Tally> {
    let file = vector("sdc/sdc_cert.bin");
    let nonce = DebugCertificate::parse(&file).unwrap().nonce;
    let chip = ChipInfo::of([0x30, 0xED, 0xA0, 0xED, 0x78, 0x9C], SessionCounter::new(1).unwrap(), nonce);
    DebugCertificate::parse(&file).unwrap().verify(&chip).unwrap();
    vec![Tally::of("debug certificate", &file, |flipped, at| {
        match DebugCertificate::parse(flipped).and_then(|certificate| certificate.verify(&chip)) {
            Err(refusal) => Verdict::refused(&refusal),
            Ok(()) => unreachable!("byte {at} changed and the certificate holds"),
        }
    })]
}

/// gen_crt_bundle's file. It has no checksum: what a bit of a subject or a key does is seen in the handshake, which fails.
pub(crate) fn bundle() -> Vec<Tally> {
    let file = vector("crtbundle/x509_crt_bundle");
    let before: Vec<Root<'_>> = CrtBundle::parse(&file).unwrap().roots().collect();
    vec![Tally::of("certificate bundle", &file, |flipped, at| {
        let bundle = match CrtBundle::parse(flipped) {
            Ok(bundle) => bundle,
            Err(refusal) => return Verdict::refused(&refusal),
        };
        if bundle.disorder().is_some() {
            return Verdict::Refused("order of the subjects".into());
        }
        let now: Vec<Root<'_>> = bundle.roots().collect();
        let changed: Vec<_> = before.iter().zip(&now).filter(|(before, now)| before != now).collect();
        let [(old, new)] = changed[..] else { unreachable!("byte {at}: other roots without a refusal") };
        match (old.subject == new.subject, old.key == new.key) {
            (true, false) => Verdict::Unseen("a root's key: its servers are refused"),
            (false, true) => Verdict::Unseen("a root's name: it is not found, its servers are refused"),
            _ => Verdict::Unseen("where a root's name ends and its key begins: its servers are refused"),
        }
    })]
}
