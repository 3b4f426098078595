//! Sessions of devices: in memory, bounded in all and per device, each over after a quarter of an hour.
//!
//! A hello can be replayed by somebody who recorded it, and then yields a session that he cannot use. So a device's
//! new session pushes out an unproven one of its own before a proven one.

use crate::keyring::KnownDevice;
use cotter_wire::ids::{DeviceId, UnixTime};
use cotter_wire::session::{
    Credential, Hello, MAX_MESSAGE, Request, ServerSession, SessionError, SessionId, VerifiedHello,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All open sessions.
pub struct Sessions {
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<SessionId, (u64, ServerSession)>,
    of_device: HashMap<DeviceId, Vec<SessionId>>,
    // Numbered as they began, and so as they end.
    order: BTreeMap<u64, SessionId>,
    next: u64,
}

impl Sessions {
    /// At most `capacity` sessions; beyond that the oldest ends early, and its device greets again.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, table: Mutex::default() }
    }

    /// Begins a session for who sent this hello; returns the welcome.
    ///
    /// # Errors
    /// [`SessionRefusal`].
    pub fn open(&self, hello: Hello, device: &KnownDevice, now: UnixTime) -> Result<Vec<u8>, SessionRefusal> {
        if *hello.device() != device.id {
            return Err(SessionRefusal::OtherDevice);
        }
        if hello.epoch() != device.epoch {
            return Err(SessionRefusal::OtherEpoch);
        }
        let verified = hello.verify(&device.keys.request)?;
        let (welcome, session) = welcome(&verified, device, now)?;
        self.table().insert(session, now, self.capacity);
        Ok(welcome)
    }

    /// Accepts one request of `device`, once. `header` is the value of the session header.
    ///
    /// # Errors
    /// [`SessionRefusal`].
    pub fn check(
        &self,
        header: Option<&[u8]>,
        device: &DeviceId,
        request: &Request<'_>,
        now: UnixTime,
    ) -> Result<(), SessionRefusal> {
        let credential = Credential::parse(header.ok_or(SessionRefusal::NoHeader)?)?;
        let mut table = self.table();
        let (_, session) = table.sessions.get_mut(&credential.session()).ok_or(SessionRefusal::Unknown)?;
        // The MAC covers the path, so this can only be the device itself asking for another: refused all the same.
        if session.device() != device {
            return Err(SessionRefusal::OtherDevice);
        }
        Ok(session.check(&credential, request, now)?)
    }

    /// Ends all sessions of a device whose keys have changed.
    pub fn end_all_of(&self, device: &DeviceId) {
        let mut table = self.table();
        for id in table.of_device.get(device).cloned().unwrap_or_default() {
            table.remove(&id);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn welcome(
    verified: &VerifiedHello,
    device: &KnownDevice,
    now: UnixTime,
) -> Result<(Vec<u8>, ServerSession), SessionRefusal> {
    let (mut id, mut server_nonce) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut id).map_err(|_| SessionRefusal::NoRandomness)?;
    aws_lc_rs::rand::fill(&mut server_nonce).map_err(|_| SessionRefusal::NoRandomness)?;
    let mut out = [0; MAX_MESSAGE];
    let (welcome, session) = verified.welcome(&device.keys, SessionId(id), &server_nonce, now, &mut out)?;
    Ok((welcome.to_vec(), session))
}

impl Table {
    fn insert(&mut self, session: ServerSession, now: UnixTime, capacity: usize) {
        // 1. A device that has too many loses an unproven one, else its oldest.
        let own = self.of_device.get(session.device()).map_or(&[][..], Vec::as_slice);
        if own.len() >= MOST_PER_DEVICE {
            let unproven = own.iter().find(|id| self.sessions.get(id).is_some_and(|(_, old)| !old.is_proven()));
            if let Some(id) = unproven.or(own.first()).copied() {
                self.remove(&id);
            }
        }
        // 2. What is over goes, and the oldest of all if there is still no room.
        while let Some((_, id)) = self.order.first_key_value() {
            let over = self.sessions.get(id).is_none_or(|(_, oldest)| oldest.is_expired(now));
            if !over && self.sessions.len() < capacity {
                break;
            }
            let id = *id;
            self.remove(&id);
        }
        self.of_device.entry(*session.device()).or_default().push(session.id());
        self.order.insert(self.next, session.id());
        self.sessions.insert(session.id(), (self.next, session));
        self.next += 1;
    }

    fn remove(&mut self, id: &SessionId) {
        let Some((number, session)) = self.sessions.remove(id) else { return };
        self.order.remove(&number);
        if let Some(own) = self.of_device.get_mut(session.device()) {
            own.retain(|other| other != id);
            if own.is_empty() {
                self.of_device.remove(session.device());
            }
        }
    }
}

const MOST_PER_DEVICE: usize = 4;

/// Why a hello or a request is refused. For the audit log; the sender learns only "refused".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// No session header.
    #[error("session: no header")]
    NoHeader,
    /// Never opened, over, or pushed out.
    #[error("session: unknown")]
    Unknown,
    /// Path and session name different devices.
    #[error("session: belongs to another device")]
    OtherDevice,
    /// Keys of another generation.
    #[error("session: of another key epoch")]
    OtherEpoch,
    /// What the wire found wrong.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoRandomness,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::tests::known_device;
    use cotter_wire::session::{DeviceSession, Greeting, LIFETIME_S, MAX_HEADER};

    const NOW: UnixTime = UnixTime(1_000_000);
    const POLL: Request<'static> = Request { method: "GET", path: "/x", body: b"" };

    fn greet(device: &KnownDevice, nonce: u8) -> (Greeting, Hello) {
        let greeting = Greeting::new(device.id, device.epoch, [nonce; 16]);
        let hello = Hello::parse(greeting.write(&device.keys, &mut [0; MAX_MESSAGE]).unwrap()).unwrap();
        (greeting, hello)
    }

    fn begin(sessions: &Sessions, device: &KnownDevice, nonce: u8) -> DeviceSession {
        let (greeting, hello) = greet(device, nonce);
        greeting.accept(&device.keys, &sessions.open(hello, device, NOW).unwrap()).unwrap()
    }

    fn ask(sessions: &Sessions, device: &KnownDevice, session: &mut DeviceSession) -> Result<(), SessionRefusal> {
        let mut out = [0; MAX_HEADER];
        let header = session.sign(&POLL, &mut out).unwrap();
        sessions.check(Some(header.as_bytes()), &device.id, &POLL, NOW)
    }

    #[test]
    fn a_request_is_accepted_once() {
        let (sessions, device) = (Sessions::new(10), known_device("a"));
        let mut session = begin(&sessions, &device, 1);
        let mut out = [0; MAX_HEADER];
        let header = session.sign(&POLL, &mut out).unwrap().as_bytes();
        assert_eq!(sessions.check(Some(header), &device.id, &POLL, NOW), Ok(()));
        let replay = SessionRefusal::Session(SessionError::Replay { counter: 1, last: 1 });
        assert_eq!(sessions.check(Some(header), &device.id, &POLL, NOW), Err(replay));
        assert_eq!(sessions.check(None, &device.id, &POLL, NOW), Err(SessionRefusal::NoHeader));
        assert_eq!(ask(&sessions, &device, &mut session), Ok(()));
    }

    #[test]
    fn another_device_cannot_use_the_session_or_the_hello() {
        let (sessions, device, other) = (Sessions::new(10), known_device("a"), known_device("b"));
        let mut session = begin(&sessions, &device, 1);
        assert_eq!(ask(&sessions, &other, &mut session), Err(SessionRefusal::OtherDevice));
        let (_, hello) = greet(&device, 2);
        assert_eq!(sessions.open(hello, &other, NOW), Err(SessionRefusal::OtherDevice));
        let forged = Greeting::new(device.id, device.epoch, [3; 16]);
        let forged = Hello::parse(forged.write(&other.keys, &mut [0; MAX_MESSAGE]).unwrap()).unwrap();
        assert_eq!(sessions.open(forged, &device, NOW), Err(SessionError::Mac.into()));
    }

    #[test]
    fn a_session_is_over_in_time() {
        let (sessions, device) = (Sessions::new(10), known_device("a"));
        let mut session = begin(&sessions, &device, 1);
        let later = UnixTime(NOW.0 + LIFETIME_S);
        let mut out = [0; MAX_HEADER];
        let header = session.sign(&POLL, &mut out).unwrap().as_bytes();
        assert_eq!(sessions.check(Some(header), &device.id, &POLL, later), Err(SessionError::Expired.into()));
    }

    #[test]
    fn replayed_hellos_do_not_push_out_a_proven_session() {
        let (sessions, device) = (Sessions::new(10), known_device("a"));
        let mut session = begin(&sessions, &device, 1);
        ask(&sessions, &device, &mut session).unwrap();
        for _ in 0..100 {
            let (_, replayed) = greet(&device, 1);
            sessions.open(replayed, &device, NOW).unwrap();
        }
        assert_eq!(ask(&sessions, &device, &mut session), Ok(()));
        assert_eq!(sessions.table().sessions.len(), MOST_PER_DEVICE);
    }

    #[test]
    fn the_table_stays_within_its_capacity() {
        let sessions = Sessions::new(20);
        for round in 0..10 {
            for name in 0..30 {
                let device = known_device(&format!("device-{name}"));
                let (_, hello) = greet(&device, round);
                sessions.open(hello, &device, UnixTime(NOW.0 + u64::from(round))).unwrap();
            }
        }
        let table = sessions.table();
        assert_eq!((table.sessions.len(), table.of_device.values().map(Vec::len).sum::<usize>()), (20, 20));
        assert_eq!(table.order.len(), 20);
    }

    #[test]
    fn new_keys_end_the_old_sessions() {
        let (sessions, device) = (Sessions::new(10), known_device("a"));
        let mut session = begin(&sessions, &device, 1);
        sessions.end_all_of(&device.id);
        assert_eq!(ask(&sessions, &device, &mut session), Err(SessionRefusal::Unknown));
    }
}
