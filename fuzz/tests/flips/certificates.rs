//! Certificates: signed permissions and chains.

use crate::tally::{Tally, Verdict};
use crate::vector;
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
