//! TLS 1.2 or 1.3 over the serial line, by OpenSSL: with a key that both ends have, or with certificates of both ends.
//!
//! A session ends with the first byte that is lost. Then, and after a reset of either end, the client says hello again; who
//! was in the middle of a session answers with an alert and begins anew as well. A module is best the client: it speaks
//! first after its reset.

use super::{EscapePlace, Incoming, Line, LineError};
use openssl::error::ErrorStack;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslStream, SslVerifyMode, SslVersion,
};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Who says hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This end.
    Client,
    /// The other end.
    Server,
}

/// Which versions this end takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
    /// Either.
    Any,
}

/// Why the other end is believed. There is no way from one to the other: an end with a key takes no certificate.
pub enum Trust {
    /// It has the same key.
    Psk {
        /// What the key is called on the wire, in the clear.
        identity: String,
        /// Any length that OpenSSL takes; 32 bytes are good.
        key: Zeroizing<Vec<u8>>,
    },
    /// It has a certificate of one authority; so has this end.
    Certificates {
        /// Whose certificates are believed, PEM.
        authority: PathBuf,
        /// This end's certificate and those between it and the authority, PEM.
        chain: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
        /// The name that the other end's certificate must have; without it, any of the authority's.
        peer: Option<String>,
    },
}

/// What all sessions of one end share.
pub struct TlsSettings {
    context: SslContext,
    role: Role,
    peer: Option<String>,
}

/// One end.
pub struct Tls {
    settings: Arc<TlsSettings>,
    state: State,
    /// When this state began.
    since: Instant,
    refusal: Option<String>,
}

enum State {
    Shaking {
        stream: SslStream<Wire>,
        heard: bool,
    },
    Up(SslStream<Wire>),
    /// Over; the next hello is not before [`PAUSE`].
    Down,
}

/// What OpenSSL reads and writes.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

/// Why TLS cannot be used as it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {what} cannot be used")]
pub struct TlsError {
    what: &'static str,
    source: ErrorStack,
}

impl TlsSettings {
    /// Reads what it names.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn new(role: Role, versions: Versions, trust: Trust) -> Result<Self, TlsError> {
        let failed = |what| move |source| TlsError { what, source };
        let mut builder = SslContext::builder(SslMethod::tls()).map_err(failed("OpenSSL"))?;
        let (least, most) = match versions {
            Versions::Tls12 => (SslVersion::TLS1_2, SslVersion::TLS1_2),
            Versions::Tls13 => (SslVersion::TLS1_3, SslVersion::TLS1_3),
            Versions::Any => (SslVersion::TLS1_2, SslVersion::TLS1_3),
        };
        builder.set_min_proto_version(Some(least)).map_err(failed("this version"))?;
        builder.set_max_proto_version(Some(most)).map_err(failed("this version"))?;
        builder.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION);
        builder.set_num_tickets(0).map_err(failed("a session without tickets"))?;
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        // What could not be written at once may move before it is.
        builder.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
        if role == Role::Server {
            // In TLS 1.3 it takes an external key for a session of before, which has to be of this context.
            builder.set_session_id_context(b"cotter/link/tls").map_err(failed("a name of the sessions"))?;
        }
        // Without an authority, no certificate is believed: that is what an end with a key wants.
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        let peer = match trust {
            Trust::Psk { identity, key } => {
                builder.set_cipher_list(PSK_CIPHERS).map_err(failed("the list of ciphers"))?;
                with_key(&mut builder, identity, key);
                None
            }
            Trust::Certificates { authority, chain, key, peer } => {
                builder.set_cipher_list(CERTIFICATE_CIPHERS).map_err(failed("the list of ciphers"))?;
                builder.set_ca_file(authority).map_err(failed("the authority's certificate"))?;
                builder.set_certificate_chain_file(chain).map_err(failed("the certificate"))?;
                builder.set_private_key_file(key, SslFiletype::PEM).map_err(failed("the private key"))?;
                builder.check_private_key().map_err(failed("a private key of another certificate"))?;
                peer
            }
        };
        Ok(Self { context: builder.build(), role, peer })
    }

    fn stream(&self) -> Result<SslStream<Wire>, ErrorStack> {
        SslStream::new(self.ssl()?, Wire::default())
    }

    /// One session, for whatever carries it.
    pub(in crate::at) fn ssl(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        match self.role {
            Role::Client => ssl.set_connect_state(),
            Role::Server => ssl.set_accept_state(),
        }
        if let Some(peer) = &self.peer {
            ssl.param_mut().set_host(peer)?;
            if self.role == Role::Client {
                ssl.set_hostname(peer)?;
            }
        }
        Ok(ssl)
    }
}

/// The same for both roles and versions: TLS 1.3 takes the key as an external one, for SHA-256.
fn with_key(builder: &mut SslContextBuilder, identity: String, key: Zeroizing<Vec<u8>>) {
    let (name, secret) = (identity.clone(), key.clone());
    builder.set_psk_client_callback(move |_, _, identity, place| {
        // Nothing is offered if there is no room: then the handshake fails.
        let (Some(to), Some(end)) = (identity.get_mut(..name.len()), place.get_mut(..secret.len())) else {
            return Ok(0);
        };
        to.copy_from_slice(name.as_bytes());
        end.copy_from_slice(&secret);
        identity.get_mut(name.len()).map_or(Ok(0), |end| {
            *end = 0;
            Ok(secret.len())
        })
    });
    builder.set_psk_server_callback(move |_, named, place| {
        let Some(place) = place.get_mut(..key.len()).filter(|_| named == Some(identity.as_bytes())) else {
            return Ok(0);
        };
        place.copy_from_slice(&key);
        Ok(key.len())
    });
}

impl Tls {
    /// One end after its reset.
    #[must_use]
    pub fn new(settings: Arc<TlsSettings>) -> Self {
        // Without memory for a session, it is tried again later.
        let stream = settings.stream().ok();
        let state = stream.map_or(State::Down, |stream| State::Shaking { stream, heard: false });
        Self { settings, state, since: Instant::now(), refusal: None }
    }

    /// As far as it goes without waiting: what was said, and what is to be answered.
    fn drive(&mut self, now: Instant) -> (Vec<u8>, Vec<u8>) {
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        let failure = match &mut self.state {
            State::Down => None,
            State::Shaking { stream, .. } => {
                let shaken = stream.do_handshake();
                wire.append(&mut stream.get_mut().outgoing);
                match shaken {
                    Ok(()) => {
                        self.come_up(now);
                        let (said, answered) = self.drive(now);
                        plain.extend(said);
                        wire.extend(answered);
                        None
                    }
                    Err(error) if error.code() == ErrorCode::WANT_READ => None,
                    Err(error) => Some(error),
                }
            }
            State::Up(stream) => {
                let failure = read_all(stream, &mut plain);
                wire.append(&mut stream.get_mut().outgoing);
                failure
            }
        };
        if let Some(error) = failure {
            self.refusal = Some(reason(&error));
            (self.state, self.since) = (State::Down, now);
        }
        (plain, wire)
    }

    fn come_up(&mut self, now: Instant) {
        if let State::Shaking { stream, .. } = std::mem::replace(&mut self.state, State::Down) {
            (self.state, self.since, self.refusal) = (State::Up(stream), now, None);
        }
    }

    /// A session of its own, from its first message on.
    fn begin(&mut self, now: Instant) -> Vec<u8> {
        self.since = now;
        match self.settings.stream() {
            Ok(stream) => {
                self.state = State::Shaking { stream, heard: false };
                self.drive(now).1
            }
            // No memory: tried again later.
            Err(_) => {
                self.state = State::Down;
                Vec::new()
            }
        }
    }
}

fn read_all(stream: &mut SslStream<Wire>, plain: &mut Vec<u8>) -> Option<openssl::ssl::Error> {
    let mut buffer = [0; 4096];
    loop {
        match stream.ssl_read(&mut buffer) {
            Ok(count) => plain.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.code() == ErrorCode::WANT_READ => return None,
            Err(error) => return Some(error),
        }
    }
}

/// OpenSSL's own words, without its places in its source.
fn reason(error: &openssl::ssl::Error) -> String {
    let first = error.ssl_error().and_then(|stack| stack.errors().first().and_then(openssl::error::Error::reason));
    match first {
        Some(reason) => format!("TLS: {reason}"),
        None if error.code() == ErrorCode::ZERO_RETURN => "TLS: the other end has closed the session".to_owned(),
        None => "TLS: the session is over".to_owned(),
    }
}

impl Line for Tls {
    fn start(&mut self, now: Instant) -> Result<Vec<u8>, LineError> {
        self.since = now;
        Ok(self.drive(now).1)
    }

    fn incoming(&mut self, wire: &[u8], now: Instant) -> Result<Incoming, LineError> {
        match &mut self.state {
            State::Shaking { stream, heard } => {
                *heard |= !wire.is_empty();
                stream.get_mut().incoming.extend(wire);
            }
            State::Up(stream) => stream.get_mut().incoming.extend(wire),
            // What is left of a session that is over.
            State::Down => {}
        }
        let (plain, wire) = self.drive(now);
        Ok(Incoming { plain, wire, ..Incoming::default() })
    }

    fn outgoing(&mut self, plain: &[u8], _: Instant) -> Result<Vec<u8>, LineError> {
        let State::Up(stream) = &mut self.state else { return Err(LineError::NotReady { bytes: plain.len() }) };
        let mut left = plain;
        while !left.is_empty() {
            // The wire takes everything.
            let written = stream.ssl_write(left).map_err(|_| LineError::Exhausted)?;
            left = left.get(written..).unwrap_or_default();
        }
        Ok(std::mem::take(&mut stream.get_mut().outgoing))
    }

    /// Inside the session, where nobody else can say it.
    fn escape(&mut self, now: Instant) -> Result<Vec<u8>, LineError> {
        self.outgoing(b"+++", now)
    }

    fn tick(&mut self, now: Instant) -> Result<Vec<u8>, LineError> {
        let so_far = now.saturating_duration_since(self.since);
        let is_client = self.settings.role == Role::Client;
        let is_over = match &self.state {
            State::Up(_) => false,
            State::Down => so_far >= PAUSE,
            State::Shaking { heard: false, .. } => is_client && so_far >= UNHEARD,
            State::Shaking { heard: true, .. } => so_far >= PATIENCE,
        };
        Ok(if is_over { self.begin(now) } else { Vec::new() })
    }

    fn ready(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    fn escape_place(&self) -> EscapePlace {
        EscapePlace::Text
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.clone()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.incoming.read(buffer) }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsSettings({:?})", self.role)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({:?}, up: {})", self.settings.role, matches!(self.state, State::Up(_)))
    }
}

/// For TLS 1.2; those of TLS 1.3 are all good.
const PSK_CIPHERS: &str =
    "ECDHE-PSK-CHACHA20-POLY1305:PSK-CHACHA20-POLY1305:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384";
const CERTIFICATE_CIPHERS: &str = "ECDHE+CHACHA20:ECDHE+AESGCM";

/// From the end of a session to the next hello.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a hello may stay without any answer: the other end may not have been there.
const UNHEARD: Duration = Duration::from_secs(2);

/// For a whole handshake, which has some 3 kB with certificates: a third of a second at 115200 baud.
const PATIENCE: Duration = Duration::from_secs(10);
