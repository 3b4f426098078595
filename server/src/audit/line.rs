//! One line of the log: JSON in one spelling, written once. Its bytes, without the newline, are the leaf of the tree.

use super::tree::{Hash, leaf};
use crate::store::AuditEntry;
use serde::{Deserialize, Serialize};

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Counts from 0 without gaps.
    pub index: u64,
    /// Unix seconds.
    pub at: u64,
    /// Stable kebab-case name of what happened.
    pub event: String,
    /// Administrator or device that did it; empty if the server itself.
    pub by: String,
    /// Device, release or token that it is about; empty if none.
    pub subject: String,
    /// What a person needs to know.
    pub detail: String,
}

impl Line {
    /// Gives an entry its place. What is longer than a line may be is cut.
    #[must_use]
    pub fn new(index: u64, entry: AuditEntry) -> Self {
        let AuditEntry { at, mut by, mut subject, mut event, mut detail } = entry;
        for (text, most) in [(&mut event, 64), (&mut by, 64), (&mut subject, 256), (&mut detail, 1024)] {
            text.truncate(text.floor_char_boundary(most));
        }
        Self { index, at, event, by, subject, detail }
    }

    /// The bytes that are hashed.
    #[must_use]
    pub fn text(&self) -> String {
        // Numbers and strings always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The leaf of a line as it is stored.
    #[must_use]
    pub fn leaf_of(text: &str) -> Hash {
        leaf(text.as_bytes())
    }

    /// Reads a line in its one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok().filter(|_| text.len() <= LONGEST)?;
        (line.text() == text).then_some(line)
    }
}

/// Longest line in bytes: the four texts with every character escaped, and the numbers.
pub const LONGEST: usize = 6 * (64 + 64 + 256 + 1024) + 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(detail: &str) -> AuditEntry {
        AuditEntry { at: 5, by: "c".into(), subject: "a".into(), event: "b".into(), detail: detail.into() }
    }

    #[test]
    fn a_line_has_one_spelling() {
        let line = Line::new(3, entry("\"quoted\"\n\u{1}é"));
        let text = line.text();
        assert_eq!(text, r#"{"index":3,"at":5,"event":"b","by":"c","subject":"a","detail":"\"quoted\"\n\u0001é"}"#);
        assert_eq!(Line::parse(&text), Some(line));
        for other in [
            text.replace(":3", ": 3"),
            text.replace("\"at\":5,", ""),
            text.replace("é", "\\u00e9"),
            format!("{text} "),
            text.replace("{", "{\"more\":1,"),
            text[..text.len() - 1].to_owned(),
        ] {
            assert_eq!(Line::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn the_longest_line_is_read_back() {
        let longest = "\u{1}".repeat(2000);
        let line = Line::new(
            u64::MAX,
            AuditEntry {
                at: u64::MAX,
                by: longest.clone(),
                subject: longest.clone(),
                event: longest.clone(),
                detail: longest,
            },
        );
        assert_eq!(line.detail.len(), 1024);
        assert!(line.text().len() <= LONGEST);
        assert_eq!(Line::parse(&line.text()), Some(line));
        assert_eq!(Line::new(0, entry(&"é".repeat(700))).detail.len(), 1024);
    }
}
