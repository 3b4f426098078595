//! One download: the verified manifest, its key, and how far it got.

use super::record::Record;
use super::refusal::Refusal;
use crate::label::ImageLabel;
use crate::slots::Slot;
use cotter_wire::content::{BLOCK, ContentError, ContentKey, chunk_len, decrypt_chunk, without_padding};
use cotter_wire::manifest::{Manifest, VerifiedManifest};
use embedded_storage::nor_flash::ReadNorFlash;
use sha2::{Digest, Sha256};

/// A download in memory; wiped on drop because its key is.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) verified: VerifiedManifest,
    pub(super) key: ContentKey,
    /// As it is in NVS.
    pub(super) record: Record,
    pub(super) slot: Slot,
    /// The chunk to ask for.
    pub(super) next: u32,
    /// The ciphertext block before it.
    pub(super) last_block: [u8; BLOCK],
}

impl Download {
    pub(super) const fn manifest(&self) -> &Manifest {
        self.verified.manifest()
    }

    /// How many ciphertext bytes chunk `index` has; `None` after the last one.
    pub(super) fn chunk_len(&self, index: u32) -> Option<usize> {
        chunk_len(self.manifest().encrypted_size(), index)
    }

    /// Decrypts the next chunk in place and moves on. Gives the bytes to write: whole 16-byte blocks, with erased bytes
    /// in place of the padding.
    pub(super) fn decrypt<'b>(&mut self, bytes: &'b mut [u8]) -> Result<&'b [u8], ContentError> {
        decrypt_chunk(&self.key, &mut self.last_block, bytes)?;
        let is_last = self.chunk_len(self.next + 1).is_none();
        self.next += 1;
        if !is_last {
            return Ok(bytes);
        }
        let len = without_padding(bytes)?;
        let written = len.next_multiple_of(BLOCK);
        bytes[len..written].fill(0xff);
        Ok(&bytes[..written])
    }
}

/// The manifest's promises against the image's own label.
pub(super) fn compare(label: &ImageLabel, manifest: &Manifest) -> Result<(), Refusal> {
    if label.chip != manifest.chip {
        return Err(Refusal::ImageChip { promised: manifest.chip, found: label.chip });
    }
    if label.project.as_str() != manifest.project.as_str() {
        return Err(Refusal::ImageProject);
    }
    if label.version != manifest.version {
        return Err(Refusal::ImageVersion { promised: manifest.version, found: label.version });
    }
    if label.secure_version != manifest.secure_version {
        let (promised, found) = (manifest.secure_version, label.secure_version);
        return Err(Refusal::ImageSecureVersion { promised, found });
    }
    Ok(())
}

/// SHA-256 of the first `size` bytes of a slot, as they read back.
pub(super) fn slot_digest<F: ReadNorFlash>(flash: &mut F, slot: Slot, size: u32) -> Result<[u8; 32], F::Error> {
    let mut hash = Sha256::new();
    let mut buffer = [0; READ as usize];
    let mut at = 0;
    while at < size {
        // Whole buffers, because a view may read in units; a slot is a whole number of them.
        flash.read(slot.start.0 + at, &mut buffer)?;
        let wanted = usize::try_from(size - at).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        hash.update(&buffer[..wanted]);
        at += READ;
    }
    Ok(hash.finalize().into())
}

const READ: u32 = 256;
