//! Rotation of root keys: offer, confirmation and acknowledgement; orders as an operator names them.

use cotter_formats::secret::Secret;
use cotter_server::rotation::{Act, RotationId, Scope, State};
use cotter_wire::ids::{DeviceId, KeyEpoch};
use cotter_wire::keys::{ConfirmationKey, OfferKey, RootKey};
use cotter_wire::rotation::{Asking, ConfirmMessage, Confirmation, MAX_MESSAGE, Ticket};

/// A confirmation verifies exactly if its device wrote it; nothing else passes for an offer or an acknowledgement.
pub fn rotation(data: &[u8]) {
    let mut out = [0; MAX_MESSAGE];
    if let Ok(message) = ConfirmMessage::parse(data) {
        let (device, epoch, ticket) = (*message.device(), message.epoch(), *message.ticket());
        let key = ConfirmationKey::derive(&root(), &device);
        let fields: serde_json::Value = serde_json::from_slice(data).expect("a canonical message is JSON");
        let hex = fields["device_nonce"].as_str().expect("a string");
        let device_nonce =
            std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"));
        let honest = Confirmation { device, epoch, device_nonce, ticket };
        let text = honest.write(&key, &mut out).expect("it fits").to_vec();
        assert_eq!(text[..text.len() - 66], data[..data.len() - 66], "a confirmation changed in a round trip");
        assert_eq!(message.verify(&key).is_ok(), text == data, "the MAC says otherwise");
        let message = ConfirmMessage::parse(&text).expect("its device wrote it");
        let confirmed = message.verify(&key).expect("its device wrote it");
        let ack = confirmed.acknowledge(&key, &mut out).expect("it fits");
        assert_eq!(honest.acknowledged(&key, ack), Ok(()));
    }
    let device: DeviceId = "device-1".parse().expect("a legal id");
    let asking = Asking::new(device, KeyEpoch(1), [9; 16]);
    assert!(asking.offered(&OfferKey::derive(&root(), &device), data).is_err(), "a forged offer was accepted");
    let confirmation =
        Confirmation { device, epoch: KeyEpoch(2), device_nonce: [9; 16], ticket: Ticket([7; Ticket::LEN]) };
    let key = ConfirmationKey::derive(&root(), &device);
    assert!(confirmation.acknowledged(&key, data).is_err(), "a forged acknowledgement was accepted");

    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(number) = text.parse::<RotationId>() {
        assert_eq!(number.to_string().parse(), Ok(number), "a number changed in a round trip");
    }
    assert!(State::from_name(text).is_none_or(|state| state.as_str() == text));
    assert!(Act::from_name(text).is_none_or(|act| act.as_str() == text));
    if let Some((kind, target)) = text.split_once(' ')
        && let Some(scope) = Scope::new(kind, target)
    {
        assert_eq!((scope.kind(), scope.target()), (kind, target), "a second spelling of {scope:?}");
    }
}

fn root() -> RootKey {
    RootKey::new(Secret::filled_by(|key| key.fill(0x42)))
}
