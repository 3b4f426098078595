//! What becomes of an image on trial: rolled back, given up, replaced.

extern crate std;
use super::super::{Action, Event, RECORD, Refusal, Request};
use super::world::{End, NVS, OTADATA, Publication, RSA, SLOTS, Server, World, factory_flash};
use super::{SMALL, new, old};
use crate::identity::NAMESPACE;
use crate::self_test::SelfTestFailure;
use crate::test_image::TestImage;
use crate::test_store::mount;
use cotter_formats::addr::{FlashAddr, SECTOR};
use cotter_formats::otadata::{ENTRY_LEN, OtaEntry, OtaState};
use cotter_wire::ids::SecureVersion;
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::version::Version;
use embedded_storage::nor_flash::NorFlash;
use std::vec::Vec;

#[test]
fn rolls_back_what_fails_its_self_test_and_takes_the_next_release() {
    let bad = TestImage::of("1.2.0", 1).with_zero_gain().of_len(SMALL).build();
    let fixed = TestImage::of("1.2.1", 1).of_len(SMALL).build();
    let world = World::new(&factory_flash(&old(), 1), &[&old(), &bad, &fixed], 0);
    let mut server = Server::with(Publication::of(&bad, (1, 2, 0), 1, &[&RSA]).publish());

    let refusals = world.settle(&mut server);
    assert_eq!(refusals[0], Refusal::SelfTest(SelfTestFailure::ZeroGain { register: 3 }));
    assert!(matches!(refusals[1..], [Refusal::KnownBad { .. }]), "{refusals:?}");
    let version = Version::new(1, 2, 0);
    let rolled_back = StatusReport::new(version, Outcome::RolledBack, "self-test-zero-gain");
    assert_eq!(server.reports[0], rolled_back);
    assert_eq!(server.reports[1], StatusReport::new(version, Outcome::Failed, "known-bad-release"));
    assert_eq!(server.chunks.len(), 5, "a release that was given up is not downloaded again");
    assert_eq!(world.version(), "1.0.0");
    assert_eq!(world.fuse_floor().0, 0, "what never confirmed itself burns nothing");

    server.release = Some(Publication::of(&fixed, (1, 2, 1), 1, &[&RSA]).publish());
    assert_eq!(world.settle(&mut server), []);
    assert_eq!(world.version(), "1.2.1");
}

#[test]
fn gives_up_what_the_second_stage_does_not_start() {
    // Signed and labelled, but its checksum is wrong, so that no boot gets as far as a self-test.
    let mut broken = TestImage::of("1.2.0", 1).of_len(SMALL).build();
    broken[5000] ^= 1;
    let world = World::new(&factory_flash(&old(), 1), &[&old()], 0);
    let mut server = Server::with(Publication::of(&broken, (1, 2, 0), 1, &[&RSA]).publish());
    let refusals = world.settle(&mut server);
    assert!(matches!(refusals[..], [Refusal::KnownBad { .. }]), "{refusals:?}");
    assert_eq!(server.reports[0], StatusReport::new(Version::new(1, 2, 0), Outcome::RolledBack, "did-not-boot"));
    assert_eq!(server.chunks.len(), 5, "the slot was complete all the time");
    assert_eq!(world.version(), "1.0.0");
}

/// Puts the board where it is in the middle of an update: 1.1.0 is in slot 1, marked, never booted.
fn marked() -> (World, Server) {
    let world = World::new(&factory_flash(&old(), 1), &[&old(), &new()], 0);
    let mut server = Server::with(Publication::of(&new(), (1, 1, 0), 1, &[&RSA]).publish());
    assert_eq!(world.boot(&mut server, 1, &mut Vec::new()), End::Reboot);
    (world, server)
}

fn entries(world: &World) -> [OtaEntry; 2] {
    [OTADATA, OTADATA + SECTOR].map(|at| {
        let mut bytes = [0; ENTRY_LEN];
        world.board.transparent_flash().read_at(FlashAddr(at), &mut bytes).unwrap();
        OtaEntry::parse(&bytes).unwrap()
    })
}

#[test]
fn stays_in_the_new_slot_if_its_entry_is_lost_and_the_old_one_does_not_boot() {
    let (world, mut server) = marked();
    let [old, new] = entries(&world);
    assert_eq!((old, new), (OtaEntry::new(1, OtaState::VALID), OtaEntry::new(2, OtaState::NEW)));
    let mut view = world.board.transparent_flash();
    view.erase(OTADATA + SECTOR, OTADATA + 2 * SECTOR).unwrap();
    view.erase(SLOTS[0], SLOTS[0] + SECTOR).unwrap();
    assert_eq!(world.settle(&mut server), []);
    assert_eq!(server.reports, [StatusReport::new(Version::new(1, 1, 0), Outcome::Installed, "")]);
    assert_eq!(world.version(), "1.1.0");
    assert!(entries(&world).contains(&OtaEntry::new(2, OtaState::VALID)));
}

#[test]
fn confirms_an_image_that_a_cable_brought_without_a_record() {
    let (world, mut server) = marked();
    server.release = None;
    let mut nvs = mount(world.board.raw_flash(), FlashAddr(NVS));
    assert_eq!(nvs.erase_key(&NAMESPACE, &RECORD), Ok(true));
    assert_eq!(world.settle(&mut server), []);
    assert_eq!(server.reports, [], "no update, nothing to report");
    assert_eq!(entries(&world)[1], OtaEntry::new(2, OtaState::VALID));
    assert_eq!(world.version(), "1.1.0");
}

#[test]
fn tells_the_server_again_until_it_has_heard() {
    let (world, mut server) = marked();
    // The new firmware confirms itself, but its report does not get through.
    world.by_hand(SecureVersion(0), |updater, storage| {
        let report = updater.step(storage, Event::Booted).unwrap();
        assert!(matches!(report, Action::Request(Request::Status(_))));
        assert_eq!(updater.step(storage, Event::ConnectionLost).unwrap(), Action::Sleep);
        assert_eq!(updater.step(storage, Event::Wake).unwrap(), report);
    });
    assert_eq!(server.reports, []);
    assert_eq!(world.settle(&mut server), []);
    assert_eq!(server.reports, [StatusReport::new(Version::new(1, 1, 0), Outcome::Installed, "")]);
    world.settle(&mut server);
    assert_eq!(server.reports.len(), 1, "and not once more");
}
