//! TLS of the listener: one provider (aws-lc-rs), TLS 1.2 and 1.3, HTTP/1.1 only.

use crate::config::Tls;
use crate::key_file::KeyFileError;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Reads certificate and key.
///
/// # Errors
/// [`TlsError`].
pub(crate) fn acceptor(files: &Tls) -> Result<TlsAcceptor, TlsError> {
    let unreadable = |path: &Path, source| TlsError::Pem { path: path.into(), source };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| unreadable(&files.certificate, source))?;
    let mode = std::fs::metadata(&files.key)
        .map_err(|source| KeyFileError::Io { path: files.key.clone(), source })?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: files.key.clone(), mode: mode & 0o777 }.into());
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| unreadable(&files.key, source))?;
    // The provider is named here and not taken from the process, so that nobody can install another one first.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Why TLS cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or not PEM.
    #[error("TLS: {path}: {source}", path = path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The private key is missing, or others may read it.
    #[error("TLS: {0}")]
    Key(#[from] KeyFileError),
    /// Certificate and key do not go together, or are of a kind that we do not speak.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}
