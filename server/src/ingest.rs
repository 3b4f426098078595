//! Takes a packet in, step by step in the order of trust; nothing is believed before the MAC holds.

use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::{Consumed, Keyring};
use crate::store::{Acceptance, Store, Verdict};
use cotter_wire::codec::MAX_READING;
use cotter_wire::ids::{DeviceId, Nonce};
use cotter_wire::packet::Packet;
use cotter_wire::reading::Reading;
use std::sync::Arc;

/// The way in.
pub struct Ingest {
    /// Where readings go.
    pub store: Arc<dyn Store>,
    /// Where keys come from.
    pub keyring: Arc<Keyring>,
    /// Who hears why.
    pub audit: Arc<Audit>,
    /// When a reading arrived.
    pub clock: Arc<dyn Clock>,
    /// How far a nonce may jump ahead.
    pub nonce_window: u32,
}

/// What became of a packet: all that the sender may learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Durably stored.
    Accepted(Nonce),
    /// Exactly the packet that was stored last.
    AlreadyStored,
    /// Authentic, but its nonce is not the next one.
    OutOfOrder,
    /// Not a packet.
    Malformed,
    /// Not from a device that we know, or nonsense.
    Refused,
    /// The server cannot store now: the device keeps its reading and tries again.
    Unavailable,
}

impl Ingest {
    /// Receives a body that was posted for `path_device`.
    pub async fn receive(&self, path_device: DeviceId, body: &[u8]) -> Receipt {
        // 1. The one spelling of a packet, and nothing else.
        let packet = match Packet::parse(body) {
            Ok(packet) => packet,
            Err(why) => {
                self.audit.stranger("packet-malformed", &path_device, &why);
                return Receipt::Malformed;
            }
        };
        if *packet.device() != path_device {
            self.audit.stranger("packet-of-another-device", &path_device, packet.device());
            return Receipt::Refused;
        }

        // 2. The device, and the epoch of its keys.
        let device = match self.keyring.device(path_device).await {
            Ok(Some(device)) => device,
            Ok(None) => {
                self.audit.stranger("packet-of-unknown-device", &path_device, &"not enrolled");
                return Receipt::Refused;
            }
            Err(error) => {
                tracing::error!(%error, device = %path_device, "keys are not available");
                return Receipt::Unavailable;
            }
        };
        if packet.epoch() != device.epoch {
            self.audit.stranger("packet-of-another-epoch", &path_device, &packet.epoch());
            return Receipt::Refused;
        }

        // 3. A first look at the nonce. What it says is told only to who knows the key, so that it is no oracle.
        let consumed = device.consumed();

        // 4. The MAC, in constant time, before anything is decrypted.
        let verified = match packet.verify(&device.keys.telemetry_mac) {
            Ok(verified) => verified,
            Err(why) => {
                self.audit.stranger("packet-forged", &path_device, &why);
                return Receipt::Refused;
            }
        };
        let (nonce, packet_digest) = (verified.nonce(), verified.packet_digest());
        if nonce <= consumed.nonce {
            let duplicate = consumed == Consumed { nonce, digest: Some(packet_digest) };
            return self.out_of_order(path_device, nonce, consumed.nonce, duplicate);
        }

        // 5. Decode, decrypt, decompress, all bounded; and the reading must be one. The nonce is not consumed if not.
        let mut buffer = [0; MAX_READING];
        let reading = match verified.open(&device.keys.telemetry_cipher, &mut buffer) {
            Ok(reading) => reading,
            Err(why) => {
                self.audit.device("packet-does-not-open", &path_device, &why);
                return Receipt::Refused;
            }
        };
        if let Err(why) = Reading::decode(reading) {
            self.audit.device("packet-without-reading", &path_device, &why);
            return Receipt::Refused;
        }

        // 6. Nonce and reading in one transaction, or neither; the answer comes after the commit.
        let acceptance = Acceptance {
            device: path_device,
            epoch: device.epoch,
            nonce,
            packet_digest,
            reading: reading.to_vec(),
            received_at: self.clock.unix(),
            nonce_window: self.nonce_window,
        };
        match self.store.accept_once(acceptance).await {
            Ok(Verdict::Accepted) => {
                device.note(Consumed { nonce, digest: Some(packet_digest) });
                Receipt::Accepted(nonce)
            }
            Ok(Verdict::Duplicate) => self.out_of_order(path_device, nonce, nonce, true),
            Ok(Verdict::Replay { last }) => self.out_of_order(path_device, nonce, last, false),
            Ok(Verdict::Jump { last }) => {
                let why = format!("nonce {nonce} is more than {} beyond {last}", self.nonce_window);
                self.audit.device("nonce-jump", &path_device, &why);
                Receipt::OutOfOrder
            }
            Ok(Verdict::WrongEpoch { .. } | Verdict::UnknownDevice) => {
                // The record changed under our hands.
                self.keyring.forget(&path_device);
                self.audit.stranger("packet-of-another-epoch", &path_device, &device.epoch);
                Receipt::Refused
            }
            Err(error) => {
                tracing::error!(%error, device = %path_device, "reading not stored");
                Receipt::Unavailable
            }
        }
    }

    fn out_of_order(&self, device: DeviceId, nonce: Nonce, last: Nonce, duplicate: bool) -> Receipt {
        if duplicate {
            self.audit.device("duplicate", &device, &format!("nonce {nonce} is stored already"));
            return Receipt::AlreadyStored;
        }
        self.audit.device("replay", &device, &format!("nonce {nonce} is not above {last}"));
        Receipt::OutOfOrder
    }
}
