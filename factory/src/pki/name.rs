//! Distinguished names: read from a command line, encoded once, compared as bytes, and printed harmlessly.

use der::asn1::{Any, ObjectIdentifier};
use der::oid::db::{rfc3280, rfc4519};
use der::{Decode, Encode, Tag, Tagged};
use std::fmt;
use std::str::FromStr;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name as Typed, RdnSequence, RelativeDistinguishedName};

/// An X.501 name, kept as its DER: two names are equal if their bytes are, which is also how the certificate bundle of
/// ESP-IDF finds an issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// A name with nothing but a common name.
    ///
    /// # Errors
    /// [`NameError`] for an empty one, or one of more than 64 characters.
    pub fn common(name: &str) -> Result<Self, NameError> {
        Self::encode(vec![attribute(&COMMON_NAME, name)?])
    }

    /// One RDN for each attribute.
    fn encode(attributes: Vec<AttributeTypeAndValue>) -> Result<Self, NameError> {
        let single = |attribute| RelativeDistinguishedName::try_from(vec![attribute]);
        let rdns: Result<Vec<_>, der::Error> = attributes.into_iter().map(single).collect();
        rdns.and_then(|rdns| RdnSequence::from(rdns).to_der()).map(Self).map_err(|_| NameError::Der)
    }

    /// Reads the DER of a name.
    ///
    /// # Errors
    /// [`NameError::Der`].
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        Typed::from_der(der).map_err(|_| NameError::Der)?;
        Ok(Self(der.to_vec()))
    }

    /// Its DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// The same for an encoder.
    ///
    /// # Errors
    /// [`NameError::Order`] if the encoder would write other bytes than these: a device compares bytes.
    pub(super) fn typed(&self) -> Result<Typed, NameError> {
        let typed = Typed::from_der(&self.0).map_err(|_| NameError::Der)?;
        if typed.to_der().map_err(|_| NameError::Der)? == self.0 {
            Ok(typed)
        } else {
            Err(NameError::Order(self.to_string()))
        }
    }

    /// A name without any attribute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() <= 2
    }

    /// The last common name in it, as text.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let name = Typed::from_der(&self.0).ok()?;
        let value = name.iter().filter(|value| value.oid == COMMON_NAME.oid).last()?;
        text(value)
    }
}

/// Reads `CN=Test CA,O=Acme` or, as `openssl req -subj` has it, `/CN=Test CA/O=Acme`. The order is that of the encoding;
/// a backslash takes the next character literally.
impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (separator, text) = match text.strip_prefix('/') {
            Some(rest) => ('/', rest),
            None => (',', text),
        };
        let mut attributes = Vec::new();
        for piece in split(text, separator)? {
            let (label, value) = piece.split_once('=').ok_or_else(|| NameError::NoValue(piece.clone()))?;
            let label = label.trim();
            let known = KNOWN
                .iter()
                .find(|known| known.label.eq_ignore_ascii_case(label) || known.long.eq_ignore_ascii_case(label));
            let known = known.ok_or_else(|| NameError::Attribute(label.to_owned()))?;
            attributes.push(attribute(known, value.trim())?);
        }
        if attributes.is_empty() {
            return Err(NameError::Empty);
        }
        Self::encode(attributes)
    }
}

/// `CN=Test CA, O=Acme`, in the order of the encoding. Control characters and what could not be typed are escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(name) = Typed::from_der(&self.0) else {
            return f.write_str("(not a name)");
        };
        if name.is_empty() {
            return f.write_str("(empty)");
        }
        for (index, rdn) in name.iter_rdn().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            for (index, value) in rdn.iter().enumerate() {
                f.write_str(if index == 0 { "" } else { "+" })?;
                match KNOWN.iter().find(|known| known.oid == value.oid) {
                    Some(known) => f.write_str(known.label)?,
                    None => value.oid.fmt(f)?,
                }
                f.write_str("=")?;
                match text(value) {
                    Some(text) => harmless(&text, f)?,
                    None => {
                        f.write_str("#")?;
                        value.value.value().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn harmless(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write;
    for letter in text.chars() {
        match letter {
            ',' | '+' | '\\' => write!(f, "\\{letter}")?,
            _ if letter.is_control() || is_direction(letter) => write!(f, "\\u{{{:x}}}", u32::from(letter))?,
            _ => f.write_char(letter)?,
        }
    }
    Ok(())
}

/// Unicode's marks that reorder what stands beside them, and those that nobody sees.
const fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn text(value: &AttributeTypeAndValue) -> Option<String> {
    let bytes = value.value.value();
    match value.value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => Some(str::from_utf8(bytes).ok()?.to_owned()),
        // Latin-1, which is what everybody meant by it.
        Tag::TeletexString => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        Tag::BmpString => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            bytes.len().is_multiple_of(2).then(|| String::from_utf16(&units).ok())?
        }
        _ => None,
    }
}

/// Splits at `separator`, taking what follows a backslash literally.
fn split(text: &str, separator: char) -> Result<Vec<String>, NameError> {
    let mut pieces = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let literal = match letter {
            '\\' => letters.next().ok_or(NameError::Escape)?,
            '+' => return Err(NameError::Plus),
            _ if letter == separator => {
                pieces.push(String::new());
                continue;
            }
            _ => letter,
        };
        if let Some(last) = pieces.last_mut() {
            last.push(literal);
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    Ok(pieces)
}

fn attribute(known: &Known, value: &str) -> Result<AttributeTypeAndValue, NameError> {
    let length = value.chars().count();
    let (low, high) = known.length;
    if length < low || length > high {
        return Err(NameError::Length { label: known.label, low, high, got: length });
    }
    let fits = match known.tag {
        Tag::PrintableString => {
            value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
        }
        Tag::Ia5String => value.is_ascii(),
        _ => true,
    };
    if !fits || value.chars().any(char::is_control) {
        return Err(NameError::Letters(known.label));
    }
    let value = Any::new(known.tag, value.as_bytes()).map_err(|_| NameError::Der)?;
    Ok(AttributeTypeAndValue { oid: known.oid, value })
}

/// An attribute that can be written: RFC 5280 appendix A.1 for its type of string and its bounds.
struct Known {
    label: &'static str,
    long: &'static str,
    oid: ObjectIdentifier,
    tag: Tag,
    length: (usize, usize),
}

const fn known(
    label: &'static str,
    long: &'static str,
    oid: ObjectIdentifier,
    tag: Tag,
    length: (usize, usize),
) -> Known {
    Known { label, long, oid, tag, length }
}

const COMMON_NAME: Known = known("CN", "commonName", rfc4519::COMMON_NAME, Tag::Utf8String, (1, 64));

const KNOWN: [Known; 11] = [
    COMMON_NAME,
    known("C", "countryName", rfc4519::COUNTRY_NAME, Tag::PrintableString, (2, 2)),
    known("ST", "stateOrProvinceName", rfc4519::ST, Tag::Utf8String, (1, 128)),
    known("L", "localityName", rfc4519::LOCALITY_NAME, Tag::Utf8String, (1, 128)),
    known("O", "organizationName", rfc4519::ORGANIZATION_NAME, Tag::Utf8String, (1, 64)),
    known("OU", "organizationalUnitName", rfc4519::ORGANIZATIONAL_UNIT_NAME, Tag::Utf8String, (1, 64)),
    known("title", "title", rfc4519::TITLE, Tag::Utf8String, (1, 64)),
    known("serialNumber", "serialNumber", rfc4519::SERIAL_NUMBER, Tag::PrintableString, (1, 64)),
    known("emailAddress", "emailAddress", rfc3280::EMAIL_ADDRESS, Tag::Ia5String, (1, 255)),
    known("DC", "domainComponent", rfc4519::DOMAIN_COMPONENT, Tag::Ia5String, (1, 63)),
    known("UID", "userId", rfc4519::USER_ID, Tag::Utf8String, (1, 256)),
];

/// Why a text or bytes are no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not DER of a name.
    #[error("not the DER of a distinguished name")]
    Der,
    /// Attributes that are joined, in an order that DER does not allow; an encoder would put them right.
    #[error("the joined attributes of {0} are not in DER's order: no certificate can repeat such a name byte for byte")]
    Order(String),
    /// Nothing in it.
    #[error("the name is empty; write CN=...")]
    Empty,
    /// An attribute without `=`.
    #[error("\"{0}\" in the name is not ATTRIBUTE=VALUE")]
    NoValue(String),
    /// An attribute that this library does not write.
    #[error(
        "\"{0}\" is no attribute of a name that is written here: CN, C, ST, L, O, OU, title, serialNumber, emailAddress, \
         DC, UID"
    )]
    Attribute(String),
    /// RFC 5280 bounds every attribute.
    #[error("{label} in the name has {got} characters, of {low} to {high}")]
    #[allow(missing_docs)]
    Length { label: &'static str, low: usize, high: usize, got: usize },
    /// Characters that its type of string has not.
    #[error("{0} in the name has characters that it cannot hold")]
    Letters(&'static str),
    /// A backslash with nothing after it.
    #[error("the name ends in a backslash")]
    Escape,
    /// A multi-valued RDN is not written.
    #[error("an attribute cannot be joined to another with \"+\" here; a literal one is written \"\\+\"")]
    Plus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_give_the_same_name_in_the_order_that_was_written() {
        let name: Name = "C=DE, O=Acme\\, Inc., CN=Root \\+ more".parse().unwrap();
        assert_eq!(name.to_string(), "C=DE, O=Acme\\, Inc., CN=Root \\+ more");
        assert_eq!(name, "/C=DE/O=Acme, Inc./CN=Root \\+ more".parse().unwrap());
        assert_eq!(name.to_string().parse::<Name>().as_ref(), Ok(&name));
        assert_eq!(name.common_name().as_deref(), Some("Root + more"));
        assert_eq!(Name::from_der(name.as_der()).as_ref(), Ok(&name));
        assert_eq!("CN=x".parse::<Name>().unwrap(), Name::common("x").unwrap());
    }

    #[test]
    fn what_is_no_name_is_refused_by_reason() {
        let refusal = |text: &str| text.parse::<Name>().unwrap_err();
        assert_eq!(refusal(""), NameError::Empty);
        assert_eq!(refusal("Acme"), NameError::NoValue("Acme".into()));
        assert_eq!(refusal("XX=1"), NameError::Attribute("XX".into()));
        assert_eq!(refusal("C=Germany"), NameError::Length { label: "C", low: 2, high: 2, got: 7 });
        assert_eq!(refusal("CN="), NameError::Length { label: "CN", low: 1, high: 64, got: 0 });
        assert_eq!(refusal("serialNumber=a_b"), NameError::Letters("serialNumber"));
        assert_eq!(refusal("CN=a\u{7}"), NameError::Letters("CN"));
        assert_eq!(refusal("CN=a+O=b"), NameError::Plus);
        assert_eq!(refusal("CN=a\\"), NameError::Escape);
        assert_eq!(Name::from_der(&[0x30, 1]), Err(NameError::Der));
    }

    #[test]
    fn hostile_names_cannot_steer_a_terminal() {
        let value = Any::new(Tag::Utf8String, "a\u{1b}[2J\u{202e}b".as_bytes()).unwrap();
        let name = Name::encode(vec![AttributeTypeAndValue { oid: COMMON_NAME.oid, value }]).unwrap();
        assert_eq!(name.to_string(), "CN=a\\u{1b}[2J\\u{202e}b");
    }

    /// CN=b+CN=a in one RDN, the larger one first.
    #[test]
    fn a_name_that_would_be_encoded_anew_is_read_but_not_repeated() {
        let pair = |letter| [&[0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1][..], &[letter]].concat();
        let name = |first, second| [&[0x30, 22, 0x31, 20][..], &pair(first), &pair(second)].concat();
        let sorted = Name::from_der(&name(b'a', b'b')).unwrap();
        assert_eq!(sorted.typed().unwrap().to_der().unwrap(), sorted.as_der());
        let unsorted = Name::from_der(&name(b'b', b'a')).unwrap();
        assert_eq!(unsorted.as_der(), name(b'b', b'a'));
        assert!(matches!(unsorted.typed(), Err(NameError::Order(_))));
    }
}
