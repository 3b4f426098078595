//! What an EcoWatt device is called.

use std::fmt;
use std::str::FromStr;

/// 1 to 63 letters, digits and `_`, `-`, `.`: `ESP32_001`. The firmware's buffer has 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EcowattName(String);

impl EcowattName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text from outside as a log may show it.
    pub(super) fn shown(text: &str) -> String {
        text.parse::<Self>().map_or_else(|_| "something else".to_owned(), |name| name.0)
    }
}

impl fmt::Display for EcowattName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EcowattName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let fits = (1..=63).contains(&text.len()) && text.bytes().all(is_legal);
        fits.then(|| Self(text.to_owned())).ok_or(NameError)
    }
}

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 63 letters, digits and _ - .")]
pub struct NameError;
