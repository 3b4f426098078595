//! A connection of the module to the real network: TCP, UDP or TLS, and nothing that waits.

use super::web_socket::WebSocket;
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

/// How much may wait for a peer that does not read.
pub(super) const BACKLOG: usize = 256 * 1024;
/// How much of it is taken at a time.
const PIECE: usize = 2920;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    remote: SocketAddr,
    /// What was handed over and has not left yet.
    backlog: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Tls(Box<ClientConnection>, TcpStream),
    #[cfg(feature = "link-tls")]
    Psk(openssl::ssl::SslStream<TcpStream>),
    WebSocket(Box<WebSocket>),
    Udp(UdpSocket, UdpPeer),
}

/// What becomes of the remote end of a UDP transmission when somebody else sends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UdpPeer {
    /// It stays what it is, and others are not heard.
    Fixed,
    /// The first other one takes its place.
    Once,
    /// The last one that sent something takes its place.
    Last,
}

/// What came from the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) from: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

impl Connection {
    /// Takes over a stream that is connected.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        prepare(&stream)?;
        let remote = stream.peer_addr()?;
        Ok(Self { stream: Stream::Tcp(stream), remote, backlog: Vec::new() })
    }

    /// Takes over a stream whose handshake is done.
    pub(super) fn tls(session: ClientConnection, stream: TcpStream) -> io::Result<Self> {
        prepare(&stream)?;
        let remote = stream.peer_addr()?;
        Ok(Self { stream: Stream::Tls(Box::new(session), stream), remote, backlog: Vec::new() })
    }

    /// The same, of a handshake with a pre-shared key.
    #[cfg(feature = "link-tls")]
    pub(super) fn psk(stream: openssl::ssl::SslStream<TcpStream>) -> io::Result<Self> {
        prepare(stream.get_ref())?;
        let remote = stream.get_ref().peer_addr()?;
        Ok(Self { stream: Stream::Psk(stream), remote, backlog: Vec::new() })
    }

    pub(super) fn web_socket(socket: WebSocket) -> io::Result<Self> {
        prepare(socket.stream())?;
        let remote = socket.stream().peer_addr()?;
        Ok(Self { stream: Stream::WebSocket(Box::new(socket)), remote, backlog: Vec::new() })
    }

    pub(super) fn udp(socket: UdpSocket, remote: SocketAddr, peer: UdpPeer) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { stream: Stream::Udp(socket, peer), remote, backlog: Vec::new() })
    }

    pub(super) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(super) fn local_port(&self) -> u16 {
        let address = match &self.stream {
            Stream::Tcp(stream) | Stream::Tls(_, stream) => stream.local_addr(),
            #[cfg(feature = "link-tls")]
            Stream::Psk(stream) => stream.get_ref().local_addr(),
            Stream::WebSocket(socket) => socket.stream().local_addr(),
            Stream::Udp(socket, _) => socket.local_addr(),
        };
        address.map_or(0, |address| address.port())
    }

    /// Hands bytes over; to another UDP peer than the remote end if one is named.
    pub(super) fn send(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Udp(socket, _) => return socket.send_to(bytes, to.unwrap_or(self.remote)).map(drop),
            Stream::Tls(session, _) => session.writer().write_all(bytes)?,
            Stream::WebSocket(socket) => socket.send(bytes)?,
            _ => {
                if self.backlog.len() + bytes.len() > BACKLOG {
                    return Err(ErrorKind::OutOfMemory.into());
                }
                self.backlog.extend(bytes);
            }
        }
        self.flush()
    }

    /// What has come meanwhile; an error is the end.
    pub(super) fn receive(&mut self) -> io::Result<Vec<Arrival>> {
        self.flush()?;
        let mut buffer = [0; PIECE];
        let mut arrivals = Vec::new();
        // Whoever sends without end leaves room for others.
        for _ in 0..8 {
            match self.read(&mut buffer) {
                Ok((count, from)) => {
                    arrivals.push(Arrival { from, bytes: buffer.get(..count).unwrap_or_default().to_vec() });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What came before the end is told first; the end comes again.
                Err(_) if !arrivals.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(arrivals)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let count = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(buffer)?,
            Stream::Tls(session, stream) => read_tls(session, stream, buffer)?,
            #[cfg(feature = "link-tls")]
            Stream::Psk(stream) => stream.read(buffer)?,
            Stream::WebSocket(socket) => socket.read(buffer)?,
            Stream::Udp(socket, peer) => {
                let (count, from) = socket.recv_from(buffer)?;
                if from != self.remote {
                    match peer {
                        UdpPeer::Fixed => return Err(ErrorKind::Interrupted.into()),
                        UdpPeer::Once => *peer = UdpPeer::Fixed,
                        UdpPeer::Last => {}
                    }
                    self.remote = from;
                }
                return Ok((count, from));
            }
        };
        if count == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok((count, self.remote)) }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Udp(..) => {}
            Stream::Tcp(stream) => drain(&mut self.backlog, stream)?,
            #[cfg(feature = "link-tls")]
            Stream::Psk(stream) => drain(&mut self.backlog, stream)?,
            Stream::WebSocket(socket) => socket.flush()?,
            Stream::Tls(session, stream) => {
                while session.wants_write() {
                    match session.write_tls(stream) {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The peer may be gone already.
        match &mut self.stream {
            Stream::Tls(session, _) => {
                session.send_close_notify();
                let _told = self.flush();
            }
            #[cfg(feature = "link-tls")]
            Stream::Psk(stream) => {
                let _told = stream.shutdown();
            }
            Stream::Tcp(_) | Stream::WebSocket(_) | Stream::Udp(..) => {}
        }
    }
}

/// Writes what goes without waiting.
fn drain(backlog: &mut Vec<u8>, stream: &mut impl Write) -> io::Result<()> {
    while !backlog.is_empty() {
        match stream.write(backlog) {
            Ok(count) => drop(backlog.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)
}

fn read_tls(session: &mut ClientConnection, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match session.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
        if session.read_tls(stream)? == 0 {
            return Ok(0);
        }
        session.process_new_packets().map_err(io::Error::other)?;
        while session.wants_write() {
            session.write_tls(stream)?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;
    use std::time::{Duration, Instant};

    fn wait(connection: &mut Connection) -> io::Result<Vec<Arrival>> {
        let start = Instant::now();
        loop {
            let arrivals = connection.receive()?;
            if !arrivals.is_empty() || start.elapsed() > Duration::from_secs(5) {
                return Ok(arrivals);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_a_peer_said_before_it_left_is_heard() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut connection = Connection::tcp(stream).unwrap();
        peer.write_all(b"bye").unwrap();
        drop(peer);
        assert_eq!(wait(&mut connection).unwrap()[0].bytes, b"bye");
        assert_eq!(wait(&mut connection).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_udp_peer_is_replaced_as_often_as_allowed() {
        let peers: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<SocketAddr> = peers.iter().map(|peer| peer.local_addr().unwrap()).collect();
        for (peer, end) in [(UdpPeer::Fixed, 0), (UdpPeer::Once, 1), (UdpPeer::Last, 2)] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            let mut connection = Connection::udp(socket, ports[0], peer).unwrap();
            peers[1].send_to(b"1", address).unwrap();
            peers[2].send_to(b"2", address).unwrap();
            peers[0].send_to(b"0", address).unwrap();
            let mut heard = Vec::new();
            while heard.last() != Some(&b'0') && connection.remote() != ports[1] || heard.is_empty() {
                heard.extend(wait(&mut connection).unwrap().into_iter().flat_map(|arrival| arrival.bytes));
            }
            let expected: &[u8] = [&b"0"[..], b"1", b"120"][end];
            assert_eq!(heard, expected, "{peer:?}");
        }
    }
}
