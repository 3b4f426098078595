//! Alternative names of a subject: what a client compares with the host that it meant to reach.

use der::asn1::Ia5String;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use x509_cert::ext::pkix::name::GeneralName;

/// One `subjectAltName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host, `*.` before it allowed.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI, for example of a device.
    Uri(String),
    /// An address of mail.
    Email(String),
}

/// `DNS:host`, `IP:address`, `URI:...`, `email:...`; without a prefix, an address if it reads as one, else a host.
impl FromStr for AlternativeName {
    type Err = AlternativeNameError;

    fn from_str(text: &str) -> Result<Self, AlternativeNameError> {
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) if ["dns", "ip", "uri", "email"].contains(&kind.to_ascii_lowercase().as_str()) => {
                (kind.to_ascii_lowercase(), value)
            }
            _ => (String::new(), text),
        };
        let address = value.parse().map(Self::Ip);
        let refused = || AlternativeNameError(text.to_owned());
        match kind.as_str() {
            "ip" => address.map_err(|_| refused()),
            "uri" if is_plain(value) && value.contains(':') => Ok(Self::Uri(value.to_owned())),
            "email" if is_plain(value) && value.contains('@') => Ok(Self::Email(value.to_owned())),
            "dns" if is_host(value) => Ok(Self::Dns(value.to_owned())),
            "" if address.is_ok() => address.map_err(|_| refused()),
            "" if is_host(value) => Ok(Self::Dns(value.to_owned())),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(host) => write!(f, "DNS:{host}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Email(email) => write!(f, "email:{email}"),
        }
    }
}

impl AlternativeName {
    /// What a request asks for, if it is of a kind that is issued here.
    pub(super) fn from_general(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::DnsName(host) if is_host(host.as_str()) => Some(Self::Dns(host.to_string())),
            GeneralName::UniformResourceIdentifier(uri) if is_plain(uri.as_str()) => Some(Self::Uri(uri.to_string())),
            GeneralName::Rfc822Name(email) if is_plain(email.as_str()) => Some(Self::Email(email.to_string())),
            GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
                bytes if bytes.len() == 4 => Some(Self::Ip(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?))),
                bytes => Some(Self::Ip(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?))),
            },
            _ => None,
        }
    }

    /// The same for an encoder.
    ///
    /// # Errors
    /// [`AlternativeNameError`] for one that is not ASCII.
    pub(super) fn to_general(&self) -> Result<GeneralName, AlternativeNameError> {
        let ia5 = |text: &str| Ia5String::new(text).map_err(|_| AlternativeNameError(text.to_owned()));
        Ok(match self {
            Self::Email(email) => GeneralName::Rfc822Name(ia5(email)?),
            Self::Dns(host) => GeneralName::DnsName(ia5(host)?),
            Self::Uri(uri) => GeneralName::UniformResourceIdentifier(ia5(uri)?),
            Self::Ip(address) => (*address).into(),
        })
    }
}

/// An alternative name of whatever kind, as people write it.
#[must_use]
pub fn shown(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => format!("DNS:{}", harmless(name.as_str())),
        GeneralName::Rfc822Name(name) => format!("email:{}", harmless(name.as_str())),
        GeneralName::UniformResourceIdentifier(name) => format!("URI:{}", harmless(name.as_str())),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => format!("IP:{}", Ipv4Addr::new(a, b, c, d)),
            ref other => match <[u8; 16]>::try_from(other) {
                Ok(address) => format!("IP:{}", Ipv6Addr::from(address)),
                Err(_) => "IP:(of no known length)".to_owned(),
            },
        },
        GeneralName::DirectoryName(_) => "a directory name".to_owned(),
        GeneralName::RegisteredId(oid) => format!("OID:{oid}"),
        GeneralName::OtherName(other) => format!("other:{}", other.type_id),
        GeneralName::EdiPartyName(_) => "an EDI party name".to_owned(),
    }
}

/// IA5 text of a stranger, on its way to a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_control() { letter.escape_unicode().collect() } else { vec![letter] })
        .collect()
}

/// RFC 1123 labels, `_` for what is no host, one `*` as the whole first label.
fn is_host(host: &str) -> bool {
    let host = host.strip_prefix("*.").unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What was given is neither a host nor anything else that a certificate names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no host name, IP address, URI: or email: that a certificate can name")]
pub struct AlternativeNameError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_and_what_is_none_is_refused() {
        for (text, shown) in [
            ("example.com", "DNS:example.com"),
            ("*.example.com", "DNS:*.example.com"),
            ("192.0.2.1", "IP:192.0.2.1"),
            ("2001:db8::1", "IP:2001:db8::1"),
            ("IP:2001:db8::1", "IP:2001:db8::1"),
            ("URI:urn:dev:mac:02c077e20001", "URI:urn:dev:mac:02c077e20001"),
            ("email:a@example.com", "email:a@example.com"),
        ] {
            assert_eq!(text.parse::<AlternativeName>().unwrap().to_string(), shown);
        }
        for text in ["", "a b", "IP:example.com", "-a.example", "a..b", "*.*.example", "a\0b", "bücher.example"] {
            assert_eq!(text.parse::<AlternativeName>(), Err(AlternativeNameError(text.to_owned())));
        }
    }
}
