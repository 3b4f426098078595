//! Private keys that never leave a PKCS#11 token: found by URI, checked, and used to sign blocks and digests.
//!
//! The token signs digests (`CKM_RSA_PKCS_PSS` with SHA-256, MGF1 and a 32-byte salt; `CKM_ECDSA`), so the image does not
//! travel to it. What comes back is verified with the public key that the token holds before anybody sees it.
//! Loading a PKCS#11 library runs its code in this process: the path is the operator's to choose.
//!
//! Source: PKCS#11 v2.40, RFC 7512.

mod key;
pub mod uri;

pub use key::{Listed, TokenKey};

use crate::public_key::{KeyKind, PublicKeyError};
use cotter_formats::secure_boot::v2::BlockRefusal;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as CryptokiError, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::KeyType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use std::fmt;
use std::path::Path;
use uri::{Attribute, Pkcs11Uri};
use zeroize::Zeroizing;

/// A PKCS#11 library that is loaded.
pub struct Module(Pkcs11);

impl Module {
    /// Loads a library such as `libsofthsm2.so`.
    ///
    /// # Errors
    /// [`TokenError::Library`] if it cannot be loaded or does not start.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let library = Pkcs11::new(path)?;
        library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        Ok(Self(library))
    }

    /// The tokens that the URI matches, whether or not they have the object.
    ///
    /// # Errors
    /// [`TokenError::Library`].
    pub fn tokens(&self, uri: &Pkcs11Uri) -> Result<Vec<Token>, TokenError> {
        let mut tokens = Vec::new();
        for slot in self.0.get_slots_with_token()? {
            let info = self.0.get_token_info(slot)?;
            if info.token_initialized() && self.matches(uri, slot, &info)? {
                let session = self.0.open_ro_session(slot)?;
                tokens.push(Token { library: self.0.clone(), slot, info, session });
            }
        }
        Ok(tokens)
    }

    /// The one token that the URI matches.
    ///
    /// # Errors
    /// [`TokenError::NoToken`], [`TokenError::ManyTokens`], [`TokenError::Library`].
    pub fn token(&self, uri: &Pkcs11Uri) -> Result<Token, TokenError> {
        let mut tokens = self.tokens(uri)?;
        let names = |tokens: &[Token]| Names(tokens.iter().map(|token| token.label().to_owned()).collect());
        match tokens.len() {
            1 => Ok(tokens.remove(0)),
            0 => Err(TokenError::NoToken { present: names(&self.tokens(&Pkcs11Uri::any())?) }),
            _ => Err(TokenError::ManyTokens { found: names(&tokens) }),
        }
    }

    fn matches(&self, uri: &Pkcs11Uri, slot: Slot, token: &TokenInfo) -> Result<bool, TokenError> {
        let is = |attribute, found: &str| uri.text(attribute).is_none_or(|wanted| wanted == found.trim_end());
        let library = self.0.get_library_info()?;
        let version = library.library_version();
        let version_is = |wanted: &str| match wanted.split_once('.') {
            Some((major, minor)) => major.parse() == Ok(version.major()) && minor.parse() == Ok(version.minor()),
            None => wanted.parse() == Ok(version.major()) && version.minor() == 0,
        };
        let info = self.0.get_slot_info(slot)?;
        Ok(is(Attribute::Token, token.label())
            && is(Attribute::Manufacturer, token.manufacturer_id())
            && is(Attribute::Serial, token.serial_number())
            && is(Attribute::Model, token.model())
            && is(Attribute::LibraryManufacturer, library.manufacturer_id())
            && is(Attribute::LibraryDescription, library.library_description())
            && uri.text(Attribute::LibraryVersion).is_none_or(version_is)
            && is(Attribute::SlotDescription, info.slot_description())
            && is(Attribute::SlotManufacturer, info.manufacturer_id())
            && uri.slot_id().is_none_or(|wanted| wanted == slot.id()))
    }
}

/// A token with a session on it.
pub struct Token {
    library: Pkcs11,
    slot: Slot,
    info: TokenInfo,
    session: Session,
}

impl Token {
    /// Its name, without the padding.
    #[must_use]
    pub fn label(&self) -> &str {
        self.info.label().trim_end()
    }

    /// The serial number, without the padding.
    #[must_use]
    pub fn serial(&self) -> &str {
        self.info.serial_number().trim_end()
    }

    /// The URI that names this token.
    #[must_use]
    pub fn uri(&self) -> Pkcs11Uri {
        let uri = Pkcs11Uri::any().with(Attribute::Token, self.label().as_bytes());
        uri.with(Attribute::Serial, self.serial().as_bytes())
    }

    /// True if private objects are seen only after [`Self::login`] with a PIN.
    #[must_use]
    pub fn needs_pin(&self) -> bool {
        self.info.login_required() && !self.info.protected_authentication_path()
    }

    /// Logs in as the user. Without a PIN, the token asks for it on its own keypad.
    ///
    /// # Errors
    /// [`TokenError::Pin`] if it is wrong, with what is known about further tries; [`TokenError::Library`].
    pub fn login(&self, pin: Option<Zeroizing<String>>) -> Result<(), TokenError> {
        let pin = pin.map(|pin| AuthPin::from(pin.to_string()));
        match self.session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(CryptokiError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(CryptokiError::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::Pin(PinState::Locked)),
            Err(CryptokiError::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
                let now = self.library.get_token_info(self.slot)?;
                Err(TokenError::Pin(if now.user_pin_locked() {
                    PinState::Locked
                } else if now.user_pin_final_try() {
                    PinState::OneLeft
                } else if now.user_pin_count_low() {
                    PinState::FewLeft
                } else {
                    PinState::Wrong
                }))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// True if the token offers this mechanism.
    fn offers(&self, mechanism: MechanismType) -> Result<bool, TokenError> {
        Ok(self.library.get_mechanism_list(self.slot)?.contains(&mechanism))
    }
}

/// What is known about the PIN after a wrong one. PKCS#11 has flags for it, not a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PinState {
    Wrong,
    FewLeft,
    OneLeft,
    Locked,
}

impl fmt::Display for PinState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wrong => "the PIN is wrong (the token does not say how many tries are left)",
            Self::FewLeft => "the PIN is wrong, and the token says that few tries are left",
            Self::OneLeft => "the PIN is wrong, and ONE try is left before the token locks it",
            Self::Locked => "the PIN is locked after too many wrong ones; the security officer can set a new one",
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

/// Why a token or its key was not found or not used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TokenError {
    /// With the labels of those that are there.
    #[error("no PKCS#11 token matches the URI; present: {present}")]
    NoToken { present: Names },
    #[error("several PKCS#11 tokens match the URI: {found}")]
    ManyTokens { found: Names },
    #[error("PKCS#11 token: {0}")]
    Pin(PinState),
    /// With the labels of the private keys that are there.
    #[error("no private key on the token matches the URI; present: {present}")]
    NoKey { present: Names },
    #[error("several private keys on the token match the URI: {found}")]
    ManyKeys { found: Names },
    #[error("the URI asks for an object of another type, but only a private key can sign")]
    NotPrivate,
    #[error("the key on the token is {found}; RSA and EC keys sign here")]
    KeyType { found: KeyType },
    #[error("the EC key on the token is on a curve other than P-192, P-256 and P-384")]
    Curve,
    /// Its CKA_SIGN is false.
    #[error("the key on the token may not sign (CKA_SIGN)")]
    MayNotSign,
    /// The token wants the PIN again for each signature.
    #[error("the key on the token wants the PIN for each use (CKA_ALWAYS_AUTHENTICATE), which is not supported")]
    AlwaysAuthenticate,
    #[error("the token holds no public half of the key")]
    NoPublic,
    #[error("the token does not offer {0}")]
    Mechanism(MechanismType),
    /// The digest does not go with the key.
    #[error("{kind} keys do not sign {len} bytes of a digest here")]
    Digest { kind: KeyKind, len: usize },
    /// The signature that came back is not one of this key.
    #[error("the token's answer: {0}")]
    Answer(#[from] BlockRefusal),
    #[error("the token's answer is no signature of its key")]
    Wrong,
    #[error(transparent)]
    Public(#[from] PublicKeyError),
    #[error("PKCS#11: {0}")]
    Library(#[from] CryptokiError),
}
