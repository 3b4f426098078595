//! Connections while they live: what comes in, what goes out, how they end.

use super::super::connection::{Arrival, Connection};
use super::super::dial::{DialError, Target};
use super::super::refusal::Refusal;
use super::{Job, Mode, Module, Reply, secure::Secure};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// How many connections there can be.
pub(super) const LINKS: usize = 5;
/// What is kept of a connection whose data is fetched.
const WINDOW: usize = 5760;
/// The largest piece that leaves at once in passthrough, and how long a smaller one waits.
const PIECE: usize = 2920;
const INTERVAL: Duration = Duration::from_millis(20);

/// All connections, and how they are made.
pub(super) struct Links {
    pub(super) all: [Option<Link>; LINKS],
    pub(super) secure: [Secure; LINKS],
    /// Data of this connection waits until it is fetched.
    pub(super) is_passive: [bool; LINKS],
    pub(super) is_multiple: bool,
    pub(super) has_passthrough: bool,
    pub(super) tells_peers: bool,
    pub(super) server: Option<Server>,
    pub(super) most_clients: usize,
    /// Seconds without a word after which a client of the server is dropped; 0: never.
    pub(super) patience: u16,
    /// Tenths of a second.
    pub(super) reconnect_interval: u32,
    /// What the host said in passthrough, since when.
    outgoing: Vec<u8>,
    since: Option<Instant>,
    redialing: Option<Redialing>,
}

/// One connection.
pub(super) struct Link {
    pub(super) kind: &'static str,
    /// Gone if the peer is: what it said can still be fetched.
    pub(super) connection: Option<Connection>,
    /// How to make it again; a client of our server cannot be.
    pub(super) target: Option<Target>,
    pub(super) inbox: VecDeque<Arrival>,
    /// The host knows that there is something to fetch.
    is_told: bool,
    heard: Instant,
}

/// A TCP server.
pub(super) struct Server {
    pub(super) listener: TcpListener,
    pub(super) port: u16,
}

/// A connection on its way.
pub(super) struct Dialing {
    pub(super) id: usize,
    pub(super) kind: &'static str,
    pub(super) target: Target,
    pub(super) answer: Receiver<Result<Connection, DialError>>,
}

enum Redialing {
    At(Instant),
    Now(Receiver<Result<Connection, DialError>>),
}

impl Links {
    pub(super) fn new(reconnect_interval: u32) -> Self {
        Self {
            all: Default::default(),
            secure: Default::default(),
            is_passive: [false; LINKS],
            is_multiple: false,
            has_passthrough: false,
            tells_peers: false,
            server: None,
            most_clients: LINKS,
            patience: 180,
            reconnect_interval,
            outgoing: Vec::new(),
            since: None,
            redialing: None,
        }
    }

    /// Something of the host's in passthrough.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) {
        self.outgoing.extend(bytes);
        self.since.get_or_insert(now);
    }

    pub(super) fn any(&self) -> bool {
        self.all.iter().any(Option::is_some)
    }

    pub(super) fn is_free(&self, id: usize) -> bool {
        self.all.get(id).is_some_and(Option::is_none)
    }
}

impl Link {
    fn new(kind: &'static str, connection: Connection, target: Option<Target>) -> Self {
        let (inbox, heard) = (VecDeque::new(), Instant::now());
        Self { kind, connection: Some(connection), target, inbox, is_told: false, heard }
    }

    pub(super) fn waiting(&self) -> usize {
        self.inbox.iter().map(|arrival| arrival.bytes.len()).sum()
    }

    /// Up to so many bytes of what waits; from one sender only where there are senders.
    pub(super) fn fetch(&mut self, most: usize) -> Option<Arrival> {
        let first = self.inbox.front()?.from;
        let mut fetched = Arrival { from: first, bytes: Vec::new() };
        while let Some(arrival) = self.inbox.front_mut().filter(|arrival| arrival.from == first) {
            let count = arrival.bytes.len().min(most - fetched.bytes.len());
            fetched.bytes.extend(arrival.bytes.drain(..count));
            if !arrival.bytes.is_empty() {
                break;
            }
            self.inbox.pop_front();
        }
        self.is_told = false;
        Some(fetched)
    }
}

impl Module {
    pub(super) fn go_on_dialing(&mut self, dialing: Dialing) {
        match dialing.answer.try_recv() {
            Err(TryRecvError::Empty) => self.job = Some(Job::Dial(dialing)),
            Err(TryRecvError::Disconnected) => self.answer(Err(Refusal::Failed)),
            Ok(Err(error)) => {
                self.note(format_args!("no connection to {}:{}: {error}", dialing.target.host, dialing.target.port));
                self.answer(Err(Refusal::Failed));
            }
            Ok(Ok(connection)) => {
                self.tell_link(dialing.id, &connection, true);
                let link = Link::new(dialing.kind, connection, Some(dialing.target));
                if let Some(place) = self.links.all.get_mut(dialing.id) {
                    *place = Some(link);
                }
                self.answer(Ok(Reply::Done));
            }
        }
    }

    /// The network moves.
    pub(super) fn tick_links(&mut self, now: Instant) {
        self.accept();
        for id in 0..LINKS {
            self.tick_link(id, now);
        }
        let is_due = self.links.since.is_some_and(|since| now.saturating_duration_since(since) >= INTERVAL);
        if is_due || self.links.outgoing.len() >= PIECE {
            self.flush_passthrough(now);
        }
        self.redial(now);
    }

    pub(super) fn flush_passthrough(&mut self, _: Instant) {
        self.links.since = None;
        let outgoing = std::mem::take(&mut self.links.outgoing);
        let Some(Some(connection)) =
            self.links.all.first_mut().map(|link| link.as_mut().map(|link| &mut link.connection))
        else {
            return;
        };
        for piece in outgoing.chunks(PIECE) {
            // What cannot be sent is lost, as on the module; that the connection is gone shows when it is read.
            let _sent = connection.as_mut().map(|connection| connection.send(piece, None));
        }
    }

    /// Closes a connection; was there one?
    pub(super) fn close(&mut self, id: usize) -> bool {
        let Some(link) = self.links.all.get_mut(id).and_then(Option::take) else { return false };
        self.links.redialing = None;
        if link.connection.is_some() {
            self.tell_closed(id);
        }
        true
    }

    pub(super) fn close_all(&mut self) {
        for id in 0..LINKS {
            self.close(id);
        }
    }

    fn tick_link(&mut self, id: usize, now: Instant) {
        let passes = matches!(self.mode, Mode::Passthrough);
        let passive = self.links.is_passive.get(id).copied().unwrap_or(false) && !passes;
        let Some(Some(link)) = self.links.all.get_mut(id) else { return };
        if passive && link.waiting() >= WINDOW {
            return;
        }
        let Some(connection) = &mut link.connection else { return };
        let silent = now.saturating_duration_since(link.heard);
        let patience = Duration::from_secs(self.links.patience.into());
        match connection.receive() {
            Ok(arrivals) if !arrivals.is_empty() => {
                link.heard = now;
                if passive {
                    link.inbox.extend(arrivals);
                    self.tell_waiting(id);
                } else {
                    arrivals.iter().for_each(|arrival| self.deliver(id, arrival));
                }
            }
            Ok(_) if link.target.is_none() && !patience.is_zero() && silent > patience => self.lost(id, now),
            Ok(_) => {}
            Err(_) => self.lost(id, now),
        }
    }

    /// The peer is gone.
    fn lost(&mut self, id: usize, now: Instant) {
        let passes = matches!(self.mode, Mode::Passthrough);
        let Some(Some(link)) = self.links.all.get_mut(id) else { return };
        link.connection = None;
        let is_empty = link.inbox.is_empty();
        if passes {
            let interval = Duration::from_millis(100) * self.links.reconnect_interval;
            self.links.redialing = now.checked_add(interval).map(Redialing::At);
            if self.messages & 4 != 0 {
                self.say("CLOSED");
            }
            return;
        }
        if is_empty && let Some(place) = self.links.all.get_mut(id) {
            *place = None;
        }
        self.tell_closed(id);
    }

    /// Makes a lost connection again, as long as passthrough lasts.
    fn redial(&mut self, now: Instant) {
        match self.links.redialing.take() {
            None => {}
            Some(_) if !matches!(self.mode, Mode::Passthrough) => {
                // The host has given up waiting for it.
                if let Some(place) = self.links.all.first_mut() {
                    *place = None;
                }
            }
            Some(Redialing::At(due)) if due > now => self.links.redialing = Some(Redialing::At(due)),
            Some(Redialing::At(_)) => {
                let target = self.links.all.first().and_then(Option::as_ref).and_then(|link| link.target.clone());
                self.links.redialing = target.map(|target| Redialing::Now(target.dial(&self.surroundings.network)));
            }
            Some(Redialing::Now(answer)) => match answer.try_recv() {
                Err(TryRecvError::Empty) => self.links.redialing = Some(Redialing::Now(answer)),
                Ok(Ok(connection)) => {
                    if self.messages & 4 != 0 {
                        self.say("CONNECT");
                    }
                    if let Some(Some(link)) = self.links.all.first_mut() {
                        link.connection = Some(connection);
                    }
                }
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => {
                    let interval = Duration::from_millis(100) * self.links.reconnect_interval;
                    self.links.redialing = now.checked_add(interval).map(Redialing::At);
                }
            },
        }
    }

    /// Takes in who wants to talk to our server.
    fn accept(&mut self) {
        let Some(server) = &self.links.server else { return };
        let Ok((stream, peer)) = server.listener.accept() else { return };
        let clients = self.links.all.iter().flatten().filter(|link| link.target.is_none()).count();
        let free = (0..LINKS).find(|id| self.links.is_free(*id));
        match (free, Connection::tcp(stream)) {
            (Some(id), Ok(connection)) if clients < self.links.most_clients => {
                self.tell_link(id, &connection, false);
                if let Some(place) = self.links.all.get_mut(id) {
                    *place = Some(Link::new("TCP", connection, None));
                }
            }
            _ => self.note(format_args!("{peer} was turned away: no connection is free")),
        }
    }

    fn deliver(&mut self, id: usize, arrival: &Arrival) {
        if !matches!(self.mode, Mode::Passthrough) {
            let (id, peer) = (self.id(id), self.peer(arrival.from));
            let head = format!("\r\n+IPD,{id}{}{peer}:", arrival.bytes.len());
            self.out.extend(head.as_bytes());
        }
        self.out.extend(&arrival.bytes);
    }

    fn tell_waiting(&mut self, id: usize) {
        let prefix = self.id(id);
        if let Some(Some(link)) = self.links.all.get_mut(id)
            && !link.is_told
        {
            link.is_told = true;
            let waiting = link.waiting();
            self.out.extend(format!("\r\n+IPD,{prefix}{waiting}\r\n").as_bytes());
        }
    }

    fn tell_link(&mut self, id: usize, connection: &Connection, is_client: bool) {
        if self.messages & 2 == 0 {
            let prefix = self.id(id);
            return self.say(format_args!("{prefix}CONNECT"));
        }
        let (remote, terminal, port) = (connection.remote(), u8::from(!is_client), connection.local_port());
        let (ip, remote_port) = (remote.ip(), remote.port());
        self.say(format_args!("+LINK_CONN:0,{id},\"TCP\",{terminal},\"{ip}\",{remote_port},{port}"));
    }

    fn tell_closed(&mut self, id: usize) {
        let prefix = self.id(id);
        self.say(format_args!("{prefix}CLOSED"));
    }

    /// `2,` where there can be more than one connection.
    pub(super) fn id(&self, id: usize) -> String {
        if self.links.is_multiple { format!("{id},") } else { String::new() }
    }

    /// `,"192.0.2.1",80` where peers are told.
    pub(super) fn peer(&self, peer: SocketAddr) -> String {
        if self.links.tells_peers { format!(",\"{}\",{}", peer.ip(), peer.port()) } else { String::new() }
    }
}
