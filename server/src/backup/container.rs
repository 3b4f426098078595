//! The file of a backup: a header in the clear, then AES-256-GCM in chunks that can be neither moved, cut off nor
//! added to.
//!
//! ```text
//! 0   16  "cotter-backup/1\n"
//! 16  16  id, random
//! 32   1  threshold: how many custodians restore
//! 33   1  custodians
//! 34      chunks: up to 65536 bytes, encrypted, and a tag of 16; only the last one is shorter than 65536, and may be empty
//!
//! key    HKDF-SHA256(the key that was split, salt = id, info = "cotter/backup/v1\0" | header), used for this file alone
//! nonce  7 zero bytes | number of the chunk u32 BE, from 0 | 1 in the last chunk, else 0
//! ```
//!
//! The nonce is that of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015).

use super::BackupError;
use super::custodian::{BackupId, Custodians};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use cotter_formats::secret::Secret;
use std::io::{BufRead, Read, Write};
use zeroize::{Zeroize, Zeroizing};

/// Length of a header.
pub const HEADER: usize = 34;

/// What stands at the beginning of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which backup.
    pub id: BackupId,
    /// Who restores it.
    pub custodians: Custodians,
}

impl Header {
    /// Reads it from the first [`HEADER`] bytes.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupError> {
        let refused = BackupError::NotABackup;
        let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else { return Err(refused) };
        let Some((id, [threshold, count])) =
            header.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<16>()).map(|(id, rest)| (*id, rest))
        else {
            return Err(refused);
        };
        let Some(custodians) = Custodians::new(*threshold, *count) else { return Err(refused) };
        Ok(Self { id: BackupId(id), custodians })
    }

    fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..32].copy_from_slice(&self.id.0);
        bytes[32..].copy_from_slice(&[self.custodians.threshold(), self.custodians.count()]);
        bytes
    }

    fn key(&self, secret: &Secret<32>) -> Result<LessSafeKey, BackupError> {
        let header = self.bytes();
        let info: [&[u8]; 2] = [b"cotter/backup/v1\0", &header];
        let key = Salt::new(HKDF_SHA256, &self.id.0).extract(secret.expose());
        let unbound = key.expand(&info, &AES_256_GCM).map(UnboundKey::from).map_err(|_| BackupError::WrongKey)?;
        Ok(LessSafeKey::new(unbound))
    }
}

/// Encrypts what is written to it.
pub(super) struct Sealer<W> {
    out: W,
    key: LessSafeKey,
    chunk: Zeroizing<Vec<u8>>,
    number: u32,
}

impl<W: Write> Sealer<W> {
    /// Writes the header.
    pub(super) fn new(mut out: W, header: &Header, secret: &Secret<32>) -> Result<Self, BackupError> {
        let key = header.key(secret)?;
        out.write_all(&header.bytes()).map_err(BackupError::Write)?;
        Ok(Self { out, key, chunk: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)), number: 0 })
    }

    /// Takes all of it.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK {
                self.seal(0)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Writes the last chunk; without it the file does not open.
    pub(super) fn finish(mut self) -> Result<W, BackupError> {
        self.seal(1)?;
        Ok(self.out)
    }

    fn seal(&mut self, last: u8) -> Result<(), BackupError> {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(self.number, last), Aad::empty(), &mut self.chunk)
            .map_err(|_| BackupError::TooLarge)?;
        self.out.write_all(&self.chunk).and_then(|()| self.out.write_all(tag.as_ref())).map_err(BackupError::Write)?;
        self.chunk.clear();
        self.number = self.number.checked_add(1).ok_or(BackupError::TooLarge)?;
        Ok(())
    }
}

/// Decrypts, chunk by chunk: nothing is handed out that is not authentic and in its place.
pub(super) struct Opener<R> {
    file: R,
    key: LessSafeKey,
    chunk: Zeroizing<Vec<u8>>,
    /// What of `chunk` was handed out.
    taken: usize,
    number: u32,
    ended: bool,
}

impl<R: BufRead> Opener<R> {
    /// `file` stands behind the header.
    pub(super) fn new(file: R, header: &Header, secret: &Secret<32>) -> Result<Self, BackupError> {
        let key = header.key(secret)?;
        Ok(Self { file, key, chunk: Zeroizing::default(), taken: 0, number: 0, ended: false })
    }

    /// Fills `out`.
    pub(super) fn fill(&mut self, mut out: &mut [u8]) -> Result<(), BackupError> {
        while !out.is_empty() {
            let some = self.some(out.len())?;
            if some.is_empty() {
                return Err(BackupError::Damaged);
            }
            let (now, later) = out.split_at_mut(some.len());
            now.copy_from_slice(some);
            out = later;
        }
        Ok(())
    }

    /// At most `most` further bytes; none at the end.
    pub(super) fn some(&mut self, most: usize) -> Result<&[u8], BackupError> {
        while self.taken == self.chunk.len() && !self.ended {
            self.open()?;
        }
        let from = self.taken;
        self.taken += most.min(self.chunk.len() - from);
        Ok(&self.chunk[from..self.taken])
    }

    fn open(&mut self) -> Result<(), BackupError> {
        self.chunk.zeroize();
        self.taken = 0;
        let mut file = self.file.by_ref().take((CHUNK + TAG) as u64);
        file.read_to_end(&mut self.chunk).map_err(BackupError::Read)?;
        self.ended = self.file.fill_buf().map_err(BackupError::Read)?.is_empty();
        // Of the first chunk, the key is the likelier reason.
        let refused = || if self.number == 0 { BackupError::WrongKey } else { BackupError::Damaged };
        let plain = self
            .key
            .open_in_place(nonce(self.number, self.ended.into()), Aad::empty(), &mut self.chunk)
            .map_err(|_| refused())?
            .len();
        self.chunk.truncate(plain);
        self.number = self.number.checked_add(1).ok_or(BackupError::TooLarge)?;
        Ok(())
    }
}

fn nonce(number: u32, last: u8) -> Nonce {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = last;
    Nonce::assume_unique_for_key(nonce)
}

const MAGIC: &[u8; 16] = b"cotter-backup/1\n";
const CHUNK: usize = 1 << 16;
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { id: BackupId([3; 16]), custodians: Custodians::new(2, 3).unwrap() }
    }

    fn secret() -> Secret<32> {
        Secret::filled_by(|key| key.fill(9))
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), &header(), &secret()).unwrap();
        sealer.write(content).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(file: &[u8]) -> Result<Vec<u8>, BackupError> {
        let header = Header::parse(file)?;
        let mut opener = Opener::new(&file[HEADER..], &header, &secret())?;
        let mut content = Vec::new();
        loop {
            match opener.some(1000)? {
                [] => return Ok(content),
                some => content.extend_from_slice(some),
            }
        }
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5] {
            let content: Vec<u8> = (0..=255).cycle().take(length).collect();
            assert_eq!(opened(&sealed(&content)).unwrap(), content, "{length}");
        }
    }

    #[test]
    fn chunks_cannot_be_cut_off_moved_doubled_or_added() {
        let whole = CHUNK + TAG;
        let file = sealed(&vec![7; 3 * CHUNK]);
        let chunk = |index: usize| &file[HEADER + index * whole..][..whole];
        let with = |chunks: &[usize]| {
            [&file[..HEADER], &chunks.iter().flat_map(|at| chunk(*at)).copied().collect::<Vec<_>>()].concat()
        };
        assert!(opened(&with(&[0, 1, 2])).is_ok());
        assert!(matches!(opened(&with(&[0, 1])), Err(BackupError::Damaged)), "cut off");
        assert!(matches!(opened(&with(&[0])), Err(BackupError::WrongKey)), "cut off after the first");
        assert!(matches!(opened(&with(&[])), Err(BackupError::WrongKey)), "nothing left");
        assert!(matches!(opened(&with(&[1, 0, 2])), Err(BackupError::WrongKey)), "moved");
        assert!(matches!(opened(&with(&[0, 1, 1, 2])), Err(BackupError::Damaged)), "doubled");
        assert!(matches!(opened(&with(&[0, 1, 2, 2])), Err(BackupError::Damaged)), "added");
        assert!(matches!(opened(&[&file[..], b"x"].concat()), Err(BackupError::Damaged)), "a byte behind the end");
    }

    #[test]
    fn no_bit_can_be_flipped_and_no_byte_be_missing() {
        let file = sealed(b"a secret");
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let refused = opened(&changed);
            assert!(matches!(refused, Err(BackupError::NotABackup | BackupError::WrongKey)), "bit {bit}");
        }
        for length in 0..file.len() {
            let refused = opened(&file[..length]);
            assert!(matches!(refused, Err(BackupError::NotABackup | BackupError::WrongKey)), "{length}");
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let file = sealed(b"a secret");
        let other = Secret::filled_by(|key| key.fill(8));
        let mut opener = Opener::new(&file[HEADER..], &header(), &other).unwrap();
        assert!(matches!(opener.some(1), Err(BackupError::WrongKey)));
    }
}
