//! A token that came in, before and after its signature was checked.

use super::base64url::{self, Base64UrlError};
use super::json::{self, JsonError, Value};
use super::{Algorithm, Claims, MAX_AUDIENCE, MAX_CLAIMS, MAX_HEADER, MAX_SIGNATURE, MAX_TOKEN};
use crate::ids::UnixTime;
use core::fmt;
use heapless::{String, Vec};

/// A well-formed token of which nothing is believed yet: it says how it wants to be verified, and no more.
#[derive(Clone)]
pub struct Unverified<'a> {
    signing_input: &'a [u8],
    algorithm: Algorithm,
    claims: Vec<u8, MAX_CLAIMS>,
    signature: Vec<u8, MAX_SIGNATURE>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart and reads its header. Does no cryptography; what the claims are made of is not looked at.
    ///
    /// # Errors
    /// [`TokenError`], all but those about claims and `Signature`.
    pub fn parse(token: &'a [u8]) -> Result<Self, TokenError> {
        // 1. Three parts.
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Parts);
        };
        let signing_input = token.get(..header.len() + 1 + claims.len()).ok_or(TokenError::Parts)?;
        // 2. The header first: an algorithm that we do not have is named, whatever follows.
        let algorithm = algorithm(&decode::<MAX_HEADER>(Part::Header, header)?)?;
        // 3. A signature that can be one.
        let signature = decode::<MAX_SIGNATURE>(Part::Signature, signature)?;
        if !algorithm.has_signature_of(signature.len()) {
            return Err(TokenError::SignatureLength { algorithm, got: signature.len() });
        }
        // 4. The claims as bytes.
        let claims = decode::<MAX_CLAIMS>(Part::Claims, claims)?;
        Ok(Self { signing_input, algorithm, claims, signature })
    }

    /// How it says that it is signed.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What is signed.
    #[must_use]
    pub const fn signing_input(&self) -> &'a [u8] {
        self.signing_input
    }

    /// Reads the claims, once `holds` says that the signature (second argument) is one over the signing input (first
    /// argument), made with [`Self::algorithm`] by a key that is trusted.
    ///
    /// # Errors
    /// [`TokenError::Signature`] if it does not hold; [`TokenError::Json`], `Audience`, `Time` for claims that are
    /// authentic, but none of ours.
    pub fn verify(&self, holds: impl FnOnce(&[u8], &[u8]) -> bool) -> Result<Verified, TokenError> {
        if !holds(self.signing_input, &self.signature) {
            return Err(TokenError::Signature);
        }
        let (mut audience, mut issued_at, mut expires_at) = (None, None, None);
        json::object(&self.claims, |name, value| {
            match name {
                "aud" => {
                    let text = value.plain_text().filter(|text| Claims::is_audience(text));
                    audience = Some(text.and_then(|text| String::try_from(text).ok()).ok_or(TokenError::Audience)?);
                }
                "iat" => issued_at = Some(time("iat", value)?),
                "exp" => expires_at = Some(time("exp", value)?),
                _ => {}
            }
            Ok::<_, TokenError>(())
        })?;
        Ok(Verified {
            audience: audience.ok_or(TokenError::Audience)?,
            issued_at: issued_at.ok_or(TokenError::Time { claim: "iat" })?,
            expires_at: expires_at.ok_or(TokenError::Time { claim: "exp" })?,
        })
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A token whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    audience: String<MAX_AUDIENCE>,
    issued_at: UnixTime,
    expires_at: UnixTime,
}

impl Verified {
    /// What the signer claims.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims { audience: &self.audience, issued_at: self.issued_at, expires_at: self.expires_at }
    }
}

fn decode<const N: usize>(part: Part, text: &[u8]) -> Result<Vec<u8, N>, TokenError> {
    let mut out = [0; N];
    let bytes = base64url::decode(text, &mut out).map_err(|error| TokenError::Base64 { part, error })?;
    Vec::from_slice(bytes).map_err(|_| TokenError::Base64 { part, error: Base64UrlError::TooLong { max: N } })
}

/// Reads the header; the table in the module's documentation says what becomes of its members.
fn algorithm(header: &[u8]) -> Result<Algorithm, TokenError> {
    let mut algorithm = None;
    let read = json::object(header, |name, value| {
        match (name, value) {
            ("alg", Value::Text("ES256")) => algorithm = Some(Algorithm::Es256),
            ("alg", Value::Text("RS256")) => algorithm = Some(Algorithm::Rs256),
            ("alg", Value::Text(other)) => {
                return Err(HeaderRefusal(TokenError::Algorithm(AlgorithmName::of(other))));
            }
            ("alg", _) => return Err(HeaderRefusal(TokenError::NoAlgorithm)),
            ("typ", Value::Text("JWT")) => {}
            ("typ", _) => return Err(HeaderRefusal(TokenError::Type)),
            ("crit" | "b64", _) => return Err(HeaderRefusal(TokenError::Critical)),
            ("jwk" | "jku" | "x5c" | "x5u", _) => return Err(HeaderRefusal(TokenError::BringsKey)),
            _ => {}
        }
        Ok(())
    });
    read.map_err(|HeaderRefusal(refusal)| refusal)?;
    algorithm.ok_or(TokenError::NoAlgorithm)
}

struct HeaderRefusal(TokenError);

impl From<JsonError> for HeaderRefusal {
    fn from(error: JsonError) -> Self {
        Self(TokenError::Json { part: Part::Header, error })
    }
}

fn time(claim: &'static str, value: Value<'_>) -> Result<UnixTime, TokenError> {
    value.whole_number().map(UnixTime).ok_or(TokenError::Time { claim })
}

/// Which part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first.
    Header,
    /// The second.
    Claims,
    /// The third.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// The beginning of an algorithm's name, for a log: letters, digits, `-` and `_`, anything else as `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmName(String<16>);

impl AlgorithmName {
    fn of(text: &str) -> Self {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        Self(text.chars().take(16).map(|letter| if allowed(letter) { letter } else { '?' }).collect())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a token is refused. For the audit log; the sender learns only "not authorized".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN`].
    #[error("token: longer than {MAX_TOKEN} characters")]
    TooLong,
    /// Not exactly three parts.
    #[error("token: not three parts")]
    Parts,
    /// A part is not base64url.
    #[error("token: {part}: {error}")]
    Base64 {
        /// Which.
        part: Part,
        /// Why.
        error: Base64UrlError,
    },
    /// Header or claims are no object that we read.
    #[error("token: {part}: {error}")]
    Json {
        /// Which.
        part: Part,
        /// Why.
        error: JsonError,
    },
    /// `alg` is missing, or no text.
    #[error("token: no algorithm")]
    NoAlgorithm,
    /// Any algorithm but ES256 and RS256: `none` among them, and HS256, for which a public key would be the secret.
    #[error("token: algorithm {0}")]
    Algorithm(AlgorithmName),
    /// `typ` is something else than `JWT`.
    #[error("token: not of type JWT")]
    Type,
    /// `crit` or `b64`: extensions that change what the signature means.
    #[error("token: demands an extension")]
    Critical,
    /// A key, or where to get one.
    #[error("token: brings its own key")]
    BringsKey,
    /// No signature of this algorithm has this length; a DER signature, for instance.
    #[error("token: {got} bytes are no {algorithm} signature")]
    SignatureLength {
        /// What the header says.
        algorithm: Algorithm,
        /// Bytes.
        got: usize,
    },
    /// The signature does not hold.
    #[error("token: the signature does not hold")]
    Signature,
    /// `aud` is not exactly one text as [`Claims::audience`] describes it.
    #[error("token: aud is not one project id")]
    Audience,
    /// A time is missing, or not a whole number.
    #[error("token: {claim} is not a whole number of seconds")]
    Time {
        /// `iat` or `exp`.
        claim: &'static str,
    },
}

impl From<JsonError> for TokenError {
    fn from(error: JsonError) -> Self {
        Self::Json { part: Part::Claims, error }
    }
}
