//! PKCS#11 URIs: which key, on which token, behind which library.
//!
//! Source: RFC 7512. Stricter in three places: an attribute that RFC 7512 does not name is refused, also in the query,
//! because a misspelled one would otherwise silently widen what the URI matches; so is an attribute given twice; and
//! `pin-value` is refused, because command lines and configuration files are no place for a PIN.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A URI of the scheme `pkcs11`. What it does not say matches anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Uri {
    /// In the order of [`Attribute::ALL`], each at most once.
    values: [Option<Vec<u8>>; Attribute::ALL.len()],
}

/// What a URI can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Attribute {
    Token,
    Manufacturer,
    Serial,
    Model,
    LibraryManufacturer,
    LibraryDescription,
    LibraryVersion,
    SlotId,
    SlotDescription,
    SlotManufacturer,
    Object,
    /// Bytes, not text.
    Id,
    /// `private`, `public`, `cert`, `secret-key` or `data`.
    Type,
    ModuleName,
    ModulePath,
    PinSource,
}

impl Attribute {
    /// All of them; those of the path first.
    pub const ALL: [Self; 16] = [
        Self::Token,
        Self::Manufacturer,
        Self::Serial,
        Self::Model,
        Self::LibraryManufacturer,
        Self::LibraryDescription,
        Self::LibraryVersion,
        Self::SlotId,
        Self::SlotDescription,
        Self::SlotManufacturer,
        Self::Object,
        Self::Id,
        Self::Type,
        Self::ModuleName,
        Self::ModulePath,
        Self::PinSource,
    ];

    /// As the URI spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Manufacturer => "manufacturer",
            Self::Serial => "serial",
            Self::Model => "model",
            Self::LibraryManufacturer => "library-manufacturer",
            Self::LibraryDescription => "library-description",
            Self::LibraryVersion => "library-version",
            Self::SlotId => "slot-id",
            Self::SlotDescription => "slot-description",
            Self::SlotManufacturer => "slot-manufacturer",
            Self::Object => "object",
            Self::Id => "id",
            Self::Type => "type",
            Self::ModuleName => "module-name",
            Self::ModulePath => "module-path",
            Self::PinSource => "pin-source",
        }
    }

    /// Behind the question mark.
    const fn in_query(self) -> bool {
        matches!(self, Self::ModuleName | Self::ModulePath | Self::PinSource)
    }

    /// Is this a value of it?
    fn takes(self, value: &[u8]) -> bool {
        match (self, str::from_utf8(value)) {
            (Self::Id, _) => !value.is_empty(),
            (_, Err(_)) => false,
            (Self::Type, Ok(text)) => matches!(text, "public" | "private" | "cert" | "secret-key" | "data"),
            (Self::SlotId, Ok(text)) => digits(text) && text.parse::<u64>().is_ok(),
            (Self::LibraryVersion, Ok(text)) => {
                let mut parts = text.splitn(2, '.');
                parts.all(|part| digits(part) && part.parse::<u8>().is_ok())
            }
            (_, Ok(text)) => !text.contains('\0'),
        }
    }
}

impl Pkcs11Uri {
    /// The value of an attribute whose value is text; `None` if the URI does not say, and for [`Attribute::Id`].
    #[must_use]
    pub fn text(&self, attribute: Attribute) -> Option<&str> {
        if attribute == Attribute::Id {
            return None;
        }
        self.values[attribute as usize].as_deref().and_then(|value| str::from_utf8(value).ok())
    }

    /// The object's id (`CKA_ID`).
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.values[Attribute::Id as usize].as_deref()
    }

    /// The slot's number.
    #[must_use]
    pub fn slot_id(&self) -> Option<u64> {
        self.text(Attribute::SlotId).and_then(|text| text.parse().ok())
    }

    /// The library to load.
    #[must_use]
    pub fn module_path(&self) -> Option<&Path> {
        self.text(Attribute::ModulePath).map(Path::new)
    }

    /// The file that holds the PIN: of a `pin-source` that is a path or a `file:` URI of this machine.
    ///
    /// # Errors
    /// [`UriError::PinSource`] for anything else, such as a command.
    pub fn pin_file(&self) -> Result<Option<&Path>, UriError> {
        let Some(source) = self.text(Attribute::PinSource) else { return Ok(None) };
        let path = source.strip_prefix("file:").unwrap_or(source);
        let path = path.strip_prefix("//").map_or(path, |rest| rest.strip_prefix("localhost").unwrap_or(rest));
        if path.starts_with('/') { Ok(Some(Path::new(path))) } else { Err(UriError::PinSource) }
    }

    /// The same URI with this value of an attribute, unless it is no value of it.
    #[must_use]
    pub fn with(mut self, attribute: Attribute, value: &[u8]) -> Self {
        if attribute.takes(value) {
            self.values[attribute as usize] = Some(value.to_vec());
        }
        self
    }

    /// The URI that matches everything.
    #[must_use]
    pub fn any() -> Self {
        Self { values: [const { None }; Attribute::ALL.len()] }
    }
}

impl FromStr for Pkcs11Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let scheme = text.get(..SCHEME.len()).filter(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
        let rest = scheme.map(|_| &text[SCHEME.len()..]).ok_or(UriError::Scheme)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut uri = Self::any();
        let mut at = SCHEME.len();
        for (part, in_query) in path
            .split(';')
            .map(|part| (part, false))
            .chain(query.into_iter().flat_map(|query| query.split('&').map(|part| (part, true))))
        {
            // `pkcs11:` alone, and `pkcs11:?..`, are URIs; an empty attribute in between is none.
            let lonely = if in_query { query == Some("") } else { path.is_empty() };
            if !lonely {
                uri.read(part, at, in_query)?;
            }
            at += part.len() + 1;
        }
        Ok(uri)
    }
}

impl Pkcs11Uri {
    /// Reads one `name=value`. `at`: where it begins.
    fn read(&mut self, part: &str, at: usize, in_query: bool) -> Result<(), UriError> {
        let (name, encoded) = part.split_once('=').ok_or(UriError::NoValue { at })?;
        if in_query && name == "pin-value" {
            return Err(UriError::PinValue);
        }
        let known = Attribute::ALL.into_iter().find(|known| known.name() == name && known.in_query() == in_query);
        let attribute = known.ok_or(UriError::Unknown { at })?;
        let value = decode(encoded, at + name.len() + 1, in_query)?;
        if !attribute.takes(&value) {
            return Err(UriError::Value { attribute });
        }
        match self.values[attribute as usize].replace(value) {
            Some(_) => Err(UriError::Twice { attribute }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        let (mut first, mut queried) = (true, false);
        for (attribute, value) in Attribute::ALL.into_iter().zip(&self.values) {
            let Some(value) = value else { continue };
            let separator = match (attribute.in_query(), queried, first) {
                (true, false, _) => "?",
                (true, true, _) => "&",
                (false, _, true) => "",
                (false, _, false) => ";",
            };
            write!(f, "{separator}{}=", attribute.name())?;
            for &byte in value {
                let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                let plain = plain || (attribute.in_query() && byte == b'/');
                if plain && attribute != Attribute::Id {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
            (first, queried) = (false, attribute.in_query());
        }
        Ok(())
    }
}

/// Undoes the percent-encoding; other characters must be among those that RFC 7512 lets stand for themselves.
fn decode(text: &str, at: usize, in_query: bool) -> Result<Vec<u8>, UriError> {
    let (mut value, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let here = at + text.len() - rest.len();
        rest = behind;
        if byte == b'%' {
            let digits = behind.split_first_chunk::<2>().filter(|(digits, _)| digits.iter().all(u8::is_ascii_hexdigit));
            let Some((digits, behind)) = digits else { return Err(UriError::Percent { at: here }) };
            let number = str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
            value.push(number.ok_or(UriError::Percent { at: here })?);
            rest = behind;
        } else if byte.is_ascii_alphanumeric()
            || b"-._~:[]@!$'()*+,=".contains(&byte)
            || if in_query { b"/?|".contains(&byte) } else { byte == b'&' }
        {
            value.push(byte);
        } else {
            return Err(UriError::Character { at: here });
        }
    }
    Ok(value)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

const SCHEME: &str = "pkcs11:";

/// Why a text is no PKCS#11 URI. Places are counted in bytes from 0; no part of the text is in here, because a PIN may
/// have been put where none belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum UriError {
    #[error("a PKCS#11 URI begins with \"pkcs11:\"")]
    Scheme,
    #[error("PKCS#11 URI: no \"=\" in the attribute at {at}")]
    NoValue { at: usize },
    #[error("PKCS#11 URI: the attribute at {at} is unknown (attributes of the library and the PIN follow a \"?\")")]
    Unknown { at: usize },
    #[error("PKCS#11 URI: the character at {at} must be percent-encoded")]
    Character { at: usize },
    #[error("PKCS#11 URI: the % at {at} is not followed by two hexadecimal digits")]
    Percent { at: usize },
    #[error("PKCS#11 URI: not a value of \"{}\"", attribute.name())]
    Value { attribute: Attribute },
    #[error("PKCS#11 URI: \"{}\" is given twice", attribute.name())]
    Twice { attribute: Attribute },
    #[error("PKCS#11 URI: a PIN does not belong in a URI (pin-value): others read command lines and configurations")]
    PinValue,
    #[error("PKCS#11 URI: the pin-source is not the absolute path of a file")]
    PinSource,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> UriError {
        text.parse::<Pkcs11Uri>().unwrap_err()
    }

    #[test]
    fn reads_the_examples_of_rfc_7512() {
        let uri: Pkcs11Uri =
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;\
             object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin"
                .parse()
                .unwrap();
        assert_eq!(uri.text(Attribute::Token), Some("The Software PKCS#11 Softtoken"));
        assert_eq!(uri.text(Attribute::Manufacturer), Some("Snake Oil, Inc."));
        assert_eq!((uri.text(Attribute::Serial), uri.text(Attribute::Type)), (Some(""), Some("cert")));
        assert_eq!(uri.id(), Some(&b"\x69\x95\x3e\x5c\xf4\xbd\xec\x91"[..]));
        assert_eq!(uri.pin_file(), Ok(Some(Path::new("/etc/token_pin"))));
        let uri: Pkcs11Uri =
            "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-version=3;slot-id=327".parse().unwrap();
        assert_eq!((uri.text(Attribute::LibraryVersion), uri.slot_id()), (Some("3"), Some(327)));
        assert_eq!("pkcs11:".parse(), Ok(Pkcs11Uri::any()));
        let uri: Pkcs11Uri = "pkcs11:?module-path=/mnt/libmypkcs11.so.1".parse().unwrap();
        assert_eq!(uri.module_path(), Some(Path::new("/mnt/libmypkcs11.so.1")));
    }

    #[test]
    fn refuses_by_name() {
        assert_eq!(refusal("pkcs12:token=a"), UriError::Scheme);
        assert_eq!(refusal("pkcs11:token"), UriError::NoValue { at: 7 });
        assert_eq!(refusal("pkcs11:token=a;"), UriError::NoValue { at: 15 });
        assert_eq!(refusal("pkcs11:token=a;objekt=b"), UriError::Unknown { at: 15 });
        assert_eq!(refusal("pkcs11:pin-source=/a"), UriError::Unknown { at: 7 });
        assert_eq!(refusal("pkcs11:token=a b"), UriError::Character { at: 14 });
        assert_eq!(refusal("pkcs11:token=a/b"), UriError::Character { at: 14 });
        assert_eq!(refusal("pkcs11:token=%2"), UriError::Percent { at: 13 });
        assert_eq!(refusal("pkcs11:token=%+1"), UriError::Percent { at: 13 });
        assert_eq!(refusal("pkcs11:token=%ff"), UriError::Value { attribute: Attribute::Token });
        assert_eq!(refusal("pkcs11:slot-id=-1"), UriError::Value { attribute: Attribute::SlotId });
        assert_eq!(refusal("pkcs11:type=key"), UriError::Value { attribute: Attribute::Type });
        assert_eq!(refusal("pkcs11:library-version=3.x"), UriError::Value { attribute: Attribute::LibraryVersion });
        assert_eq!(refusal("pkcs11:token=a;token=b"), UriError::Twice { attribute: Attribute::Token });
        assert_eq!(refusal("pkcs11:token=a?pin-value=1234"), UriError::PinValue);
        for source in ["|cat%20/etc/pin", "file://server/pin", "https://x/", "pin"] {
            let uri: Pkcs11Uri = format!("pkcs11:?pin-source={source}").parse().unwrap();
            assert_eq!(uri.pin_file(), Err(UriError::PinSource), "{source}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(pkcs11:)?([a-z-]{0,9}=?[ -~é%;?&=]{0,9}){0,5}") {
            if let Ok(uri) = text.parse::<Pkcs11Uri>() {
                prop_assert_eq!(uri.to_string().parse(), Ok(uri));
            }
        }

        #[test]
        fn any_value_survives(token in "\\PC{0,20}", id in prop::collection::vec(any::<u8>(), 1..9), path in "/\\PC{0,20}") {
            let uri = Pkcs11Uri::any()
                .with(Attribute::Token, token.as_bytes())
                .with(Attribute::Id, &id)
                .with(Attribute::ModulePath, path.as_bytes());
            prop_assert_eq!(uri.text(Attribute::Token), Some(token.as_str()));
            prop_assert_eq!(uri.to_string().parse(), Ok(uri));
        }
    }
}
