//! Canonical JSON: messages with exactly one spelling, so that what was authenticated is what was parsed.
//!
//! A [`Scanner`] does not parse JSON: it expects the literal tokens of one message in one order, and reads values
//! between them. So duplicate, unknown, missing and reordered members, white space, escapes, floats, leading zeros,
//! upper-case hexadecimal and loose base64 have nowhere to go. A [`Writer`] produces that one spelling.
//! Neither allocates, and every length is bounded by the caller.

mod scanner;
mod writer;

pub use scanner::{Base64Text, Scanner};
pub use writer::{OutputFull, Writer};

/// Why bytes are not the one spelling of a message. Offsets count from the start of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// The message ends too early.
    #[error("message ends at offset {at}, inside a token")]
    Truncated {
        /// Its length.
        at: usize,
    },
    /// The message goes on after its last token.
    #[error("bytes after the end of the message, at offset {at}")]
    Trailing {
        /// Offset of the first of them.
        at: usize,
    },
    /// A UTF-8 byte order mark.
    #[error("byte order mark at offset {at}")]
    ByteOrderMark {
        /// Where.
        at: usize,
    },
    /// White space between tokens.
    #[error("white space at offset {at}")]
    Whitespace {
        /// Where.
        at: usize,
    },
    /// Another token: a member that is missing, duplicate, unknown or out of order, or another kind of value.
    #[error("expected {literal} at offset {at}")]
    Expected {
        /// Where the token should start.
        at: usize,
        /// The token.
        literal: &'static str,
    },
    /// No digit where a number should start.
    #[error("expected a number at offset {at}")]
    Number {
        /// Where.
        at: usize,
    },
    /// A number with a leading zero.
    #[error("leading zero at offset {at}")]
    LeadingZero {
        /// Where the number starts.
        at: usize,
    },
    /// A number with a fraction or an exponent.
    #[error("not an integer: fraction or exponent at offset {at}")]
    Fraction {
        /// Where the fraction or exponent starts.
        at: usize,
    },
    /// A number beyond its type.
    #[error("number out of range at offset {at}")]
    Overflow {
        /// Where the number starts.
        at: usize,
    },
    /// An upper-case hexadecimal digit.
    #[error("upper-case hexadecimal digit at offset {at}")]
    UpperCaseHex {
        /// Where.
        at: usize,
    },
    /// No hexadecimal digit; also when there are too few.
    #[error("expected a hexadecimal digit at offset {at}")]
    HexDigit {
        /// Where.
        at: usize,
    },
    /// A text that may not be empty is.
    #[error("empty text at offset {at}")]
    Empty {
        /// Where.
        at: usize,
    },
    /// A character that this text may not contain (escapes among them).
    #[error("character not allowed at offset {at}")]
    Character {
        /// Where.
        at: usize,
    },
    /// A text, a list or a message beyond its bound.
    #[error("longer than {max} at offset {at}")]
    TooLong {
        /// Where it starts.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// No `major.minor.patch`, or another spelling of it.
    #[error("not a version at offset {at}")]
    Version {
        /// Where it starts.
        at: usize,
    },
    /// A base64 text whose padding is missing, misplaced or too much.
    #[error("base64 padding is wrong at offset {at}")]
    Base64Padding {
        /// Where the last group starts.
        at: usize,
    },
    /// A character of the URL alphabet (`-` or `_`).
    #[error("base64 of the URL alphabet at offset {at}")]
    Base64Url {
        /// Where.
        at: usize,
    },
    /// A character of no base64 alphabet.
    #[error("not base64 at offset {at}")]
    Base64Alphabet {
        /// Where.
        at: usize,
    },
    /// The bits that padding cuts off are not zero: a second spelling of the same bytes.
    #[error("base64 has non-zero trailing bits at offset {at}")]
    Base64TrailingBits {
        /// Where the last digit is.
        at: usize,
    },
}
