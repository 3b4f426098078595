//! Power cuts at every flash and eFuse operation of an update, of a rollback, and of the boots in between.

extern crate std;
use super::world::{End, Publication, RSA, Release, Server, World, factory_flash};
use super::{new, old};
use crate::test_image::TestImage;
use cotter_chip::fault::{CutPoint, Phase};
use cotter_wire::ids::SecureVersion;
use cotter_wire::status::Outcome;
use std::println;
use std::vec::Vec;

struct Scenario {
    flash: Vec<u8>,
    genuine: [Vec<u8>; 2],
    release: Release,
    /// The version that runs in the end.
    version: &'static str,
    outcome: Outcome,
    reason: &'static str,
    fuse_floor: SecureVersion,
}

impl Scenario {
    fn world(&self, seed: u64) -> (World, Server) {
        let genuine = [&self.genuine[0][..], &self.genuine[1][..]];
        (World::new(&self.flash, &genuine, seed), Server::with(self.release.clone()))
    }

    /// Lives through as many boots as it takes. [`World::boot`] checks each of them.
    fn live(&self, world: &World, server: &mut Server, mut after_cut: impl FnMut(&World)) {
        let mut refusals = Vec::new();
        for _ in 0..30 {
            match world.boot(server, 2, &mut refusals) {
                End::PowerLost => after_cut(world),
                End::Reboot => {}
                End::Asleep => break,
            }
        }
        // One boot more, which burns the anti-rollback eFuse of what was confirmed.
        while world.boot(server, 0, &mut refusals) == End::PowerLost {
            after_cut(world);
        }
        assert_eq!(world.version(), self.version);
        assert_eq!(world.fuse_floor(), self.fuse_floor);
        let told = server.reports.iter().any(|report| (report.outcome, report.reason()) == (self.outcome, self.reason));
        assert!(told, "{:?}", server.reports);
    }

    /// Cuts everywhere once, and everywhere a second time at some operation of the recovery.
    fn cut_everywhere(&self, name: &str) {
        let (world, mut server) = self.world(0);
        self.live(&world, &mut server, |_| panic!("no cut was planned"));
        let operations = world.board.fault().operations();
        let (mut once, mut twice) = (0, 0);
        for op in 0..operations {
            for phase in Phase::ALL {
                let (world, mut server) = self.world(op);
                world.board.fault().cut_at(CutPoint { op, phase });
                let mut cuts = 0;
                self.live(&world, &mut server, |_| cuts += 1);
                assert_eq!(cuts, 1, "op {op} {phase:?}");
                once += 1;

                let (world, mut server) = self.world(op);
                world.board.fault().cut_at(CutPoint { op, phase });
                let mut cuts = 0;
                self.live(&world, &mut server, |world| {
                    cuts += 1;
                    if cuts == 1 {
                        // A different distance each time; over all of them, every part of a recovery is cut.
                        let op = op + 1 + (op * 7 + cuts) % 60;
                        world.board.fault().cut_at(CutPoint { op, phase });
                    }
                });
                twice += u64::from(cuts == 2);
            }
        }
        println!("{name}: {operations} operations, {once} single power cuts, {twice} double ones");
        assert!(twice > once / 2, "the second cut should mostly hit");
    }
}

#[test]
fn an_update_survives_every_power_cut() {
    let scenario = Scenario {
        flash: factory_flash(&old(), 1),
        genuine: [old(), new()],
        release: Publication::of(&new(), (1, 1, 0), 1, &[&RSA]).publish(),
        version: "1.1.0",
        outcome: Outcome::Installed,
        reason: "",
        fuse_floor: SecureVersion(1),
    };
    scenario.cut_everywhere("update");
}

#[test]
fn a_rollback_survives_every_power_cut() {
    let bad = TestImage::of("1.2.0", 1).with_zero_gain().of_len(super::SMALL).build();
    let scenario = Scenario {
        flash: factory_flash(&old(), 1),
        release: Publication::of(&bad, (1, 2, 0), 1, &[&RSA]).publish(),
        genuine: [old(), bad],
        version: "1.0.0",
        outcome: Outcome::RolledBack,
        reason: "self-test-zero-gain",
        fuse_floor: SecureVersion(0),
    };
    scenario.cut_everywhere("rollback");
}
