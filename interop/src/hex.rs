//! Hexadecimal digits, as other tools print and read them.

/// Two lower-case digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of such digits. Panics with the text if it is something else.
#[must_use]
#[track_caller]
pub fn unhex(text: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    match text.as_bytes().chunks(2).map(pair).collect() {
        Some(bytes) if text.len().is_multiple_of(2) => bytes,
        _ => panic!("no hexadecimal digits: {text}"),
    }
}
