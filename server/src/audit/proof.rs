//! The proof that one entry is in the log: the entry, its place, its path to the root, and the checkpoint. Nothing else
//! of the log is needed, nor shown.
//!
//! Source: C2SP `tlog-proof` (v1). The entry itself is the `extra` data.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::line::{LONGEST, Line};
use super::note::NoteKey;
use super::tree::{self, Hash};
use base64ct::{Base64, Encoding};
use std::fmt::Write;

/// Writes the proof of an entry in the log of these leaves, which the checkpoint covers; `None` if it is not there.
#[must_use]
pub fn prove(leaves: &[Hash], entry: &str, index: usize, checkpoint: &str) -> Option<String> {
    let path = tree::path(leaves, index)?;
    let entry = Base64::encode_string(entry.as_bytes());
    let mut text = format!("{MAGIC}\nextra {entry}\nindex {index}\n");
    for hash in path {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", Base64::encode_string(&hash));
    }
    Some(format!("{text}\n{checkpoint}"))
}

/// The entry that a proof proves, and the checkpoint that covers it.
///
/// # Errors
/// [`ProofError`].
pub fn check(proof: &str, key: &NoteKey) -> Result<(Line, Checkpoint), ProofError> {
    let (head, note) = proof.split_once("\n\n").ok_or(ProofError::Form)?;
    if head.len() > 2 * LONGEST + 64 * 64 {
        return Err(ProofError::Form);
    }
    let mut lines = head.lines();
    if lines.next() != Some(MAGIC) {
        return Err(ProofError::Form);
    }
    let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).ok_or(ProofError::Form);
    let (entry, index) = (field("extra ")?, field("index ")?);
    let entry =
        Base64::decode_vec(entry).ok().and_then(|entry| String::from_utf8(entry).ok()).ok_or(ProofError::Form)?;
    let line = Line::parse(&entry).ok_or(ProofError::Entry)?;
    if line.index.to_string() != index {
        return Err(ProofError::Entry);
    }
    let mut path = Vec::new();
    for text in lines {
        let mut hash = [0; 32];
        let is_hash = Base64::decode(text, &mut hash).is_ok_and(|hash| hash.len() == 32);
        // No log has more than 2^64 entries.
        if !is_hash || path.len() == 64 {
            return Err(ProofError::Form);
        }
        path.push(hash);
    }
    let checkpoint = Checkpoint::open(note, key)?;
    match tree::root_of_path(Line::leaf_of(&entry), line.index, checkpoint.size, &path) {
        Some(root) if root == checkpoint.root => Ok((line, checkpoint)),
        _ => Err(ProofError::NotInTheLog),
    }
}

const MAGIC: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not the lines of a proof.
    #[error("proof: not of the form c2sp.org/tlog-proof@v1 with the entry as extra data")]
    Form,
    /// The entry is no line of a log, or says another place.
    #[error("proof: its entry is no line of a log in that place")]
    Entry,
    /// The checkpoint is not of this log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The path leads to another root.
    #[error("proof: this entry is not in the log that was signed")]
    NotInTheLog,
}
