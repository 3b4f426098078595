//! MAC addresses as people write them.

/// Reads one of six bytes, or of eight as chips with 802.15.4 have it: in hex, with colons, dashes or nothing between.
pub(crate) fn parse(text: &str) -> Option<Vec<u8>> {
    let separated = text.contains([':', '-']);
    let pairs: Option<Vec<&str>> = if separated {
        Some(text.split([':', '-']).collect())
    } else {
        text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).ok()).collect()
    };
    let byte = |pair: &&str| {
        let is_one = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_one.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    let bytes: Option<Vec<u8>> = pairs?.iter().map(byte).collect();
    bytes.filter(|bytes| matches!(bytes.len(), 6 | 8))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_spelling_is_read_and_nothing_else() {
        let expected = Some(vec![0x30, 0xed, 0xa0, 0xed, 0x78, 0x9c]);
        for text in ["30:ed:a0:ed:78:9c", "30-ED-A0-ED-78-9C", "30eda0ed789c"] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("60:55:f9:ff:fe:f7:2a:b6"), Some(vec![0x60, 0x55, 0xf9, 0xff, 0xfe, 0xf7, 0x2a, 0xb6]));
        for text in [
            "",
            "30:ed:a0:ed:78",
            "30:ed:a0:ed:78:9c:00",
            "30:ed:a0:ed:78:9g",
            "+0:ed:a0:ed:78:9c",
            "30:ed:a0:ed:78:+c",
            "30eda0ed789",
            "30::ed:a0:ed:78:9c",
            "\u{e9}0eda0ed789",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
