//! Recovery of a lost nonce counter: ask, challenge, claim and grant.

use cotter_formats::secret::Secret;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};
use cotter_wire::keys::{RecoveryKey, RootKey};
use cotter_wire::recovery::{Ask, ClaimMessage, MAX_MESSAGE, Recovery};

/// An ask and a claim verify exactly if their device wrote them; nothing else passes for a challenge or a grant.
pub fn recovery(data: &[u8]) {
    let mut out = [0; MAX_MESSAGE];
    if let Ok(ask) = Ask::parse(data) {
        let (device, fields) = (*ask.device(), fields(data));
        let honest = Recovery::new(device, KeyEpoch(1), nonce(&fields, "device_nonce"));
        let honest = honest.ask(&key(&device), &mut out).expect("it fits");
        assert_eq!(honest[..honest.len() - 66], data[..data.len() - 66], "an ask changed in a round trip");
        assert_eq!(ask.verify(&key(&device)).is_ok(), honest == data, "the MAC says otherwise");
    }
    if let Ok(claim) = ClaimMessage::parse(data) {
        let (device, fields) = (*claim.device(), fields(data));
        let epoch = u32::try_from(fields["epoch"].as_u64().expect("a number")).expect("32 bits");
        let begin = || Recovery::new(device, KeyEpoch(epoch), nonce(&fields, "device_nonce"));
        let (key, server) = (key(&device), nonce(&fields, "server_nonce"));
        // The honest device, as far as this very claim.
        let ask = Ask::parse(begin().ask(&key, &mut out).expect("it fits")).and_then(|ask| ask.verify(&key));
        let challenge = ask.expect("its device wrote it").challenge(&key, &server, &mut out).expect("it fits").to_vec();
        let honest = begin().challenged(&key, &challenge).expect("the server wrote it");
        let text = honest.write(&key, &mut out).expect("it fits").to_vec();
        assert_eq!(text[..text.len() - 66], data[..data.len() - 66], "a claim changed in a round trip");
        assert_eq!(claim.verify(&key).is_ok(), text == data, "the MAC says otherwise");
        let verified = ClaimMessage::parse(&text).and_then(|claim| claim.verify(&key)).expect("its device wrote it");
        let next = KeyEpoch(epoch.wrapping_add(1));
        let grant = verified.grant(&key, next, Nonce(7), &mut out).expect("it fits");
        assert_eq!(honest.granted(&key, grant).is_ok(), next.0 > epoch);
    }
    let device = "device-1".parse().expect("a legal id");
    let begin = || Recovery::new(device, KeyEpoch(1), [9; 16]);
    assert!(begin().challenged(&key(&device), data).is_err(), "a forged challenge was accepted");
    let ask =
        Ask::parse(begin().ask(&key(&device), &mut out).expect("it fits")).and_then(|ask| ask.verify(&key(&device)));
    let challenge = ask.expect("its device wrote it").challenge(&key(&device), &[2; 16], &mut out).expect("it fits");
    let claim = begin().challenged(&key(&device), challenge).expect("the server wrote it");
    assert!(claim.granted(&key(&device), data).is_err(), "a forged grant was accepted");
}

fn fields(data: &[u8]) -> serde_json::Value {
    serde_json::from_slice(data).expect("a canonical message is JSON")
}

fn nonce(fields: &serde_json::Value, name: &str) -> [u8; 16] {
    let hex = fields[name].as_str().expect("a string");
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
}

fn key(device: &DeviceId) -> RecoveryKey {
    RecoveryKey::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), device)
}
