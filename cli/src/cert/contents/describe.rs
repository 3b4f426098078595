//! Entries in words, and the state of each private key.

use cotter_factory::certificate::Certificates;
use cotter_factory::device_key::DeviceKey;
use cotter_factory::ds;
use cotter_factory::public_key::PublicKey;
use cotter_factory::secure_cert::open;
use cotter_formats::ds::{DsContext, DsData};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_cert::{Entry, Inspection, Protection, SignatureData, TlvType, security_config_key};
use serde::Serialize;
use std::fmt;

/// One entry in a few words; nothing secret.
pub(super) fn content(entry: &Entry<'_>) -> String {
    let malformed = || "malformed".to_owned();
    match entry.kind {
        TlvType::CA_CERT | TlvType::DEVICE_CERT => certificates(entry.data),
        TlvType::PRIVATE_KEY => match entry.flags.protection() {
            Some(Protection::None) => match DeviceKey::read(strip(entry.data), None) {
                Ok(key) => format!("{} in plain", key.public().kind()),
                Err(_) => malformed(),
            },
            Some(Protection::HmacEncrypted) => "encrypted under the HMAC key".to_owned(),
            Some(Protection::HmacDerived) => "P-256, derived from the HMAC key and the salt".to_owned(),
            Some(Protection::EcdsaPeripheral) if entry.data.is_empty() => "in the ECDSA peripheral".to_owned(),
            Some(Protection::EcdsaPeripheral) => "in the ECDSA peripheral, and in plain here".to_owned(),
            None => "unknown protection".to_owned(),
        },
        TlvType::DS_DATA => DsData::parse(entry.data).map_or_else(
            |_| malformed(),
            |data| format!("RSA-{}, {} bytes of ciphertext", data.rsa_bits, data.ciphertext.len()),
        ),
        TlvType::DS_CONTEXT => DsContext::parse(entry.data).map_or_else(
            |_| malformed(),
            |context| format!("RSA-{}, HMAC key in {}", context.rsa_bits, context.key_id),
        ),
        TlvType::SECURITY_CONFIG => security_config_key(entry.data)
            .map_or_else(malformed, |id| format!("key in {id} (eFuse block {})", id.block())),
        TlvType::SIGNATURE => SignatureData::parse(entry.data)
            .map_or_else(|_| malformed(), |data| format!("{} over {:#x} bytes", data.scheme(), data.length)),
        TlvType::INTEGRITY => "SHA-256".to_owned(),
        TlvType::ECDSA_SALT => "salt".to_owned(),
        _ => match str::from_utf8(entry.data) {
            Ok(text) if !text.is_empty() && text.len() <= 40 && !text.contains(char::is_control) => {
                format!("{text:?}")
            }
            _ => String::new(),
        },
    }
}

/// Certificates by the kind of their key.
pub(super) fn certificates(data: &[u8]) -> String {
    match Certificates::read(data) {
        Err(refused) => refused.to_string(),
        Ok(read) => {
            let form = if data.starts_with(b"-----") { "PEM" } else { "DER" };
            let kind = read.public_key().map_or_else(|refused| refused.to_string(), |key| key.kind().to_string());
            match read.ders.len() {
                1 => format!("{kind}, {form}"),
                count => format!("{kind}, {form}, chain of {count}"),
            }
        }
    }
}

/// PEM is stored with a NUL.
pub(super) fn strip(data: &[u8]) -> &[u8] {
    if data.starts_with(b"-----") { data.strip_suffix(&[0]).unwrap_or(data) } else { data }
}

/// What is known about one private key.
#[derive(Serialize)]
pub(super) struct KeyState {
    pub(super) subtype: u8,
    /// How it is protected.
    pub(super) protection: &'static str,
    /// The certificate beside it is for this key; `None` if one of them is missing or cannot be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) matches_certificate: Option<bool>,
    /// It was opened with the HMAC key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opens: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<String>,
}

impl KeyState {
    /// What is wrong with it, if anything is.
    pub(super) fn trouble(&self) -> Option<String> {
        let Self { subtype, .. } = self;
        if let Some(refusal) = &self.refusal {
            return Some(format!("private key {subtype}: {refusal}"));
        }
        (self.matches_certificate == Some(false))
            .then(|| format!("private key {subtype}: the device certificate is for another key"))
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "private key {}  {}", self.subtype, self.protection)?;
        match self.opens {
            Some(true) => f.write_str(", opened with the HMAC key")?,
            Some(false) => f.write_str(", NOT opened with the HMAC key")?,
            None => {}
        }
        match self.matches_certificate {
            Some(true) => f.write_str(", matches the certificate"),
            Some(false) => f.write_str(", does NOT match the certificate"),
            None => Ok(()),
        }
    }
}

/// Each private key of the partition.
pub(super) fn keys(read: &Inspection<'_>, hmac_key: Option<&HmacKey>) -> Vec<KeyState> {
    let key_of = |subtype| {
        let entry = read.entry(TlvType::DEVICE_CERT, subtype)?;
        Certificates::read(entry.data).ok()?.public_key().ok()
    };
    let mut keys = Vec::new();
    for entry in &read.entries {
        let certified = key_of(entry.subtype);
        let state = |protection, outcome: Option<Result<PublicKey, String>>, opened: bool| KeyState {
            subtype: entry.subtype,
            protection,
            matches_certificate: match (&outcome, &certified) {
                (Some(Ok(key)), Some(certified)) => Some(key == certified),
                _ => None,
            },
            opens: outcome.as_ref().filter(|_| opened).map(Result::is_ok),
            refusal: outcome.and_then(Result::err),
        };
        match entry.kind {
            TlvType::DS_DATA => keys.push(ds_state(entry.data, entry.subtype, certified.as_ref(), hmac_key)),
            TlvType::PRIVATE_KEY => match entry.flags.protection() {
                Some(Protection::None) => keys.push(state("in plain", Some(public(entry.data)), false)),
                Some(Protection::EcdsaPeripheral) => {
                    let outcome = (!entry.data.is_empty()).then(|| public(entry.data));
                    keys.push(state("ECDSA peripheral", outcome, false));
                }
                Some(Protection::HmacEncrypted) => {
                    let outcome = hmac_key.map(|key| {
                        let plain = open::decrypt(entry.data, key).map_err(|refused| refused.to_string())?;
                        public(&plain)
                    });
                    keys.push(state("HMAC-encrypted", outcome, true));
                }
                Some(Protection::HmacDerived) => {
                    let salt = read.entry(TlvType::ECDSA_SALT, entry.subtype);
                    let outcome = hmac_key.zip(salt).map(|(key, salt)| {
                        let derived = open::derive(key, salt.data).map_err(|refused| refused.to_string())?;
                        Ok(derived.public().clone())
                    });
                    keys.push(state("HMAC-derived", outcome, true));
                }
                None => {}
            },
            _ => {}
        }
    }
    keys
}

/// DS data, opened if the HMAC key is there.
pub(super) fn ds_state(
    data: &[u8],
    subtype: u8,
    certified: Option<&PublicKey>,
    hmac_key: Option<&HmacKey>,
) -> KeyState {
    let outcome = hmac_key.map(|key| {
        let data = DsData::parse(data).map_err(|refused| refused.to_string())?;
        ds::check(&data, key, None).map_err(|refused| refused.to_string())
    });
    let matches_certificate = match (&outcome, certified) {
        (Some(Ok(checked)), Some(PublicKey::Rsa(numbers))) => Some(numbers.n == checked.modulus),
        (Some(Ok(_)), Some(_)) => Some(false),
        _ => None,
    };
    let opens = outcome.as_ref().map(Result::is_ok);
    let refusal = outcome.and_then(Result::err);
    KeyState { subtype, protection: "digital signature peripheral", matches_certificate, opens, refusal }
}

/// The public half of a stored key.
pub(super) fn public(data: &[u8]) -> Result<PublicKey, String> {
    DeviceKey::read(strip(data), None).map(|key| key.public().clone()).map_err(|refused| refused.to_string())
}
