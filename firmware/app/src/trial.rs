//! The self-test after a boot, and what follows from it: an update on trial is confirmed or rolled back.

use cotter_device::self_test::{self, SelfTestError};
use cotter_device::slots::{SlotIndex, Slots};
use cotter_formats::chip::Chip;
use cotter_formats::partition::PartitionTable;
use cotter_wire::registers::RegisterMap;
use esp_println::println;

use crate::flash::Flash;
use crate::release::THIS;
use crate::{descriptor, running};

/// Prints the verdict on the running image. Does not return if an update on trial failed: the chip restarts, and the
/// second stage takes the previous slot.
pub(crate) fn judge(flash: &Flash<'_>, table: Option<&PartitionTable>) {
    let mut flash = flash.transparent();
    let slots = table.and_then(|table| Slots::of(table, &mut flash).ok()).and_then(|slots| {
        let start = running::image_start();
        let index = (0..).map_while(|index| slots.slot(SlotIndex(index))).find(|slot| slot.start == start)?.index;
        slots.with_running(index).ok()
    });
    let Some(slots) = slots else {
        // Flashed without app slots, as development boards are: nothing can be on trial.
        return judge_alone();
    };
    let passed = match self_test::run(&mut flash, slots.running(), Chip::Esp32C3, Some(THIS)) {
        Ok(_) => {
            println!("self-test: passed");
            true
        }
        Err(SelfTestError::Failed(failure)) => {
            println!("self-test: failed: {failure}");
            false
        }
        Err(SelfTestError::Flash(error)) => {
            println!("self-test: no verdict: flash: {error}");
            false
        }
    };
    match slots.on_trial(&mut flash) {
        Ok(false) => {}
        Ok(true) if passed => match slots.confirm(&mut flash) {
            Ok(()) => println!("update: confirmed"),
            Err(error) => println!("update: not confirmed: {error}"),
        },
        Ok(true) => {
            println!("update: rolling back");
            if let Err(error) = slots.invalidate(&mut flash) {
                // Never confirmed is enough: the second stage aborts what is still on trial at the next boot.
                println!("update: {error}");
            }
            esp_hal::system::software_reset();
        }
        Err(error) => println!("update: {error}"),
    }
}

/// The part of the self-test that needs no slot.
fn judge_alone() {
    match RegisterMap::parse(&descriptor::register_map()) {
        Ok(map) => match map.check() {
            Ok(()) => println!("self-test: passed"),
            Err(fault) => println!("self-test: failed: {fault}"),
        },
        Err(error) => println!("self-test: failed: {error}"),
    }
}
