//! The commands that make connections and use them.

use super::super::arguments::Arguments;
use super::super::connection::UdpPeer;
use super::super::dial::{Carrier, Reach, Target};
use super::super::refusal::Refusal;
use super::entry::Entry;
use super::links::{Dialing, LINKS, Server};
use super::{Job, Module, Outcome, Prompt, Purpose, Reply};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

pub(super) const COMMANDS: &[Entry] = &[
    Entry::new("+CIPMUX").test("(0,1)").query(query_multiple).set(set_multiple),
    Entry::new("+CIPMODE").test("(0,1)").query(query_mode).set(set_mode),
    Entry::new("+CIPSTART").set(start),
    Entry::new("+CIPSTARTEX").set(start_anywhere),
    Entry::new("+CIPSTATE").query(query_state),
    Entry::new("+CIPSEND").set(send).execute(pass_through),
    Entry::new("+CIPCLOSE").set(close_one).execute(close),
    Entry::new("+CIPDINFO").query(query_peers).set(set_peers),
    Entry::new("+CIPRECVTYPE").query(query_type).set(set_type),
    Entry::new("+CIPRECVDATA").set(fetch),
    Entry::new("+CIPRECVLEN").query(query_waiting),
    Entry::new("+CIPSERVER").query(query_server).set(set_server),
    Entry::new("+CIPSERVERMAXCONN").query(query_most).set(set_most),
    Entry::new("+CIPSTO").query(query_patience).set(set_patience),
    Entry::new("+CIPRECONNINTV").query(query_interval).set(set_interval),
    Entry::new("+CIPDOMAIN").set(resolve),
];

/// How long a connection may take if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that one AT+CIPSEND takes.
const MOST: i64 = 8192;

/// Where data goes that a command asked for.
pub(super) struct Send {
    id: usize,
    to: Option<SocketAddr>,
}

fn query_multiple(module: &mut Module, _: Instant) -> Outcome {
    let state = u8::from(module.links.is_multiple);
    module.tell(&format!("+CIPMUX:{state}"))
}

fn set_multiple(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let is_multiple = arguments.count(1..=1)?.required::<u8>(0, 0..=1)? == 1;
    let links = &mut module.links;
    if links.any() || is_multiple && links.has_passthrough || !is_multiple && links.server.is_some() {
        return Err(Refusal::Failed);
    }
    links.is_multiple = is_multiple;
    Ok(Reply::Done)
}

fn query_mode(module: &mut Module, _: Instant) -> Outcome {
    let state = u8::from(module.links.has_passthrough);
    module.tell(&format!("+CIPMODE:{state}"))
}

fn set_mode(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let has_passthrough = arguments.count(1..=1)?.required::<u8>(0, 0..=1)? == 1;
    if has_passthrough && module.links.is_multiple {
        return Err(Refusal::Failed);
    }
    module.links.has_passthrough = has_passthrough;
    Ok(Reply::Done)
}

fn start(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (id, arguments) = module.link_argument(arguments)?;
    module.connect(id, arguments)
}

fn start_anywhere(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let free = (0..LINKS).find(|id| module.links.is_free(*id)).ok_or(Refusal::Failed)?;
    module.connect(if module.links.is_multiple { free } else { 0 }, arguments)
}

fn query_state(module: &mut Module, _: Instant) -> Outcome {
    let mut lines = Vec::new();
    for (id, link) in module.links.all.iter().enumerate() {
        let Some((link, connection)) = link.as_ref().and_then(|link| Some((link, link.connection.as_ref()?))) else {
            continue;
        };
        let (remote, local, is_server) = (connection.remote(), connection.local_port(), link.target.is_none());
        let (ip, port, kind) = (remote.ip(), remote.port(), link.kind);
        lines.push(format!("+CIPSTATE:{id},\"{kind}\",\"{ip}\",{port},{local},{}", u8::from(is_server)));
    }
    lines.iter().for_each(|line| module.say(line));
    Ok(Reply::Done)
}

fn send(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (id, arguments) = module.link_argument(arguments)?;
    let arguments = arguments.count(1..=3)?;
    let wanted: usize = arguments.required(0, 1..=MOST)?;
    let link = module.links.all.get(id).and_then(Option::as_ref).ok_or(Refusal::Failed)?;
    if link.connection.is_none() {
        return Err(Refusal::Failed);
    }
    let to = match arguments.text(1, 64)? {
        None => None,
        Some(_) if !link.kind.starts_with("UDP") => return Err(Refusal::Invalid(arguments.place(1))),
        Some(host) => {
            let port: u16 = arguments.required(2, 1..=65_535)?;
            let addresses = module.surroundings.network.resolve(host, port).map_err(|_| Refusal::Failed)?;
            addresses.first().copied()
        }
    };
    Ok(Reply::Prompt(Prompt { wanted, got: Vec::new(), purpose: Purpose::Send(Send { id, to }) }))
}

fn pass_through(module: &mut Module, _: Instant) -> Outcome {
    let link = module.links.all.first().and_then(Option::as_ref).ok_or(Refusal::Failed)?;
    let fixed = !matches!(
        link.target.as_ref().map(|target| &target.carrier),
        Some(Carrier::Udp(_, UdpPeer::Once | UdpPeer::Last))
    );
    if module.links.is_multiple || !module.links.has_passthrough || link.connection.is_none() || !fixed {
        return Err(Refusal::Failed);
    }
    Ok(Reply::Passthrough)
}

fn close_one(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let id: usize = arguments.count(1..=1)?.required(0, 0..=5)?;
    if !module.links.is_multiple {
        return Err(Refusal::Form);
    }
    if id == LINKS {
        module.close_all();
        return Ok(Reply::Done);
    }
    if module.close(id) { Ok(Reply::Done) } else { Err(Refusal::Failed) }
}

fn close(module: &mut Module, _: Instant) -> Outcome {
    if module.links.is_multiple || !module.close(0) { Err(Refusal::Failed) } else { Ok(Reply::Done) }
}

fn query_peers(module: &mut Module, _: Instant) -> Outcome {
    let state = module.links.tells_peers;
    module.tell(&format!("+CIPDINFO:{state}"))
}

fn set_peers(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.links.tells_peers = arguments.count(1..=1)?.required::<u8>(0, 0..=1)? == 1;
    Ok(Reply::Done)
}

fn query_type(module: &mut Module, _: Instant) -> Outcome {
    let passive = module.links.is_passive;
    let shown = if module.links.is_multiple { passive.as_slice() } else { passive.split_at(1).0 };
    for (id, is_passive) in shown.iter().enumerate() {
        module.say(format_args!("+CIPRECVTYPE:{id},{}", u8::from(*is_passive)));
    }
    Ok(Reply::Done)
}

fn set_type(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (ids, arguments) = module.links_argument(arguments)?;
    let is_passive = arguments.count(1..=1)?.required::<u8>(0, 0..=1)? == 1;
    for id in ids {
        if let Some(place) = module.links.is_passive.get_mut(id) {
            *place = is_passive;
        }
    }
    Ok(Reply::Done)
}

fn fetch(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (id, arguments) = module.link_argument(arguments)?;
    let most: usize = arguments.count(1..=1)?.required(0, 1..=0x7FFF_FFFF)?;
    if !module.links.is_passive.get(id).copied().unwrap_or(false) {
        return Err(Refusal::Failed);
    }
    let place = module.links.all.get_mut(id).ok_or(Refusal::Failed)?;
    let link = place.as_mut().ok_or(Refusal::Failed)?;
    let fetched = link.fetch(most).ok_or(Refusal::Failed)?;
    if link.connection.is_none() && link.inbox.is_empty() {
        *place = None;
    }
    let peer = module.peer(fetched.from);
    module.out.extend(format!("+CIPRECVDATA:{}{peer},", fetched.bytes.len()).as_bytes());
    module.out.extend(fetched.bytes);
    module.out.extend(b"\r\n");
    Ok(Reply::Done)
}

fn query_waiting(module: &mut Module, _: Instant) -> Outcome {
    let waiting = module.links.all.iter().map(|link| link.as_ref().map(|link| link.waiting().to_string()));
    let waiting: Vec<String> = waiting.map(Option::unwrap_or_default).collect();
    module.tell(&format!("+CIPRECVLEN:{}", waiting.join(",")))
}

fn query_server(module: &mut Module, _: Instant) -> Outcome {
    let line = match &module.links.server {
        Some(server) => format!("+CIPSERVER:1,{},\"TCP\",0,0", server.port),
        None => "+CIPSERVER:0".to_owned(),
    };
    module.tell(&line)
}

/// A TCP server. TLS servers are not simulated.
fn set_server(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let arguments = arguments.count(1..=5)?;
    if arguments.required::<u8>(0, 0..=1)? == 0 {
        let closes = arguments.count(1..=2)?.or::<u8>(1, 0..=1, 0)? == 1;
        module.links.server.take().ok_or(Refusal::Failed)?;
        if closes {
            for id in 0..LINKS {
                let is_client =
                    module.links.all.get(id).and_then(Option::as_ref).is_some_and(|link| link.target.is_none());
                if is_client {
                    module.close(id);
                }
            }
        }
        return Ok(Reply::Done);
    }
    let port: u16 = arguments.or(1, 1..=65_535, 333)?;
    if arguments.text(2, 5)?.is_some_and(|kind| kind != "TCP") {
        return Err(Refusal::Invalid(2));
    }
    if !module.links.is_multiple || module.links.server.is_some() || !module.wifi.has_address() {
        return Err(Refusal::Failed);
    }
    let near = module.surroundings.network.reach == Reach::Loopback;
    let address = if near { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let listener = TcpListener::bind((address, port)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match listener {
        Ok(listener) => {
            module.links.server = Some(Server { listener, port });
            Ok(Reply::Done)
        }
        Err(error) => {
            module.note(format_args!("port {port}: {error}"));
            Err(Refusal::Failed)
        }
    }
}

fn query_most(module: &mut Module, _: Instant) -> Outcome {
    let most = module.links.most_clients;
    module.tell(&format!("+CIPSERVERMAXCONN:{most}"))
}

fn set_most(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let most = arguments.count(1..=1)?.required(0, 1..=5)?;
    if module.links.server.is_some() {
        return Err(Refusal::Failed);
    }
    module.links.most_clients = most;
    Ok(Reply::Done)
}

fn query_patience(module: &mut Module, _: Instant) -> Outcome {
    let patience = module.links.patience;
    module.tell(&format!("+CIPSTO:{patience}"))
}

fn set_patience(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.links.patience = arguments.count(1..=1)?.required(0, 0..=7200)?;
    Ok(Reply::Done)
}

fn query_interval(module: &mut Module, _: Instant) -> Outcome {
    let interval = module.links.reconnect_interval;
    module.tell(&format!("+CIPRECONNINTV:{interval}"))
}

fn set_interval(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let interval = arguments.count(1..=1)?.required(0, 1..=36_000)?;
    module.links.reconnect_interval = interval;
    if module.stores {
        module.flash.settings.reconnect_interval = interval;
    }
    Ok(Reply::Done)
}

fn resolve(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let arguments = arguments.count(1..=4)?;
    let host = arguments.required_text(0, 128)?;
    let wanted: u8 = arguments.or(1, 1..=3, 1)?;
    let addresses = match module.surroundings.network.resolve(host, 0) {
        Ok(addresses) => addresses,
        Err(error) => {
            module.note(error);
            return Err(Refusal::Failed);
        }
    };
    let fits = |address: &&SocketAddr| wanted == 1 || address.is_ipv6() == (wanted == 3);
    let address = addresses.iter().find(fits).ok_or(Refusal::Failed)?.ip();
    module.tell(&format!("+CIPDOMAIN:\"{address}\""))
}

impl Module {
    /// The connection that is meant: the first argument where there can be more than one, else the only one.
    pub(super) fn link_argument<'a>(&self, arguments: Arguments<'a>) -> Result<(usize, Arguments<'a>), Refusal> {
        if !self.links.is_multiple {
            return Ok((0, arguments));
        }
        Ok((arguments.required(0, 0..=4)?, arguments.rest()))
    }

    /// As [`Self::link_argument`], where 5 means all of them.
    pub(super) fn links_argument<'a>(
        &self,
        arguments: Arguments<'a>,
    ) -> Result<(std::ops::Range<usize>, Arguments<'a>), Refusal> {
        if !self.links.is_multiple {
            return Ok((0..1, arguments));
        }
        let id: usize = arguments.required(0, 0..=5)?;
        Ok((if id == LINKS { 0..LINKS } else { id..id + 1 }, arguments.rest()))
    }

    fn connect(&mut self, id: usize, arguments: Arguments<'_>) -> Outcome {
        let arguments = arguments.count(3..=7)?;
        let kind = match arguments.required_text(0, 5)? {
            "TCP" => "TCP",
            "TCPv6" => "TCPv6",
            "UDP" => "UDP",
            "UDPv6" => "UDPv6",
            "SSL" => "SSL",
            "SSLv6" => "SSLv6",
            _ => return Err(Refusal::Invalid(arguments.place(0))),
        };
        let host = arguments.required_text(1, 64)?.to_owned();
        let port: u16 = arguments.required(2, 1..=65_535)?;
        let last = if kind.starts_with("UDP") { 6 } else { 5 };
        let _only_one_interface = arguments.text(last - 1, 45)?;
        let timeout = match arguments.number(last, 0..=60_000)?.map(u64::try_from) {
            Some(Ok(milliseconds)) if milliseconds > 0 => Duration::from_millis(milliseconds),
            _ => PATIENCE,
        };
        if !self.wifi.has_address() {
            return Err(Refusal::Failed);
        }
        if !self.links.is_free(id) {
            self.say("ALREADY CONNECTED");
            return Err(Refusal::Failed);
        }
        let carrier = if kind.starts_with("UDP") {
            let peer = match arguments.or::<u8>(4, 0..=2, 0)? {
                0 => UdpPeer::Fixed,
                1 => UdpPeer::Once,
                _ => UdpPeer::Last,
            };
            Carrier::Udp(arguments.or(3, 0..=65_535, 0)?, peer)
        } else {
            let _seconds = arguments.number(3, 0..=7200)?;
            if kind.starts_with("SSL") { self.secure_carrier(id)? } else { Carrier::Tcp }
        };
        let target = Target { host, port, carrier, web_socket: None, timeout };
        let answer = target.clone().dial(&self.surroundings.network);
        self.job = Some(Job::Dial(Dialing { id, kind, target, answer }));
        Ok(Reply::Later)
    }

    /// The data of AT+CIPSEND is there.
    pub(super) fn send(&mut self, send: &Send, data: &[u8]) -> Outcome {
        self.out.extend(format!("\r\nRecv {} bytes\r\n", data.len()).as_bytes());
        let link = self.links.all.get_mut(send.id).and_then(Option::as_mut);
        let connection = link.and_then(|link| link.connection.as_mut());
        let sent = connection.is_some_and(|connection| connection.send(data, send.to).is_ok());
        self.out.extend(if sent { &b"\r\nSEND OK\r\n"[..] } else { b"\r\nSEND FAIL\r\n" });
        Ok(Reply::Said)
    }
}
