//! A device in service for a while: its store has been written to until it is about to run out of pages.

use crate::life::mount;
use crate::service::Service;
use cotter_chip::board::VirtualChip;
use cotter_device::identity::Identity;
use cotter_device::nonces::NonceCounter;
use cotter_device::self_test::Promise;
use cotter_device::telemetry::Telemetry;
use cotter_twin::random::HostRandom;
use cotter_wire::ids::{Nonce, SecureVersion};
use cotter_wire::packet::MAX_PACKET;
use cotter_wire::version::Version;

/// Seals packets until NVS would have to clear a page for the packet after `left` more.
pub(crate) fn wear(board: &VirtualChip, service: &mut Service, left: usize) {
    let trial = board.duplicate().unwrap();
    let operations = seal_many(&trial, &mut service.clone(), 126 * 7);
    // A packet takes three operations. Three more close a page and open the next; clearing one takes an erase besides.
    let usual = operations[1];
    let clears = operations.iter().position(|count| *count > usual + 4).expect("seven pages' worth of packets");
    seal_many(board, service, clears - left);
}

/// Seals packets and sends them; gives the number of flash operations that each took.
fn seal_many(board: &VirtualChip, service: &mut Service, packets: usize) -> Vec<u64> {
    let mut store = mount(board).unwrap();
    let identity = Identity::load(&mut store).unwrap();
    let telemetry = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).unwrap();
    let firmware = Promise { version: Version::new(1, 0, 0), secure_version: SecureVersion(0) };
    let reading = telemetry.reading(0, firmware, []).unwrap();
    let mut seal = || {
        let before = board.fault().operations();
        let mut out = [0; MAX_PACKET];
        let sealed = telemetry.seal(&reading, &mut store, &mut HostRandom::default(), &mut out).unwrap();
        service.receive(sealed.packet());
        board.fault().operations() - before
    };
    (0..packets).map(|_| seal()).collect()
}
