//! The `date` header: IMF-fixdate, as `Sun, 22 Nov 2026 08:00:00 GMT`. Source: RFC 9110, 5.6.7.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last date that was told; it is written anew once a second.
#[derive(Debug, Default)]
pub(super) struct Date {
    unix: u64,
    text: String,
}

impl Date {
    /// The present one.
    pub(super) fn now(&mut self) -> &str {
        self.at(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// The one at so many seconds since 1970-01-01 00:00 UTC.
    fn at(&mut self, unix: u64) -> &str {
        if self.unix != unix || self.text.is_empty() {
            (self.unix, self.text) = (unix, httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix)));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_anew_when_the_second_has_changed() {
        let mut date = Date::default();
        // `date -u -d @N` of GNU coreutils 9.1.
        for (unix, text) in [
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(date.at(unix), text);
        }
    }
}
