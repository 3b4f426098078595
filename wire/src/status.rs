//! How an update ended, as the device tells the server.
//!
//! `{"version":"1.2.0","result":"installed"|"rolled-back"|"failed","reason":".."}`

use crate::canonical::{CanonicalError, OutputFull, Scanner, Writer};
use crate::version::Version;

/// The end of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs, and has confirmed itself.
    Installed,
    /// It ran and did not confirm itself; the previous version runs again.
    RolledBack,
    /// It was never booted.
    Failed,
}

/// The body of a status request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// The version that the update was to.
    pub version: Version,
    /// How it ended.
    pub outcome: Outcome,
    reason: heapless::String<{ Self::MAX_REASON }>,
}

impl StatusReport {
    /// Longest reason, in characters.
    pub const MAX_REASON: usize = 96;
    /// Longest body, in bytes.
    pub const MAX_LEN: usize = 192;

    /// A report. What `reason` has beyond 96 characters is cut off, and what JSON would have to escape becomes `?`:
    /// a diagnosis must not fail for its wording.
    #[must_use]
    pub fn new(version: Version, outcome: Outcome, reason: &str) -> Self {
        let mut text = heapless::String::new();
        for character in reason.chars().take(Self::MAX_REASON) {
            let printable = u8::try_from(character).is_ok_and(is_plain);
            text.push(if printable { character } else { '?' }).expect("96 ASCII characters fit");
        }
        Self { version, outcome, reason: text }
    }

    /// Why, for a person; possibly empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Writes the body into the beginning of `out`.
    ///
    /// # Errors
    /// [`OutputFull`]; [`Self::MAX_LEN`] bytes are always enough.
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], OutputFull> {
        let mut writer = Writer::new(out);
        writer.literal("{\"version\":\"").literal(&self.version.text()).literal("\",\"result\":\"");
        writer.literal(match self.outcome {
            Outcome::Installed => "installed",
            Outcome::RolledBack => "rolled-back",
            Outcome::Failed => "failed",
        });
        writer.literal("\",\"reason\":\"").literal(&self.reason).literal("\"}");
        writer.finish()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn parse(body: &[u8]) -> Result<Self, CanonicalError> {
        let mut scanner = Scanner::new(body, Self::MAX_LEN)?;
        scanner.literal("{\"version\":\"")?;
        let version = scanner.version()?;
        scanner.literal("\",\"result\":\"")?;
        let outcome = if scanner.accepts("installed") {
            Outcome::Installed
        } else if scanner.accepts("rolled-back") {
            Outcome::RolledBack
        } else {
            scanner.literal("failed")?;
            Outcome::Failed
        };
        scanner.literal("\",\"reason\":\"")?;
        let reason = scanner.text_or_empty(Self::MAX_REASON, is_plain)?;
        let report = Self::new(version, outcome, core::str::from_utf8(reason).unwrap_or_default());
        scanner.literal("\"}")?;
        scanner.end()?;
        Ok(report)
    }
}

/// Printable ASCII that JSON does not escape.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOLDEN: &str = "{\"version\":\"1.2.0\",\"result\":\"rolled-back\",\"reason\":\"register 3 has gain 0\"}";

    #[test]
    fn has_one_spelling() {
        let report = StatusReport::new(Version::new(1, 2, 0), Outcome::RolledBack, "register 3 has gain 0");
        assert_eq!(report.write(&mut [0; StatusReport::MAX_LEN]), Ok(GOLDEN.as_bytes()));
        assert_eq!(StatusReport::parse(GOLDEN.as_bytes()), Ok(report));
    }

    #[test]
    fn refuses_truncation_at_every_length() {
        for len in 0..GOLDEN.len() {
            assert!(StatusReport::parse(&GOLDEN.as_bytes()[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn refuses_a_version_or_an_outcome_that_does_not_exist() {
        let parse = |old, new| StatusReport::parse(GOLDEN.replacen(old, new, 1).as_bytes());
        assert_eq!(parse("1.2.0", "01.2.0"), Err(CanonicalError::Version { at: 12 }));
        assert_eq!(parse("1.2.0", "1.2"), Err(CanonicalError::Version { at: 12 }));
        assert_eq!(parse("rolled-back", "done"), Err(CanonicalError::Expected { at: 29, literal: "failed" }));
        assert_eq!(parse("gain 0", "gain \\u0030"), Err(CanonicalError::Character { at: 72 }));
    }

    #[test]
    fn a_reason_is_made_to_fit() {
        let report = StatusReport::new(Version::new(1, 0, 0), Outcome::Failed, &"ä\"\n\\x".repeat(40));
        assert!(report.reason().starts_with("????x????x"));
        assert_eq!(report.reason().len(), StatusReport::MAX_REASON);
        let widest = StatusReport::new(Version::new(65535, 65535, 65535), Outcome::RolledBack, &"x".repeat(96));
        assert_eq!(
            StatusReport::parse(widest.write(&mut [0; StatusReport::MAX_LEN]).expect("fits")),
            Ok(widest.clone())
        );
    }

    proptest! {
        #[test]
        fn round_trips(parts: (u16, u16, u16), which in 0usize..3, reason in ".{0,120}") {
            let outcome = [Outcome::Installed, Outcome::RolledBack, Outcome::Failed][which];
            let report = StatusReport::new(Version::new(parts.0, parts.1, parts.2), outcome, &reason);
            let mut out = [0; StatusReport::MAX_LEN];
            prop_assert_eq!(StatusReport::parse(report.write(&mut out).expect("fits")), Ok(report));
        }
    }
}
