//! A TLS client that costs as little as possible: requests are bytes made before, one at a time, and an answer is read
//! only as far as it must be.

use crate::crowd::SERVER_NAME;
use anyhow::{Context, Result, bail};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// One connection.
pub(crate) struct Peer {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// Whom to talk to, and who that is on this machine.
#[derive(clap::Args)]
pub(crate) struct Target {
    #[arg(long)]
    address: SocketAddr,
    /// The certificate that the server's is signed with
    #[arg(long)]
    ca: PathBuf,
    /// Processes of the server
    #[arg(long = "server", required = true)]
    pub(crate) servers: Vec<u32>,
}

impl Target {
    /// Trusts the CA.
    ///
    /// # Errors
    /// Its file.
    pub(crate) fn connector(&self) -> Result<TlsConnector> {
        connector(&self.ca)
    }

    /// One connection, for another protocol than HTTP.
    ///
    /// # Errors
    /// The connection, or the handshake.
    pub(crate) async fn shake_hands(&self, tls: &TlsConnector) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(tls.connect(ServerName::try_from(SERVER_NAME)?, stream).await?)
    }

    /// Connects so many times, one after the other, each with a handshake.
    ///
    /// # Errors
    /// The file of the CA, a connection, or a handshake.
    pub(crate) async fn connect(&self, count: usize) -> Result<Vec<Peer>> {
        let tls = connector(&self.ca)?;
        let mut peers = Vec::with_capacity(count);
        for _ in 0..count {
            peers.push(Peer::connect(self.address, &tls).await?);
        }
        Ok(peers)
    }
}

/// Trusts one CA.
///
/// # Errors
/// The file.
fn connector(ca: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Peer {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// Either fails.
    async fn connect(address: SocketAddr, tls: &TlsConnector) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = tls.connect(ServerName::try_from(SERVER_NAME)?, stream).await?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    /// Sends a request and reads the whole answer: its status and its body.
    ///
    /// # Errors
    /// The connection ends, or what comes is no HTTP/1.1 with a length.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut read = 0;
        let mut found = None;
        loop {
            if read == self.buffer.len() {
                bail!("an answer of more than {read} bytes");
            }
            let more = self.stream.read(&mut self.buffer[read..]).await?;
            if more == 0 {
                bail!("the server closed the connection");
            }
            read += more;
            if found.is_none() {
                found = head(&self.buffer[..read])?;
            }
            if let Some((status, body)) = &found
                && read >= body.end
            {
                return Ok((*status, &self.buffer[body.clone()]));
            }
        }
    }
}

/// Status and place of the body, if the head is whole.
fn head(bytes: &[u8]) -> Result<Option<(u16, std::ops::Range<usize>)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let status = text.get(9..12).context("a status line")?.parse()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.transpose()?.unwrap_or(0);
    Ok(Some((status, end + 4..end + 4 + length)))
}
