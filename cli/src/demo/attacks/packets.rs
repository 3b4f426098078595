//! Attacks on the way from device to server.

use super::{Attempt, Scene};
use crate::demo::report::Attack;
use crate::demo::workshop::HOST;
use anyhow::Context;
use cotter_factory::pki::ProductCa;
use cotter_twin::firmware::FirmwareError;
use cotter_twin::net::{Ask, NetError};
use cotter_wire::keys::DeviceKeys;
use cotter_wire::packet::{self, MAX_PACKET};
use cotter_wire::reading::Reading;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) async fn all(scene: &mut Scene<'_>, attacks: &mut Vec<Attack>) -> anyhow::Result<()> {
    let device = scene.workshop.device.device;
    // Two genuine packets, acknowledged, that the attacker has recorded; and one that never arrived.
    let recorded = scene
        .twin
        .live(async |firmware| {
            let old = firmware.upload().await?.packet;
            let last = firmware.upload().await?.packet;
            let (_, fresh) = firmware.seal()?;
            Ok((old, last, fresh))
        })
        .await?;
    let (old, last, fresh) = recorded.outcome.context("the device did not boot")?;
    let stored = scene.admin.readings(&device).await?.len();

    let attempt = Attempt {
        name: "replayed packet",
        tried: "the last packet, byte for byte",
        layer: "server: nonce",
        expected: "409 duplicate",
    };
    attacks.push(send(scene, attempt, &last).await?);
    let attempt = Attempt {
        name: "replayed older packet",
        tried: "the packet before it",
        layer: "server: nonce",
        expected: "409 replay",
    };
    attacks.push(send(scene, attempt, &old).await?);
    let attempt = Attempt {
        name: "forged MAC",
        tried: "a fresh packet, one digit of its MAC changed",
        layer: "server: HMAC-SHA256",
        expected: "401 packet-forged",
    };
    attacks.push(send(scene, attempt, &with_changed(&fresh, "\"mac\":\"", flip_hex)?).await?);
    let attempt = Attempt {
        name: "tampered ciphertext",
        tried: "a fresh packet, one character of its payload changed",
        layer: "server: HMAC-SHA256",
        expected: "401 packet-forged",
    };
    attacks.push(send(scene, attempt, &with_changed(&fresh, "\"payload\":\"", flip_base64)?).await?);
    let attempt = Attempt {
        name: "raised nonce",
        tried: "the last packet, its nonce raised by one",
        layer: "server: HMAC-SHA256",
        expected: "401 packet-forged",
    };
    attacks.push(send(scene, attempt, &with_raised_nonce(&last)?).await?);
    let foreign = neighbours_packet(scene)?;
    let attempt = Attempt {
        name: "another device's packet",
        tried: "a genuine packet of solar-0002, sent to solar-0001's path",
        layer: "server: device lookup",
        expected: "401 packet-of-another-device",
    };
    attacks.push(send(scene, attempt, &foreign).await?);
    let attempt = Attempt {
        name: "another device's packet, renamed",
        tried: "the same, with solar-0001 written into it",
        layer: "server: device id in the MAC",
        expected: "401 packet-forged",
    };
    attacks.push(send(scene, attempt, &renamed(&foreign, scene)?).await?);
    let attempt = Attempt {
        name: "unsigned packet",
        tried: "plain JSON without nonce and MAC",
        layer: "server: canonical form",
        expected: "400 packet-malformed",
    };
    attacks.push(send(scene, attempt, b"{\"device_id\":\"solar-0001\",\"values\":[1,2,3]}").await?);

    attacks.push(poll_without_session(scene).await?);

    let after = scene.admin.readings(&device).await?.len();
    if after != stored {
        // One of the packets above got through, whatever the answer said.
        attacks.iter_mut().for_each(|attack| attack.stopped = false);
    }
    attacks.push(man_in_the_middle(scene).await?);
    Ok(())
}

/// Sends bytes as if they came from the device, and reads in the server's log why they were refused.
async fn send(scene: &mut Scene<'_>, attempt: Attempt, packet: &[u8]) -> anyhow::Result<Attack> {
    let mark = scene.server.mark()?;
    let life = scene.twin.live(async |firmware| firmware.send_raw(packet).await).await?;
    let reply = life.outcome.context("the device did not boot")?;
    let (event, why) = scene.server.refusal_since(mark)?.unwrap_or_default();
    let silent = reply.status != 200 && !String::from_utf8_lossy(&reply.body).contains("mac");
    Ok(attempt.saw(format!("{} {event}", reply.status), why, silent, scene.format))
}

/// Somebody who knows the device's name asks for its firmware.
async fn poll_without_session(scene: &mut Scene<'_>) -> anyhow::Result<Attack> {
    let attempt = Attempt {
        name: "poll in a device's name",
        tried: "GET update without the device's session",
        layer: "server: request authentication",
        expected: "401 request-refused",
    };
    let mark = scene.server.mark()?;
    let path =
        cotter_wire::api::update(&scene.workshop.device.device, "1.0.0".parse()?, cotter_wire::ids::SecureVersion(0));
    let ask = Ask { method: hyper::Method::GET, path: path.to_string(), headers: Vec::new(), body: None };
    let life = scene.twin.live(async |firmware| Ok(firmware.client().send(&ask).await?)).await?;
    let reply = life.outcome.context("the device did not boot")?;
    let (event, why) = scene.server.refusal_since(mark)?.unwrap_or_default();
    Ok(attempt.saw(format!("{} {event}", reply.status), why, reply.status != 200, scene.format))
}

/// A rogue access point answers with a certificate of another CA.
async fn man_in_the_middle(scene: &mut Scene<'_>) -> anyhow::Result<Attack> {
    let attempt = Attempt {
        name: "man in the middle",
        tried: "a server with a certificate for the right name, from another CA",
        layer: "device: TLS",
        expected: "no connection",
    };
    let rogue = ProductCa::generate("Rogue CA")?.issue_server(&[HOST, "127.0.0.1"])?;
    let (address, reached) = rogue_server(&rogue.certificate_pem, &rogue.key_pem).await?;
    let life = scene
        .twin
        .live(async |firmware| {
            firmware.client().redirect(address);
            Ok(firmware.upload().await)
        })
        .await?;
    let (refusal, detail) = match life.outcome.context("the device did not boot")? {
        Err(FirmwareError::Net(refused @ NetError::Certificate(_))) => ("no connection", refused.to_string()),
        Err(other) => ("another error", other.to_string()),
        Ok(upload) => ("connected", format!("HTTP {}", upload.status)),
    };
    reached.abort();
    Ok(attempt.saw(refusal, detail, true, scene.format))
}

async fn rogue_server(certificate: &str, key: &str) -> anyhow::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // The device is expected to hang up; whatever comes of it is seen on its side.
            drop(acceptor.accept(tcp).await);
        }
    });
    Ok((address, task))
}

/// What the neighbour, another enrolled device, would send.
fn neighbours_packet(scene: &Scene<'_>) -> anyhow::Result<Vec<u8>> {
    let neighbour = &scene.workshop.neighbour;
    let keys = DeviceKeys::derive(&neighbour.root, &neighbour.device, neighbour.epoch);
    let reading = Reading::new(1, 1, "1.0.0".parse()?, cotter_wire::ids::SecureVersion(0));
    let mut plain = [0; Reading::MAX_LEN];
    let plain = reading.encode(&mut plain)?;
    let mut iv = [0; 16];
    cotter_factory::signing::random(&mut iv)?;
    let mut out = [0; MAX_PACKET];
    let nonce = cotter_wire::ids::Nonce(20_000);
    Ok(packet::seal(&keys, &neighbour.device, neighbour.epoch, nonce, &iv, plain, &mut out)?.to_vec())
}

fn renamed(packet: &[u8], scene: &Scene<'_>) -> anyhow::Result<Vec<u8>> {
    let text = std::str::from_utf8(packet)?;
    let (from, to) = (scene.workshop.neighbour.device.as_str(), scene.workshop.device.device.as_str());
    Ok(text.replacen(from, to, 1).into_bytes())
}

fn with_changed(packet: &[u8], after: &str, change: fn(u8) -> u8) -> anyhow::Result<Vec<u8>> {
    let text = std::str::from_utf8(packet)?;
    let at = text.find(after).context("the packet has no such field")? + after.len() + 8;
    let mut changed = packet.to_vec();
    changed[at] = change(changed[at]);
    Ok(changed)
}

fn with_raised_nonce(packet: &[u8]) -> anyhow::Result<Vec<u8>> {
    let text = std::str::from_utf8(packet)?;
    let start = text.find("\"nonce\":").context("the packet has no nonce")? + 8;
    let end = start + text[start..].find(',').context("the packet has no nonce")?;
    let nonce: u32 = text[start..end].parse()?;
    Ok(format!("{}{}{}", &text[..start], nonce + 1, &text[end..]).into_bytes())
}

const fn flip_hex(digit: u8) -> u8 {
    if digit == b'0' { b'1' } else { b'0' }
}

const fn flip_base64(digit: u8) -> u8 {
    if digit == b'A' { b'B' } else { b'A' }
}
