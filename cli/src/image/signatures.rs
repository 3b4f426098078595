//! The signature blocks of a file, as they are reported.

use crate::file::File;
use anyhow::Context;
use cotter_formats::chip::Chip;
use cotter_formats::image::{HEADER_LEN, Image};
use cotter_formats::secure_boot::v2::{
    ContentDigests, ContentHasher, SECTOR_LEN, SignatureBlock, SignatureSector, SignedFile, locate,
};
use serde::Serialize;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

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

    /// All blocks of a sector, for content with these digests.
    pub(super) fn all(signatures: &SignatureSector<'_>, digests: &ContentDigests) -> Vec<Self> {
        let of = |(block, signature): (usize, &SignatureBlock<'_>)| {
            let refusal = signature.verify_any(digests).err().map(|refusal| refusal.to_string());
            let (scheme, key_digest) = (signature.scheme().to_string(), hex(&signature.key_digest()));
            Self { block, scheme, key_digest, valid: refusal.is_none(), refusal }
        };
        signatures.blocks().enumerate().map(of).collect()
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

/// A signature sector, and the digests of what stands before it.
pub(super) struct Signed {
    sector: Vec<u8>,
    pub(super) digests: ContentDigests,
}

impl Signed {
    fn of(file: &SignedFile<'_>, bytes: &[u8]) -> Self {
        let at = file.content.len();
        Self { sector: bytes[at..at + SECTOR_LEN].to_vec(), digests: file.content_digests() }
    }

    /// The key digest of each block.
    pub(super) fn key_digests(&self) -> Vec<[u8; 32]> {
        self.signatures().blocks().map(SignatureBlock::key_digest).collect()
    }

    /// The blocks.
    pub(super) fn signatures(&self) -> SignatureSector<'_> {
        SignatureSector::parse(&self.sector).expect("it was one when it was found")
    }
}

/// What is known of a file after one look through it.
pub(super) struct Looked {
    /// Its first bytes, enough for an image's header; all of it if no signature sector was found at its end.
    pub(super) bytes: Vec<u8>,
    /// The signatures, or why there are none.
    pub(super) signed: anyhow::Result<Signed>,
}

impl Looked {
    /// Reads a file whose last sector holds the signatures piece by piece; any other, and stdin, as a whole.
    pub(super) fn at(file: &File, chip: Option<Chip>) -> anyhow::Result<Self> {
        if let File::Path(path) = file
            && let Some((bytes, signed)) = in_pieces(path).with_context(|| format!("cannot read {file}"))?
        {
            return Ok(Self { bytes, signed: Ok(signed) });
        }
        let bytes = file.read()?;
        let signed = find(&bytes, chip.or_else(|| super::chip_of(&bytes))).map(|signed| Signed::of(&signed, &bytes));
        Ok(Self { bytes, signed })
    }
}

/// The head of a file and its signatures; `None` if its last sector holds none.
fn in_pieces(path: &Path) -> std::io::Result<Option<(Vec<u8>, Signed)>> {
    let mut input = std::fs::File::open(path)?;
    let Some(content) = input.metadata()?.len().checked_sub(SECTOR_LEN as u64) else { return Ok(None) };
    let mut sector = Vec::with_capacity(SECTOR_LEN);
    input.seek(SeekFrom::Start(content))?;
    (&mut input).take(SECTOR_LEN as u64).read_to_end(&mut sector)?;
    let Ok(signatures) = SignatureSector::parse(&sector) else { return Ok(None) };
    let mut hasher = ContentHasher::new(signatures.blocks().map(SignatureBlock::scheme));
    input.seek(SeekFrom::Start(0))?;
    let (mut head, mut piece, mut left) = (Vec::new(), vec![0; PIECE], content);
    while left > 0 {
        let want = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
        input.read_exact(&mut piece[..want])?;
        hasher.update(&piece[..want]);
        if head.is_empty() {
            head.extend_from_slice(&piece[..want.min(HEADER_LEN)]);
        }
        left -= want as u64;
    }
    let digests = hasher.finish();
    Ok(Some((head, Signed { sector, digests })))
}

/// Bytes that are held at a time.
const PIECE: usize = 1 << 18;

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
