//! The device's side of a session with its server: signed requests, and a time that can be believed.
//!
//! The server's answer to a hello is under the device's own downlink key and over a nonce that the device has just drawn,
//! so the time in it is the server's and not old. It is never taken to be earlier than any time believed before: the
//! floor is in NVS and survives resets, so that an expired manifest cannot be made fresh by setting a clock back.
//!
//! What it does not defend against: a server that lies about the future. Its time becomes the floor, and manifests then
//! expire too early; the factory can lower the floor again. (Manifests are signed elsewhere; such a server could as well
//! withhold them.)

use crate::identity::{self, Identity};
use crate::nvs::{Nvs, NvsError};
use crate::platform::Random;
use cotter_formats::nvs::entry::Key;
use cotter_wire::ids::UnixTime;
use cotter_wire::session::{DeviceSession, Greeting, LIFETIME_S, MAX_HEADER, MAX_MESSAGE, Request, SessionError};
use embedded_storage::nor_flash::NorFlash;

/// A time that the server vouches for and that is not before any earlier one. Only a session can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuthenticatedTime(UnixTime);

impl AuthenticatedTime {
    /// The time.
    #[must_use]
    pub const fn unix(self) -> UnixTime {
        self.0
    }

    #[cfg(test)]
    pub(crate) const fn of(seconds: u64) -> Self {
        Self(UnixTime(seconds))
    }
}

/// A hello that waits for its welcome.
#[derive(Debug)]
pub struct Opening<'a> {
    identity: &'a Identity,
    greeting: Greeting,
}

impl<'a> Opening<'a> {
    /// Draws the nonce of a new hello.
    pub fn new(identity: &'a Identity, random: &mut impl Random) -> Self {
        let mut nonce = [0; 16];
        random.fill(&mut nonce);
        Self { identity, greeting: Greeting::new(identity.device, identity.epoch, nonce) }
    }

    /// Writes the body of the hello request.
    #[must_use]
    pub fn hello<'o>(&self, out: &'o mut [u8; MAX_MESSAGE]) -> &'o [u8] {
        self.greeting.write(&self.identity.keys(), out).expect("MAX_MESSAGE bytes are always enough")
    }

    /// Takes the body of the answer. `uptime_s` is when it came, by a clock that runs from the reset.
    ///
    /// # Errors
    /// [`OpenError`]: it is not the server's answer to this hello, or the floor could not be kept.
    pub fn accept<F: NorFlash>(
        self,
        welcome: &[u8],
        uptime_s: u32,
        store: &mut Nvs<F>,
    ) -> Result<Session, OpenError<F::Error>> {
        let session = self.greeting.accept(&self.identity.keys(), welcome)?;
        let floor = UnixTime(store.u64(&identity::NAMESPACE, &TIME_FLOOR)?.unwrap_or(0));
        let opened = session.time().max(floor);
        if opened > floor {
            store.set_u64(&identity::NAMESPACE, &TIME_FLOOR, opened.0)?;
        }
        Ok(Session { session, opened, opened_uptime_s: uptime_s })
    }
}

/// An open session, about 100 bytes. Lost at a reset; then the device greets again.
#[derive(Debug)]
pub struct Session {
    session: DeviceSession,
    opened: UnixTime,
    opened_uptime_s: u32,
}

impl Session {
    /// The time now.
    #[must_use]
    pub fn now(&self, uptime_s: u32) -> AuthenticatedTime {
        AuthenticatedTime(UnixTime(self.opened.0.saturating_add(self.age(uptime_s))))
    }

    /// True if it is time to greet again: the server forgets a session after 15 minutes, and a request takes a while.
    #[must_use]
    pub fn is_stale(&self, uptime_s: u32) -> bool {
        self.age(uptime_s) >= LIFETIME_S - MARGIN_S
    }

    /// The value of the `Cotter-Session` header for one request. A request that is sent again is signed again.
    ///
    /// # Errors
    /// [`SessionError::Exhausted`], [`SessionError::RequestLine`].
    pub fn sign<'o>(&mut self, request: &Request<'_>, out: &'o mut [u8; MAX_HEADER]) -> Result<&'o str, SessionError> {
        self.session.sign(request, out)
    }

    fn age(&self, uptime_s: u32) -> u64 {
        u64::from(uptime_s.saturating_sub(self.opened_uptime_s))
    }
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError<E> {
    /// The answer is not the server's.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The floor.
    #[error("session: {0}")]
    Store(#[from] NvsError<E>),
}

const TIME_FLOOR: Key = Key::literal("time_floor");
const MARGIN_S: u64 = 60;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::test_store::{Counting, TestStore, mount, root_key};
    use cotter_chip::fault::{CutPoint, Fault, Phase};
    use cotter_chip::flash::Flash;
    use cotter_formats::addr::FlashAddr;
    use cotter_wire::keys::DeviceKeys;
    use cotter_wire::session::{Credential, Hello, ServerSession, SessionId};
    use std::println;
    use std::vec::Vec;

    /// The server's answer to a hello.
    fn welcome(hello: &[u8], identity: &Identity, time: u64) -> (Vec<u8>, ServerSession) {
        let keys = DeviceKeys::derive(&root_key(), &identity.device, identity.epoch);
        let hello = Hello::parse(hello).unwrap().verify(&keys.request).unwrap();
        let mut out = [0; MAX_MESSAGE];
        let (body, session) = hello.welcome(&keys, SessionId([1; 16]), &[2; 16], UnixTime(time), &mut out).unwrap();
        (body.to_vec(), session)
    }

    fn open(
        identity: &Identity,
        store: &mut Nvs<Flash>,
        time: u64,
    ) -> Result<(Session, ServerSession), OpenError<cotter_chip::flash::FlashError>> {
        let opening = Opening::new(identity, &mut Counting(time));
        let (body, server) = welcome(opening.hello(&mut [0; MAX_MESSAGE]), identity, time);
        Ok((opening.accept(&body, 100, store)?, server))
    }

    #[test]
    fn the_server_accepts_a_signed_request_once() {
        let mut store = TestStore::factory().mount();
        let identity = Identity::load(&mut store).unwrap();
        let (mut session, mut server) = open(&identity, &mut store, 1_700_000_000).unwrap();
        let request = Request { method: "GET", path: "/v1/devices/esp32-001/update", body: b"" };
        let mut out = [0; MAX_HEADER];
        let credential = Credential::parse(session.sign(&request, &mut out).unwrap().as_bytes()).unwrap();
        let now = UnixTime(1_700_000_001);
        assert_eq!(server.check(&credential, &request, now), Ok(()));
        let replayed = server.check(&credential, &request, now);
        assert_eq!(replayed, Err(SessionError::Replay { counter: 1, last: 1 }));
    }

    #[test]
    fn refuses_a_welcome_to_another_hello_and_a_changed_time() {
        let mut store = TestStore::factory().mount();
        let identity = Identity::load(&mut store).unwrap();
        let earlier = Opening::new(&identity, &mut Counting(1));
        let (old, _) = welcome(earlier.hello(&mut [0; MAX_MESSAGE]), &identity, 1_700_000_000);
        let replayed = Opening::new(&identity, &mut Counting(2)).accept(&old, 0, &mut store).err();
        assert_eq!(replayed, Some(OpenError::Session(SessionError::Mac)));

        let text = std::string::String::from_utf8(old).unwrap().replace("1700000000", "1600000000");
        let edited = earlier.accept(text.as_bytes(), 0, &mut store).err();
        assert_eq!(edited, Some(OpenError::Session(SessionError::Mac)));
        assert_eq!(store.u64(&identity::NAMESPACE, &TIME_FLOOR), Ok(None), "nothing was believed");
    }

    #[test]
    fn time_never_goes_back_not_even_over_a_reset() {
        let content = TestStore::factory().build();
        let flash = Flash::with_content(content, Fault::default()).unwrap();
        let mut latest = 0;
        for time in [1_700_000_000, 1_700_000_500, 1_600_000_000, 0, 1_700_000_400, 1_800_000_000] {
            let mut store = mount(flash.clone(), FlashAddr(0));
            let identity = Identity::load(&mut store).unwrap();
            let (session, _) = open(&identity, &mut store, time).unwrap();
            latest = latest.max(time);
            assert_eq!(session.now(100), AuthenticatedTime::of(latest));
            assert_eq!(session.now(160), AuthenticatedTime::of(latest + 60));
        }
    }

    #[test]
    fn a_cut_leaves_the_old_floor_or_the_new_one() {
        let content = TestStore::factory().build();
        let run = |fault: Fault| {
            let flash = Flash::with_content(content.clone(), fault).unwrap();
            let mut store = mount(flash.clone(), FlashAddr(0));
            let identity = Identity::load(&mut store).unwrap();
            let done = open(&identity, &mut store, 1_000)
                .and_then(|_| open(&identity, &mut store, 2_000))
                .map(|(session, _)| session);
            (flash, done.is_ok())
        };
        let (whole, _) = run(Fault::default());
        let mut cuts = 0;
        for op in 0..whole.fault().operations() {
            for phase in Phase::ALL {
                let fault = Fault::new(op);
                fault.cut_at(CutPoint { op, phase });
                let (flash, done) = run(fault);
                assert!(!done);
                flash.fault().restore_power();
                let floor = mount(flash, FlashAddr(0)).u64(&identity::NAMESPACE, &TIME_FLOOR).unwrap();
                assert!([None, Some(1_000), Some(2_000)].contains(&floor), "{floor:?}");
                cuts += 1;
            }
        }
        println!("time floor: {cuts} power cuts");
    }

    #[test]
    fn is_stale_before_the_server_forgets_it() {
        let mut store = TestStore::factory().mount();
        let identity = Identity::load(&mut store).unwrap();
        let (session, _) = open(&identity, &mut store, 1_000).unwrap();
        assert!(!session.is_stale(100 + 839));
        assert!(session.is_stale(100 + 840));
    }
}
