//! The operator's end of the admin API: HTTPS to one server, trusting one CA, with a token from a private file.

use crate::output::Help;
use anyhow::Context;
use cotter_server::key_file;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// Which server, whom to believe that it is it, and who asks.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "The server")]
pub(crate) struct Server {
    /// The server: https://HOST[:PORT].
    #[arg(long, global = true, env = "COTTER_SERVER", value_name = "URL", value_parser = address)]
    server: Option<Address>,
    /// The certificate that vouches for the server, PEM. No other is believed.
    #[arg(long, global = true, env = "COTTER_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Your token, in a file that only you may read (mode 0600).
    #[arg(long, global = true, env = "COTTER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

/// Reads `https://HOST[:PORT]`; the port is 443 unless given.
fn address(text: &str) -> Result<Address, String> {
    let uri: Uri = text.parse().map_err(|_| "expected https://HOST[:PORT]".to_owned())?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") => return Err("http:// would show the token to everybody on the way: https://".to_owned()),
        _ => return Err("expected https://HOST[:PORT]".to_owned()),
    }
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err("a path does not belong here: https://HOST[:PORT]".to_owned());
    }
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let host = authority.map(|authority| authority.host().trim_matches(['[', ']'])).filter(|host| !host.is_empty());
    let host = host.ok_or("a host is missing")?.to_owned();
    let port = match authority {
        // Something stands behind the host.
        Some(authority) if authority.as_str() != authority.host() => {
            authority.port_u16().ok_or("the port is not one from 0 to 65535")?
        }
        _ => 443,
    };
    Ok(Address { host, port })
}

impl Server {
    /// Reads CA and token; nothing is sent yet.
    pub(crate) fn open(&self) -> anyhow::Result<Remote> {
        let address = self.server.clone().context("no server is named");
        let address = address.context(Help("--server https://HOST[:PORT], or COTTER_SERVER"))?;
        let ca = self.ca.as_deref().context("no CA is named");
        let ca = ca.context(Help("--ca FILE (or COTTER_CA): the certificate that vouches for the server"))?;
        let token = self.token_file.as_deref().context("no token is named");
        let token =
            token.context(Help("--token-file FILE (or COTTER_TOKEN_FILE): what `cotter-server token add` prints"))?;
        Remote::new(address, ca, token)
    }

    /// The name that the server must prove, and where it listens.
    pub(crate) fn endpoint(&self) -> anyhow::Result<(String, SocketAddr)> {
        let address = self.server.clone().context("no server is named");
        let Address { host, port } = address.context(Help("--server https://HOST[:PORT], or COTTER_SERVER"))?;
        let found = (host.as_str(), port).to_socket_addrs().with_context(|| format!("cannot find {host}"))?.next();
        Ok((host.clone(), found.with_context(|| format!("{host} has no address"))?))
    }

    /// The certificate that vouches for the server, as it is in its file.
    pub(crate) fn ca(&self) -> anyhow::Result<Vec<u8>> {
        let ca = self.ca.as_deref().context("no CA is named").context(Help("--ca FILE, or COTTER_CA"))?;
        std::fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))
    }
}

/// One keep-alive connection to one server, made when it is needed.
pub(crate) struct Remote {
    runtime: Runtime,
    connector: TlsConnector,
    name: ServerName<'static>,
    address: Address,
    token: Zeroizing<String>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// What a request carries.
#[derive(Debug)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// JSON, serialised.
    Json(Vec<u8>),
    /// Bytes as they are.
    Octets(Vec<u8>),
}

impl Body {
    /// As JSON.
    pub(crate) fn json(document: &impl Serialize) -> anyhow::Result<Self> {
        Ok(Self::Json(serde_json::to_vec(document)?))
    }

    fn parts(self) -> (Option<&'static str>, Vec<u8>) {
        match self {
            Self::None => (None, Vec::new()),
            Self::Json(body) => (Some("application/json"), body),
            Self::Octets(body) => (Some("application/octet-stream"), body),
        }
    }
}

impl Remote {
    fn new(address: Address, ca: &Path, token_file: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let anchors = CertificateDer::pem_file_iter(ca).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for anchor in anchors.with_context(|| format!("cannot read the CA {}", ca.display()))? {
            roots.add(anchor).with_context(|| format!("{} holds no usable certificate", ca.display()))?;
        }
        anyhow::ensure!(!roots.is_empty(), "{} holds no certificate", ca.display());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(address.host.clone());
        let name = name.with_context(|| format!("\"{}\" is no name of a server", address.host))?;
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            connector: TlsConnector::from(Arc::new(config)),
            name,
            address,
            token: token(token_file)?,
            connection: None,
        })
    }

    /// GET, whose answer is JSON.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        read(path, &self.ask(Method::GET, path, Body::None)?)
    }

    /// POST, whose answer is JSON.
    pub(crate) fn post<T: DeserializeOwned>(&mut self, path: &str, body: Body) -> anyhow::Result<T> {
        read(path, &self.ask(Method::POST, path, body)?)
    }

    /// Any request; the body of an answer that is a success. Refusals are [`RemoteError`] with the next step as help.
    pub(crate) fn ask(&mut self, method: Method, path: &str, body: Body) -> anyhow::Result<Vec<u8>> {
        let (kind, body) = body.parts();
        let body = Bytes::from(body);
        // A keep-alive connection may have been closed meanwhile. A request that changes something is asked once only:
        // it may have arrived.
        let reused = self.connection.is_some();
        let mut outcome = self.exchange(&method, path, kind, &body);
        if reused && method == Method::GET && matches!(outcome, Err(RemoteError::Http(_))) {
            outcome = self.exchange(&method, path, kind, &body);
        }
        outcome.map_err(RemoteError::with_help)
    }

    fn exchange(
        &mut self,
        method: &Method,
        path: &str,
        kind: Option<&str>,
        body: &Bytes,
    ) -> Result<Vec<u8>, RemoteError> {
        let patience = PATIENCE + Duration::from_secs(body.len() as u64 / SLOWEST_UPLOAD);
        let Self { runtime, connector, name, address, token, connection } = self;
        let work = async {
            let mut sender = match connection.take().filter(|sender| !sender.is_closed()) {
                Some(sender) => sender,
                None => connect(connector, name, address).await?,
            };
            let mut request = Request::builder().method(method).uri(path);
            request = request.header("host", host(address));
            request = request.header("authorization", Zeroizing::new(format!("Bearer {}", **token)).as_str());
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let request = request.body(Full::new(body.clone())).map_err(|_| RemoteError::Request)?;
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let (parts, answer) = response.into_parts();
            let answer = Limited::new(answer, MOST_ANSWER).collect().await.map_err(|error| {
                let long = error.is::<LengthLimitError>();
                if long { RemoteError::TooLong } else { RemoteError::BrokeOff }
            })?;
            *connection = Some(sender);
            Ok((parts, answer.to_bytes()))
        };
        let (parts, answer) =
            runtime.block_on(async { timeout(patience, work).await.unwrap_or(Err(RemoteError::Timeout)) })?;
        if parts.status.is_success() {
            return Ok(answer.to_vec());
        }
        let refusal: Refusal = serde_json::from_slice(&answer).unwrap_or_default();
        let retry_after = parts.headers.get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
        Err(RemoteError::Refused {
            status: parts.status.as_u16(),
            reason: plain(&refusal.reason),
            detail: plain(&refusal.detail),
            retry_after,
        })
    }
}

async fn connect(
    connector: &TlsConnector,
    name: &ServerName<'static>,
    address: &Address,
) -> Result<SendRequest<Full<Bytes>>, RemoteError> {
    let unreachable = |source| RemoteError::Connect { server: host(address), source };
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let tls = connector.connect(name.clone(), tcp).await.map_err(|refused| {
        match refused.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => RemoteError::Tls(error.clone()),
            None => unreachable(refused),
        }
    })?;
    let (sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(async move {
        // An error here reaches the caller through `sender`, which then fails.
        let _ = connection.await;
    });
    Ok(sender)
}

fn host(address: &Address) -> String {
    let Address { host, port } = address;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn token(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let token = key_file::read(path).map_err(|error| {
        let help = match &error {
            key_file::KeyFileError::Exposed { .. } => Help("chmod 600, and a new token if others could read this one"),
            _ => Help("the file holds the token alone: 64 hexadecimal digits, as `cotter-server token add` prints it"),
        };
        anyhow::Error::new(error).context(help)
    })?;
    let mut digits = Zeroizing::new([0; 64]);
    let text = cotter_wire::hex::encode(token.expose(), &mut digits[..]).unwrap_or_default();
    Ok(Zeroizing::new(text.to_owned()))
}

fn read<T: DeserializeOwned>(path: &str, answer: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(answer)
        .with_context(|| format!("the server's answer to {path} is not what this version of cotter expects"))
}

/// A value as part of a path or a query: everything but letters, digits and `-._~` is escaped.
pub(crate) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a String does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The error with what to do next, unless that is known already.
pub(crate) fn or_help(error: anyhow::Error, help: &'static str) -> anyhow::Error {
    if error.downcast_ref::<Help>().is_some() { error } else { error.context(Help(help)) }
}

/// What a server says is printed: without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MOST_DETAIL).collect()
}

/// The body of a refusal; devices get no reason, administrators do.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Refusal {
    reason: String,
    detail: String,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// The server said no.
    #[error("the server refuses: {}", refusal(*.status, reason, detail))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Stable name; empty if the server gave none.
        reason: String,
        /// For people; may be empty.
        detail: String,
        /// In seconds, if it said so.
        retry_after: Option<u64>,
    },
    /// No connection.
    #[error("cannot reach {server}")]
    Connect {
        /// Host and port.
        server: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No trust.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// HTTP failed.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The request is not HTTP.
    #[error("this cannot be asked over HTTP")]
    Request,
    /// The answer is larger than anything that we ask for.
    #[error("the answer is longer than {MOST_ANSWER} bytes")]
    TooLong,
    /// The answer ended early.
    #[error("the answer broke off")]
    BrokeOff,
    /// Nothing came in time.
    #[error("the server does not answer in time")]
    Timeout,
}

fn refusal(status: u16, reason: &str, detail: &str) -> String {
    match (status, reason, detail) {
        (401, "", _) => "401, it does not know this token".to_owned(),
        (403, "", _) => "403, the token's role may not do this".to_owned(),
        (404, "", _) => "404, there is no such thing".to_owned(),
        (429, "", _) => "429, too many requests".to_owned(),
        (503, "", _) => "503, it cannot do this now".to_owned(),
        (_, "", _) => status.to_string(),
        (_, reason, "") => format!("{reason} ({status})"),
        (_, reason, detail) => format!("{detail} ({reason})"),
    }
}

impl RemoteError {
    /// The error with what to do next, if there is something.
    fn with_help(self) -> anyhow::Error {
        let help = match &self {
            Self::Refused { status: 401, .. } => {
                "tokens expire and are revoked; `cotter-server token list`, on the server's host, tells which there are"
            }
            Self::Refused { status: 403, .. } => "`cotter fleet token add` makes a token of another role, for an admin",
            Self::Refused { status: 429 | 503, .. } => "nothing was changed: try again a little later",
            Self::Tls(_) => {
                "--ca must name the certificate that issued the server's, and --server a name that is in it"
            }
            Self::Connect { .. } => "does it run, and is --server (COTTER_SERVER) its address?",
            Self::Timeout | Self::BrokeOff => "whether it was done is not known: look before you ask again",
            _ => return self.into(),
        };
        anyhow::Error::new(self).context(Help(help))
    }

    /// The stable name of a refusal, or nothing.
    pub(crate) fn reason(error: &anyhow::Error) -> Option<&str> {
        error.chain().find_map(|cause| match cause.downcast_ref::<Self>()? {
            Self::Refused { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
    }
}

/// For connecting and answering.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes a second that an upload is given time for.
const SLOWEST_UPLOAD: u64 = 16 << 10;
/// The longest answer that is taken in.
const MOST_ANSWER: usize = 16 << 20;
/// Characters of a reason that are shown.
const MOST_DETAIL: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_https_address_and_nothing_else() {
        let of = |host: &str, port| Ok(Address { host: host.to_owned(), port });
        assert_eq!(address("https://fleet.example"), of("fleet.example", 443));
        assert_eq!(address("https://fleet.example:8443/"), of("fleet.example", 8443));
        assert_eq!(address("https://[::1]:8443"), of("::1", 8443));
        for bad in
            ["", "fleet.example", "http://fleet.example", "https://", "https://a/b", "https://a?x", "https://a:99999"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert!(address("https://me:secret@a").is_err());
        assert!(address("http://a").is_err_and(|why| why.contains("token")));
    }

    #[test]
    fn values_cannot_leave_their_place_in_a_path() {
        assert_eq!(escaped("ci@line-3.example"), "ci%40line-3.example");
        assert_eq!(escaped("../x?y=1&z#"), "..%2Fx%3Fy%3D1%26z%23");
    }

    #[test]
    fn what_a_server_says_moves_no_cursor() {
        assert_eq!(plain("gone\u{1b}[2J\n\u{7}!"), "gone[2J!");
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        assert_eq!(refusal(422, "release-sha256", "not the one"), "not the one (release-sha256)");
        assert_eq!(refusal(401, "", ""), "401, it does not know this token");
        assert_eq!(refusal(418, "", ""), "418");
    }
}
