//! What becomes of an image on trial: rolled back, given up, replaced.

extern crate std;
use super::super::Refusal;
use super::world::{Publication, RSA, Server, World, factory_flash};
use super::{SMALL, old};
use crate::self_test::SelfTestFailure;
use crate::test_image::TestImage;
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::version::Version;

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
