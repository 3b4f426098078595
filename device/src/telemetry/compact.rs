//! Readings in version 2 of the protocol: a quarter of the bytes, and a write to flash for every 64th packet only.

use super::{Sealed, TelemetryError};
use crate::identity::Identity;
use crate::nvs::Nvs;
use crate::sequences::{SequenceCounter, SequenceError};
use core::marker::PhantomData;
use cotter_wire::compact::{Channel, CompactError, MAX_COMPACT};
use cotter_wire::ids::Sequence;
use cotter_wire::reading::Reading;
use embedded_storage::nor_flash::NorFlash;

/// Seals readings that [`Telemetry`](super::Telemetry) made.
#[derive(Debug)]
pub struct CompactTelemetry<'a> {
    counter: SequenceCounter,
    channel: Channel,
    // Its keys are of the identity's epoch, so it ends with it.
    identity: PhantomData<&'a Identity>,
}

impl<'a> CompactTelemetry<'a> {
    /// Derives the keys. Once per boot.
    ///
    /// # Errors
    /// [`SequenceError::Missing`] if the counter was lost; the store's.
    pub fn start<F: NorFlash>(identity: &'a Identity, store: &mut Nvs<F>) -> Result<Self, SequenceError<F::Error>> {
        Ok(Self { counter: SequenceCounter::start(store)?, channel: identity.uplink(), identity: PhantomData })
    }

    /// Seals a reading into `out`.
    ///
    /// # Errors
    /// [`TelemetryError`]. A number may have been consumed; it is then skipped for ever.
    pub fn seal<'o, F: NorFlash>(
        &mut self,
        reading: &Reading,
        store: &mut Nvs<F>,
        out: &'o mut [u8; MAX_COMPACT],
    ) -> Result<Sealed<'o, Sequence>, TelemetryError<F::Error>> {
        let mut plain = [0; Reading::MAX_COMPACT];
        let plain = reading.encode_compact(&mut plain).map_err(CompactError::from)?;
        // The number is consumed before the first byte of a packet is made.
        let nonce = self.counter.next(store)?;
        let packet = self.channel.seal(nonce, plain, out)?;
        Ok(Sealed { nonce, packet })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::nonces::NonceCounter;
    use crate::sequences::AHEAD;
    use crate::telemetry::{Delivery, Telemetry};
    use crate::test_store::{Counting, FIRST_NONCE, TestStore, mount, root_key};
    use cotter_chip::fault::{CutPoint, Fault, Phase};
    use cotter_chip::flash::Flash;
    use cotter_formats::addr::FlashAddr;
    use cotter_wire::compact::CompactPacket;
    use cotter_wire::ids::{Nonce, SecureVersion};
    use cotter_wire::keys::Direction;
    use cotter_wire::packet::MAX_PACKET;
    use cotter_wire::version::Version;
    use std::collections::BTreeMap;
    use std::println;
    use std::vec::Vec;

    fn reading() -> Reading {
        let mut reading = Reading::new(60, 1, Version::new(1, 0, 0), SecureVersion(0));
        for (register, raw) in [(0, 2300), (1, 1700), (2, 5000), (9, 4000)] {
            reading.push(register, raw).unwrap();
        }
        reading
    }

    fn sealed(telemetry: &mut CompactTelemetry<'_>, store: &mut Nvs<Flash>) -> Option<(Sequence, Vec<u8>)> {
        let mut out = [0; MAX_COMPACT];
        let sealed = telemetry.seal(&reading(), store, &mut out).ok()?;
        Some((sealed.nonce(), sealed.packet().to_vec()))
    }

    #[test]
    fn the_server_opens_what_the_device_sealed() {
        let mut store = TestStore::factory().mount();
        let identity = Identity::load(&mut store).unwrap();
        let mut telemetry = CompactTelemetry::start(&identity, &mut store).unwrap();
        let mut out = [0; MAX_COMPACT];
        let sealed = telemetry.seal(&reading(), &mut store, &mut out).unwrap();
        assert_eq!(sealed.nonce(), Sequence::from(Nonce(FIRST_NONCE + 1)));
        assert_eq!(sealed.judge(b"{\"result\":\"accepted\",\"nonce\":10001}"), Delivery::Stored);
        assert_eq!(sealed.judge(b"{\"result\":\"accepted\",\"nonce\":10002}"), Delivery::Unknown);

        let channel = Channel::derive(&root_key(), &identity.device, identity.epoch, Direction::Up);
        let mut plain = [0; 128];
        let opened = CompactPacket::parse(sealed.packet()).unwrap().open(&channel, &mut plain).unwrap();
        assert_eq!(Reading::decode_compact(opened.content()), Ok(reading()));
    }

    /// Seals packets on a store that loses power at any operation: no two packets share a sequence number.
    #[test]
    fn no_sequence_number_serves_two_packets_whatever_the_power_does() {
        let content = TestStore::factory().build();
        // Several marks, and a boot in the middle of a lot.
        let packets = 3 * usize::try_from(AHEAD).unwrap() + 5;
        let life = |flash: &Flash, sent: &mut BTreeMap<Sequence, Vec<u8>>, most: usize, what: &str| {
            let mut store = mount(flash.clone(), FlashAddr(0));
            let identity = Identity::load(&mut store).unwrap();
            let Ok(mut telemetry) = CompactTelemetry::start(&identity, &mut store) else { return };
            while sent.len() < most {
                let Some((number, packet)) = sealed(&mut telemetry, &mut store) else { break };
                assert_eq!(sent.insert(number, packet), None, "{number} twice: {what}");
            }
        };
        let operations = {
            let flash = Flash::with_content(content.clone(), Fault::default()).unwrap();
            let mut sent = BTreeMap::new();
            life(&flash, &mut sent, packets / 2, "whole");
            life(&flash, &mut sent, packets, "whole");
            assert_eq!(sent.len(), packets);
            flash.fault().operations()
        };
        let (mut cuts, mut skipped) = (0, 0);
        for op in 0..operations {
            for phase in Phase::ALL {
                let flash = Flash::with_content(content.clone(), Fault::new(op)).unwrap();
                flash.fault().cut_at(CutPoint { op, phase });
                let (mut sent, what) = (BTreeMap::new(), std::format!("op {op} {phase:?}"));
                for most in [packets / 2, packets, packets] {
                    flash.fault().restore_power();
                    life(&flash, &mut sent, most, &what);
                }
                assert_eq!(sent.len(), packets, "{what}");
                let last = sent.last_key_value().unwrap().0.get();
                let more = last - u64::from(FIRST_NONCE) - u64::try_from(packets).unwrap();
                assert!(more <= 3 * AHEAD, "{more} numbers skipped: {what}");
                skipped += more;
                cuts += 1;
            }
        }
        println!("compact: {cuts} power cuts over {packets} packets, {skipped} numbers skipped, none repeated");
    }

    /// What a packet writes, counted in operations of the flash, page erasures of the store included.
    #[test]
    fn writes_a_sixtieth_of_what_version_1_does() {
        let packets = 640;
        let operations = |compact: bool| {
            let flash = Flash::with_content(TestStore::factory().build(), Fault::default()).unwrap();
            let mut store = mount(flash.clone(), FlashAddr(0));
            let identity = Identity::load(&mut store).unwrap();
            let old = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).unwrap();
            let mut new = CompactTelemetry::start(&identity, &mut store).unwrap();
            let before = flash.fault().operations();
            for _ in 0..packets {
                if compact {
                    sealed(&mut new, &mut store).unwrap();
                } else {
                    old.seal(&reading(), &mut store, &mut Counting::default(), &mut [0; MAX_PACKET]).unwrap();
                }
            }
            flash.fault().operations() - before
        };
        let (old, new) = (operations(false), operations(true));
        println!("{packets} packets: {old} flash operations in version 1, {new} in version 2");
        assert!(60 * new < old, "{old}, {new}");
    }
}
