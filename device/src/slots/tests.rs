extern crate std;
use super::*;
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::{Flash, FlashError};
use cotter_formats::partition::{self, Label, Partition, PartitionFlags};
use std::collections::BTreeSet;
use std::println;
use std::vec::Vec;

const OTADATA: u32 = 0xd000;
const TABLE: FlashAddr = FlashAddr(0x8000);
const SLOT_0: SlotIndex = SlotIndex(0);
const SLOT_1: SlotIndex = SlotIndex(1);

fn partition(label: &str, kind: PartitionType, subtype: Subtype, offset: u32, size: u32) -> Partition {
    let label = Label::new(label).unwrap();
    Partition { label, kind, subtype, offset: FlashAddr(offset), size: FlashLen(size), flags: PartitionFlags(0) }
}

fn flash(otadata: [OtaEntry; 2], seed: u64) -> Flash {
    let table = [
        partition("nvs", PartitionType::DATA, Subtype::DATA_NVS, 0x9000, 0x4000),
        partition("otadata", PartitionType::DATA, Subtype::DATA_OTA, OTADATA, 0x2000),
        partition("ota_0", PartitionType::APP, Subtype::APP_OTA_0, 0x1_0000, 0x1_0000),
        partition("ota_1", PartitionType::APP, Subtype::APP_OTA_1, 0x2_0000, 0x1_0000),
    ];
    let flash = Flash::erased(FlashLen(0x3_0000), Fault::new(seed)).unwrap();
    flash.overwrite_externally(TABLE, &partition::build(&table).unwrap()).unwrap();
    flash.overwrite_externally(FlashAddr(OTADATA), &otadata::build_partition(&otadata)).unwrap();
    flash
}

fn slots(flash: &mut Flash) -> Slots {
    Slots::read(flash, TABLE, &mut [0; TABLE_LEN]).unwrap()
}

fn entry(sequence: u32, state: OtaState) -> OtaEntry {
    OtaEntry::new(sequence, state)
}

fn selected(slots: &Slots, flash: &mut Flash) -> Option<(SlotIndex, OtaState, u32)> {
    slots.active(flash).unwrap().map(|active| (active.slot, active.state, active.sequence))
}

/// Runs `act` once whole, then again from the same start with a cut at every operation and phase, under several seeds;
/// `check` sees the flash after the power is back. Returns the number of cuts.
fn cut_everywhere(
    start: [OtaEntry; 2],
    act: impl Fn(&mut Flash) -> Result<(), SlotError<FlashError>>,
    mut check: impl FnMut(&mut Flash),
) -> u64 {
    let mut cuts = 0;
    for seed in 0..40 {
        let mut whole = flash(start, seed);
        act(&mut whole).unwrap();
        let operations = whole.fault().operations();
        for op in 0..operations {
            for phase in Phase::ALL {
                let mut flash = flash(start, seed);
                let fault = flash.fault().clone();
                fault.cut_at(CutPoint { op, phase });
                assert_eq!(act(&mut flash), Err(SlotError::Flash(FlashError::PowerLost)));
                fault.restore_power();
                check(&mut flash);
                cuts += 1;
            }
        }
    }
    cuts
}

#[test]
fn reads_what_otatool_wrote() {
    let golden: [(&[u8], SlotIndex, u32); 3] = [
        (include_bytes!("../../../vectors/otadata/otadata-1-slot0.bin"), SLOT_0, 1),
        (include_bytes!("../../../vectors/otadata/otadata-2-slot1.bin"), SLOT_1, 2),
        (include_bytes!("../../../vectors/otadata/otadata-3-slot0.bin"), SLOT_0, 3),
    ];
    for (otadata, running, sequence) in golden {
        let mut flash = flash([OtaEntry::ERASED; 2], 0);
        flash.overwrite_externally(FlashAddr(OTADATA), otadata).unwrap();
        let slots = slots(&mut flash);
        assert_eq!(slots.running().index, running);
        assert_ne!(slots.inactive().index, running);
        assert_eq!(selected(&slots, &mut flash), Some((running, OtaState::UNDEFINED, sequence)));
        assert_eq!(slots.on_trial(&mut flash), Ok(false));
    }
}

#[test]
fn a_fresh_device_runs_slot_0_and_updates_slot_1() {
    let mut flash = flash([OtaEntry::ERASED; 2], 0);
    let slots = slots(&mut flash);
    assert_eq!(selected(&slots, &mut flash), None);
    assert_eq!(slots.running(), Slot { index: SLOT_0, start: FlashAddr(0x1_0000), len: FlashLen(0x1_0000) });
    assert_eq!(slots.inactive(), Slot { index: SLOT_1, start: FlashAddr(0x2_0000), len: FlashLen(0x1_0000) });
    slots.mark_bootable(&mut flash, VerifiedSlot::new(SLOT_1)).unwrap();
    assert_eq!(selected(&slots, &mut flash), Some((SLOT_1, OtaState::NEW, 2)));
    let fallback = slots.entry_of(&mut flash, SLOT_0).unwrap().unwrap();
    assert_eq!((fallback.state, fallback.sequence), (OtaState::VALID, 1));
}

#[test]
fn marking_survives_every_power_cut() {
    let mut cuts = 0;
    let starts = [
        [OtaEntry::ERASED; 2],
        [entry(1, OtaState::UNDEFINED), OtaEntry::ERASED],
        [entry(1, OtaState::VALID), entry(2, OtaState::ABORTED)],
        [entry(1, OtaState::VALID), entry(2, OtaState::INVALID)],
        [entry(3, OtaState::VALID), entry(2, OtaState::VALID)],
    ];
    for start in starts {
        let mark = |flash: &mut Flash| slots(flash).mark_bootable(flash, VerifiedSlot::new(SLOT_1));
        let expected = slots(&mut flash(start, 0)).next_sequence(&mut flash(start, 0), SLOT_1).unwrap();
        cuts += cut_everywhere(start, mark, |flash| {
            let slots = slots(flash).with_running(SLOT_0).unwrap();
            match selected(&slots, flash) {
                // Erased otadata boots slot 0.
                None => assert_eq!(start, [OtaEntry::ERASED; 2]),
                Some((SLOT_0, state, _)) => assert!(matches!(state, OtaState::VALID | OtaState::UNDEFINED)),
                Some((SLOT_1, state, sequence)) => assert_eq!((state, sequence), (OtaState::NEW, expected)),
                other => panic!("{other:?}"),
            }
            slots.mark_bootable(flash, VerifiedSlot::new(SLOT_1)).unwrap();
            assert!(matches!(selected(&slots, flash), Some((SLOT_1, OtaState::NEW, _))));
            assert_eq!(slots.entry_of(flash, SLOT_0).unwrap().map(|entry| entry.sector), Some(0));
        });
    }
    println!("mark_bootable: {cuts} power cuts");
}

#[test]
fn confirming_survives_every_power_cut() {
    let start = [entry(1, OtaState::VALID), entry(2, OtaState::PENDING_VERIFY)];
    let mut seen = BTreeSet::new();
    let cuts = cut_everywhere(
        start,
        |flash| slots(flash).confirm(flash),
        |flash| {
            let slots = slots(flash);
            let (slot, state, _) = selected(&slots, flash).expect("an entry is always there");
            assert!(matches!((slot, state), (SLOT_0 | SLOT_1, OtaState::VALID) | (SLOT_1, OtaState::PENDING_VERIFY)));
            seen.insert((slot, state.0));
        },
    );
    assert_eq!(seen.len(), 3);
    println!("confirm: {cuts} power cuts");
}

#[test]
fn invalidating_survives_every_power_cut() {
    let start = [entry(1, OtaState::VALID), entry(2, OtaState::PENDING_VERIFY)];
    let cuts = cut_everywhere(
        start,
        |flash| slots(flash).invalidate(flash),
        |flash| {
            let slots = slots(flash);
            match selected(&slots, flash).expect("an entry is always there") {
                (SLOT_0, OtaState::VALID, 1) => {}
                (SLOT_1, OtaState::PENDING_VERIFY, 2) => slots.invalidate(flash).unwrap(),
                other => panic!("{other:?}"),
            }
            assert_eq!(selected(&slots, flash), Some((SLOT_0, OtaState::VALID, 1)));
        },
    );
    println!("invalidate: {cuts} power cuts");
}

#[test]
fn a_sequence_number_is_never_reused_after_a_rollback() {
    let mut flash = flash([entry(1, OtaState::VALID), entry(2, OtaState::ABORTED)], 0);
    let slots = slots(&mut flash);
    assert_eq!(slots.running().index, SLOT_0);
    assert_eq!(slots.next_sequence(&mut flash, SLOT_1), Ok(4));
}

#[test]
fn a_skipped_slot_is_no_longer_selected_once_anchored() {
    // Slot 1 is selected, but the second stage refused its image and fell back to slot 0.
    for other in [OtaEntry::ERASED, entry(1, OtaState::VALID)] {
        let mut flash = flash([other, entry(2, OtaState::VALID)], 0);
        let slots = slots(&mut flash).with_running(SLOT_0).unwrap();
        slots.anchor(&mut flash).unwrap();
        assert!(matches!(selected(&slots, &mut flash), Some((SLOT_0, OtaState::VALID, _))));
        let operations = flash.fault().operations();
        slots.anchor(&mut flash).unwrap();
        assert_eq!(flash.fault().operations(), operations, "an anchored device is left alone");
    }
}

#[test]
fn refuses_what_would_leave_nothing_to_boot() {
    let mut flash = flash([OtaEntry::ERASED, entry(2, OtaState::PENDING_VERIFY)], 0);
    let slots = slots(&mut flash);
    assert_eq!(slots.on_trial(&mut flash), Ok(true));
    assert_eq!(slots.invalidate(&mut flash), Err(SlotError::NothingToFallBackOn));
    let marked = slots.mark_bootable(&mut flash, VerifiedSlot::new(SLOT_1));
    assert_eq!(marked, Err(SlotError::SlotIsRunning { slot: SLOT_1 }));
    assert_eq!(slots.clone().with_running(SlotIndex(2)).err(), Some(UnknownSlot(SlotIndex(2))));
    let elsewhere = slots.with_running(SLOT_0).unwrap();
    assert_eq!(elsewhere.confirm(&mut flash), Err(SlotError::NotSelected { slot: SLOT_0 }));
    let missing = elsewhere.mark_bootable(&mut flash, VerifiedSlot::new(SlotIndex(7)));
    assert_eq!(missing, Err(SlotError::UnknownSlot(UnknownSlot(SlotIndex(7)))));
    assert_eq!(flash.fault().operations(), 0);
}

#[test]
fn refuses_tables_that_cannot_be_updated() {
    let all = [
        partition("otadata", PartitionType::DATA, Subtype::DATA_OTA, OTADATA, 0x2000),
        partition("ota_0", PartitionType::APP, Subtype::APP_OTA_0, 0x1_0000, 0x1_0000),
        partition("ota_1", PartitionType::APP, Subtype::APP_OTA_1, 0x2_0000, 0x1_0000),
    ];
    let read = |partitions: &[Partition]| {
        let mut flash = flash([OtaEntry::ERASED; 2], 0);
        let table: Vec<u8> = partition::build(partitions).unwrap().into();
        flash.overwrite_externally(TABLE, &table).unwrap();
        Slots::read(&mut flash, TABLE, &mut [0; TABLE_LEN]).err()
    };
    assert_eq!(read(&all), None);
    assert_eq!(read(&all[1..]), Some(SlotError::NoOtadata));
    assert_eq!(read(&all[..2]), Some(SlotError::TooFewSlots { found: 1 }));
    let mut blank = Flash::erased(FlashLen(0x3_0000), Fault::default()).unwrap();
    blank.overwrite_externally(TABLE, &[0; 32]).unwrap();
    let refusal = Slots::read(&mut blank, TABLE, &mut [0; TABLE_LEN]).err();
    assert_eq!(refusal, Some(SlotError::Table(PartitionError::Magic { at: 0, found: 0 })));
}
