//! `cotter cert fetch` against `openssl s_server`, and against servers that mean harm.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn cotter(folder: &Path, line: &str) -> (i32, String) {
    let output = Command::cargo_bin("cotter").unwrap().current_dir(folder).arg("cert").args(line.split(' ')).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[track_caller]
fn accepted(folder: &Path, line: &str) -> String {
    let (code, text) = cotter(folder, line);
    assert_eq!(code, 0, "cotter cert {line}\n{text}");
    text
}

#[track_caller]
fn refused(folder: &Path, line: &str) -> String {
    let (code, text) = cotter(folder, line);
    assert_eq!(code, 1, "cotter cert {line}\n{text}");
    text
}

/// Root, intermediate "Line", and a server certificate for localhost by it.
fn house() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    accepted(at, "ca --subject CN=Root --path-length 1 -o root.pem");
    accepted(at, "ca --subject CN=Line --parent root.pem --parent-key root.key.pem -o line.pem");
    let server = "--purpose server --subject CN=localhost --san localhost --san 127.0.0.1 -o server.pem";
    accepted(at, &format!("issue --ca line.pem --ca-key line.key.pem {server}"));
    let all: Vec<u8> = ["line.pem", "root.pem"].iter().flat_map(|file| std::fs::read(at.join(file)).unwrap()).collect();
    std::fs::write(at.join("with-root.pem"), all).unwrap();
    folder
}

/// `openssl s_server` on a port that the system chose; gone when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = std::process::Command::new("openssl")
            .current_dir(folder)
            .args(["s_server", "-accept", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accept = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let port = accept.parse::<SocketAddr>().unwrap().port();
        Self { child, port }
    }

    fn with_chain(folder: &Path, chain: Option<&str>, more: &[&str]) -> Self {
        let mut arguments = vec!["-cert", "server.pem", "-key", "server.key.pem"];
        arguments.extend(chain.iter().flat_map(|chain| ["-cert_chain", chain]));
        arguments.extend(more);
        Self::start(folder, &arguments)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_root_that_is_sent_is_saved_and_the_same_as_openssl_shows() {
    let folder = house();
    let at = folder.path();
    for version in ["-tls1_2", "-tls1_3"] {
        let server = Server::with_chain(at, Some("with-root.pem"), &[version]);
        let text = accepted(at, &format!("fetch localhost:{} -o anchor.pem --chain all.pem --force", server.port));
        assert!(text.contains("compare its SHA-256 with what its owner publishes"), "{text}");
        assert!(text.contains("anchor.pem: the trust anchor"), "{text}");
        assert_eq!(std::fs::read(at.join("anchor.pem")).unwrap(), std::fs::read(at.join("root.pem")).unwrap());
        // The guide's step: the last certificate that `openssl s_client -showcerts` prints.
        let shown = std::process::Command::new("openssl")
            .args(["s_client", "-showcerts", "-connect", &format!("127.0.0.1:{}", server.port)])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let blocks = |pem: &str| -> Vec<String> {
            let block = |text: &str| text.split("-----END").next().unwrap().trim().to_owned();
            pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(block).collect()
        };
        let all = blocks(&std::fs::read_to_string(at.join("all.pem")).unwrap());
        assert_eq!(all, blocks(&shown)[..3], "what is presented, in its order");
        assert_eq!(all[2..], blocks(&std::fs::read_to_string(at.join("root.pem")).unwrap()));
        std::fs::remove_file(at.join("all.pem")).unwrap();
        std::fs::remove_file(at.join("anchor.pem")).unwrap();
    }
}

#[test]
fn an_intermediate_is_not_saved_as_an_anchor_but_the_root_is_found_elsewhere() {
    let folder = house();
    let at = folder.path();
    let server = Server::with_chain(at, Some("line.pem"), &[]);
    let address = format!("localhost:{}", server.port);
    let text = refused(at, &format!("fetch {address} -o anchor.pem"));
    assert!(text.contains("the last certificate, CN=Line, is no trust anchor"), "{text}");
    assert!(text.contains("--system-roots") && !at.join("anchor.pem").exists(), "{text}");
    accepted(at, &format!("fetch {address}"));
    std::fs::copy(at.join("with-root.pem"), at.join("roots.pem")).unwrap();
    let text = accepted(at, &format!("fetch {address} --system-roots root.pem -o anchor.pem"));
    assert!(text.contains("trusted") && at.join("anchor.pem").exists(), "{text}");
    assert_eq!(std::fs::read(at.join("anchor.pem")).unwrap(), std::fs::read(at.join("root.pem")).unwrap());
    accepted(at, "bundle build root.pem -o bundle");
    let text = accepted(at, &format!("fetch {address} --bundle bundle"));
    assert!(text.contains("the bundle holds the root of this chain"), "{text}");
    accepted(at, "ca --subject CN=Stranger -o stranger.pem");
    accepted(at, "bundle build stranger.pem -o bundle");
    let text = refused(at, &format!("fetch {address} --bundle bundle"));
    assert!(text.contains("the bundle does not hold the root of this chain"), "{text}");
}

#[test]
fn what_is_wrong_with_a_chain_is_told_and_nothing_is_saved() {
    let folder = house();
    let at = folder.path();
    let server = Server::with_chain(at, Some("with-root.pem"), &[]);
    let text = refused(at, &format!("fetch localhost:{} --name other.example -o anchor.pem", server.port));
    assert!(text.contains("it does not name other.example") && !at.join("anchor.pem").exists(), "{text}");
    let alone = Server::with_chain(at, None, &[]);
    let text = refused(at, &format!("fetch localhost:{} -o anchor.pem", alone.port));
    assert!(text.contains("the server sent only its own certificate"), "{text}");
    let json = cotter(at, &format!("fetch --json localhost:{}", server.port));
    let json: serde_json::Value = serde_json::from_str(&json.1).unwrap();
    assert_eq!((&json["anchor"]["subject"], &json["chain"]["end"]), (&"CN=Root".into(), &"untrusted root".into()));
}

#[test]
fn a_server_that_wants_a_client_certificate_still_shows_its_chain() {
    let folder = house();
    let at = folder.path();
    let server = Server::with_chain(at, Some("with-root.pem"), &["-Verify", "2", "-CAfile", "root.pem"]);
    let (_, text) = cotter(at, &format!("fetch localhost:{} -o anchor.pem", server.port));
    assert!(text.contains("CN=Line") && at.join("anchor.pem").exists(), "{text}");
}

#[test]
fn a_name_chooses_the_certificate_where_a_server_has_several() {
    let folder = house();
    let at = folder.path();
    let second = "--purpose server --subject CN=second --san second.example -o second.pem";
    accepted(at, &format!("issue --ca line.pem --ca-key line.key.pem {second}"));
    let more = ["-servername", "second.example", "-cert2", "second.pem", "-key2", "second.key.pem"];
    let server = Server::with_chain(at, Some("with-root.pem"), &more);
    let text = accepted(at, &format!("fetch 127.0.0.1:{}", server.port));
    assert!(text.contains("CN=localhost"), "{text}");
    let (_, text) = cotter(at, &format!("fetch 127.0.0.1:{} --name second.example", server.port));
    assert!(text.contains("CN=second"), "{text}");
}

/// A server that does `harm` to everyone who connects.
fn hostile(harm: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(&harm));
    port
}

#[test]
fn hostile_servers_are_left_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let read_hello = |stream: &mut TcpStream| {
        let _ = stream.read(&mut [0; 4096]);
    };
    let servers: [(&str, u16); 5] = [
        ("says nothing", hostile(std::mem::forget)),
        ("hangs up", hostile(drop)),
        (
            "speaks HTTP",
            hostile(move |mut stream| {
                read_hello(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }),
        ),
        (
            "a byte at a time",
            hostile(move |mut stream| {
                std::thread::spawn(move || {
                    // A handshake record of 16 KiB that never ends.
                    let _ = stream.write_all(&[22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc, 3, 3]);
                    while stream.write_all(&[0]).is_ok() {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
            }),
        ),
        (
            "an endless message",
            hostile(move |mut stream| {
                read_hello(&mut stream);
                // A handshake message of 16 MiB, in records of 16 KiB.
                let mut record = vec![22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff];
                record.resize(5 + 0x4000, 0);
                while stream.write_all(&record).is_ok() {}
            }),
        ),
    ];
    for (harm, port) in servers {
        let begun = Instant::now();
        let text = refused(folder.path(), &format!("fetch 127.0.0.1:{port} --timeout 2"));
        assert!(text.contains("no TLS server presents a certificate"), "{harm}: {text}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{harm}: {:?}", begun.elapsed());
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = refused(folder.path(), &format!("fetch 127.0.0.1:{closed} --timeout 2"));
    assert!(text.contains("cannot reach"), "{text}");
}
