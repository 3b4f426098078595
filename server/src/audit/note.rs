//! Signed notes: a text, and lines that say who signed it.
//!
//! Source: C2SP `signed-note` v1.0.0, signature type 0x01 (Ed25519). Keys are spelled as Go's `sumdb/note` spells them.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64ct::{Base64, Encoding};
use cotter_formats::secret::Secret;
use cotter_wire::hex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Signs notes under a name that its own public key gives it.
pub struct NoteSigner {
    pair: Ed25519KeyPair,
    key: NoteKey,
}

impl NoteSigner {
    /// From the 32 bytes of an Ed25519 seed (RFC 8032). The name is `cotter-audit/` and 16 hexadecimal digits of the
    /// public key's SHA-256, so that two servers never share one.
    ///
    /// # Errors
    /// [`NoteError::Seed`]: the library refuses it.
    pub fn new(seed: &Secret<32>) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| NoteError::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoteError::Seed)?;
        let digest: [u8; 32] = Sha256::digest(public).into();
        let mut digits = [0; 16];
        let name = format!("cotter-audit/{}", hex::encode(&digest[..8], &mut digits).unwrap_or_default());
        Ok(Self { pair, key: NoteKey { name, public } })
    }

    /// What verifies.
    #[must_use]
    pub const fn key(&self) -> &NoteKey {
        &self.key
    }

    /// The note with its signature. `text` ends with a newline.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut signature = self.key.id().to_vec();
        signature.extend(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{MARK}{} {}\n", self.key.name, Base64::encode_string(&signature))
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.key)
    }
}

/// A name and the public key behind it. As text `name+id+key`: 8 hexadecimal digits, then type and key in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    public: [u8; 32],
}

impl NoteKey {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of SHA-256 over name, newline, type and key.
    fn id(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', TYPE]).chain_update(self.public).finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The text of a note, if this key signed it. Signatures by others are not looked at.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        if note.len() > LONGEST {
            return Err(NoteError::TooLong(note.len()));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') || !note.ends_with('\n') {
            return Err(NoteError::Form);
        }
        // The last empty line is what parts text and signatures.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let text = &note[..text.len() + 1];
        let mut is_signed = false;
        for line in signatures.lines() {
            let (name, value) = line.strip_prefix(MARK).and_then(|line| line.split_once(' ')).ok_or(NoteError::Form)?;
            let value = Base64::decode_vec(value).map_err(|_| NoteError::Form)?;
            let (id, signature) = value.split_first_chunk::<4>().ok_or(NoteError::Form)?;
            if name == self.name && *id == self.id() {
                let key = UnparsedPublicKey::new(&ED25519, self.public);
                key.verify(text.as_bytes(), signature).map_err(|_| NoteError::Signature)?;
                is_signed = true;
            }
        }
        if is_signed { Ok(text) } else { Err(NoteError::UnknownKey) }
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 8];
        let typed = [&[TYPE][..], &self.public].concat();
        let id = hex::encode(&self.id(), &mut digits).unwrap_or_default();
        write!(f, "{}+{id}+{}", self.name, Base64::encode_string(&typed))
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim_ascii().splitn(3, '+');
        let mut next = || parts.next().ok_or(NoteError::Key);
        let (name, id, typed) = (next()?, next()?, next()?);
        if name.is_empty() || name.len() > 256 || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(NoteError::Key);
        }
        let typed = Base64::decode_vec(typed).map_err(|_| NoteError::Key)?;
        let public = typed.strip_prefix(&[TYPE]).and_then(|public| public.try_into().ok()).ok_or(NoteError::Key)?;
        let key = Self { name: name.to_owned(), public };
        if hex::decode(id.as_bytes()) == Some(key.id()) { Ok(key) } else { Err(NoteError::Key) }
    }
}

/// Before each signature: an em dash and a space.
const MARK: &str = "\u{2014} ";
/// Ed25519.
const TYPE: u8 = 1;
/// Room for a checkpoint and sixteen signatures of any kind that is assigned.
const LONGEST: usize = 1 << 17;

/// Why a note or a key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// No Ed25519 seed.
    #[error("the seed makes no Ed25519 key")]
    Seed,
    /// Longer than any note.
    #[error("{0} bytes are no signed note")]
    TooLong(usize),
    /// Not a text, an empty line, and lines of signatures.
    #[error("not a signed note")]
    Form,
    /// Not a key as text, or its id is not its own.
    #[error("not a verifier key of the form name+id+key")]
    Key,
    /// Nobody that we know signed it.
    #[error("no signature by this key")]
    UnknownKey,
    /// The key is named, but did not sign this.
    #[error("the signature does not verify")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP `signed-note` is signed by a key that is not published; this pair is from Go's
    /// `golang.org/x/mod/sumdb/note` documentation.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SIGNED: &str = "If you think cryptography is the answer to your problem,\n\
                          then you don't know what your problem is.\n\n\
                          \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer() -> NoteSigner {
        NoteSigner::new(&Secret::filled_by(|seed| *seed = [7; 32])).unwrap()
    }

    #[test]
    fn opens_a_note_that_go_signed() {
        let key: NoteKey = PETER.parse().unwrap();
        assert_eq!(key.name(), "PeterNeumann");
        assert_eq!(key.to_string(), PETER);
        assert!(key.open(SIGNED).unwrap().ends_with("your problem is.\n"));
    }

    #[test]
    fn opens_what_it_signed_and_no_changed_bit() {
        let (signer, other) = (signer(), NoteSigner::new(&Secret::filled_by(|seed| *seed = [8; 32])).unwrap());
        let note = signer.sign("a\n\nb\n");
        assert_eq!(signer.key().open(&note), Ok("a\n\nb\n"));
        assert_eq!(other.key().open(&note), Err(NoteError::UnknownKey));
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(text) = String::from_utf8(bytes) {
                    assert!(signer.key().open(&text).is_err(), "bit {bit} of byte {at}");
                }
            }
            if note.is_char_boundary(at) {
                assert!(signer.key().open(&note[..at]).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn signatures_by_others_do_not_matter_and_a_false_one_of_ours_does() {
        let (signer, other) = (signer(), NoteSigner::new(&Secret::filled_by(|seed| *seed = [8; 32])).unwrap());
        let (note, others) = (signer.sign("text\n"), other.sign("text\n"));
        let line = others.rsplit_once("\n\n").unwrap().1;
        assert_eq!(signer.key().open(&format!("{note}{line}")), Ok("text\n"));
        let false_line = signer.sign("other\n").rsplit_once("\n\n").unwrap().1.to_owned();
        assert_eq!(signer.key().open(&format!("{note}{false_line}")), Err(NoteError::Signature));
    }

    #[test]
    fn a_key_with_another_keys_id_is_refused() {
        for text in ["", "a+b", &PETER.replace("c74f", "c74e"), &PETER.replace("Peter", "Pet er"), &PETER[..60]] {
            assert_eq!(text.parse::<NoteKey>(), Err(NoteError::Key), "{text}");
        }
    }
}
