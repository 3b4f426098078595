//! Extensions, which certificates and requests have in common: each at most once, read where somebody asks.

use super::certificate::CertificateError;
use der::Decode;
use der::oid::AssociatedOid;
pub use x509_cert::ext::Extension;

/// Refuses an extension that is there twice (RFC 5280, 4.2).
pub(super) fn each_once(extensions: Vec<Extension>) -> Result<Vec<Extension>, CertificateError> {
    for (index, extension) in extensions.iter().enumerate() {
        if extensions[..index].iter().any(|known| known.extn_id == extension.extn_id) {
            return Err(CertificateError::Repeated(extension.extn_id));
        }
    }
    Ok(extensions)
}

/// The extension of this type, if it is there.
pub(super) fn find<'a, T: Decode<'a> + AssociatedOid>(
    extensions: &'a [Extension],
    name: &'static str,
) -> Result<Option<T>, CertificateError> {
    let found = extensions.iter().find(|extension| extension.extn_id == T::OID);
    let read = |extension: &'a Extension| T::from_der(extension.extn_value.as_bytes());
    found.map(read).transpose().map_err(|_| CertificateError::Der(name))
}
