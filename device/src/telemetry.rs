//! A reading on its way to the server: the upload flow of the seed, steps 1 to 7, and what the answer means.
//!
//! The caller keeps a sealed packet until its fate is known. If the connection breaks, *the same bytes* are sent again:
//! to a packet that it stored already the server answers so, which is as good as "accepted". Sealing the reading anew
//! would count it twice. Two payloads under one nonce never exist, because the nonce is consumed, durably, before the
//! first byte of a packet is made.
//!
//! [`CompactTelemetry`] seals in version 2 of the protocol.

mod compact;

pub use compact::CompactTelemetry;

use crate::identity::{self, Identity};
use crate::nonces::{NonceCounter, NonceError};
use crate::nvs::{Nvs, NvsError};
use crate::platform::Random;
use crate::self_test::Promise;
use crate::sequences::SequenceError;
use cotter_formats::nvs::entry::Key;
use cotter_wire::answer::Answer;
use cotter_wire::compact::CompactError;
use cotter_wire::ids::{Nonce, Sequence};
use cotter_wire::keys::DeviceKeys;
use cotter_wire::packet::{self, MAX_PACKET, PacketError};
use cotter_wire::reading::{Reading, ReadingError};
use embedded_storage::nor_flash::NorFlash;

/// Makes readings and seals them.
#[derive(Debug)]
pub struct Telemetry<'a> {
    identity: &'a Identity,
    counter: NonceCounter,
    // Derived once: doing it for each packet would cost more than sealing it. The root key is in RAM as well.
    keys: DeviceKeys,
    boot_count: u32,
}

impl<'a> Telemetry<'a> {
    /// Counts this boot. Once per boot.
    ///
    /// # Errors
    /// [`TelemetryError::Store`].
    pub fn start<F: NorFlash>(
        identity: &'a Identity,
        counter: NonceCounter,
        store: &mut Nvs<F>,
    ) -> Result<Self, TelemetryError<F::Error>> {
        let boot_count = store.u32(&identity::NAMESPACE, &BOOTS)?.unwrap_or(0).saturating_add(1);
        store.set_u32(&identity::NAMESPACE, &BOOTS, boot_count)?;
        Ok(Self { identity, counter, keys: identity.keys(), boot_count })
    }

    /// How often this device has started, this time included.
    #[must_use]
    pub const fn boot_count(&self) -> u32 {
        self.boot_count
    }

    /// A reading of these register values, made by this firmware.
    ///
    /// # Errors
    /// [`ReadingError`] for more than 16 values, or two of one register. Nothing is cut off silently.
    pub fn reading(
        &self,
        uptime_s: u32,
        firmware: Promise,
        values: impl IntoIterator<Item = (u8, u16)>,
    ) -> Result<Reading, ReadingError> {
        let mut reading = Reading::new(uptime_s, self.boot_count, firmware.version, firmware.secure_version);
        values.into_iter().try_for_each(|(register, raw)| reading.push(register, raw))?;
        Ok(reading)
    }

    /// Seals a reading into `out`.
    ///
    /// # Errors
    /// [`TelemetryError`]. A nonce may have been consumed; it is then skipped for ever.
    pub fn seal<'o, F: NorFlash>(
        &self,
        reading: &Reading,
        store: &mut Nvs<F>,
        random: &mut impl Random,
        out: &'o mut [u8; MAX_PACKET],
    ) -> Result<Sealed<'o>, TelemetryError<F::Error>> {
        let mut plain = [0; Reading::MAX_LEN];
        let plain = reading.encode(&mut plain).map_err(PacketError::from)?;
        // 1. Load the nonce from NVS. Off-spec: the seed adds one and sends; here the new value is on flash first.
        let nonce = self.counter.next(store)?;
        // 2. to 6. Compress; encrypt (not optional), with a fresh IV; base64; HMAC; JSON.
        let mut iv = [0; 16];
        random.fill(&mut iv);
        let Identity { device, epoch, .. } = self.identity;
        let packet = packet::seal(&self.keys, device, *epoch, nonce, &iv, plain, out)?;
        // 7. HTTPS POST is the caller's.
        Ok(Sealed { nonce, packet })
    }
}

/// A packet to be sent, again and again if need be, until [`Self::judge`] knows its fate. `N` is how it is numbered: by a
/// [`Nonce`] or, if it is compact, by a [`Sequence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'o, N = Nonce> {
    nonce: N,
    packet: &'o [u8],
}

impl<N: Copy + Into<Sequence>> Sealed<'_, N> {
    /// Its number.
    #[must_use]
    pub const fn nonce(&self) -> N {
        self.nonce
    }

    /// The body of the request.
    #[must_use]
    pub const fn packet(&self) -> &[u8] {
        self.packet
    }

    /// What the body of the server's answer means for this packet.
    #[must_use]
    pub fn judge(&self, answer: &[u8]) -> Delivery {
        match Answer::parse(answer) {
            Ok(Answer::Accepted(nonce)) if nonce == self.nonce.into() => Delivery::Stored,
            Ok(Answer::AlreadyStored) => Delivery::StoredEarlier,
            Ok(Answer::Refused) => Delivery::Refused,
            // Another nonce, or no answer of ours: as if none had come.
            Ok(Answer::Accepted(_)) | Err(_) => Delivery::Unknown,
        }
    }
}

/// The fate of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The server has it.
    Stored,
    /// The server had it already: an earlier answer was lost.
    StoredEarlier,
    /// The server will never take it. The reading is lost; sealing it again under the next nonce is the caller's choice.
    Refused,
    /// Not known: send the same packet again.
    Unknown,
}

/// Why a reading was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError<E> {
    /// No nonce.
    #[error("telemetry: {0}")]
    Nonce(#[from] NonceError<E>),
    /// The boot counter.
    #[error("telemetry: {0}")]
    Store(#[from] NvsError<E>),
    /// No packet.
    #[error("telemetry: {0}")]
    Packet(#[from] PacketError),
    /// No sequence number.
    #[error("telemetry: {0}")]
    Sequence(#[from] SequenceError<E>),
    /// No compact packet.
    #[error("telemetry: {0}")]
    Compact(#[from] CompactError),
}

const BOOTS: Key = Key::literal("boots");

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::test_store::{Counting, FIRST_NONCE, TestStore, mount, root_key};
    use cotter_chip::fault::{CutPoint, Phase};
    use cotter_chip::flash::Flash;
    use cotter_formats::addr::FlashAddr;
    use cotter_wire::ids::SecureVersion;
    use cotter_wire::keys::DeviceKeys;
    use cotter_wire::packet::Packet;
    use cotter_wire::version::Version;
    use std::collections::BTreeMap;
    use std::println;
    use std::vec::Vec;

    const FIRMWARE: Promise = Promise { version: Version::new(1, 0, 0), secure_version: SecureVersion(0) };
    const VALUES: [(u8, u16); 3] = [(0, 2300), (1, 170), (9, 4000)];

    fn sealed(telemetry: &Telemetry<'_>, store: &mut Nvs<Flash>, random: &mut Counting) -> Option<(Nonce, Vec<u8>)> {
        let reading = telemetry.reading(60, FIRMWARE, VALUES).unwrap();
        let mut out = [0; MAX_PACKET];
        let sealed = telemetry.seal(&reading, store, random, &mut out).ok()?;
        Some((sealed.nonce(), sealed.packet().to_vec()))
    }

    #[test]
    fn the_server_opens_what_the_device_sealed() {
        let mut store = TestStore::factory().mount();
        let identity = Identity::load(&mut store).unwrap();
        let telemetry = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).unwrap();
        let (nonce, packet) = sealed(&telemetry, &mut store, &mut Counting::default()).unwrap();
        assert_eq!(nonce, Nonce(FIRST_NONCE + 1));

        let keys = DeviceKeys::derive(&root_key(), &identity.device, identity.epoch);
        let verified = Packet::parse(&packet).unwrap().verify(&keys.telemetry_mac).unwrap();
        assert_eq!((verified.device(), verified.epoch(), verified.nonce()), (&identity.device, identity.epoch, nonce));
        let mut plain = [0; 512];
        let reading = Reading::decode(verified.open(&keys.telemetry_cipher, &mut plain).unwrap()).unwrap();
        assert_eq!((reading.uptime_s, reading.boot_count), (60, 1));
        assert_eq!(VALUES.map(|(register, _)| reading.value(register).unwrap()), VALUES.map(|(_, raw)| raw));
    }

    #[test]
    fn counts_boots() {
        let mut store = TestStore::factory().mount();
        let identity = Identity::load(&mut store).unwrap();
        for boot in 1..4 {
            let telemetry = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).unwrap();
            assert_eq!(telemetry.boot_count(), boot);
        }
    }

    #[test]
    fn refuses_to_cut_off_values() {
        let mut store = TestStore::factory().mount();
        let identity = Identity::load(&mut store).unwrap();
        let telemetry = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).unwrap();
        let many = telemetry.reading(0, FIRMWARE, (0..17).map(|register| (register, 0)));
        assert_eq!(many, Err(ReadingError::Count(17)));
        let twice = telemetry.reading(0, FIRMWARE, [(4, 1), (4, 2)]);
        assert_eq!(twice, Err(ReadingError::Duplicate { register: 4 }));
    }

    #[test]
    fn judges_every_answer() {
        let sealed = Sealed { nonce: Nonce(10_001), packet: &[] };
        let cases: [(&[u8], Delivery); 6] = [
            (b"{\"result\":\"accepted\",\"nonce\":10001}", Delivery::Stored),
            (b"{\"result\":\"accepted\",\"nonce\":10002}", Delivery::Unknown),
            (b"{\"result\":\"replay\",\"stored\":true}", Delivery::StoredEarlier),
            (b"{\"result\":\"refused\"}", Delivery::Refused),
            (b"<html>502</html>", Delivery::Unknown),
            (b"", Delivery::Unknown),
        ];
        for (answer, delivery) in cases {
            assert_eq!(sealed.judge(answer), delivery, "{}", std::string::String::from_utf8_lossy(answer));
        }
    }

    /// Seals packets on a store that loses power at any operation: no two packets share a nonce.
    #[test]
    fn no_nonce_serves_two_packets_whatever_the_power_does() {
        let content = TestStore::factory().build();
        let packets = 30;
        let mut cuts = 0;
        let operations = {
            let flash = Flash::with_content(content.clone(), cotter_chip::fault::Fault::default()).unwrap();
            let mut store = mount(flash.clone(), FlashAddr(0));
            let identity = Identity::load(&mut store).unwrap();
            let telemetry = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).unwrap();
            (0..packets).for_each(|_| assert!(sealed(&telemetry, &mut store, &mut Counting::default()).is_some()));
            flash.fault().operations()
        };
        for op in 0..operations {
            for phase in Phase::ALL {
                let flash = Flash::with_content(content.clone(), cotter_chip::fault::Fault::new(op)).unwrap();
                flash.fault().cut_at(CutPoint { op, phase });
                let mut random = Counting::default();
                let mut sent = BTreeMap::new();
                for _ in 0..2 {
                    flash.fault().restore_power();
                    let mut store = mount(flash.clone(), FlashAddr(0));
                    let identity = Identity::load(&mut store).unwrap();
                    let Ok(telemetry) = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store) else {
                        continue;
                    };
                    while sent.len() < packets {
                        let Some((nonce, packet)) = sealed(&telemetry, &mut store, &mut random) else { break };
                        assert_eq!(sent.insert(nonce, packet), None, "{nonce} twice: op {op} {phase:?}");
                    }
                }
                assert_eq!(sent.len(), packets, "op {op} {phase:?}");
                cuts += 1;
            }
        }
        println!("telemetry: {cuts} power cuts over {packets} packets");
    }
}
