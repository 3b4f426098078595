//! TLS of a listener: one provider (aws-lc-rs), TLS 1.2 and 1.3, one protocol inside, with or without certificates of clients.

use super::certificate::{CertificateRefusal, Certified, Door};
use crate::config::{Client, Limits, Tls};
use crate::key_file::KeyFileError;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Which certificates of clients a listener asks for.
pub(crate) struct Clients<'a> {
    pub(crate) client: Client,
    /// Who issues them.
    pub(crate) ca: Option<&'a Path>,
    /// Lists of those that were revoked.
    pub(crate) revoked: &'a [PathBuf],
}

impl Clients<'_> {
    /// None are asked for.
    pub(crate) const OFF: Self = Self { client: Client::Off, ca: None, revoked: &[] };

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        if self.client == Client::Off {
            return Ok(None);
        }
        let path = self.ca.ok_or(TlsError::NoClientCa)?;
        let unreadable = |path: &Path, source| TlsError::Pem { path: path.into(), source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|source| unreadable(path, source))? {
            roots.add(certificate.map_err(|source| unreadable(path, source))?)?;
        }
        let mut lists = Vec::new();
        for path in self.revoked {
            let found = CertificateRevocationListDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|source| unreadable(path, source))?;
            // A file without a list would revoke nothing, silently.
            if found.is_empty() {
                return Err(TlsError::NoRevocations { path: path.clone() });
            }
            lists.extend(found);
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if !lists.is_empty() {
            builder = builder.with_crls(lists).only_check_end_entity_revocation().allow_unknown_revocation_status();
        }
        if self.client == Client::Optional {
            builder = builder.allow_unauthenticated();
        }
        Ok(Some(builder.build()?))
    }
}

/// HTTP/1.1 in ALPN.
pub(crate) const HTTP: &[&[u8]] = &[b"http/1.1"];

/// A connection after its handshake, and the device that its certificate names. `None`: nobody is let in; what a certificate
/// was refused for is noted.
pub(crate) async fn handshake(
    stream: TcpStream,
    tls: &TlsAcceptor,
    door: Option<&Door>,
    limits: &Limits,
    refused: impl FnOnce(CertificateRefusal),
) -> Option<(TlsStream<TcpStream>, Option<Certified>)> {
    // Answers are small and each is waited for.
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(limits.handshake(), tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            match door.map_or(Ok(None), |door| door.certified(certificate)) {
                Ok(certified) => return Some((stream, certified)),
                Err(why) => refused(why),
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
        Err(_) => tracing::debug!("handshake took too long"),
    }
    None
}

/// Reads certificate and key, and what the certificates of clients are verified with. `protocols`: what may be spoken inside,
/// as ALPN names it; empty: clients are not asked.
///
/// # Errors
/// [`TlsError`].
pub(crate) fn acceptor(files: &Tls, clients: &Clients<'_>, protocols: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
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
    let verifier = clients.verifier(Arc::clone(&provider))?;
    let begun = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = match &verifier {
        Some(verifier) => begun.with_client_cert_verifier(Arc::clone(verifier)),
        None => begun.with_no_client_auth(),
    }
    .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    if verifier.is_some() {
        // A resumed session would not be held against time and revocation again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    }
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
    /// Whose certificates?
    #[error("TLS: certificates of clients are asked for, but client_ca does not say who issues them")]
    NoClientCa,
    /// A revocation list is none.
    #[error("TLS: {path} holds no certificate revocation list", path = path.display())]
    NoRevocations {
        /// Which file.
        path: PathBuf,
    },
    /// `tls.denied` holds something else.
    #[error("TLS: {name:?} in tls.denied is not the name of a device")]
    Denied {
        /// What it holds.
        name: String,
    },
    /// The CA or a revocation list cannot be used.
    #[error("TLS: certificates of clients: {0}")]
    Clients(#[from] VerifierBuilderError),
    /// Certificate and key do not go together, or are of a kind that we do not speak.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}
