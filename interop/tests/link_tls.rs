//! The AT link in mode tls against stock OpenSSL: `s_server` and `s_client` on the other end of a pseudo-terminal, with an
//! external key and with certificates, TLS 1.2 and 1.3, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use cotter_interop::{Generator, temp_dir, tools};
use cotter_twin::at::host::Host;
use cotter_twin::at::line::Line;
use cotter_twin::at::line::tls::{Role, Tls, TlsSettings, Trust, Versions};
use cotter_twin::at::port::{FlowControl, Port, Speed};
use cotter_twin::at::script::{Script, Verdict, run};
use cotter_twin::serial_port::{LineEvent, SerialPort};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const SCRIPT: &str = "ready within 10s\nsend \"AT\"\nexpect \"OK\\r\\n\" within 5s\n";
const IDENTITY: &str = "cotter";

/// A pseudo-terminal whose other end is a TCP connection to OpenSSL.
struct Bridge {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bridge {
    fn new(link: &Path, connect: impl FnOnce() -> TcpStream + Send + 'static) -> Self {
        let mut port = SerialPort::terminal(link).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut connect = Some(connect);
            let mut stream: Option<TcpStream> = None;
            while !told.load(Ordering::Relaxed) {
                match port.wait(&mut buffer, Duration::from_millis(5)).unwrap() {
                    LineEvent::Opened => {
                        if let Some(connect) = connect.take() {
                            let connected = connect();
                            connected.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                            stream = Some(connected);
                        }
                    }
                    LineEvent::Bytes(count) => {
                        // OpenSSL may have hung up after an alert.
                        let _written = stream.as_mut().map(|stream| stream.write_all(&buffer[..count]));
                    }
                    _ => {}
                }
                match stream.as_mut().map(|stream| stream.read(&mut buffer)) {
                    Some(Ok(count)) => port.write(&buffer[..count]).unwrap(),
                    Some(Err(error)) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        stream = None;
                    }
                    Some(Err(_)) | None => {}
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// `openssl s_server` or `s_client`, behind which a module sits: it is ready, and answers `AT`.
struct Peer(Child);

impl Peer {
    fn start(arguments: &[String]) -> Self {
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let (mut input, mut output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        std::thread::spawn(move || {
            input.write_all(b"\r\nready\r\n").unwrap();
            let (mut heard, mut buffer) = (Vec::new(), [0; 1024]);
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                heard.extend_from_slice(&buffer[..count]);
                if heard.ends_with(b"AT\r\n") {
                    input.write_all(b"AT\r\n\r\nOK\r\n").unwrap();
                }
            }
        });
        Self(process)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Our end in `role` against OpenSSL in the other.
fn talk(role: Role, versions: Versions, trust: Trust, peer: &[&str]) -> Verdict {
    let folder = temp_dir();
    let link = folder.path().join("tty");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let version = if versions == Versions::Tls12 { "-tls1_2" } else { "-tls1_3" };
    let mut arguments: Vec<String> = match role {
        Role::Client => vec!["s_server".into(), "-accept".into(), address.to_string()],
        Role::Server => vec!["s_client".into(), "-connect".into(), address.to_string()],
    };
    arguments.extend(["-quiet", version].iter().chain(peer).map(|argument| (*argument).to_owned()));
    let (_peer, _bridge) = match role {
        Role::Client => {
            // The port is OpenSSL's from here on.
            drop(listener);
            let peer = Peer::start(&arguments);
            (peer, Bridge::new(&link, move || connect(&address.to_string())))
        }
        Role::Server => (Peer::start(&arguments), Bridge::new(&link, move || listener.accept().unwrap().0)),
    };
    let settings = Arc::new(TlsSettings::new(role, versions, trust).unwrap());
    let port = Port::open(&link, Speed { baud: 115_200, flow: FlowControl::None }).unwrap();
    let mut host = Host::new(port, None, Box::new(Tls::new(settings)), |_| {}).unwrap();
    run(&Script::parse(SCRIPT).unwrap(), Path::new(""), &mut host, |_, _| {})
}

fn connect(address: &str) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(address) {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("s_server does not listen on {address}");
}

fn psk(key: &[u8]) -> Trust {
    Trust::Psk { identity: IDENTITY.to_owned(), key: Zeroizing::new(key.to_vec()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An authority and two certificates of it, `module` and `host`; and a stranger's.
fn certificates(folder: &Path) {
    for authority in ["ca", "stranger"] {
        let subject = format!("/CN={authority}");
        let (key, certificate) = (format!("{authority}.key"), format!("{authority}.pem"));
        let at = |name: &str| folder.join(name).display().to_string();
        tools()
            .openssl([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "30",
                "-subj",
                &subject,
                "-keyout",
                &at(&key),
                "-out",
                &at(&certificate),
            ])
            .accepted();
    }
    for (name, authority) in [("module", "ca"), ("host", "ca"), ("foreign", "stranger")] {
        let at = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
        let subject = format!("/CN={name}");
        tools()
            .openssl([
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                &subject,
                "-addext",
                &format!("subjectAltName=DNS:{name}"),
                "-keyout",
                &at("key"),
                "-out",
                &at("csr"),
            ])
            .accepted();
        let of = |end: &str| folder.join(format!("{authority}.{end}")).display().to_string();
        tools()
            .openssl([
                "x509",
                "-req",
                "-in",
                &at("csr"),
                "-CA",
                &of("pem"),
                "-CAkey",
                &of("key"),
                "-CAcreateserial",
                "-days",
                "30",
                "-copy_extensions",
                "copy",
                "-out",
                &at("pem"),
            ])
            .accepted();
    }
}

fn certificate(folder: &Path, name: &str, peer: Option<&str>) -> Trust {
    let at = |name: String| folder.join(name);
    Trust::Certificates {
        authority: at("ca.pem".to_owned()),
        chain: at(format!("{name}.pem")),
        key: at(format!("{name}.key")),
        peer: peer.map(str::to_owned),
    }
}

/// How OpenSSL is told to have a certificate and to ask for one.
fn openssl_certificate(folder: &Path, name: &str, role: Role) -> Vec<String> {
    let at = |name: String| folder.join(name).display().to_string();
    let mut arguments =
        vec!["-cert".to_owned(), at(format!("{name}.pem")), "-key".to_owned(), at(format!("{name}.key"))];
    arguments.extend(["-CAfile".to_owned(), at("ca.pem".to_owned()), "-verify_return_error".to_owned()]);
    // Our client's peer asks for a certificate.
    let verify = if role == Role::Client { ["-Verify", "2"] } else { ["-verify", "2"] };
    arguments.extend(verify.map(str::to_owned));
    arguments
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const VERSIONS: [Versions; 2] = [Versions::Tls12, Versions::Tls13];

/// Why the line did not come up.
fn refusal(verdict: &Verdict) -> String {
    assert!(!verdict.passed());
    match &verdict.reports[0].outcome {
        cotter_twin::at::script::Outcome::Failed(failure) => failure.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shared_key_serves_both_roles_and_versions() {
    let mut generator = Generator::seeded();
    for role in ROLES {
        for versions in VERSIONS {
            let key = generator.bytes(32);
            let mut peer = vec!["-psk".to_owned(), hex(&key), "-psk_identity".to_owned(), IDENTITY.to_owned()];
            peer.extend((role == Role::Client).then(|| "-nocert".to_owned()));
            let peer: Vec<&str> = peer.iter().map(String::as_str).collect();
            let verdict = talk(role, versions, psk(&key), &peer);
            assert!(verdict.passed(), "{role:?} {versions:?}: {verdict:?}");
        }
    }
}

#[test]
fn certificates_of_both_ends_serve_both_roles_and_versions() {
    let folder = temp_dir();
    certificates(folder.path());
    for role in ROLES {
        for versions in VERSIONS {
            let peer = openssl_certificate(folder.path(), "module", role);
            let peer: Vec<&str> = peer.iter().map(String::as_str).collect();
            let verdict = talk(role, versions, certificate(folder.path(), "host", Some("module")), &peer);
            assert!(verdict.passed(), "{role:?} {versions:?}: {verdict:?}");
        }
    }
}

#[test]
fn another_key_is_refused_and_nothing_falls_back() {
    let mut generator = Generator::seeded();
    let (ours, theirs) = (generator.bytes(32), generator.bytes(32));
    for role in ROLES {
        for versions in VERSIONS {
            let mut peer = vec!["-psk".to_owned(), hex(&theirs), "-psk_identity".to_owned(), IDENTITY.to_owned()];
            peer.extend((role == Role::Client).then(|| "-nocert".to_owned()));
            let peer: Vec<&str> = peer.iter().map(String::as_str).collect();
            let why = refusal(&talk(role, versions, psk(&ours), &peer));
            println!("{role:?} {versions:?}: {why}");
            assert!(WRONG_KEY.iter().any(|known| why.ends_with(known)), "{role:?} {versions:?}: {why}");
        }
    }
}

/// What OpenSSL 3 says: of a binder, of a finished message, and of the other end's alert.
const WRONG_KEY: [&str; 5] = [
    "TLS: binder does not verify",
    "TLS: tlsv1 alert decrypt error",
    "TLS: sslv3 alert bad record mac",
    "TLS: sslv3 alert illegal parameter",
    "TLS: decryption failed or bad record mac",
];

#[test]
fn a_server_with_a_certificate_is_none_for_who_has_a_key() {
    let folder = temp_dir();
    certificates(folder.path());
    let peer = openssl_certificate(folder.path(), "module", Role::Client);
    let peer: Vec<&str> =
        peer.iter().map(String::as_str).filter(|argument| !matches!(*argument, "-Verify" | "2")).collect();
    for (versions, why) in
        [(Versions::Tls12, "TLS: sslv3 alert handshake failure"), (Versions::Tls13, "TLS: certificate verify failed")]
    {
        let refused = refusal(&talk(Role::Client, versions, psk(&[7; 32]), &peer));
        assert!(refused.ends_with(why), "{versions:?}: {refused}");
    }
}

#[test]
fn a_certificate_of_another_authority_or_name_is_refused() {
    let folder = temp_dir();
    certificates(folder.path());
    for (name, expected) in [("foreign", "foreign"), ("module", "another")] {
        for versions in VERSIONS {
            let peer = openssl_certificate(folder.path(), name, Role::Client);
            let peer: Vec<&str> = peer.iter().map(String::as_str).collect();
            let verdict = talk(Role::Client, versions, certificate(folder.path(), "host", Some(expected)), &peer);
            assert!(refusal(&verdict).ends_with("TLS: certificate verify failed"), "{name}: {verdict:?}");
        }
    }
}

/// What is in docs/link.md: bytes of a whole handshake in both directions, and of a command of 16 bytes.
#[test]
fn a_handshake_and_a_command_take_as_many_bytes_as_the_guide_says() {
    let folder = temp_dir();
    certificates(folder.path());
    let at = folder.path();
    for versions in VERSIONS {
        let (handshake, command) = on_the_wire(versions, psk(&[7; 32]), psk(&[7; 32]));
        println!("{versions:?} with a key: {handshake} and {command} bytes");
        // OpenSSL's versions differ in the extensions that they send.
        let (about, sealed) = if versions == Versions::Tls12 { (388, 37) } else { (563, 38) };
        assert!(command == sealed && handshake.abs_diff(about) < 64, "{versions:?}: {handshake} {command}");
        let trust = |name, peer| certificate(at, name, Some(peer));
        let (handshake, command) = on_the_wire(versions, trust("module", "host"), trust("host", "module"));
        println!("{versions:?} with certificates: {handshake} and {command} bytes");
        // Signatures and serial numbers differ by some bytes from one to the other.
        assert!((1900..2600).contains(&handshake) && command == sealed, "{handshake} {command}");
    }
}

/// Two ends without a wire between them.
fn on_the_wire(versions: Versions, module: Trust, host: Trust) -> (usize, usize) {
    let end = |role, trust| Tls::new(Arc::new(TlsSettings::new(role, versions, trust).unwrap()));
    let (mut module, mut host) = (end(Role::Client, module), end(Role::Server, host));
    let now = Instant::now();
    let (mut handshake, mut to_host) = (0, module.start(now).unwrap());
    while !to_host.is_empty() {
        let to_module = host.incoming(&to_host, now).unwrap().wire;
        handshake += to_host.len() + to_module.len();
        to_host = module.incoming(&to_module, now).unwrap().wire;
    }
    assert!(module.ready() && host.ready());
    let command = host.outgoing(b"AT+CIPSTATUS=1\r\n", now).unwrap();
    assert_eq!(module.incoming(&command, now).unwrap().plain, b"AT+CIPSTATUS=1\r\n");
    (handshake, command.len())
}
