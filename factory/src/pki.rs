//! The product's own PKI: authorities, what they issue, what asks them to, and chains of certificates.
//!
//! | file | noun |
//! |---|---|
//! | `ca` | an authority: made, loaded, issuing |
//! | `leaf` | what a certificate is to say, and how it is encoded |
//! | `request` | certification requests (PKCS#10): made, read, judged |
//! | `certificate` | certificates as they are read |
//! | `chain` | leaf, intermediates, root: which link holds, and which does not |
//! | `name` | distinguished names |
//! | `alternative` | alternative names: hosts, addresses |
//! | `signature` | signatures by our keys, verified with anybody's |
//! | `der` | DER, written |
//!
//! Certificates are encoded here and not by a library, because the issuer's name must be copied byte for byte from a CA
//! certificate that others may have made (several OUs, DCs, other string types), and a device compares those bytes.

pub mod alternative;
pub mod ca;
pub mod certificate;
pub mod chain;
mod der;
pub mod leaf;
pub mod name;
pub mod request;
pub mod signature;

pub use alternative::AlternativeName;
pub use ca::{AuthorityPlan, Issued, PkiError, ProductCa};
pub use certificate::Certificate;
pub use chain::Chain;
pub use leaf::{Leaf, Purpose, Validity};
pub use name::Name;
pub use request::Request;
pub use x509_cert::der::DateTime;

/// What the system's clock says.
///
/// # Errors
/// [`PkiError::Clock`] before 1970 and after 9999.
pub fn now() -> Result<DateTime, PkiError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(|_| PkiError::Clock)?;
    DateTime::from_unix_duration(since).map_err(|_| PkiError::Clock)
}
