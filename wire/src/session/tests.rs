extern crate std;
use super::*;
use crate::keys::{DeviceKeys, RootKey};
use cotter_formats::secret::Secret;
use proptest::prelude::*;
use std::string::String;

/// By Python, see /vectors/wire/README.md.
const HELLO: &str = include_str!("../../../vectors/wire/session-hello.json");
const WELCOME: &str = include_str!("../../../vectors/wire/session-welcome.json");
/// `GET`, `/v1/devices/esp32-001/update?version=1.0.0&secure_version=0`, no body, counter 1.
const GET: &str = include_str!("../../../vectors/wire/session-get.txt");
/// `POST`, `/v1/devices/esp32-001/status`, body `{}`, counter 2.
const POST: &str = include_str!("../../../vectors/wire/session-post.txt");

const GET_REQUEST: Request<'_> =
    Request { method: "GET", path: "/v1/devices/esp32-001/update?version=1.0.0&secure_version=0", body: b"" };
const POST_REQUEST: Request<'_> = Request { method: "POST", path: "/v1/devices/esp32-001/status", body: b"{}" };
const NOW: UnixTime = UnixTime(1_800_000_000);

fn device() -> DeviceId {
    "esp32-001".parse().expect("legal")
}

fn keys_of(device: &DeviceId, epoch: KeyEpoch) -> DeviceKeys {
    let root = RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)));
    DeviceKeys::derive(&root, device, epoch)
}

fn keys() -> DeviceKeys {
    keys_of(&device(), KeyEpoch(1))
}

fn greeting() -> Greeting {
    Greeting::new(device(), KeyEpoch(1), [0xd0; 16])
}

fn server_session() -> ServerSession {
    let verified = Hello::parse(HELLO.as_bytes()).expect("canonical").verify(&keys().request).expect("ours");
    verified.welcome(&keys(), SessionId([0x51; 16]), &[0x5e; 16], NOW, &mut [0; MAX_MESSAGE]).expect("fits").1
}

fn device_session() -> DeviceSession {
    greeting().accept(&keys(), WELCOME.as_bytes()).expect("authentic")
}

fn check(session: &mut ServerSession, header: &str, request: &Request<'_>) -> Result<(), SessionError> {
    session.check(&Credential::parse(header.as_bytes())?, request, NOW)
}

#[test]
fn says_what_python_says() {
    let mut out = [0; MAX_MESSAGE];
    assert_eq!(greeting().write(&keys(), &mut out), Ok(HELLO.as_bytes()));
    let verified = Hello::parse(HELLO.as_bytes()).expect("canonical").verify(&keys().request).expect("ours");
    let (welcome, session) =
        verified.welcome(&keys(), SessionId([0x51; 16]), &[0x5e; 16], NOW, &mut out).expect("fits");
    assert_eq!(core::str::from_utf8(welcome), Ok(WELCOME));
    assert_eq!((session.device(), session.epoch()), (&device(), KeyEpoch(1)));
    let mut ours = device_session();
    assert_eq!(ours.time(), NOW);
    assert_eq!(ours.id(), session.id());
    assert_eq!(ours.sign(&GET_REQUEST, &mut out), Ok(GET));
    assert_eq!(ours.sign(&POST_REQUEST, &mut out), Ok(POST));
}

#[test]
fn accepts_what_python_signed_once() {
    let mut session = server_session();
    assert!(!session.is_proven());
    assert_eq!(check(&mut session, GET, &GET_REQUEST), Ok(()));
    assert!(session.is_proven());
    assert_eq!(check(&mut session, GET, &GET_REQUEST), Err(SessionError::Replay { counter: 1, last: 1 }));
    assert_eq!(check(&mut session, POST, &POST_REQUEST), Ok(()));
    assert_eq!(check(&mut session, GET, &GET_REQUEST), Err(SessionError::Replay { counter: 1, last: 2 }));
}

#[test]
fn a_signature_is_for_one_request_only() {
    let mut session = server_session();
    let others = [
        Request { method: "POST", ..GET_REQUEST },
        Request { path: "/v1/devices/esp32-002/update?version=1.0.0&secure_version=0", ..GET_REQUEST },
        Request { path: "/v1/devices/esp32-001/update?version=0.9.0&secure_version=0", ..GET_REQUEST },
        Request { body: b"{}", ..GET_REQUEST },
        // The same bytes in a row, divided elsewhere.
        Request { method: "GET/", path: &GET_REQUEST.path[1..], body: b"" },
    ];
    for request in others {
        assert_eq!(check(&mut session, GET, &request), Err(SessionError::Mac), "{request:?}");
    }
    assert_eq!(check(&mut session, GET, &GET_REQUEST), Ok(()), "refusals change nothing");
}

#[test]
fn a_session_ends_after_fifteen_minutes_or_when_the_clock_goes_back() {
    let mut session = server_session();
    let credential = Credential::parse(GET.as_bytes()).expect("canonical");
    for (now, expected) in [
        (NOW.0 - 1, Err(SessionError::Expired)),
        (NOW.0 + 900, Err(SessionError::Expired)),
        (u64::MAX, Err(SessionError::Expired)),
        (NOW.0 + 899, Ok(())),
    ] {
        assert_eq!(session.check(&credential, &GET_REQUEST, UnixTime(now)), expected, "{now}");
    }
}

#[test]
fn another_session_has_another_key() {
    let hello = Hello::parse(HELLO.as_bytes()).expect("canonical").verify(&keys().request).expect("ours");
    let open = |id: u8, nonce: u8| {
        let mut out = [0; MAX_MESSAGE];
        hello.welcome(&keys(), SessionId([id; 16]), &[nonce; 16], NOW, &mut out).expect("fits").1
    };
    assert_eq!(check(&mut open(0x52, 0x5e), GET, &GET_REQUEST), Err(SessionError::OtherSession));
    assert_eq!(check(&mut open(0x51, 0x5f), GET, &GET_REQUEST), Err(SessionError::Mac));
    assert_eq!(check(&mut open(0x51, 0x5e), GET, &GET_REQUEST), Ok(()));
}

#[test]
fn a_welcome_answers_one_hello_of_one_device() {
    let accept = |device: &str, epoch, nonce: u8| {
        let device = device.parse().expect("legal");
        Greeting::new(device, KeyEpoch(epoch), [nonce; 16])
            .accept(&keys_of(&device, KeyEpoch(epoch)), WELCOME.as_bytes())
            .err()
    };
    assert_eq!(accept("esp32-001", 1, 0xd0), None);
    assert_eq!(accept("esp32-001", 1, 0xd1), Some(SessionError::Mac), "replayed to a later hello");
    assert_eq!(accept("esp32-002", 1, 0xd0), Some(SessionError::Mac));
    assert_eq!(accept("esp32-001", 2, 0xd0), Some(SessionError::Mac));
}

#[test]
fn a_hello_cannot_be_reflected_or_made_with_another_key() {
    let hello = || Hello::parse(HELLO.as_bytes()).expect("canonical");
    let downlink = RequestKey::new(Secret::filled_by(|key| *key = *keys().downlink.expose()));
    assert_eq!(hello().verify(&downlink).err(), Some(SessionError::Mac));
    assert_eq!(hello().verify(&keys_of(&device(), KeyEpoch(2)).request).err(), Some(SessionError::Mac));
}

#[test]
fn refuses_every_flipped_bit() {
    let flips = |text: &'static str| {
        (0..8 * text.len()).map(move |bit| {
            let mut flipped = text.as_bytes().to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        })
    };
    for hello in flips(HELLO) {
        let refusal = Hello::parse(&hello).and_then(|hello| hello.verify(&keys().request)).expect_err("noticed");
        assert!(matches!(refusal, SessionError::Canonical(_) | SessionError::Mac), "{refusal}");
    }
    for welcome in flips(WELCOME) {
        let refusal = greeting().accept(&keys(), &welcome).expect_err("noticed");
        assert!(matches!(refusal, SessionError::Canonical(_) | SessionError::Mac), "{refusal}");
    }
    for header in flips(POST) {
        let refusal = Credential::parse(&header)
            .and_then(|credential| server_session().check(&credential, &POST_REQUEST, NOW))
            .expect_err("noticed");
        assert!(
            matches!(refusal, SessionError::Canonical(_) | SessionError::Mac | SessionError::OtherSession),
            "{refusal}"
        );
    }
}

#[test]
fn refuses_truncation_at_every_length() {
    let truncated = |error| matches!(error, SessionError::Canonical(CanonicalError::Truncated { .. }));
    for len in 0..HELLO.len() {
        assert!(truncated(Hello::parse(&HELLO.as_bytes()[..len]).expect_err("too short")), "{len}");
    }
    for len in 0..WELCOME.len() {
        assert!(truncated(greeting().accept(&keys(), &WELCOME.as_bytes()[..len]).expect_err("too short")), "{len}");
    }
    for len in 0..GET.len() {
        assert!(truncated(Credential::parse(&GET.as_bytes()[..len]).expect_err("too short")), "{len}");
    }
}

#[test]
fn a_header_has_one_spelling() {
    let with = |old: &str, new: &str| -> String { GET.replacen(old, new, 1) };
    let cases = [
        (with(":1:", ":01:"), CanonicalError::LeadingZero { at: 33 }),
        (with(":1:", ":4294967296:"), CanonicalError::Overflow { at: 33 }),
        (with(":1:", ":99999999999:"), CanonicalError::TooLong { at: 0, max: 108 }),
        (with(":1:", ": 1:"), CanonicalError::Whitespace { at: 33 }),
        (with(":1:", ":1.0:"), CanonicalError::Fraction { at: 34 }),
        (with("5151", "515A"), CanonicalError::UpperCaseHex { at: 3 }),
        ([GET, "\n"].concat(), CanonicalError::Trailing { at: GET.len() }),
    ];
    for (header, refusal) in cases {
        assert_eq!(Credential::parse(header.as_bytes()).err(), Some(SessionError::Canonical(refusal)), "{header}");
    }
}

#[test]
fn counters_do_not_wrap_and_buffers_are_bounded() {
    let mut out = [0; MAX_HEADER];
    let mut last = device_session().with_counter(u32::MAX - 1);
    let header = last.sign(&GET_REQUEST, &mut out).expect("the last counter").len();
    assert_eq!(header, MAX_HEADER);
    assert_eq!(last.sign(&GET_REQUEST, &mut out), Err(SessionError::Exhausted));
    assert_eq!(device_session().sign(&GET_REQUEST, &mut [0; 98]), Err(SessionError::OutputFull));
    let path = "/".repeat(65536);
    let long = Request { path: &path, ..GET_REQUEST };
    assert_eq!(device_session().sign(&long, &mut out), Err(SessionError::RequestLine));
    assert_eq!(greeting().write(&keys(), &mut [0; 10]), Err(SessionError::OutputFull));
}

proptest! {
    #[test]
    fn both_ends_agree(
        id in "[a-z0-9-]{1,32}",
        epoch: u32,
        nonces: ([u8; 16], [u8; 16], [u8; 16]),
        time: u64,
        path in "/[a-z0-9/?=&]{0,100}",
        body in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let device: DeviceId = id.parse().expect("legal");
        let keys = keys_of(&device, KeyEpoch(epoch));
        let greeting = Greeting::new(device, KeyEpoch(epoch), nonces.0);
        let (mut hello, mut welcome, mut header) = ([0; MAX_MESSAGE], [0; MAX_MESSAGE], [0; MAX_HEADER]);
        let hello = Hello::parse(greeting.write(&keys, &mut hello).expect("fits")).expect("canonical");
        let (welcome, mut server) = hello
            .verify(&keys.request)
            .expect("ours")
            .welcome(&keys, SessionId(nonces.1), &nonces.2, UnixTime(time), &mut welcome)
            .expect("fits");
        let mut session = greeting.accept(&keys, welcome).expect("authentic");
        let request = Request { method: "POST", path: &path, body: &body };
        for _ in 0..3 {
            let header = session.sign(&request, &mut header).expect("fits");
            let credential = Credential::parse(header.as_bytes()).expect("canonical");
            prop_assert_eq!(server.check(&credential, &request, UnixTime(time)), Ok(()));
        }
    }

    #[test]
    fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Hello::parse(&bytes).is_err());
        prop_assert!(greeting().accept(&keys(), &bytes).is_err());
        prop_assert!(Credential::parse(&bytes).is_err());
    }
}
