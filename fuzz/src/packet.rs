//! Telemetry packets: parsed, verified, opened.

use cotter_formats::secret::Secret;
use cotter_wire::codec::MAX_READING;
use cotter_wire::keys::{DeviceKeys, RootKey};
use cotter_wire::packet::{MAX_PACKET, Packet, PacketError, seal};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// A packet has one spelling and is JSON; a MAC over anything else than all of it does not hold; what opens can be
/// sealed again.
pub fn packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else { return };
    let (device, epoch, nonce) = (*packet.device(), packet.epoch(), packet.nonce());
    let fields: Value = serde_json::from_slice(data).expect("a canonical packet is JSON");
    assert_eq!(spelled(&fields, &text(&fields, "mac")).as_bytes(), data, "a second spelling was accepted");

    let keys = DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), &device, epoch);
    let mac = mac_of(keys.telemetry_mac.expose(), &fields);
    let honest = text(&fields, "mac") == mac;
    assert_eq!(packet.verify(&keys.telemetry_mac).is_ok(), honest, "the MAC says otherwise");

    // The same packet with the right MAC, as a device that seals nonsense would send it.
    let mended = spelled(&fields, &mac);
    let packet = Packet::parse(mended.as_bytes()).expect("only the MAC changed");
    let verified = packet.verify(&keys.telemetry_mac).expect("the MAC is right");
    let mut plain = [0; MAX_READING];
    match verified.open(&keys.telemetry_cipher, &mut plain) {
        Ok(plain) => {
            let mut out = [0; MAX_PACKET];
            let sealed = seal(&keys, &device, epoch, nonce, &[7; 16], plain, &mut out).expect("it fits");
            let again = Packet::parse(sealed).and_then(|packet| packet.verify(&keys.telemetry_mac));
            let mut second = [0; MAX_READING];
            let second = again.as_ref().map(|verified| verified.open(&keys.telemetry_cipher, &mut second));
            assert_eq!(second, Ok(Ok(plain)), "the reading changed in a round trip");
        }
        Err(PacketError::Padding | PacketError::Codec(_)) => {}
        Err(other) => unreachable!("verified, but {other}"),
    }
}

/// The one spelling, as the documentation has it, written by other code than ours.
fn spelled(fields: &Value, mac: &str) -> String {
    format!(
        "{{\"version\":1,\"device_id\":\"{}\",\"epoch\":{},\"nonce\":{},\"encrypted\":true,\"compressed\":{},\
         \"iv\":\"{}\",\"payload\":\"{}\",\"mac\":\"{mac}\"}}",
        text(fields, "device_id"),
        fields["epoch"],
        fields["nonce"],
        fields["compressed"],
        text(fields, "iv"),
        text(fields, "payload"),
    )
}

/// The MAC, computed from the JSON fields.
fn mac_of(key: &[u8], fields: &Value) -> String {
    let number = |name: &str| u32::try_from(fields[name].as_u64().expect("a number")).expect("32 bits").to_be_bytes();
    let device = text(fields, "device_id");
    let iv = text(fields, "iv");
    let iv: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&iv[2 * at..2 * at + 2], 16).expect("hex")).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(b"cotter/packet/v1\0");
    mac.update(&[u8::try_from(device.len()).expect("at most 32")]);
    mac.update(device.as_bytes());
    mac.update(&number("epoch"));
    mac.update(&number("nonce"));
    mac.update(&[if fields["compressed"] == true { 3 } else { 1 }]);
    mac.update(&iv);
    mac.update(text(fields, "payload").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(fields: &Value, name: &str) -> String {
    fields[name].as_str().expect("a string").to_owned()
}
