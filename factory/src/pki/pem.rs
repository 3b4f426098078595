//! PEM files of certificates and requests, with whatever text there is between the blocks.

use super::certificate::CertificateError;
use base64ct::{Base64, Encoding};
use pem_rfc7468::LineEnding;

/// The DER inside of every block with this label. Lines may have any length.
///
/// # Errors
/// [`CertificateError::Pem`] for a block that does not end or is not base64.
pub(super) fn decode(file: &[u8], label: &str) -> Result<Vec<Vec<u8>>, CertificateError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut blocks = Vec::new();
    let mut rest = file;
    while let Some(at) = find(rest, begin.as_bytes()) {
        let index = blocks.len() + 1;
        let body = &rest[at + begin.len()..];
        let length = find(body, end.as_bytes()).ok_or(CertificateError::Pem(index))?;
        let text: Vec<u8> = body[..length].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let text = str::from_utf8(&text).map_err(|_| CertificateError::Pem(index))?;
        blocks.push(Base64::decode_vec(text).map_err(|_| CertificateError::Pem(index))?);
        rest = &body[length + end.len()..];
    }
    Ok(blocks)
}

/// One block, 64 columns, with a final newline.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der).expect("the label is ours and memory suffices")
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}
