//! The session between device and server: hello, welcome, and the header of each request.

use cotter_formats::secret::Secret;
use cotter_wire::ids::{KeyEpoch, UnixTime};
use cotter_wire::keys::{DeviceKeys, RootKey};
use cotter_wire::session::{Credential, Greeting, Hello, MAX_HEADER, MAX_MESSAGE, Request, SessionId};

/// A hello verifies exactly if its device wrote it, and then leads to a session; no other welcome or header does.
pub fn session(data: &[u8]) {
    if let Ok(hello) = Hello::parse(data) {
        greeted(hello, data);
    }
    let device = "device-1".parse().expect("a legal id");
    let keys = keys(&device, KeyEpoch(1));
    let greeting = Greeting::new(device, KeyEpoch(1), [9; 16]);
    assert!(greeting.accept(&keys, data).is_err(), "a forged welcome was accepted");
    if let Ok(credential) = Credential::parse(data) {
        let text = std::str::from_utf8(data).expect("a canonical header is ASCII");
        let parts: Vec<&str> = text.split(':').collect();
        let counter: u32 = parts[1].parse().expect("a number");
        let id: String = credential.session().0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(format!("{id}:{counter}:{}", parts[2]), text, "a second spelling was accepted");
    }
}

fn greeted(hello: Hello, data: &[u8]) {
    let (device, epoch) = (*hello.device(), hello.epoch());
    let keys = keys(&device, epoch);
    let fields: serde_json::Value = serde_json::from_slice(data).expect("a canonical hello is JSON");
    let hex = fields["device_nonce"].as_str().expect("a string");
    let nonce = std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"));
    let greeting = Greeting::new(device, epoch, nonce);
    let mut out = [0; MAX_MESSAGE];
    let honest = greeting.write(&keys, &mut out).expect("it fits");
    let mac_at = honest.len() - 66;
    assert_eq!(honest[..mac_at], data[..mac_at], "a hello changed in a round trip");
    assert_eq!(hello.verify(&keys.request).is_ok(), honest == data, "the MAC says otherwise");

    // What the honest device goes on to do.
    let hello = Hello::parse(honest).and_then(|hello| hello.verify(&keys.request)).expect("its device wrote it");
    let mut out = [0; MAX_MESSAGE];
    let time = UnixTime(1_700_000_000);
    let (welcome, mut server) = hello.welcome(&keys, SessionId([1; 16]), &[2; 16], time, &mut out).expect("it fits");
    let mut client = greeting.accept(&keys, welcome).expect("the server wrote it");
    let request = Request { method: "GET", path: "/v1", body: data };
    let mut header = [0; MAX_HEADER];
    let header = client.sign(&request, &mut header).expect("it fits");
    let credential = Credential::parse(header.as_bytes()).expect("our own header");
    assert_eq!(server.check(&credential, &request, time), Ok(()));
    assert!(server.check(&credential, &request, time).is_err(), "a request was taken twice");
}

fn keys(device: &cotter_wire::ids::DeviceId, epoch: KeyEpoch) -> DeviceKeys {
    DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), device, epoch)
}
