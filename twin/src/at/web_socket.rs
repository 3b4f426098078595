//! WebSocket (RFC 6455) as MQTT uses it: binary messages, in which MQTT's packets are cut anywhere.

use super::connection::BACKLOG;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::uri::InvalidUri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, ClientRequestBuilder, Error, Message};

/// One end, the client's.
#[derive(Debug)]
pub(super) struct WebSocket {
    socket: tungstenite::WebSocket<Channel>,
    /// Of a message that has arrived.
    arrived: Bytes,
}

/// What carries it.
#[derive(Debug)]
pub(super) enum Channel {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Why it did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebSocketError {
    #[error("no address of a WebSocket: {0}")]
    Address(#[from] InvalidUri),
    #[error("{0}")]
    Refused(#[from] Box<Error>),
    #[error("no answer in time")]
    Timeout,
}

impl WebSocket {
    /// Asks a server for MQTT at a path. The channel may wait, as long as its timeouts say.
    pub(super) fn open(channel: Channel, host: &str, port: u16, path: &str) -> Result<Self, WebSocketError> {
        let scheme = if matches!(channel, Channel::Tcp(_)) { "ws" } else { "wss" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let uri = format!("{scheme}://{host}:{port}/{}", path.trim_start_matches('/')).parse()?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
        let config = WebSocketConfig::default()
            .max_message_size(Some(BACKLOG))
            .max_frame_size(Some(BACKLOG))
            .max_write_buffer_size(BACKLOG);
        match tungstenite::client::client_with_config(request, channel, Some(config)) {
            Ok((socket, _)) => Ok(Self { socket, arrived: Bytes::new() }),
            Err(HandshakeError::Interrupted(_)) => Err(WebSocketError::Timeout),
            Err(HandshakeError::Failure(error)) => Err(Box::new(error).into()),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        match self.socket.get_ref() {
            Channel::Tcp(stream) => stream,
            Channel::Tls(stream) => stream.get_ref(),
        }
    }

    /// Takes all bytes, or none.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.socket.write(Message::binary(bytes.to_vec())) {
            Ok(()) => Ok(()),
            // It has taken them.
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(io_error(error)),
        }
    }

    /// As much as goes without waiting.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.socket.flush() {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other.map_err(io_error),
        }
    }

    /// 0 is the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.arrived.is_empty() {
            match self.socket.read().map_err(io_error)? {
                Message::Binary(bytes) => self.arrived = bytes,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(_) => return Ok(0),
                Message::Text(_) => return Err(io::Error::new(ErrorKind::InvalidData, "MQTT is no text")),
            }
        }
        let taken = self.arrived.split_to(self.arrived.len().min(buffer.len()));
        buffer.get_mut(..taken.len()).unwrap_or_default().copy_from_slice(&taken);
        Ok(taken.len())
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        // The peer may be gone already.
        let _told = self.socket.close(None).and_then(|()| self.socket.flush());
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => ErrorKind::UnexpectedEof.into(),
        Error::WriteBufferFull(_) => ErrorKind::OutOfMemory.into(),
        other => io::Error::other(other),
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
