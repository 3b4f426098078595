//! A checkpoint: the server's word that its log has so many lines and that root. Who keeps one can prove later that
//! nothing before it was changed, removed or put in another place.
//!
//! Source: C2SP `tlog-checkpoint`. Text of the note: origin, number of entries, root in base64, a line each.

use super::note::{NoteError, NoteKey, NoteSigner};
use super::tree::{Frontier, Hash};
use base64ct::{Base64, Encoding};

/// What was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Entries that it covers.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// Of a log as it is now.
    #[must_use]
    pub fn of(log: &Frontier) -> Self {
        Self { size: log.size(), root: log.root() }
    }

    /// The signed note. A log must never sign two that contradict each other.
    #[must_use]
    pub fn sign(&self, signer: &NoteSigner) -> String {
        let origin = signer.key().name();
        signer.sign(&format!("{origin}\n{}\n{}\n", self.size, Base64::encode_string(&self.root)))
    }

    /// Reads one that `key` signed for its own log. Lines after the root are passed over.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(note: &str, key: &NoteKey) -> Result<Self, CheckpointError> {
        let mut lines = key.open(note)?.lines();
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        if origin != Some(key.name()) {
            return Err(CheckpointError::Origin);
        }
        let size = size.filter(|text| *text == "0" || !text.starts_with(['0', '+'])).and_then(|text| text.parse().ok());
        let mut bytes = [0; 32];
        let root = root.and_then(|text| Base64::decode(text, &mut bytes).ok().filter(|root| root.len() == 32));
        let (Some(size), Some(_)) = (size, root) else { return Err(CheckpointError::Form) };
        Ok(Self { size, root: bytes })
    }
}

/// Why a note is no checkpoint of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not signed by the log.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    /// Signed by the key, but about something else.
    #[error("checkpoint: of another log")]
    Origin,
    /// Not a number and a root.
    #[error("checkpoint: not a number of entries and a root")]
    Form,
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::secret::Secret;

    #[test]
    fn reads_back_and_says_what_is_wrong() {
        let signer = NoteSigner::new(&Secret::filled_by(|seed| *seed = [1; 32])).unwrap();
        let open = |text: &str| Checkpoint::open(&signer.sign(text), signer.key());
        let checkpoint = Checkpoint { size: 12, root: [9; 32] };
        assert_eq!(Checkpoint::open(&checkpoint.sign(&signer), signer.key()), Ok(checkpoint));
        let (name, root) = (signer.key().name(), Base64::encode_string(&[9; 32]));
        assert_eq!(open(&format!("{name}\n12\n{root}\nan extension\n")), Ok(checkpoint));
        assert_eq!(open(&format!("other\n12\n{root}\n")), Err(CheckpointError::Origin));
        for size in ["", "012", "+12", "-1", "1 ", "18446744073709551616"] {
            assert_eq!(open(&format!("{name}\n{size}\n{root}\n")), Err(CheckpointError::Form), "{size}");
        }
        for root in ["", &root[4..], &root[..43], &format!("{root}AAAA")] {
            assert_eq!(open(&format!("{name}\n12\n{root}\n")), Err(CheckpointError::Form), "{root}");
        }
    }
}
