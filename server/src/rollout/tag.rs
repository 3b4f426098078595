//! A word that an operator puts on devices, to roll out to them first, or not at all.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// 1 to 32 lower-case letters, digits and `.`, `_`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

impl Tag {
    /// Most tags on one device.
    pub const MOST: usize = 16;

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let fits = (1..=32).contains(&text.len()) && text.bytes().all(is_legal);
        if fits { Ok(Self(text.to_owned())) } else { Err(TagError) }
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

/// Why a text is no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to 32 lower-case letters, digits and . _ -")]
pub struct TagError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_one_spelling() {
        assert_eq!("beta-2.eu_west".parse::<Tag>().map(|tag| tag.to_string()), Ok("beta-2.eu_west".into()));
        for text in ["", "Beta", "a b", "ü", "a/b", "a\n", &"a".repeat(33)] {
            assert_eq!(text.parse::<Tag>(), Err(TagError), "{text}");
        }
    }
}
