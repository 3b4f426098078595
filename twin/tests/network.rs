//! What the device's network client refuses, from servers that mean no good.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod listener;

use cotter_factory::pki::ProductCa;
use cotter_twin::net::{Ask, Client, MAX_REPLY, NetError};
use hyper::Method;
use listener::listen;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A TLS server with a certificate of `ca` for `name`, that answers each connection with `answer` and hangs up.
async fn evil_server(ca: &ProductCa, name: &str, answer: Vec<u8>) -> SocketAddr {
    listen(&ca.issue_server(&[name]).unwrap(), move |mut tls| {
        let answer = answer.clone();
        async move {
            let mut request = [0; 4096];
            if tls.read(&mut request).await.is_ok() {
                // The client may have hung up already: that is what some of these tests are about.
                let _ = tls.write_all(&answer).await;
                let _ = tls.shutdown().await;
            }
        }
    })
    .await
}

async fn refusal(trusted: &ProductCa, host: &str, server: SocketAddr) -> NetError {
    let mut client = Client::new(trusted.certificate_der(), host, server).unwrap();
    let ask = Ask { method: Method::GET, path: "/".to_owned(), headers: Vec::new(), body: None };
    client.send(&ask).await.unwrap_err()
}

#[test]
fn without_a_trust_anchor_there_is_no_client() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    for anchor in [&[][..], &[0x30, 0x03, 0x02, 0x01, 0x00], &[0xff; 400]] {
        assert!(matches!(Client::new(anchor, "localhost", nowhere), Err(NetError::NoTrustAnchor)));
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_by_name() {
    let (ours, theirs) = (ProductCa::generate("ours").unwrap(), ProductCa::generate("theirs").unwrap());
    let server = evil_server(&theirs, "localhost", Vec::new()).await;
    assert_eq!(refusal(&ours, "localhost", server).await.to_string(), "server certificate refused: unknown issuer");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let ca = ProductCa::generate("ours").unwrap();
    let server = evil_server(&ca, "elsewhere.example", Vec::new()).await;
    let refused = refusal(&ca, "localhost", server).await;
    assert_eq!(refused.to_string(), "server certificate refused: issued for another name");
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let ca = ProductCa::generate("ours").unwrap();
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..=MAX_REPLY / 1024 {
        answer.extend_from_slice(b"400\r\n");
        answer.extend_from_slice(&[0x41; 1024]);
        answer.extend_from_slice(b"\r\n");
    }
    let server = evil_server(&ca, "localhost", answer).await;
    assert!(matches!(refusal(&ca, "localhost", server).await, NetError::TooLarge));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_answer() {
    let ca = ProductCa::generate("ours").unwrap();
    let server = evil_server(&ca, "localhost", b"HTTP/1.1 200 OK\r\ncontent-length: 2048\r\n\r\nshort".to_vec()).await;
    assert!(matches!(refusal(&ca, "localhost", server).await, NetError::TooLarge));
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let ca = ProductCa::generate("ours").unwrap();
    for answer in
        [&b""[..], b"\x00\x01\x02", b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"]
    {
        let server = evil_server(&ca, "localhost", answer.to_vec()).await;
        assert!(matches!(refusal(&ca, "localhost", server).await, NetError::Http(_)), "{answer:?}");
    }
}
