//! The network of a virtual device: HTTPS to one server, trusting one CA. No CA, no connection.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The largest body that a device takes in; a chunk is 2 KB, a manifest less.
pub const MAX_REPLY: usize = 16 * 1024;
/// How long a device waits for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A request, as the sans-IO device code asked for it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `GET` or `POST`.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Further headers, such as the one that signs the request.
    pub headers: Vec<(&'static str, String)>,
    /// Content type and body of a `POST`.
    pub body: Option<(&'static str, Vec<u8>)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body, at most [`MAX_REPLY`] bytes.
    pub body: Vec<u8>,
}

/// Sees each answer before the device does and may change it: what a compromised server or mirror could do,
/// behind a perfectly valid TLS connection.
pub type Tap = Box<dyn FnMut(&Ask, &mut Reply) + Send>;

/// One keep-alive connection to one server.
pub struct Client {
    connector: TlsConnector,
    host: ServerName<'static>,
    authority: String,
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
    tap: Option<Tap>,
    patience: Duration,
}

impl Client {
    /// Trusts what the certificate `ca` (DER) vouches for and nothing else; `host` is the name that the server must
    /// prove.
    ///
    /// # Errors
    /// [`NetError::NoTrustAnchor`] if `ca` is no usable certificate.
    pub fn new(ca: &[u8], host: &str, address: SocketAddr) -> Result<Self, NetError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca.to_vec())).map_err(|_| NetError::NoTrustAnchor)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            host: ServerName::try_from(host.to_owned())?,
            authority: format!("{host}:{}", address.port()),
            address,
            connection: None,
            tap: None,
            patience: PATIENCE,
        })
    }

    /// Points the client elsewhere, as a rogue access point would; what it trusts stays the same.
    pub fn redirect(&mut self, address: SocketAddr) {
        self.address = address;
        self.connection = None;
    }

    /// How long to wait for one whole answer, 15 seconds unless said otherwise.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Installs or removes the [`Tap`].
    pub fn set_tap(&mut self, tap: Option<Tap>) {
        self.tap = tap;
    }

    /// Sends one request and reads the whole answer. A dead keep-alive connection is replaced once.
    ///
    /// # Errors
    /// [`NetError`]; a certificate that does not chain to the CA is [`NetError::Certificate`].
    pub async fn send(&mut self, ask: &Ask) -> Result<Reply, NetError> {
        let reused = self.connection.is_some();
        let mut reply = match self.exchange(ask).await {
            Err(NetError::Http(_)) if reused => {
                self.connection = None;
                self.exchange(ask).await?
            }
            outcome => outcome?,
        };
        if let Some(tap) = &mut self.tap {
            tap(ask, &mut reply);
        }
        Ok(reply)
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Reply, NetError> {
        let outcome = timeout(self.patience, self.exchange_unbounded(ask)).await.unwrap_or(Err(NetError::Timeout));
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    async fn exchange_unbounded(&mut self, ask: &Ask) -> Result<Reply, NetError> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            self.connection = Some(self.connect().await?);
        }
        let mut request = Request::builder().method(&ask.method).uri(&ask.path).header("host", &self.authority);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let body = match &ask.body {
            Some((content_type, body)) => {
                request = request.header("content-type", *content_type);
                Bytes::copy_from_slice(body)
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|_| NetError::BadRequest)?;
        let connection = self.connection.as_mut().ok_or(NetError::Timeout)?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_REPLY).collect().await.map_err(|_| NetError::TooLarge)?;
        Ok(Reply { status, body: body.to_bytes().to_vec() })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NetError> {
        let tcp = TcpStream::connect(self.address).await.map_err(NetError::Connect)?;
        tcp.set_nodelay(true).map_err(NetError::Connect)?;
        let tls = self.connector.connect(self.host.clone(), tcp).await.map_err(|refused| {
            match refused.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(reason)) => NetError::Certificate(reason.clone()),
                Some(other) => NetError::Tls(other.clone()),
                None => NetError::Connect(refused),
            }
        })?;
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(async move {
            // An error here reaches the caller through `sender`, which then fails.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("host", &self.host).field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The trust anchor is missing or unreadable.
    #[error("no trusted CA certificate: a device without one does not connect")]
    NoTrustAnchor,
    /// Not a host name.
    #[error(transparent)]
    Host(#[from] InvalidDnsNameError),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    /// The server's certificate does not prove who it is.
    #[error("server certificate refused: {}", certificate_reason(.0))]
    Certificate(rustls::CertificateError),
    /// TLS failed otherwise.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The request could not be written as HTTP.
    #[error("the request is not valid HTTP")]
    BadRequest,
    /// HTTP failed.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is larger than a device can hold, or broke off.
    #[error("the answer is larger than {MAX_REPLY} bytes or broke off")]
    TooLarge,
    /// Not a whole answer in time.
    #[error("no whole answer in time")]
    Timeout,
    /// An answer of a kind that was not asked for: an error, a redirection (which is not followed), a part of a file.
    #[error("the server answered with status {status}")]
    Status {
        /// HTTP status.
        status: u16,
    },
}

fn certificate_reason(reason: &rustls::CertificateError) -> &'static str {
    match reason {
        rustls::CertificateError::UnknownIssuer => "unknown issuer",
        rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => "expired",
        rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. } => {
            "issued for another name"
        }
        rustls::CertificateError::BadSignature => "bad signature",
        _ => "invalid",
    }
}
