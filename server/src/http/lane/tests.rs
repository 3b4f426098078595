//! The lane takes nothing that the library would understand otherwise.

use super::super::house::{HEADER_BYTES, MOST_HEADERS};
use super::*;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

const HEAD: &str = "POST /v1/devices/solar-0001/telemetry HTTP/1.1\r\nhost: server.test\r\n";

fn request(headers: &str, body: &str) -> String {
    format!("{HEAD}{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// What the lane takes: device and body of each request, and what is left.
fn by_lane(mut bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, &[u8]) {
    let mut taken = Vec::new();
    while let Some((upload, after)) = Upload::parse(bytes) {
        taken.push((upload.device.to_string(), upload.body.to_vec()));
        bytes = after;
    }
    (taken, bytes)
}

/// The requests that the library sees: device, if they bring a packet, and body.
async fn by_library(bytes: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    ours.write_all(bytes).await.unwrap();
    ours.shutdown().await.unwrap();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let chunked = request.headers().contains_key(hyper::header::TRANSFER_ENCODING);
            let device = device::brings_packet(&request).filter(|_| !chunked).map(|id| id.to_string());
            // One that ends early was none.
            if let Ok(body) = request.into_body().collect().await {
                seen.lock().unwrap().push((device, body.to_bytes().to_vec()));
            }
            Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::new())))
        }
    });
    let mut library = http1::Builder::new();
    // What was said is all; it is answered before the end.
    library.max_headers(MOST_HEADERS).max_buf_size(HEADER_BYTES).half_close(true);
    let _ = library.serve_connection(TokioIo::new(theirs), service).await;
    std::mem::take(&mut *seen.lock().unwrap())
}

async fn both_see_the_same(bytes: &[u8]) -> usize {
    let (taken, rest) = by_lane(bytes);
    let mut seen = by_library(bytes).await;
    assert!(seen.len() >= taken.len(), "{:?}", String::from_utf8_lossy(bytes));
    let beyond = seen.split_off(taken.len());
    let taken: Vec<_> = taken.into_iter().map(|(device, body)| (Some(device), body)).collect();
    assert_eq!(seen, taken, "{:?}", String::from_utf8_lossy(bytes));
    // And the library, put where the lane has stopped, goes on as if it had seen everything.
    assert_eq!(by_library(rest).await, beyond, "{:?}", String::from_utf8_lossy(bytes));
    taken.len()
}

#[tokio::test]
async fn takes_a_packet_as_our_clients_send_it_and_many_in_a_row() {
    for headers in [
        "",
        "content-type: application/json\r\n",
        "Content-Type: application/json\r\nUser-Agent: esp\r\nAccept: */*\r\n",
        "connection: keep-alive\r\n",
        "CONNECTION:Keep-Alive\r\n",
    ] {
        assert_eq!(both_see_the_same(request(headers, "{}").as_bytes()).await, 1, "{headers:?}");
    }
    let three = request("", "a") + &request("", "") + &request("accept: x\r\n", &"c".repeat(DEVICE_BODY));
    assert_eq!(both_see_the_same(three.as_bytes()).await, 3);
}

#[tokio::test]
async fn leaves_everything_else_to_the_library() {
    let whole = request("", "{}");
    for other in [
        request("", &"x".repeat(DEVICE_BODY + 1)),
        request("x: y\r\n", "{}"),
        request("connection: close\r\n", "{}"),
        request("connection: keep-alive, x\r\n", "{}"),
        request("expect: 100-continue\r\n", "{}"),
        request("transfer-encoding: chunked\r\n", "{}"),
        request("transfer-encoding : chunked\r\n", "{}"),
        request("host: b\r\n", "{}"),
        request("content-length: 2\r\n", "{}"),
        request("accept: a\r\n folded\r\n", "{}"),
        request("accept: a\nhost: b\r\n", "{}"),
        request("accept: a\rb\r\n", "{}"),
        request("accept: \u{e4}\r\n", "{}"),
        request("accept: \t\r\n", "{}"),
        request("accept\r\n", "{}"),
        request(": a\r\n", "{}"),
        request(" accept: a\r\n", "{}"),
        whole.replace("host: server.test\r\n", ""),
        whole.replace("content-length: 2\r\n", ""),
        whole.replace("length: 2", "length: 02"),
        whole.replace("length: 2", "length: +2"),
        whole.replace("length: 2", "length: 2 "),
        whole.replace("length: 2", "length:  2"),
        whole.replace("length: 2", "length: 0x2"),
        whole.replace("length: 2", "length: 4294967298"),
        whole.replace("length: 2", "length: 18446744073709551618"),
        whole.replace("length: 2", "length: 3"),
        whole.replace("POST ", "PUT "),
        whole.replace("POST ", "POST  "),
        whole.replace("POST ", "post "),
        whole.replace("1.1\r", "1.0\r"),
        whole.replace("1.1\r", "1.1 \r"),
        whole.replace("/telemetry", "/telemetry?x"),
        whole.replace("/telemetry", "/telemetry/"),
        whole.replace("/telemetry", "/session"),
        whole.replace("/v1/", "/v2/"),
        whole.replace("/v1/", "http://server.test/v1/"),
        whole.replace("solar-0001", "solar%2d0001"),
        whole.replace("solar-0001", "a/../b"),
        whole.replace("solar-0001", ""),
        format!("\r\n{whole}"),
        format!(" {whole}"),
        whole.replace("\r\n", "\n"),
    ] {
        assert_eq!(both_see_the_same(other.as_bytes()).await, 0, "{other:?}");
    }
    for length in 0..whole.len() {
        assert_eq!(by_lane(&whole.as_bytes()[..length]).0.len(), 0, "the first {length} bytes");
    }
}

#[tokio::test]
async fn no_flipped_bit_makes_it_another_packet_than_the_library_sees() {
    let whole = request("connection: keep-alive\r\naccept: a\r\n", "{}") + &request("", "x");
    let mut taken = 0;
    for place in 0..whole.len() * 8 {
        let mut flipped = whole.clone().into_bytes();
        flipped[place / 8] ^= 1 << (place % 8);
        taken += both_see_the_same(&flipped).await;
    }
    // Letters of a header's name in the other case, and of values and bodies, change nothing about what is taken.
    assert!(taken > 0);
}

#[test]
fn a_mutated_request_is_taken_only_as_the_library_understands_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let headers = prop_oneof![
        Just("accept: a\r\n"),
        Just("connection: keep-alive\r\n"),
        Just("content-type: x\r\n"),
        Just("transfer-encoding: chunked\r\n"),
        Just("content-length: 1\r\n"),
        Just("x: y\r\n"),
    ];
    let pieces = ["\r\n", "\n", "\r", " ", ":", "\t", "\0", "0", "content-length: 0\r\n", "\u{e4}", "A"];
    let piece = proptest::sample::select(pieces.map(str::as_bytes).to_vec());
    let one = (proptest::collection::vec(headers, 0..3), "[a-z{}]{0,20}");
    // Where, how many bytes are left out there, and what comes instead.
    let change = (any::<proptest::sample::Index>(), 0..3_usize, piece);
    let case = (proptest::collection::vec(one, 1..4), proptest::collection::vec(change, 0..3));
    let taken = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(4_000));
    let outcome = runner.run(&case, |(requests, changes)| {
        let mut bytes: Vec<u8> =
            requests.iter().flat_map(|(headers, body)| request(&headers.concat(), body).into_bytes()).collect();
        for (place, left_out, instead) in changes {
            let at = place.index(bytes.len());
            let end = (at + left_out).min(bytes.len());
            bytes.splice(at..end, instead.iter().copied());
        }
        taken.set(taken.get() + runtime.block_on(both_see_the_same(&bytes)));
        Ok(())
    });
    outcome.unwrap();
    assert!(taken.get() > 1_000, "{} were taken at all", taken.get());
}

#[tokio::test]
async fn says_what_the_library_says() {
    for receipt in [
        Receipt::Accepted(cotter_wire::ids::Sequence::MAX),
        Receipt::AlreadyStored,
        Receipt::OutOfOrder,
        Receipt::Malformed,
        Receipt::Refused,
        Receipt::TooMany(17),
        Receipt::Unavailable,
    ] {
        let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
        ours.write_all(request("", "").as_bytes()).await.unwrap();
        ours.shutdown().await.unwrap();
        let service =
            service_fn(|_: hyper::Request<Incoming>| async move { Ok::<_, Infallible>(answer::receipt(receipt)) });
        http1::Builder::new().half_close(true).serve_connection(TokioIo::new(theirs), service).await.unwrap();
        let mut said = String::new();
        ours.read_to_string(&mut said).await.unwrap();
        let date = said.lines().find_map(|line| line.strip_prefix("date: ")).unwrap();
        let mut out = Vec::new();
        write_answer(&mut out, receipt, date);
        let sorted = |text: &str| {
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
            lines[1..].sort();
            (lines, body.to_owned())
        };
        assert_eq!(sorted(std::str::from_utf8(&out).unwrap()), sorted(&said), "{receipt:?}");
        // And the same date.
        assert_eq!(Date::default().now().len(), date.len());
    }
}

#[tokio::test]
async fn what_was_read_is_read_again() {
    let (mut ours, theirs) = tokio::io::duplex(64);
    ours.write_all(b"world").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut stream = Rewound { before: b"hello ".to_vec(), stream: theirs };
    let mut small = [0; 4];
    stream.read_exact(&mut small).await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!((&small, rest.as_str()), (b"hell", "o world"));
}
