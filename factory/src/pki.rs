//! The product's own PKI: authorities, what they issue, what asks them to, and chains of certificates.
//!
//! | file | noun |
//! |---|---|
//! | `ca` | an authority: made, loaded, issuing |
//! | `leaf` | what the certificate of a device or a server is to say |
//! | `profile` | what all certificates issued here have in common, on their way to the encoder |
//! | `compressed` | certificates that fit into 72 bytes of a secure element, and back |
//! | `request` | certification requests (PKCS#10): made, read, judged |
//! | `certificate` | certificates as they are read |
//! | `chain` | leaf, intermediates, root: which link holds, and which does not |
//! | `name` | distinguished names |
//! | `alternative` | alternative names: hosts, addresses |
//! | `extension` | extensions of certificates and requests |
//! | `pem` | files with PEM blocks and text between them |
//! | `signature` | signatures by our keys, verified with anybody's |
//!
//! The crate x509-cert encodes. The issuer's name comes from a CA certificate that others may have made (several OUs, DCs,
//! other string types) and must be repeated byte for byte, because a device compares those bytes.

pub mod alternative;
pub mod ca;
pub mod certificate;
pub mod chain;
pub mod compressed;
pub mod extension;
pub mod leaf;
pub mod name;
mod pem;
mod profile;
pub mod request;
pub mod signature;

pub use alternative::AlternativeName;
pub use ca::{AuthorityPlan, Issued, PkiError, ProductCa};
pub use certificate::Certificate;
pub use chain::Chain;
pub use compressed::{CompressionError, Shape};
pub use der::DateTime;
pub use leaf::{Leaf, Purpose, Validity};
pub use name::Name;
pub use request::{Request, UnsignedRequest};

/// What the system's clock says.
///
/// # Errors
/// [`PkiError::Clock`] before 1970 and after 9999.
pub fn now() -> Result<DateTime, PkiError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(|_| PkiError::Clock)?;
    DateTime::from_unix_duration(since).map_err(|_| PkiError::Clock)
}
