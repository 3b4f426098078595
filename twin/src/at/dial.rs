//! Connecting, on a thread of its own, to where the module may go.

use super::connection::{Connection, UdpPeer};
use super::web_socket::{Channel, WebSocket, WebSocketError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How far the network reaches that the module is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine only. No other address is connected to, and no name is asked for on a network.
    Loopback,
    /// As far as this machine's own.
    Anywhere,
}

/// Names that are known without asking, and how far addresses may be.
#[derive(Clone, Debug)]
pub struct Network {
    /// The rule for addresses.
    pub reach: Reach,
    /// Names with their addresses.
    pub hosts: Vec<(String, IpAddr)>,
    /// Where time servers listen, [`TIME_PORT`] unless a test has its own.
    pub time_port: u16,
}

/// The port of NTP and SNTP.
pub const TIME_PORT: u16 = 123;

/// What to connect to, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) carrier: Carrier,
    /// The path of a WebSocket on top of it.
    pub(super) web_socket: Option<String>,
    pub(super) timeout: Duration,
}

#[derive(Clone, Debug)]
pub(super) enum Carrier {
    Tcp,
    /// With the name that the server has to prove, if that is not the host.
    Tls(Arc<ClientConfig>, Option<String>),
    /// With a key that both ends have.
    #[cfg(feature = "link-tls")]
    Psk(Arc<super::line::tls::TlsSettings>),
    /// From a local port, or any.
    Udp(u16, UdpPeer),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0} is not on this machine, and this module reaches no further")]
    OutOfReach(String),
    #[error("no address is known for {0}")]
    Unknown(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[cfg(feature = "link-tls")]
    #[error("TLS: {0}")]
    Psk(String),
    #[error("WebSocket: {0}")]
    WebSocket(#[from] WebSocketError),
    #[error("{0} is no name that a certificate could have")]
    Name(String),
    #[error("no answer in time")]
    Timeout,
    #[error("no time: {0}")]
    Time(String),
}

impl Network {
    /// The addresses of a host, as far as they may be reached.
    pub(super) fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let named = self.hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(host));
        let known = named.map(|(_, address)| *address).or_else(|| host.parse().ok());
        let found: Vec<SocketAddr> = match known {
            Some(address) => vec![SocketAddr::new(address, port)],
            None if host.eq_ignore_ascii_case("localhost") => {
                let both = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
                both.map(|address| SocketAddr::new(address, port)).to_vec()
            }
            None if self.reach == Reach::Loopback => return Err(DialError::OutOfReach(host.to_owned())),
            None => (host, port).to_socket_addrs().map_err(|_| DialError::Unknown(host.to_owned()))?.collect(),
        };
        let near = |address: &SocketAddr| self.reach == Reach::Anywhere || address.ip().to_canonical().is_loopback();
        let reached: Vec<SocketAddr> = found.into_iter().filter(near).collect();
        if reached.is_empty() { Err(DialError::OutOfReach(host.to_owned())) } else { Ok(reached) }
    }

    /// A socket at a local port, or any with 0, that can send to `remote` and hears no further than the network reaches.
    pub(super) fn udp_socket(&self, remote: SocketAddr, local: u16) -> io::Result<UdpSocket> {
        let from: IpAddr = match (self.reach, remote.ip()) {
            (Reach::Loopback, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
            (Reach::Loopback, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            (Reach::Anywhere, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (Reach::Anywhere, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        };
        UdpSocket::bind((from, local))
    }
}

impl Target {
    /// Connects. The outcome comes when it comes, within the timeout and little more.
    pub(super) fn dial(self, network: &Network) -> Receiver<Result<Connection, DialError>> {
        let (sender, receiver) = channel();
        let network = network.clone();
        std::thread::spawn(move || {
            // Nobody waits any more if the module was reset.
            let _told = sender.send(self.connect(&network));
        });
        receiver
    }

    fn connect(&self, network: &Network) -> Result<Connection, DialError> {
        let end = Instant::now() + self.timeout;
        let addresses = network.resolve(&self.host, self.port)?;
        if let Carrier::Udp(local, peer) = self.carrier {
            let remote = *addresses.first().ok_or_else(|| DialError::Unknown(self.host.clone()))?;
            return Ok(Connection::udp(network.udp_socket(remote, local)?, remote, peer)?);
        }
        let mut last = DialError::Timeout;
        for address in addresses {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(DialError::Timeout);
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return self.established(stream, end),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    fn established(&self, stream: TcpStream, end: Instant) -> Result<Connection, DialError> {
        // Whoever reads or writes here stops when the time is over.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        stream.set_write_timeout(Some(left))?;
        match (&self.carrier, &self.web_socket) {
            (Carrier::Tls(config, name), None) => {
                let (session, stream) = self.secured(stream, config, name.as_ref(), end)?;
                Ok(Connection::tls(session, stream)?)
            }
            (Carrier::Tls(config, name), Some(path)) => {
                let (session, stream) = self.secured(stream, config, name.as_ref(), end)?;
                self.web_socket(Channel::Tls(Box::new(StreamOwned::new(session, stream))), path)
            }
            #[cfg(feature = "link-tls")]
            (Carrier::Psk(settings), _) => {
                let failed = |error: &dyn std::fmt::Display| DialError::Psk(error.to_string());
                let ssl = settings.ssl().map_err(|error| failed(&error))?;
                Ok(Connection::psk(ssl.connect(stream).map_err(|error| failed(&error))?)?)
            }
            (_, Some(path)) => self.web_socket(Channel::Tcp(stream), path),
            (_, None) => Ok(Connection::tcp(stream)?),
        }
    }

    fn web_socket(&self, channel: Channel, path: &str) -> Result<Connection, DialError> {
        Ok(Connection::web_socket(WebSocket::open(channel, &self.host, self.port, path)?)?)
    }

    fn secured(
        &self,
        mut stream: TcpStream,
        config: &Arc<ClientConfig>,
        name: Option<&String>,
        end: Instant,
    ) -> Result<(ClientConnection, TcpStream), DialError> {
        let name = name.unwrap_or(&self.host);
        let name = ServerName::try_from(name.clone()).map_err(|_| DialError::Name(name.clone()))?;
        let mut session = ClientConnection::new(Arc::clone(config), name)?;
        while session.is_handshaking() {
            if end <= Instant::now() {
                return Err(DialError::Timeout);
            }
            match session.complete_io(&mut stream) {
                Ok(_) => {}
                Err(error) => {
                    return Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                        Some(refused) => refused.clone().into(),
                        None => error.into(),
                    });
                }
            }
        }
        Ok((session, stream))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;

    fn network(reach: Reach) -> Network {
        let hosts = vec![
            ("broker.example".to_owned(), IpAddr::from([127, 0, 0, 2])),
            ("far.example".to_owned(), IpAddr::from([192, 0, 2, 1])),
        ];
        Network { reach, hosts, time_port: TIME_PORT }
    }

    #[test]
    fn loopback_reaches_this_machine_and_nothing_else() {
        let near = network(Reach::Loopback);
        for host in ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST", "broker.example", "::ffff:127.0.0.1"] {
            assert!(!near.resolve(host, 80).unwrap().is_empty(), "{host}");
        }
        for host in ["192.0.2.1", "0.0.0.0", "::", "far.example", "somewhere.example", "::ffff:192.0.2.1", ""] {
            assert!(matches!(near.resolve(host, 80), Err(DialError::OutOfReach(_))), "{host}");
        }
        assert_eq!(network(Reach::Anywhere).resolve("far.example", 80).unwrap().len(), 1);
    }
}
