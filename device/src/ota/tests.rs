//! Updates on a whole virtual chip: flash encryption on, real ROM and second stage.

extern crate std;
mod power;
mod refusals;
mod trials;
mod world;

use super::Refusal;
use crate::test_image::TestImage;
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::version::Version;
use std::vec::Vec;
use world::{End, P256, Publication, RSA, Server, World, factory_flash};

const SMALL: usize = 10_000;

/// Version 1.0.0, which the factory put there.
fn old() -> Vec<u8> {
    TestImage::of("1.0.0", 0).of_len(SMALL).build()
}

/// Version 1.1.0.
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

#[test]
fn goes_on_after_a_lost_connection_where_it_was() {
    let world = World::new(&factory_flash(&old(), 1), &[&old(), &new()], 0);
    let mut server = Server::with(Publication::of(&new(), (1, 1, 0), 1, &[&RSA]).publish());
    server.attack = Some(|index, bytes| {
        if index == 3 {
            bytes.pop();
        }
    });
    let mut refusals = Vec::new();
    assert_eq!(world.boot(&mut server, 1, &mut refusals), End::Asleep);
    assert_eq!(refusals, [Refusal::ChunkLength { index: 3, expected: 2048, found: 2047 }]);
    server.attack = None;
    assert_eq!(world.settle(&mut server), []);
    // Chunk 2 is fetched again because its sector was not complete.
    assert_eq!(server.chunks, [0, 1, 2, 3, 2, 3, 4]);
    assert_eq!(world.version(), "1.1.0");
}

#[test]
fn installs_images_of_every_length_modulo_a_block_and_a_chunk() {
    // A builder's image is whole blocks; a signer may append anything that the manifest then covers.
    for to in [10_240, 10_241, 10_255, 10_256, 10_257, 12_287, 12_288, 12_289] {
        let mut image = new();
        image.resize(to, 0x77);
        let world = World::new(&factory_flash(&old(), 1), &[&old(), &image], 0);
        let mut server = Server::with(Publication::of(&image, (1, 1, 0), 1, &[&P256]).publish());
        assert_eq!(world.settle(&mut server), [], "{to} bytes");
        assert_eq!(world.version(), "1.1.0");
    }
}
