//! What the server does to those who speak wrongly, slowly, too much or not at all: exactly this, and no memory for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::print_stderr, reason = "counts, for whoever reads the test's output")]

mod product;

use cotter_wire::api;
use product::Product;
use product::client::tls;
use product::device::Device;
use product::evil::{drips, says, says_plainly};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SHORT: &str = "\n[limits]\nheader_seconds = 1\nbody_seconds = 1\nhandshake_seconds = 1\nstall_seconds = 2\n";

fn post(device: &Device, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {} HTTP/1.1\r\nhost: server.test\r\n{headers}\r\n", api::telemetry(&device.id));
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_two_readings_is_refused_and_its_connection_ends() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let packet = device.packet(1);
    let length = packet.len();
    let smuggled = post(&device, &format!("content-length: {length}\r\n"), &packet);
    let chunked = [format!("{length:x}\r\n").as_bytes(), &packet, b"\r\n0\r\n\r\n"].concat();
    let mut wrong = Vec::new();
    for (name, headers, body, expected) in [
        ("length, then chunks", "content-length: 4\r\ntransfer-encoding: chunked\r\n", &chunked, 411),
        ("chunks, then length", "transfer-encoding: chunked\r\ncontent-length: 4\r\n", &chunked, 411),
        ("chunks alone", "transfer-encoding: chunked\r\n", &chunked, 411),
        ("chunks, spelled oddly", "transfer-encoding: \tChunked \r\n", &chunked, 411),
        ("an encoding that we do not know", "transfer-encoding: chunked, identity\r\n", &chunked, 400),
        ("a name that hides", "transfer-encoding : chunked\r\n", &chunked, 400),
        ("two lengths", "content-length: 0\r\ncontent-length: 5\r\n", &packet, 400),
        ("two lengths in one", "content-length: 0, 5\r\n", &packet, 400),
        ("a signed length", "content-length: +5\r\n", &packet, 400),
        ("a negative length", "content-length: -5\r\n", &packet, 400),
        ("a hexadecimal length", "content-length: 0x5\r\n", &packet, 400),
        ("a length beyond numbers", "content-length: 99999999999999999999999\r\n", &packet, 400),
        ("a folded header", "x: a\r\n b\r\n", &packet, 400),
        ("a line feed in a header", "x: a\nb\r\n", &packet, 400),
        ("a lone carriage return", "x: a\rb: c\r\n", &packet, 400),
        ("a nul in a header", "x: \0\r\n", &packet, 400),
        ("an empty name", ": x\r\n", &packet, 400),
    ] {
        let words = [post(&device, headers, body), smuggled.clone()].concat();
        let reaction = says(&product, server.address, words).await;
        if reaction.is() != (&[expected][..], true) {
            wrong.push((name, reaction.statuses, reaction.closed));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    for (name, body) in [
        ("a chunk size of minus one", "-1\r\nx\r\n0\r\n\r\n"),
        ("a chunk size beyond numbers", "fffffffffffffffffff\r\nx"),
        ("a chunk that is longer than it says", "1\r\nxyz\r\n0\r\n\r\n"),
        ("an endless chunk extension", &format!("1;{}", "x".repeat(20_000))),
    ] {
        let words = post(&device, "transfer-encoding: chunked\r\n", body.as_bytes());
        assert_eq!(says(&product, server.address, words).await.is(), (&[411][..], true), "{name}");
    }
    assert_eq!(product.stored_nonces(server.address, "a").await, [] as [u64; 0], "nothing was smuggled in");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_is_answered_in_order_and_nothing_comes_in_twice() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let one = |nonce| {
        let packet = device.packet(nonce);
        post(&device, &format!("content-length: {}\r\n", packet.len()), &packet)
    };
    let words = [one(1), one(2), one(2), one(3)].concat();
    let reaction = says(&product, server.address, words).await;
    assert_eq!(reaction.is(), (&[200, 200, 409, 200][..], false));
    // The same length twice means one thing only (RFC 9110, 8.6).
    let packet = device.packet(4);
    let length = format!("content-length: {0}\r\ncontent-length: {0}\r\n", packet.len());
    assert_eq!(says(&product, server.address, post(&device, &length, &packet)).await.is(), (&[200][..], false));
    assert_eq!(product.stored_nonces(server.address, "a").await, [4, 3, 2, 1]);
    server.stop().await;
}

/// Packets alone, then something else, then packets again; and a packet that comes in two parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_before_and_behind_other_requests_are_answered_in_order() {
    let product = Product::with(SHORT);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let one = |nonce| {
        let packet = device.packet(nonce);
        post(&device, &format!("content-length: {}\r\n", packet.len()), &packet)
    };
    let health = b"GET /healthz HTTP/1.1\r\nhost: server.test\r\n\r\n".to_vec();
    let words = [one(1), one(2), health, one(3), one(3)].concat();
    assert_eq!(says(&product, server.address, words).await.is(), (&[200, 200, 200, 200, 409][..], false));

    let mut stream = tls(server.address, &product.ca).await.unwrap();
    for nonce in [4, 5, 6] {
        let words = one(nonce);
        // Behind the first of them, the library goes on with the connection.
        let (first, second) = words.split_at(if nonce == 5 { 60 } else { words.len() });
        for part in [first, second] {
            stream.write_all(part).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&format!("{nonce}}}")), "{answer}");
    }
    assert_eq!(product.stored_nonces(server.address, "a").await, [6, 5, 4, 3, 2, 1]);

    let mut stream = tls(server.address, &product.ca).await.unwrap();
    stream.write_all(&one(7)).await.unwrap();
    let begun = std::time::Instant::now();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    assert!(heard.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(800) && took < Duration::from_secs(5),
        "who then is silent is let go: {took:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_our_protocol_gets_no_answer_or_a_refusal() {
    let product = Product::new();
    let server = product.serve().await;
    let host = "host: server.test\r\n\r\n";
    let mut wrong = Vec::new();
    for (name, words, expected, closed) in [
        ("HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[][..], true),
        ("HTTP/0.9", "GET /healthz\r\n\r\n".into(), &[400], true),
        ("HTTP/3.0", format!("GET /healthz HTTP/3.0\r\n{host}"), &[400], true),
        ("no method", format!(" /healthz HTTP/1.1\r\n{host}"), &[400], true),
        ("nonsense", "\x16\x03\x01\r\n\r\n".into(), &[400], true),
        ("an unknown method", format!("BREW /healthz HTTP/1.1\r\n{host}"), &[405], false),
        ("a tunnel", format!("CONNECT example.com:80 HTTP/1.1\r\n{host}"), &[404], false),
        ("somebody else's address", format!("GET http://example.com/ HTTP/1.1\r\n{host}"), &[404], false),
        ("a way out of the folder", format!("GET /v1/../../etc/passwd HTTP/1.1\r\n{host}"), &[404], false),
        ("an encoded way out", format!("GET /v1/devices/..%2f..%2fx/update HTTP/1.1\r\n{host}"), &[401], false),
        ("a nul in the path", format!("GET /\0 HTTP/1.1\r\n{host}"), &[400], true),
        ("no UTF-8 in the path", format!("GET /v1/devices/%ff/update HTTP/1.1\r\n{host}"), &[400], false),
        ("a long path", format!("GET /{} HTTP/1.1\r\n{host}", "x".repeat(15_000)), &[404], false),
        ("too long a path", format!("GET /{} HTTP/1.1\r\n{host}", "x".repeat(70_000)), &[431], true),
        ("a huge header", format!("GET /healthz HTTP/1.1\r\nx: {}\r\n{host}", "x".repeat(20_000)), &[431], true),
        ("many headers", format!("GET /healthz HTTP/1.1\r\n{}{host}", "x: y\r\n".repeat(40)), &[431], true),
        (
            "an upgrade",
            format!("GET /healthz HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n{host}"),
            &[200],
            false,
        ),
    ] {
        let reaction = says(&product, server.address, words).await;
        if reaction.is() != (expected, closed) {
            wrong.push((name, reaction.statuses, reaction.closed));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    for (name, words) in [
        ("HTTP without TLS", &b"GET /healthz HTTP/1.1\r\nhost: server.test\r\n\r\n"[..]),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("SSL 2", &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]),
        ("a record of 64 KiB", &[0x16, 3, 1, 0xff, 0xff, 1]),
        ("application data before the handshake", &[0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
    ] {
        let reaction = says_plainly(server.address, words).await;
        // An alert of TLS (RFC 8446, 6) at most, and the end.
        assert!(reaction.closed && reaction.statuses.is_empty(), "{name}: {reaction:?}");
        assert!(reaction.bytes.is_empty() || (reaction.bytes[0] == 0x15 && reaction.bytes.len() == 7), "{reaction:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_is_cut_off_in_time() {
    let product = Product::with(SHORT);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let tenth = Duration::from_millis(100);
    let in_time = |name: &str, took: Duration, seconds: u64| {
        let most = Duration::from_secs(seconds) + Duration::from_secs(3);
        assert!(took >= Duration::from_millis(800) && took < most, "{name}: {took:?}");
    };
    let handshake = async {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The beginning of a record that says it has 512 bytes.
        stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        in_time("handshake", drips(&mut stream, 1, tenth).await, 1);
    };
    let request_line = async {
        let mut stream = tls(server.address, &product.ca).await.unwrap();
        in_time("request line", drips(&mut stream, b'G', tenth).await, 1);
    };
    let headers = async {
        let mut stream = tls(server.address, &product.ca).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.unwrap();
        in_time("headers", drips(&mut stream, b'x', tenth).await, 1);
    };
    let body = async {
        let mut stream = tls(server.address, &product.ca).await.unwrap();
        stream.write_all(&post(&device, "content-length: 2000\r\n", b"")).await.unwrap();
        in_time("body", drips(&mut stream, b'{', tenth).await, 1);
    };
    tokio::join!(handshake, request_line, headers, body);
    server.stop().await;
}

/// Everything that can be held open at once, and an honest device beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_them_takes_no_memory_and_nobody_elses_turn() {
    let product = Product::with(
        "\n[limits]\nheader_seconds = 2\nbody_seconds = 2\nhandshake_seconds = 2\n\
         refusals_per_address = { burst = 100000, per_second = 1 }\n",
    );
    let server = product.spawn();
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut honest = product.connect(server.address).await;
    assert_eq!(device.upload(&mut honest, device.packet(1)).await.status, 200);
    let before = resident(server.id());

    let mut held = Vec::new();
    for _ in 0..200 {
        let mut half_open = TcpStream::connect(server.address).await.unwrap();
        half_open.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        held.push(half_open);
    }
    let mut speaking = Vec::new();
    for number in 0..200 {
        let mut stream = tls(server.address, &product.ca).await.unwrap();
        let words = match number % 2 {
            0 => format!("GET /healthz HTTP/1.1\r\nx: {}", "x".repeat(15_000)).into_bytes(),
            _ => post(&device, "content-length: 4000\r\n", &[b'{'; 3_999]),
        };
        stream.write_all(&words).await.unwrap();
        stream.flush().await.unwrap();
        speaking.push(stream);
    }
    assert_eq!(device.upload(&mut honest, device.packet(2)).await.status, 200);
    let during = resident(server.id());
    for round in 0..20 {
        let endless = post(&device, "content-length: 1000000000000\r\n", &vec![b'x'; 1 << 20]);
        assert_eq!(says(&product, server.address, endless).await.is(), (&[413][..], true), "{round}");
    }
    assert_eq!(device.upload(&mut honest, device.packet(3)).await.status, 200);
    drop((held, speaking));
    let after = resident(server.id());
    eprintln!("resident: {before} KiB before, {during} KiB with 400 connections held, {after} KiB after");
    assert!(during < before + 64 * 1024 && after < before + 64 * 1024);
    assert_eq!(product.stored_nonces(server.address, "a").await, [3, 2, 1]);
}

/// Resident memory of a process in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
