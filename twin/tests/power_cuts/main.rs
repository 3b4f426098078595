//! The power-cut proof: a device that was really born (Secure Boot V2, release-mode flash encryption, encrypted NVS)
//! loses power before, in the middle of and after every flash and eFuse operation of a nonce increment, of a confirmed
//! update and of a rollback. Whatever happens, the image that boots is verified and genuine, no nonce is used twice,
//! the failing release is never confirmed, and in the end the update is done.
//!
//! | file | noun |
//! |---|---|
//! | `product` | keys, images, releases, and the birth |
//! | `service` | the server of one device, in the same process |
//! | `life` | what the device does from power-on to sleep |
//! | `watched` | flash that tells image data from the rest |
//! | `wear` | a store that is about to run out of pages |
//! | `story` | lives from a start to a goal, undisturbed and then with every cut |
//!
//! Each test prints what it cut. The compiled images are cut at every operation; what multiplies the cuts (ways of
//! tearing, second cuts during the recovery, stores that run out of pages) is tried on images of three sectors that say
//! the same about themselves. `COTTER_SEED=n` tears in other ways and picks other second cuts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on has failed")]

mod life;
mod product;
mod service;
mod story;
mod watched;
mod wear;

use cotter_chip::board::VirtualChip;
use life::Habits;
use product::{Product, SMALL, WHOLE};
use service::Service;
use std::sync::LazyLock;
use story::{Goal, Story};
use wear::wear;

/// A device with the small images, never switched on.
static NEWBORN: LazyLock<VirtualChip> = LazyLock::new(|| SMALL.birth());

const UPDATING: Habits = Habits { packets: 1, polls: 1, crashes: None };

fn update(name: &'static str, product: &'static Product, board: VirtualChip) -> Story {
    let service = Service::new(product).offering("1.1.0");
    Story {
        name,
        board,
        service,
        habits: UPDATING,
        goal: Goal::Installed { version: "1.1.0" },
        second_cuts: 0,
        tears: 4,
    }
}

/// The device runs 1.1.0 already, and burned its secure version.
fn rollback(name: &'static str, product: &'static Product, board: VirtualChip) -> Story {
    let story = update(name, product, board).ended();
    let goal = Goal::RolledBack { given_up: "1.2.0", reason: "self-test-zero-gain", to: "1.1.0" };
    Story { goal, service: story.service.offering("1.2.0"), ..story }
}

/// So many packets before NVS clears a page: from the middle of the download to the last report.
const WEARS: [usize; 4] = [10, 25, 40, 55];

#[test]
fn no_nonce_is_used_twice_whatever_the_power_does() {
    for (name, left) in [("nonces", None), ("nonces, clearing a page", Some(4))] {
        let (board, mut service) = (NEWBORN.duplicate().unwrap(), Service::new(&SMALL));
        if let Some(left) = left {
            wear(&board, &mut service, left);
        }
        let habits = Habits { packets: 4, polls: 0, crashes: None };
        Story { name, board, service, habits, goal: Goal::Quiet { version: "1.0.0" }, second_cuts: 2, tears: 8 }
            .sweep();
    }
}

#[test]
fn an_update_completes_whatever_the_power_does() {
    Story { second_cuts: 2, ..update("update", &SMALL, NEWBORN.duplicate().unwrap()) }.sweep();
}

#[test]
fn an_update_completes_on_a_worn_store_whatever_the_power_does() {
    for left in WEARS {
        let mut story = update("update, clearing a page", &SMALL, NEWBORN.duplicate().unwrap());
        wear(&story.board, &mut story.service, left);
        Story { tears: 2, ..story }.sweep();
    }
}

#[test]
fn a_first_boot_survives_two_power_cuts() {
    let story = update("first boot of the update", &SMALL, NEWBORN.duplicate().unwrap()).after_lives(1);
    Story { second_cuts: 8, ..story }.sweep();
}

#[test]
fn a_failed_update_is_rolled_back_whatever_the_power_does() {
    Story { second_cuts: 1, ..rollback("rollback", &SMALL, NEWBORN.duplicate().unwrap()) }.sweep();
}

#[test]
fn a_failed_update_is_rolled_back_on_a_worn_store_whatever_the_power_does() {
    for left in WEARS {
        let mut story = rollback("rollback, clearing a page", &SMALL, NEWBORN.duplicate().unwrap());
        wear(&story.board, &mut story.service, left);
        Story { tears: 2, ..story }.sweep();
    }
}

#[test]
fn an_update_that_never_comes_up_is_rolled_back_whatever_the_power_does() {
    let story = update("crashing update", &SMALL, NEWBORN.duplicate().unwrap());
    let habits = Habits { crashes: Some("1.1.0"), ..UPDATING };
    let goal = Goal::RolledBack { given_up: "1.1.0", reason: "did-not-boot", to: "1.0.0" };
    Story { habits, goal, tears: 1, ..story }.sweep();
}

#[test]
fn an_update_of_the_compiled_images_completes_whatever_the_power_does() {
    Story { tears: 1, ..update("update, compiled images", &WHOLE, WHOLE.birth()) }.sweep();
}
