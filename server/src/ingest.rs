//! Takes a packet in, step by step in the order of trust; nothing is believed before the MAC or the tag holds.

use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::{Consumed, Keyring, KnownDevice, PreviousKeys};
use crate::limits::budgets::{Budgets, Exhausted};
use crate::store::{Acceptance, Store, Verdict};
use cotter_wire::codec::MAX_READING;
use cotter_wire::compact::{CompactPacket, MAX_PLAIN};
use cotter_wire::ids::{DeviceId, KeyEpoch, Protocol, Sequence};
use cotter_wire::packet::Packet;
use cotter_wire::reading::Reading;
use std::sync::Arc;
use std::time::Instant;

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
    /// How many authentic packets of one device.
    pub uploads: Budgets<DeviceId>,
}

/// What became of a packet: all that the sender may learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Durably stored.
    Accepted(Sequence),
    /// Exactly the packet that was stored last.
    AlreadyStored,
    /// Authentic, but its nonce is not the next one.
    OutOfOrder,
    /// Not a packet.
    Malformed,
    /// Not from a device that we know, or nonsense.
    Refused,
    /// Authentic, but too many of them: again after so many seconds.
    TooMany(u32),
    /// The server cannot store now: the device keeps its reading and tries again.
    Unavailable,
}

/// An authentic packet: who it is from, and its place in the order.
struct Authentic<'a> {
    device: &'a KnownDevice,
    epoch: KeyEpoch,
    protocol: Protocol,
    nonce: Sequence,
    digest: [u8; 32],
}

impl Ingest {
    /// Receives a body of version 1 that was posted for `path_device`.
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
        let device = match self.device(path_device).await {
            Ok(device) => device,
            Err(receipt) => return receipt,
        };
        let epoch = packet.epoch();
        let keys = if epoch == device.epoch {
            &device.keys
        } else if let Some(previous) = self.overlapping(&device).filter(|previous| previous.epoch == epoch) {
            &previous.keys
        } else {
            self.audit.stranger("packet-of-another-epoch", &path_device, &epoch);
            return Receipt::Refused;
        };

        // 3. A first look at the nonce. What it says is told only to who knows the key, so that it is no oracle.
        let consumed = device.consumed();

        // 4. The MAC, in constant time, before anything is decrypted.
        let verified = match packet.verify(&keys.telemetry_mac) {
            Ok(verified) => verified,
            Err(why) => {
                self.audit.stranger("packet-forged", &path_device, &why);
                return Receipt::Refused;
            }
        };
        let (nonce, digest) = (verified.nonce().into(), verified.packet_digest());
        let packet = Authentic { device: &device, epoch, protocol: Protocol::V1, nonce, digest };
        if let Some(receipt) = self.too_late(&packet, &consumed) {
            return receipt;
        }

        // 5. Decode, decrypt, decompress, all bounded; and the reading must be one. The nonce is not consumed if not.
        let mut buffer = [0; MAX_READING];
        let reading = match verified.open(&keys.telemetry_cipher, &mut buffer) {
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
        self.keep(packet, reading.to_vec()).await
    }

    /// Receives a body of version 2 that was posted for `path_device`: the same steps, but that one tag covers all, the
    /// name in the path and the epoch in our records included.
    pub async fn receive_compact(&self, path_device: DeviceId, body: &[u8]) -> Receipt {
        // 1. The one spelling of a packet, and nothing else.
        let packet = match CompactPacket::parse(body) {
            Ok(packet) => packet,
            Err(why) => {
                self.audit.stranger("packet-malformed", &path_device, &why);
                return Receipt::Malformed;
            }
        };
        // 2. The device.
        let device = match self.device(path_device).await {
            Ok(device) => device,
            Err(receipt) => return receipt,
        };
        // 3. A first look at the nonce, told only to who knows the key.
        let consumed = device.consumed();
        // 4. The tag, in constant time. What it does not cover is never seen. It does not say under which key; so in an
        //    overlap there are two to try.
        let (mut buffer, mut other) = ([0; MAX_PLAIN], [0; MAX_PLAIN]);
        let opened = packet.clone().open(&device.uplink, &mut buffer).map(|opened| (opened, device.epoch));
        let opened = opened.or_else(|why| {
            let previous = self.overlapping(&device).ok_or(why)?;
            packet.open(&previous.uplink, &mut other).map(|opened| (opened, previous.epoch))
        });
        let (opened, epoch) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                self.audit.stranger("packet-forged", &path_device, &why);
                return Receipt::Refused;
            }
        };
        let (nonce, digest) = (opened.sequence(), opened.packet_digest());
        let packet = Authentic { device: &device, epoch, protocol: Protocol::V2, nonce, digest };
        if let Some(receipt) = self.too_late(&packet, &consumed) {
            return receipt;
        }
        // 5. It must be a reading. It is stored as if it had come in version 1.
        let mut reading = [0; Reading::MAX_LEN];
        let decoded = Reading::decode_compact(opened.content());
        let reading = match decoded.map(|decoded| decoded.encode(&mut reading).unwrap_or_default().to_vec()) {
            Ok(reading) => reading,
            Err(why) => {
                self.audit.device("packet-without-reading", &path_device, &why);
                return Receipt::Refused;
            }
        };
        // 6. One transaction.
        self.keep(packet, reading).await
    }

    /// The keys before the last rotation, while packets under them count.
    fn overlapping<'d>(&self, device: &'d KnownDevice) -> Option<&'d PreviousKeys> {
        device.previous.as_deref().filter(|previous| previous.until > self.clock.unix())
    }

    async fn device(&self, id: DeviceId) -> Result<Arc<KnownDevice>, Receipt> {
        match self.keyring.device(id).await {
            Ok(Some(device)) => Ok(device),
            Ok(None) => {
                self.audit.stranger("packet-of-unknown-device", &id, &"not enrolled");
                Err(Receipt::Refused)
            }
            Err(error) => {
                tracing::error!(%error, device = %id, "keys are not available");
                Err(Receipt::Unavailable)
            }
        }
    }

    /// What an authentic packet is told if it comes too late by what we surely know.
    fn too_late(&self, packet: &Authentic<'_>, consumed: &Consumed) -> Option<Receipt> {
        if packet.protocol < consumed.minimum {
            return Some(self.downgrade(packet, consumed.minimum));
        }
        let duplicate = packet.nonce == consumed.nonce && consumed.digest == Some(packet.digest);
        (packet.nonce <= consumed.nonce).then(|| self.out_of_order(packet, consumed.nonce, duplicate))
    }

    async fn keep(&self, packet: Authentic<'_>, reading: Vec<u8>) -> Receipt {
        let Authentic { device, epoch, protocol, nonce, digest } = packet;
        // Not before: who replays what he recorded would use up the budget of the device.
        if let Err(Exhausted { retry_after }) = self.uploads.take(device.id, Instant::now()) {
            return Receipt::TooMany(retry_after);
        }
        let acceptance = Acceptance {
            device: device.id,
            place: device.place,
            epoch,
            protocol,
            nonce,
            packet_digest: digest,
            reading,
            received_at: self.clock.unix(),
            nonce_window: self.nonce_window,
        };
        match self.store.accept_once(acceptance).await {
            Ok(Verdict::Accepted) => {
                self.keyring.note(device, Consumed { nonce, digest: Some(digest), minimum: protocol });
                if epoch == device.epoch && device.previous.is_some() {
                    self.retire(device).await;
                }
                Receipt::Accepted(nonce)
            }
            Ok(Verdict::Duplicate) => self.out_of_order(&packet, nonce, true),
            Ok(Verdict::Replay { last }) => self.out_of_order(&packet, last, false),
            Ok(Verdict::Jump { last }) => {
                let why = format!("nonce {nonce} is more than {} beyond {last}", self.nonce_window);
                self.audit.alarm("nonce-jump", &device.id, &why);
                Receipt::OutOfOrder
            }
            Ok(Verdict::Downgrade { minimum }) => self.downgrade(&packet, minimum),
            Ok(Verdict::WrongEpoch { .. } | Verdict::UnknownDevice) => {
                // The record changed under our hands.
                self.keyring.forget(&device.id);
                self.audit.stranger("packet-of-another-epoch", &device.id, &epoch);
                Receipt::Refused
            }
            Err(error) => {
                tracing::error!(%error, device = %device.id, "reading not stored");
                Receipt::Unavailable
            }
        }
    }

    /// A packet under the new keys is stored: every earlier one, under the keys before, would come out of order.
    async fn retire(&self, device: &KnownDevice) {
        let detail = "a packet under the new keys came".to_owned();
        let note = self.audit.note(&"server", "root-key-retired", device.id.to_string(), detail);
        match self.store.retire_key(device.id, note).await {
            Ok(_) => self.keyring.forget(&device.id),
            // The next packet tries again, and so does the sweep.
            Err(error) => tracing::error!(%error, device = %device.id, "the root key before is not deleted yet"),
        }
    }

    fn downgrade(&self, packet: &Authentic<'_>, minimum: Protocol) -> Receipt {
        let why = format!("nonce {} in version {}, but it must be {minimum}", packet.nonce, packet.protocol);
        self.audit.device("protocol-downgrade", &packet.device.id, &why);
        Receipt::Refused
    }

    fn out_of_order(&self, packet: &Authentic<'_>, last: Sequence, duplicate: bool) -> Receipt {
        let (device, nonce) = (&packet.device.id, packet.nonce);
        if duplicate {
            self.audit.device("duplicate", device, &format!("nonce {nonce} is stored already"));
            return Receipt::AlreadyStored;
        }
        self.audit.device("replay", device, &format!("nonce {nonce} is not above {last}"));
        Receipt::OutOfOrder
    }
}
