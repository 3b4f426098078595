//! One range of an artifact, by RFC 9110 section 14: which bytes a request wants, or why it gets none.
//!
//! Stricter than the RFC allows itself to be, so that a device never mistakes a whole for a part: the answer is 206 with
//! exactly the range that was asked for, or 416 with the length. Never 200: a request without `Range` gets the whole
//! as one range.

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_RANGE, RANGE};

/// Bytes `first..=last` of `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// What a request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// These bytes.
    Part(ByteRange),
    /// 416: no such range, several, or none that can be read.
    Unsatisfiable,
    /// 412: the device has begun with another artifact.
    OtherContent,
    /// 400: a header twice, or conditions that cannot be read.
    Malformed,
}

impl ByteRange {
    /// How many bytes.
    pub(super) const fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// `bytes=0-99`, `bytes=100-`, `bytes=-100`; the end may lie beyond the last byte, the beginning may not.
    fn parse(text: &str, total: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let end = total.checked_sub(1)?;
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Self { first, last: last.min(end) },
            (Some(first), None) if last.is_empty() => Self { first, last: end },
            (None, Some(length)) if first.is_empty() && length > 0 => {
                Self { first: total.saturating_sub(length), last: end }
            }
            _ => return None,
        };
        (range.first <= end).then_some(range)
    }
}

/// Decides by the headers of a request. `etag`: the artifact's, with its quotes.
pub(super) fn asked(headers: &HeaderMap, etag: &str, total: u64) -> Asked {
    let (Ok(range), Ok(if_range), Ok(if_match)) =
        (only(headers, &RANGE), only(headers, &IF_RANGE), only(headers, &IF_MATCH))
    else {
        return Asked::Malformed;
    };
    // One strong tag; a list or `*` would say less than a device knows.
    if if_match.is_some_and(|tag| tag != etag) {
        return Asked::OtherContent;
    }
    // Off-spec: RFC 9110 would answer 200 with the whole. A device that goes on with a part must not get a whole.
    if if_range.is_some_and(|tag| tag != etag) {
        return Asked::OtherContent;
    }
    match (range, total.checked_sub(1)) {
        (None, Some(last)) => Asked::Part(ByteRange { first: 0, last }),
        (Some(range), _) => ByteRange::parse(range, total).map_or(Asked::Unsatisfiable, Asked::Part),
        (None, None) => Asked::Unsatisfiable,
    }
}

/// The only value of a header; an error if there are several, or one that is no text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Decimal digits only, and no number that does not fit.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    const TAG: &str = "\"abc\"";

    fn of(headers: &[(HeaderName, &str)]) -> Asked {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        asked(&map, TAG, 1000)
    }

    fn part(first: u64, last: u64) -> Asked {
        Asked::Part(ByteRange { first, last })
    }

    #[test]
    fn a_range_is_what_rfc_9110_says() {
        for (range, expected) in [
            ("bytes=0-499", part(0, 499)),
            ("bytes=500-999", part(500, 999)),
            ("bytes=999-", part(999, 999)),
            ("bytes=0-", part(0, 999)),
            ("bytes=-500", part(500, 999)),
            ("bytes=-1", part(999, 999)),
            ("bytes=-5000", part(0, 999)),
            ("bytes=0-0", part(0, 0)),
            ("bytes=900-99999", part(900, 999)),
            ("bytes=0-18446744073709551615", part(0, 999)),
        ] {
            assert_eq!(of(&[(RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn what_is_no_single_range_within_the_artifact_is_unsatisfiable() {
        for range in [
            "bytes=1000-",
            "bytes=1000-1001",
            "bytes=-0",
            "bytes=5-4",
            "bytes=0-1,5-6",
            "bytes=0-5,3-9",
            "bytes=0-1, 2-3",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes= 0-1",
            "bytes=0-1 ",
            "bytes=0x0-0x9",
            "bytes=18446744073709551616-",
            "bytes=0-18446744073709551616",
            "bytes=-18446744073709551616",
            "BYTES=0-1",
            "items=0-1",
            "0-1",
            "",
        ] {
            assert_eq!(of(&[(RANGE, range)]), Asked::Unsatisfiable, "{range}");
        }
    }

    #[test]
    fn conditions_hold_for_this_artifact_only() {
        assert_eq!(of(&[]), part(0, 999));
        assert_eq!(of(&[(RANGE, "bytes=5-9"), (IF_RANGE, TAG), (IF_MATCH, TAG)]), part(5, 9));
        for other in ["\"abd\"", "abc", "W/\"abc\"", "*", "\"abc\", \"abd\"", "Sun, 22 Nov 2026 00:00:00 GMT", ""] {
            assert_eq!(of(&[(RANGE, "bytes=5-9"), (IF_RANGE, other)]), Asked::OtherContent, "If-Range {other}");
            assert_eq!(of(&[(IF_MATCH, other)]), Asked::OtherContent, "If-Match {other}");
        }
    }

    #[test]
    fn a_header_twice_is_malformed() {
        for name in [RANGE, IF_RANGE, IF_MATCH] {
            assert_eq!(of(&[(name.clone(), TAG), (name.clone(), TAG)]), Asked::Malformed, "{name}");
        }
        let mut map = HeaderMap::new();
        map.insert(RANGE, HeaderValue::from_bytes(b"bytes=0-1\xff").unwrap());
        assert_eq!(asked(&map, TAG, 1000), Asked::Malformed);
    }

    #[test]
    fn an_empty_artifact_has_no_part() {
        assert_eq!(asked(&HeaderMap::new(), TAG, 0), Asked::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_artifact(range in "bytes=[0-9]{0,21}-[0-9]{0,21}", total in 0_u64..5_000) {
            let mut map = HeaderMap::new();
            map.insert(RANGE, HeaderValue::from_str(&range).unwrap());
            if let Asked::Part(part) = asked(&map, TAG, total) {
                prop_assert!(part.first <= part.last && part.last < total);
            }
        }
    }
}
