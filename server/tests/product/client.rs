//! A small HTTPS client: one connection, one trusted CA.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

pub const SERVER_NAME: &str = "server.test";

pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and body, as text.
    pub fn is(&self) -> (u16, &str) {
        (self.status, std::str::from_utf8(&self.body).unwrap())
    }
}

impl Client {
    pub async fn connect(address: SocketAddr, ca: &CertificateDer<'static>) -> std::io::Result<Self> {
        Self::connect_with(address, ca, None).await
    }

    /// Shows a certificate, if it has one.
    pub async fn connect_with(
        address: SocketAddr,
        ca: &CertificateDer<'static>,
        shown: Option<Shown>,
    ) -> std::io::Result<Self> {
        let stream = tls_with(address, ca, shown).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.try_ask(method, path, headers, body).await.unwrap()
    }

    pub async fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, hyper::Error> {
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", SERVER_NAME);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::from(body)).unwrap()).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// A TLS connection without HTTP.
pub async fn tls(address: SocketAddr, ca: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    tls_with(address, ca, None).await
}

/// A certificate and its key (PKCS#8, DER).
pub type Shown = (CertificateDer<'static>, Vec<u8>);

pub async fn tls_with(
    address: SocketAddr,
    ca: &CertificateDer<'static>,
    shown: Option<Shown>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        Some((certificate, key)) => {
            config.with_client_auth_cert(vec![certificate], PrivatePkcs8KeyDer::from(key).into()).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
