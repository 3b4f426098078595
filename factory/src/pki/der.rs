//! DER written inside out, as X.509 (RFC 5280) needs it: a tag, a length, and what is inside.

use x509_cert::der::asn1::ObjectIdentifier;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;

/// One value: `tag`, the length of `inside`, `inside`.
pub(super) fn tlv(tag: u8, inside: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(inside.len()) {
        Ok(short @ 0..0x80) => out.push(short),
        _ => {
            let length = inside.len().to_be_bytes();
            let digits = &length[length.iter().take_while(|&&byte| byte == 0).count()..];
            out.push(0x80 | u8::try_from(digits.len()).expect("a usize has at most 8 bytes"));
            out.extend(digits);
        }
    }
    out.extend(inside);
    out
}

/// A constructed value around `parts`.
pub(super) fn nest<P: AsRef<[u8]>>(tag: u8, parts: &[P]) -> Vec<u8> {
    let inside: Vec<u8> = parts.iter().flat_map(|part| part.as_ref()).copied().collect();
    tlv(tag, &inside)
}

/// A context-specific tag, constructed.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// A context-specific tag, primitive.
pub(super) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// OBJECT IDENTIFIER.
pub(super) fn oid(oid: ObjectIdentifier) -> Vec<u8> {
    tlv(OBJECT_IDENTIFIER, oid.as_bytes())
}

/// A non-negative INTEGER from big-endian bytes.
pub(super) fn integer(big_endian: &[u8]) -> Vec<u8> {
    let digits = &big_endian[big_endian.iter().take_while(|&&byte| byte == 0).count()..];
    let mut inside = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|&top| top >= 0x80) {
        inside.push(0);
    }
    inside.extend(digits);
    tlv(INTEGER, &inside)
}

/// A BIT STRING of whole bytes.
pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    nest(BIT_STRING, &[&[0], bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_integers_are_shortest() {
        assert_eq!(tlv(OCTET_STRING, &[7; 127])[..2], [4, 127]);
        assert_eq!(tlv(OCTET_STRING, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(OCTET_STRING, &[7; 256])[..4], [4, 0x82, 1, 0]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0, 5]), [2, 1, 5]);
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(bit_string(&[1, 2]), [3, 3, 0, 1, 2]);
    }
}
