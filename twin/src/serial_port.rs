//! A serial line that tools on this machine can open: a TCP port (`socket://host:port` and `rfc2217://host:port` of
//! pyserial) or a pseudo-terminal.
//!
//! One peer at a time; a second TCP peer is turned away, unless the first has said nothing for [`SILENCE`]. Only RFC 2217 carries DTR and RTS: Linux has no modem lines on
//! pseudo-terminals. That the line was opened is told, and may stand for them.

mod rfc2217;

use rfc2217::Telnet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use rfc2217::ModemLines;

/// A line with room for one peer.
#[derive(Debug)]
pub struct SerialPort(Kind);

#[derive(Debug)]
enum Kind {
    Tcp { listener: TcpListener, peer: Option<Peer> },
    Terminal(Terminal),
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    telnet: Telnet,
    /// What was received and not told yet.
    lines: VecDeque<ModemLines>,
    data: VecDeque<u8>,
    /// What RFC 2217 answers.
    reply: Vec<u8>,
    /// When it last said something.
    heard: Instant,
}

#[derive(Debug)]
struct Terminal {
    master: File,
    /// The name that tools open.
    device: PathBuf,
    link: Option<PathBuf>,
    is_open: bool,
}

/// What happened on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEvent {
    /// Somebody opened it.
    Opened,
    /// Bytes came: so many are in the buffer.
    Bytes(usize),
    /// DTR or RTS changed.
    Lines(ModemLines),
    /// The peer is gone.
    Closed,
    /// Nothing, for as long as was allowed.
    Quiet,
}

impl SerialPort {
    /// Listens on a TCP address; port 0 takes a free one.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(Kind::Tcp { listener, peer: None }))
    }

    /// Opens a pseudo-terminal and makes `link` a symbolic link to it, replacing a link (and nothing else) that is
    /// there. The link goes away with the port.
    ///
    /// # Errors
    /// What the system says.
    pub fn terminal(link: &Path) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let device = PathBuf::from(std::ffi::OsStr::from_bytes(ptsname(&master, Vec::new())?.as_bytes()));
        // No echo and no line editing, whoever opens it. On Linux the setting of the master is that of both ends.
        let mut mode = tcgetattr(&master)?;
        mode.make_raw();
        tcsetattr(&master, OptionalActions::Now, &mode)?;
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        hang_up(&device)?;
        replace_link(&device, link)?;
        let master = File::from(master);
        Ok(Self(Kind::Terminal(Terminal { master, device, link: Some(link.to_owned()), is_open: false })))
    }

    /// Where it listens; `None` for a pseudo-terminal.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp { listener, .. } => listener.local_addr().ok(),
            Kind::Terminal(_) => None,
        }
    }

    /// The device behind the link; `None` for a TCP port.
    #[must_use]
    pub fn device(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Tcp { .. } => None,
            Kind::Terminal(terminal) => Some(&terminal.device),
        }
    }

    /// Waits for something to happen, at most so long.
    ///
    /// # Errors
    /// What the system says; that a peer went away is no error.
    pub fn wait(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<LineEvent> {
        match &mut self.0 {
            Kind::Tcp { listener, peer } => {
                let told = peer.as_mut().and_then(|peer| peer.told(buffer));
                let event = told.map_or_else(|| wait_tcp(listener, peer, buffer, timeout), Ok)?;
                let reply = peer.as_mut().map(|peer| std::mem::take(&mut peer.reply)).unwrap_or_default();
                self.write_raw(&reply)?;
                Ok(event)
            }
            Kind::Terminal(terminal) => terminal.wait(buffer, timeout),
        }
    }

    /// Sends to the peer, if there is one. One that does not read for [`PATIENCE`] is dropped.
    ///
    /// # Errors
    /// What the system says; that a peer went away is no error.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp { peer: Some(peer), .. } => {
                let encoded = peer.telnet.encode(bytes);
                self.write_raw(&encoded)
            }
            _ => self.write_raw(bytes),
        }
    }

    /// Sends as much as fits without waiting, and drops the rest: for a line to which nobody may be listening.
    pub fn offer(&mut self, bytes: &[u8]) {
        // What does not fit is lost, as on a wire.
        let _sent = match &self.0 {
            Kind::Tcp { peer: Some(peer), .. } => (&peer.stream).write(&peer.telnet.encode(bytes)),
            Kind::Terminal(terminal) if terminal.is_open => (&terminal.master).write(bytes),
            Kind::Tcp { .. } | Kind::Terminal(_) => Ok(0),
        };
    }

    fn write_raw(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let start = Instant::now();
        while !bytes.is_empty() {
            let (file, written) = match &self.0 {
                Kind::Tcp { peer: None, .. } => return Ok(()),
                Kind::Tcp { peer: Some(peer), .. } => {
                    let mut stream = &peer.stream;
                    (peer.stream.as_fd(), stream.write(bytes))
                }
                Kind::Terminal(terminal) if !terminal.is_open => return Ok(()),
                Kind::Terminal(terminal) => {
                    let mut master = &terminal.master;
                    (terminal.master.as_fd(), master.write(bytes))
                }
            };
            match written {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && start.elapsed() < PATIENCE => {
                    let mut ends = [PollFd::from_borrowed_fd(file, PollFlags::OUT)];
                    poll_for(&mut ends, Duration::from_millis(100))?;
                }
                Err(_) => {
                    if let Kind::Tcp { peer: Some(peer), .. } = &self.0 {
                        // Noticed by the next wait.
                        let _gone = peer.stream.shutdown(std::net::Shutdown::Both);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// How long a TCP peer may say nothing before another one can take its place.
pub const SILENCE: Duration = Duration::from_secs(60);

/// How long a peer may leave unread what was sent to it.
pub const PATIENCE: Duration = Duration::from_secs(10);

fn wait_tcp(
    listener: &TcpListener,
    peer: &mut Option<Peer>,
    buffer: &mut [u8],
    timeout: Duration,
) -> io::Result<LineEvent> {
    let mut ends = vec![PollFd::new(listener, PollFlags::IN)];
    ends.extend(peer.as_ref().map(|peer| PollFd::new(&peer.stream, PollFlags::IN)));
    poll_for(&mut ends, timeout)?;
    let [knocks, speaks] = [0, 1].map(|index| ends.get(index).is_some_and(|end| !end.revents().is_empty()));
    drop(ends);
    if speaks && let Some(speaker) = peer {
        match speaker.stream.read(buffer) {
            Ok(0) => {}
            Ok(count) => {
                speaker.heard = Instant::now();
                let received = speaker.telnet.receive(buffer.get(..count).unwrap_or_default());
                speaker.data.extend(received.data);
                speaker.lines.extend(received.lines);
                speaker.reply.extend(received.reply);
                return Ok(speaker.told(buffer).unwrap_or(LineEvent::Quiet));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(LineEvent::Quiet);
            }
            Err(_) => {}
        }
        *peer = None;
        return Ok(LineEvent::Closed);
    }
    if knocks && let Ok((stream, _)) = listener.accept() {
        if peer.as_ref().is_some_and(|peer| peer.heard.elapsed() < SILENCE) {
            return Ok(LineEvent::Quiet);
        }
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let (lines, data) = (VecDeque::new(), VecDeque::new());
        let (telnet, reply, heard) = (Telnet::default(), Vec::new(), Instant::now());
        *peer = Some(Peer { stream, telnet, lines, data, reply, heard });
        return Ok(LineEvent::Opened);
    }
    Ok(LineEvent::Quiet)
}

impl Peer {
    /// The next of what was received. Modem lines go first: tools wait after they have changed them.
    fn told(&mut self, buffer: &mut [u8]) -> Option<LineEvent> {
        if let Some(lines) = self.lines.pop_front() {
            return Some(LineEvent::Lines(lines));
        }
        let count = self.data.len().min(buffer.len());
        buffer.iter_mut().zip(self.data.drain(..count)).for_each(|(to, from)| *to = from);
        (count > 0).then_some(LineEvent::Bytes(count))
    }
}

impl Terminal {
    fn wait(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<LineEvent> {
        let start = Instant::now();
        loop {
            let mut ends = [PollFd::new(&self.master, PollFlags::IN)];
            let left = timeout.saturating_sub(start.elapsed());
            poll_for(&mut ends, if self.is_open { left } else { Duration::ZERO })?;
            let happened = ends[0].revents();
            // Hung up as long as nobody has the other end open; what the last one wrote is still there.
            let is_hung_up = happened.contains(PollFlags::HUP);
            if !self.is_open && !is_hung_up {
                self.is_open = true;
                return Ok(LineEvent::Opened);
            }
            if self.is_open && happened.contains(PollFlags::IN) {
                match self.master.read(buffer) {
                    Ok(count) if count > 0 => return Ok(LineEvent::Bytes(count)),
                    Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(LineEvent::Quiet),
                    Ok(_) | Err(_) => {}
                }
            }
            if self.is_open && is_hung_up {
                self.is_open = false;
                return Ok(LineEvent::Closed);
            }
            if start.elapsed() >= timeout {
                return Ok(LineEvent::Quiet);
            }
            if !self.is_open {
                // Being opened is no event that can be waited for.
                std::thread::sleep(left.min(Duration::from_millis(5)));
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(link) = self.link.take()
            && std::fs::read_link(&link).is_ok_and(|device| device == self.device)
        {
            // It points nowhere now; that it stays is no harm.
            let _removed = std::fs::remove_file(link);
        }
    }
}

fn poll_for(ends: &mut [PollFd<'_>], timeout: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(timeout).map_err(|_| ErrorKind::InvalidInput)?;
    match poll(ends, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Opens and closes the other end once: until then the system does not say that nobody is there.
fn hang_up(device: &Path) -> io::Result<()> {
    let end: OwnedFd = rustix::fs::open(device, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    drop(end);
    Ok(())
}

fn replace_link(device: &Path, link: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(link).is_ok_and(|metadata| metadata.is_symlink()) {
        std::fs::remove_file(link)?;
    }
    std::os::unix::fs::symlink(device, link)
}
