//! The master key, wrapped by an AES-256 key that a PKCS#11 token keeps and does not hand out.
//!
//! Wrapped form: one line of 120 hexadecimal digits: IV (12 bytes), ciphertext (32), tag (16) of `CKM_AES_GCM` with the
//! associated data `cotter/master-key/v1`. The token is asked once, when the server starts.
//!
//! Loading a PKCS#11 library runs its code in this process: the path is the operator's to choose.
//!
//! Source: PKCS#11 v2.40.

use super::source::Pkcs11 as Place;
use crate::key_file::{self, KeyFileError};
use cotter_formats::secret::Secret;
use cotter_wire::hex;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as CryptokiError, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Has the token unwrap the master key.
///
/// # Errors
/// [`TokenError`].
pub(super) fn unwrap(place: &Place) -> Result<Secret<32>, TokenError> {
    let wrapped = Wrapped::read(&place.wrapped)?;
    with_token(place, |token| {
        let key = token.key(place)?.ok_or_else(|| token.no_key(place))?;
        token.unwrap(key, &wrapped)
    })
}

/// Makes a master key, and the token's key if there is none of that label, and writes the wrapped key to its file.
///
/// # Errors
/// [`TokenError`], also if the file is there: a key is never overwritten.
pub(super) fn make(place: &Place) -> Result<Secret<32>, TokenError> {
    let master = key_file::random_key()?;
    let wrapped = with_token(place, |token| {
        let key = match token.key(place)? {
            Some(key) => key,
            None => token.generate(&place.key)?,
        };
        let wrapped = token.wrap(key, &master)?;
        // What cannot be unwrapped must not be written.
        if !token.unwrap(key, &wrapped)?.ct_eq(&master) {
            return Err(TokenError::WrongKey { path: place.wrapped.clone() });
        }
        Ok(wrapped)
    })?;
    wrapped.write(&place.wrapped)?;
    Ok(master)
}

/// Runs `work` with the user logged in, and ends the library afterwards.
fn with_token<T>(place: &Place, work: impl FnOnce(&Token) -> Result<T, TokenError>) -> Result<T, TokenError> {
    let pin = pin(place)?;
    let module = |source| TokenError::Module { path: place.module.clone(), source };
    let library = Pkcs11::new(&place.module).map_err(module)?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(module)?;
    let done = Token::open(&library, place, pin).and_then(|token| work(&token));
    // Sessions are gone; a library that does not end in order harms nobody.
    drop(library.finalize());
    done
}

/// The user's PIN; `None` if the token has a keypad of its own or wants none.
fn pin(place: &Place) -> Result<Option<Zeroizing<String>>, TokenError> {
    match (&place.pin_file, &place.pin_env) {
        (Some(_), Some(_)) => Err(TokenError::TwoPins),
        (Some(path), None) => {
            let text = Zeroizing::new(key_file::read_private(path)?);
            let text = std::str::from_utf8(text.trim_ascii_end()).map_err(|_| TokenError::NoPin)?;
            Ok(Some(Zeroizing::new(text.to_owned())))
        }
        (None, Some(name)) => match std::env::var(name) {
            Ok(pin) => Ok(Some(Zeroizing::new(pin))),
            Err(_) => Err(TokenError::PinUnset { name: name.clone() }),
        },
        (None, None) => Ok(None),
    }
}

struct Token {
    library: Pkcs11,
    slot: Slot,
    session: Session,
    path: PathBuf,
}

impl Token {
    fn open(library: &Pkcs11, place: &Place, pin: Option<Zeroizing<String>>) -> Result<Self, TokenError> {
        let (mut found, mut present) = (Vec::new(), Vec::new());
        for slot in library.get_slots_with_token()? {
            let info = library.get_token_info(slot)?;
            if !info.token_initialized() {
                continue;
            }
            let (label, serial) = (info.label().trim_end(), info.serial_number().trim_end());
            let is = |wanted: &Option<String>, found| wanted.as_deref().is_none_or(|wanted| wanted == found);
            present.push(label.to_owned());
            if is(&place.token, label) && is(&place.serial, serial) {
                found.push((slot, info.login_required() && !info.protected_authentication_path()));
            }
        }
        let (slot, needs_pin) = match found.as_slice() {
            &[one] => one,
            [] => return Err(TokenError::NoToken { present: Names(present) }),
            _ => return Err(TokenError::ManyTokens { present: Names(present) }),
        };
        if needs_pin && pin.is_none() {
            return Err(TokenError::NoPin);
        }
        let session = library.open_rw_session(slot)?;
        let pin = pin.map(|pin| AuthPin::from(pin.to_string()));
        match session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(CryptokiError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(CryptokiError::Pkcs11(RvError::PinLocked, _)) => return Err(TokenError::Pin(PinState::Locked)),
            Err(CryptokiError::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
                let now = library.get_token_info(slot)?;
                return Err(TokenError::Pin(if now.user_pin_locked() {
                    PinState::Locked
                } else if now.user_pin_final_try() {
                    PinState::OneLeft
                } else {
                    PinState::Wrong
                }));
            }
            Err(other) => return Err(other.into()),
        }
        offers(library, slot, MechanismType::AES_GCM)?;
        Ok(Self { library: library.clone(), slot, session, path: place.wrapped.clone() })
    }

    /// The AES-256 key of that label, which the token must not hand out.
    fn key(&self, place: &Place) -> Result<Option<ObjectHandle>, TokenError> {
        let label = Attribute::Label(place.key.as_bytes().to_vec());
        let found = self.session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY), label])?;
        let key = match found.as_slice() {
            [] => return Ok(None),
            &[key] => key,
            _ => return Err(TokenError::ManyKeys { label: place.key.clone() }),
        };
        let asked =
            [AttributeType::KeyType, AttributeType::ValueLen, AttributeType::Sensitive, AttributeType::Extractable];
        for attribute in self.session.get_attributes(key, &asked)? {
            match attribute {
                Attribute::KeyType(kind) if kind != KeyType::AES => return Err(TokenError::NotAes256),
                Attribute::ValueLen(length) if *length != 32 => return Err(TokenError::NotAes256),
                Attribute::Sensitive(false) | Attribute::Extractable(true) => {
                    return Err(TokenError::Extractable { label: place.key.clone() });
                }
                _ => {}
            }
        }
        Ok(Some(key))
    }

    fn no_key(&self, place: &Place) -> TokenError {
        let labels = self.session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]).map(|keys| {
            let attributes = keys.into_iter().flat_map(|key| self.session.get_attributes(key, &[AttributeType::Label]));
            attributes.flatten().filter_map(|attribute| match attribute {
                Attribute::Label(label) => Some(String::from_utf8_lossy(&label).into_owned()),
                _ => None,
            })
        });
        TokenError::NoKey {
            label: place.key.clone(),
            present: Names(labels.map(Iterator::collect).unwrap_or_default()),
        }
    }

    fn generate(&self, label: &str) -> Result<ObjectHandle, TokenError> {
        offers(&self.library, self.slot, MechanismType::AES_KEY_GEN)?;
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
        ];
        Ok(self.session.generate_key(&Mechanism::AesKeyGen, &template)?)
    }

    fn wrap(&self, key: ObjectHandle, master: &Secret<32>) -> Result<Wrapped, TokenError> {
        let mut iv = [0; IV];
        aws_lc_rs::rand::fill(&mut iv).map_err(|_| KeyFileError::NoRandomness)?;
        let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, ASSOCIATED, TAG_BITS.into())?);
        let sealed = self.session.encrypt(&mechanism, key, master.expose())?;
        // A token that draws the IV itself has written it to where ours was.
        let iv = if let Mechanism::AesGcm(mut parameters) = mechanism { parameters.iv().to_vec() } else { Vec::new() };
        Wrapped::of(&[iv, sealed].concat()).ok_or(TokenError::NoAesGcm)
    }

    fn unwrap(&self, key: ObjectHandle, wrapped: &Wrapped) -> Result<Secret<32>, TokenError> {
        let mut iv = [0; IV];
        let (start, sealed) = wrapped.0.split_at(IV);
        iv.copy_from_slice(start);
        let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, ASSOCIATED, TAG_BITS.into())?);
        let refused = || TokenError::WrongKey { path: self.path.clone() };
        match self.session.decrypt(&mechanism, key, sealed) {
            Ok(opened) => Secret::from_slice(&Zeroizing::new(opened)).ok_or_else(refused),
            // Which of these a token says about a tag that does not hold differs.
            Err(CryptokiError::Pkcs11(
                RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::GeneralError
                | RvError::FunctionFailed,
                _,
            )) => Err(refused()),
            Err(other) => Err(other.into()),
        }
    }
}

/// Asks for this one: of a list, the library logs whatever it does not know as an error.
fn offers(library: &Pkcs11, slot: Slot, mechanism: MechanismType) -> Result<(), TokenError> {
    match library.get_mechanism_info(slot, mechanism) {
        Ok(_) => Ok(()),
        Err(CryptokiError::Pkcs11(RvError::MechanismInvalid, _)) => Err(TokenError::Mechanism(mechanism)),
        Err(other) => Err(other.into()),
    }
}

/// IV, ciphertext and tag.
struct Wrapped([u8; WRAPPED]);

impl Wrapped {
    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let text = key_file::read_private(path)?;
        hex::decode(text.trim_ascii_end()).map(Self).ok_or_else(|| TokenError::Malformed { path: path.into() })
    }

    fn write(&self, path: &Path) -> Result<(), TokenError> {
        let mut text = [0; 2 * WRAPPED];
        let digits = hex::encode(&self.0, &mut text).unwrap_or_default();
        Ok(key_file::write_new(path, format!("{digits}\n").as_bytes())?)
    }
}

const IV: usize = 12;
const TAG_BITS: u64 = 128;
const WRAPPED: usize = IV + 32 + 16;
const ASSOCIATED: &[u8] = b"cotter/master-key/v1";

/// What is known about the PIN after a wrong one. PKCS#11 has flags for it, not a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// It is wrong.
    Wrong,
    /// It is wrong, and after one more the token locks it.
    OneLeft,
    /// There were too many wrong ones.
    Locked,
}

impl fmt::Display for PinState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wrong => "the PIN is wrong",
            Self::OneLeft => "the PIN is wrong, and ONE try is left before the token locks it",
            Self::Locked => "the PIN is locked after too many wrong ones",
        })
    }
}

/// Names as a list: "a, b".
#[derive(Debug)]
pub struct Names(Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { f.write_str(&self.0.join(", ").escape_debug().to_string()) }
    }
}

/// Why the token does not bring the master key.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The library is not there, or does not start.
    #[error("PKCS#11 module {path}: {source}", path = path.display())]
    Module {
        /// Which library.
        path: PathBuf,
        /// What it said.
        source: CryptokiError,
    },
    /// With the labels of those that are there.
    #[error("no PKCS#11 token of that label or serial number; present: {present}")]
    NoToken {
        /// Labels.
        present: Names,
    },
    /// The configuration does not say which.
    #[error("several PKCS#11 tokens match; present: {present}")]
    ManyTokens {
        /// Labels.
        present: Names,
    },
    /// The PIN is not accepted.
    #[error("PKCS#11 token: {0}")]
    Pin(PinState),
    /// The token wants one.
    #[error("PKCS#11 token: it wants a PIN")]
    NoPin,
    /// Which of them counts?
    #[error("PKCS#11 token: pin_file and pin_env are both given")]
    TwoPins,
    /// The environment lacks it.
    #[error("PKCS#11 token: the environment variable {name} with the PIN is not set")]
    PinUnset {
        /// Which variable.
        name: String,
    },
    /// With the labels of the secret keys that are there.
    #[error("the PKCS#11 token has no secret key {label:?}; present: {present}")]
    NoKey {
        /// As configured.
        label: String,
        /// Labels.
        present: Names,
    },
    /// Labels need not be unique.
    #[error("the PKCS#11 token has several secret keys {label:?}")]
    ManyKeys {
        /// As configured.
        label: String,
    },
    /// Another kind of key.
    #[error("the key on the PKCS#11 token is not an AES key of 256 bits")]
    NotAes256,
    /// Whoever has the PIN could copy it.
    #[error("the token would hand its key {label:?} out (CKA_EXTRACTABLE, or not CKA_SENSITIVE)")]
    Extractable {
        /// As configured.
        label: String,
    },
    /// Not every token can.
    #[error("the PKCS#11 token does not offer {0}")]
    Mechanism(MechanismType),
    /// A length that AES-GCM does not have.
    #[error("what the PKCS#11 token has wrapped is not IV, ciphertext and tag")]
    NoAesGcm,
    /// Not a wrapped key.
    #[error("wrapped master key {path}: expected 120 lower-case hexadecimal digits", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// Another key wrapped it, or it was changed.
    #[error("wrapped master key {path}: the token's key does not open it", path = path.display())]
    WrongKey {
        /// Which file.
        path: PathBuf,
    },
    /// The file with the PIN, or the wrapped key.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Anything else that the library reports.
    #[error("PKCS#11: {0}")]
    Library(#[from] CryptokiError),
}

impl TokenError {
    /// What to do next.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Module { .. } => "is the module installed, and for this machine? `[keys] master` names it",
            Self::NoToken { .. } => "is the token plugged in, and may this user reach it?",
            Self::ManyTokens { .. } => "name the token by label or serial number",
            Self::Pin(PinState::Locked) => "the security officer can set a new PIN",
            Self::Pin(_) => "correct the PIN before the token locks it; the server tries it once at each start",
            Self::NoPin => "name pin_file or pin_env",
            Self::TwoPins => "keep one of them",
            Self::PinUnset { .. } => "set it where the server is started, or use pin_file",
            Self::NoKey { .. } => "was it deleted, or is this another token? A backup restores without the token",
            Self::ManyKeys { .. } => "keep one key of that label on the token",
            Self::NotAes256 | Self::Extractable { .. } => "name another label; a new key is made with it",
            Self::Mechanism(_) | Self::NoAesGcm => "this token cannot wrap a master key; use a file",
            Self::Malformed { .. } | Self::WrongKey { .. } => {
                "put the file and the token's key back that belong together; a backup restores without the token"
            }
            Self::File(_) | Self::Library(_) => "look at what was said; `pkcs11-tool -L` shows the tokens",
        }
    }
}
