//! A TLS handshake that trusts nobody and records what is presented.
//!
//! The peer may be hostile: one deadline covers everything, rustls bounds every message (64 KiB of certificates), and
//! nothing is sent after the handshake.

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a server presented.
pub(super) struct Presented {
    /// DER, in the order in which they were sent.
    pub(super) certificates: Vec<Vec<u8>>,
    /// Version of TLS and cipher suite, if the handshake was finished.
    pub(super) protocol: Option<String>,
    /// Why it was not.
    pub(super) ended: Option<String>,
}

/// Connects, shakes hands, hangs up. An error only if no certificate came.
pub(super) fn presented(host: &str, port: u16, name: &str, limit: Duration) -> anyhow::Result<Presented> {
    let until = Instant::now() + limit;
    let stream = connect(host, port, until).with_context(|| format!("cannot reach {host}:{port}"))?;
    let name = ServerName::try_from(name.to_owned()).with_context(|| format!("\"{name}\" is no name of a server"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let recorder = Arc::new(Recorder { presented: Mutex::default(), provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), name)?;
    let mut stream = Deadlined { stream, until };
    let mut ended = None;
    while tls.is_handshaking() && ended.is_none() {
        ended = tls.complete_io(&mut stream).err();
    }
    if ended.is_none() {
        tls.send_close_notify();
        // It has what we came for; whether it hears the goodbye does not matter.
        let _ = tls.complete_io(&mut stream);
    }
    let certificates = recorder.presented.lock().map(|mut chain| std::mem::take(&mut *chain)).unwrap_or_default();
    if certificates.is_empty() {
        let why = ended.map_or_else(|| anyhow::anyhow!("no certificate was sent"), anyhow::Error::new);
        return Err(why.context(format!("no TLS server presents a certificate at {host}:{port}")));
    }
    let protocol = tls.protocol_version().zip(tls.negotiated_cipher_suite()).filter(|_| ended.is_none());
    Ok(Presented {
        certificates,
        protocol: protocol.map(|(version, suite)| {
            let version = version.as_str().unwrap_or("TLS").replace("TLSv1_", "TLS 1.");
            format!("{version}, {:?}", suite.suite())
        }),
        ended: ended.map(|ended| ended.to_string()),
    })
}

/// Tries every address of the host.
fn connect(host: &str, port: u16, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(refused) => last = refused,
        }
    }
    Err(last)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::Error::new(io::ErrorKind::TimedOut, "the time is over")) } else { Ok(left) }
}

/// A stream whose every operation ends by the same moment.
struct Deadlined {
    stream: TcpStream,
    until: Instant,
}

impl Read for Deadlined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Deadlined {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A socket's timeout comes as "would block", which rustls would take for a reason to try again.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "the time is over"),
        _ => error,
    }
}

/// Believes no certificate and refuses none: it only writes down. That the server holds the key is still verified.
#[derive(Debug)]
struct Recorder {
    presented: Mutex<Vec<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.as_ref().to_vec()).collect();
        if let Ok(mut presented) = self.presented.lock() {
            *presented = chain;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
