//! The signature blocks of a file, as they are reported.

use cotter_formats::chip::Chip;
use cotter_formats::image::Image;
use cotter_formats::secure_boot::v2::{SignedFile, locate};
use serde::Serialize;
use std::fmt;

/// One block: whose it is, and whether it holds for the content.
#[derive(Serialize)]
pub(super) struct Block {
    block: usize,
    scheme: String,
    key_digest: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl Block {
    /// Whether it holds.
    pub(super) const fn valid(&self) -> bool {
        self.valid
    }

    /// All blocks of a file.
    pub(super) fn all(file: &SignedFile<'_>) -> Vec<Self> {
        let digests = file.content_digests();
        let of = |(block, signature): (usize, &cotter_formats::secure_boot::v2::SignatureBlock<'_>)| {
            let refusal = signature.verify_any(&digests).err().map(|refusal| refusal.to_string());
            let (scheme, key_digest) = (signature.scheme().to_string(), hex(&signature.key_digest()));
            Self { block, scheme, key_digest, valid: refusal.is_none(), refusal }
        };
        file.signatures.blocks().enumerate().map(of).collect()
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {}  {}  key digest {}  ", self.block, self.scheme, self.key_digest)?;
        match &self.refusal {
            None => f.write_str("valid"),
            Some(refusal) => write!(f, "BAD: {refusal}"),
        }
    }
}

/// The signed file in `bytes`, wherever its signature sector is.
pub(super) fn find(bytes: &[u8], chip: Option<Chip>) -> anyhow::Result<SignedFile<'_>> {
    let image_len = chip.and_then(|chip| Image::scan(bytes, chip).ok()).map(|image| image.len());
    Ok(locate(bytes, image_len)?)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
