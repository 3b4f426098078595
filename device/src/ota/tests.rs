//! Updates on a whole virtual chip: flash encryption on, real ROM and second stage.

extern crate std;
mod world;

use crate::test_image::TestImage;
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::version::Version;
use std::vec::Vec;
use world::{P256, Publication, RSA, Server, World, factory_flash};

const SMALL: usize = 10_000;

fn old() -> Vec<u8> {
    TestImage::of("1.0.0", 0).of_len(SMALL).build()
}

fn new() -> Vec<u8> {
    TestImage::of("1.1.0", 1).of_len(SMALL).build()
}

#[test]
fn installs_a_release_that_two_keys_signed() {
    // The golden application: 69 KB, its length is no multiple of a chunk.
    let (old, new) = (TestImage::of("1.0.0", 0).build(), TestImage::of("1.1.0", 1).build());
    let world = World::new(&factory_flash(&old, 2), &[&old, &new], 0);
    let mut server = Server::with(Publication::of(&new, (1, 1, 0), 1, &[&RSA, &P256]).publish());
    assert_eq!(world.settle(&mut server), []);
    assert_eq!(server.reports, [StatusReport::new(Version::new(1, 1, 0), Outcome::Installed, "")]);
    assert_eq!(server.chunks, (0..35).collect::<Vec<_>>());
    assert_eq!(world.version(), "1.1.0");
    // The boot after the confirmation burns the anti-rollback eFuse.
    assert_eq!(world.fuse_floor().0, 1);
}
