//! What a device shows to somebody else's cloud: credentials in the formats of AWS IoT and Azure IoT.
//!
//! | file | noun |
//! |---|---|
//! | `azure` | symmetric keys, shared access signatures, the names that they are for |
//! | `aws` | names of things, the user name for a custom authorizer |
//!
//! Certificates need nothing of this: both clouds take the device's own.

pub mod aws;
pub mod azure;

use crate::canonical::Writer;

/// Appends text with everything but letters, digits and `-._~` as `%XX` (RFC 3986 section 2.1).
fn percent_encoded(writer: &mut Writer<'_>, text: &str) {
    for byte in text.bytes() {
        if is_unreserved(byte) {
            writer.literal(core::str::from_utf8(&[byte]).unwrap_or_default());
        } else {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value & 0xf)];
            let escape = [b'%', digit(byte >> 4), digit(byte)];
            writer.literal(core::str::from_utf8(&escape).unwrap_or_default());
        }
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What was written is ASCII.
fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}
