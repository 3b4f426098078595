//! TLS of the module's sockets and of MQTT, with the certificates of its manufacturing partition and its own clock.

use super::clock::Clock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// What a connection is made with.
#[derive(Default)]
pub(super) struct Trust {
    /// Certificates (PEM) of whom to believe; `None` believes anybody, as `AT+CIPSSLCCONF=0` does.
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate and private key (PEM) to show.
    pub(super) own: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) alpn: Vec<Vec<u8>>,
}

/// Why there is nothing to connect with.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("the CA certificate does not read as PEM")]
    Ca,
    #[error("the certificate or its private key does not read as PEM")]
    Own,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Trust {
    pub(super) fn config(&self, clock: &Clock) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_details(provider.clone(), Arc::new(clock.clone()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match &self.ca {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    roots.add(certificate.map_err(|_| TlsError::Ca)?).map_err(|_| TlsError::Ca)?;
                }
                if roots.is_empty() {
                    return Err(TlsError::Ca);
                }
                builder.with_root_certificates(roots)
            }
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        };
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
                let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Own)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Own)?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.seconds())))
    }
}

/// Believes whoever holds the private key of the certificate that he shows, whatever certificate that is.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
