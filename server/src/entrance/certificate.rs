//! Certificates of clients: whom one names. It is the common name, as the factory issues it.

use crate::config::{Client, Serves};
use cotter_wire::ids::DeviceId;
use rustls_pki_types::CertificateDer;
use std::collections::HashSet;
use std::sync::Arc;
use webpki::EndEntityCert;

/// What a listener lets in.
#[derive(Clone)]
pub(crate) struct Door {
    serves: Serves,
    client: Client,
    denied: Arc<HashSet<DeviceId>>,
}

/// The device that this connection's certificate names.
#[derive(Clone, Copy)]
pub(crate) struct Certified(pub(crate) DeviceId);

/// Why a certificate that the CA has issued lets nobody in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateRefusal {
    #[error("client certificate: its subject has not exactly one common name that is the name of a device")]
    NoDevice,
    #[error("client certificate: {0} is in tls.denied")]
    Denied(DeviceId),
}

impl Door {
    pub(crate) fn new(serves: Serves, client: Client, denied: Arc<HashSet<DeviceId>>) -> Self {
        Self { serves, client, denied }
    }

    /// The device of a connection; `None` if it has shown no certificate, or need not name a device with it.
    pub(crate) fn certified(
        &self,
        certificate: Option<&CertificateDer<'_>>,
    ) -> Result<Option<Certified>, CertificateRefusal> {
        // TLS has verified it. Where only administrators are let in, it is a condition beside the token and names nobody.
        let Some(certificate) =
            certificate.filter(|_| self.client != Client::Off && self.serves != Serves::Administrators)
        else {
            return Ok(None);
        };
        let device = device_of(certificate).ok_or(CertificateRefusal::NoDevice)?;
        if self.denied.contains(&device) {
            return Err(CertificateRefusal::Denied(device));
        }
        Ok(Some(Certified(device)))
    }

    /// Who is served.
    pub(crate) const fn serves(&self) -> Serves {
        self.serves
    }
}

/// The device that a certificate names.
fn device_of(certificate: &CertificateDer<'_>) -> Option<DeviceId> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    common_name_of(certificate.subject())?.parse().ok()
}

/// The one common name (2.5.4.3) of a subject, if it is UTF8String or PrintableString. `subject`:
/// RelativeDistinguishedNames, one after the other. Source: RFC 5280, 4.1.2.4.
fn common_name_of(mut subject: &[u8]) -> Option<&str> {
    let mut found = None;
    while !subject.is_empty() {
        let mut set = value(&mut subject, SET)?;
        while !set.is_empty() {
            let mut attribute = value(&mut set, SEQUENCE)?;
            let kind = value(&mut attribute, OBJECT_IDENTIFIER)?;
            let tag = *attribute.first()?;
            let text = value(&mut attribute, tag)?;
            if kind == COMMON_NAME && attribute.is_empty() {
                let legal = matches!(tag, UTF8_STRING | PRINTABLE_STRING);
                let name = std::str::from_utf8(text).ok().filter(|_| legal)?;
                // Two names are one too many: which of them would count?
                if found.replace(name).is_some() {
                    return None;
                }
            }
        }
    }
    found
}

/// Takes one element of this tag off the front; its content.
fn value<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&found, after) = rest.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81 => after.split_first().map(|(&length, after)| (usize::from(length), after))?,
        0x82 => after.split_first_chunk().map(|(&length, after)| (usize::from(u16::from_be_bytes(length)), after))?,
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length).filter(|_| found == tag)?;
    *rest = after;
    Some(content)
}

const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let attribute = |&(last, tag, text): &(u8, u8, &[u8])| {
            let pair = [element(OBJECT_IDENTIFIER, &[0x55, 4, last]), element(tag, text)].concat();
            element(SET, &element(SEQUENCE, &pair))
        };
        attributes.iter().flat_map(attribute).collect()
    }

    #[test]
    fn a_subject_names_one_device_or_nobody() {
        assert_eq!(common_name_of(&name(&[(10, 12, b"Cotter"), (3, 12, b"solar-1")])), Some("solar-1"));
        assert_eq!(common_name_of(&name(&[(3, 19, b"solar-1"), (11, 12, b"unit")])), Some("solar-1"));
        assert_eq!(common_name_of(&name(&[(10, 12, b"solar-1")])), None);
        assert_eq!(common_name_of(&name(&[(3, 12, b"solar-1"), (3, 12, b"solar-2")])), None);
        assert_eq!(common_name_of(&name(&[(3, 22, b"solar-1")])), None, "IA5String");
        assert_eq!(common_name_of(&name(&[(3, 12, &[0xff])])), None, "not UTF-8");
        assert_eq!(common_name_of(&[]), None);
    }

    #[test]
    fn no_truncation_of_a_subject_names_another_device() {
        let subject = name(&[(10, 12, b"Cotter"), (3, 12, b"solar-1")]);
        for length in 0..subject.len() {
            assert_eq!(common_name_of(&subject[..length]), None, "{length}");
        }
        for bit in 0..subject.len() * 8 {
            let mut changed = subject.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // No panic; what it names then, the CA has not signed.
            let _ = common_name_of(&changed);
        }
    }
}
